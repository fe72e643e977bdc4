//! A press that settles what came while nobody listened.

use std::sync::Arc;

use futures_util::FutureExt;

use super::Asked;
use super::answer::{Answer, post};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OfferId, OwedId};
use crate::domain::inbound::Inbound;
use crate::domain::outgoing::{Op, Owed};
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;
use crate::session::words;
use crate::store::{OfferEnd, OfferPress};

impl Inner {
    /// Whoever may prompt here may settle an offer, once. Its messages go on as their authors' own.
    pub(super) async fn settle_offer(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        inbound: &Inbound,
        offer: OfferId,
        accept: bool,
    ) -> Result<Delivered, Later> {
        let (team, channel) = (inbound.team.clone(), inbound.channel.clone());
        let press = OfferPress { offer, team, channel, accept, seq: asked.seq, now_ms: self.parts.clock.wall_ms() };
        let inner = self.clone();
        let tell = move |place: &ConversationKey, end: OfferEnd| vec![inner.revised_note(place, offer, end)];
        let settled = self.parts.store.settle_offer(press, tell).await;
        match settled.map_err(|error| Later::because(asked.key, &error))? {
            None => self.give(asked, Answer::aside(words::STALE_BUTTON)).await,
            Some(settlement) => {
                for (seq, key, line) in &settlement.queued {
                    self.stored_in(key, *line, *seq);
                }
                Ok(Some(self.parts.outbox.send(settlement.told).boxed()))
            }
        }
    }

    /// The note, without its buttons.
    fn revised_note(&self, place: &ConversationKey, offer: OfferId, end: OfferEnd) -> Owed {
        let body = self.first_part(place.markup(), &words::offer_ended(end));
        Owed { op: Op::Revise { of: OwedId::from(offer), body: body.clone() }, ..post(place, body) }
    }
}
