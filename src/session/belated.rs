//! What was said while nobody listened and comes too late to be simply answered: whose it is, and what people are told.

use std::sync::Arc;

use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::OfferId;
use crate::domain::inbound::{Button, Inbound, Message, What};
use crate::domain::outgoing::{Body, List, ListButton, ListRow, Owed};
use crate::domain::ports::{Away, Belated, Claim, Keep};

use super::commands::post;
use super::manager::{Inner, Manager};
use super::rules::{self, Decision};
use super::slots::Slot;
use super::words;

impl Belated for Manager {
    fn is_addressed(&self, inbound: &Inbound) -> bool {
        let What::Message(message) = &inbound.what else { return false };
        rules::is_addressed(message, inbound.channel_kind, &self.0.parts.policy)
    }

    fn consider(&self, inbound: &Inbound) -> Claim {
        match &inbound.what {
            What::Message(message) => self.0.consider(inbound, message),
            _ => Claim::Drop("no_message"),
        }
    }

    fn note(&self, place: &ConversationKey, offer: OfferId, away: Away) -> Vec<Owed> {
        vec![Owed { id: offer.into(), ..post(place, self.0.away_note(place.markup(), offer, away)) }]
    }

    fn noted(&self, note: Vec<Owed>) {
        drop(self.0.parts.outbox.send(note));
    }
}

impl Inner {
    fn consider(self: &Arc<Self>, inbound: &Inbound, message: &Message) -> Claim {
        let Some(thread) = inbound.conversation() else { return Claim::Drop("no_conversation") };
        if self.admit(inbound).is_err() {
            return Claim::Drop("denied");
        }
        let policy = &self.parts.policy;
        let whole = message.thread.is_none().then(|| self.whole_channel(&thread)).flatten();
        let key = whole.as_ref().unwrap_or(&thread);
        let addressed = rules::is_addressed(message, inbound.channel_kind, policy);
        let mapped = self.slots().get(key).and_then(Slot::is_mapped) == Some(true);
        let opens_thread = message.thread.is_none() && whole.is_none();
        if opens_thread && !addressed {
            return Claim::Drop("not_addressed");
        }
        let keep = Keep { only_if_followed: !addressed && !mapped, conversation: whole, ..Keep::default() };
        // Whether there is a session is seen when it is kept, and once more when it is taken up.
        match rules::decide(message, inbound.channel_kind, !opens_thread, policy) {
            Decision::Ignore(reason) => Claim::Drop(reason),
            decision => Claim::Keep(Keep { line: decision.line(!opens_thread), ..keep }),
        }
    }

    fn away_note(&self, markup: Markup, offer: OfferId, away: Away) -> Body {
        let text = words::away(away);
        if away.offered == 0 {
            return self.first_part(markup, &text);
        }
        let row = |(accept, text, label): (bool, &str, &str)| ListRow {
            text: self.one_part(markup, text),
            button: Some(ListButton {
                label: label.to_owned(),
                button: Button::Offer { offer, accept },
                danger: false,
            }),
        };
        let rows = words::AWAY_CHOICES.map(row).to_vec();
        Body::List(List { text: self.one_part(markup, &text), rows })
    }
}
