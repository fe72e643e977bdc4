//! What people decide about a turn that was cut off.

use std::sync::Arc;

use futures_util::FutureExt;

use super::Asked;
use super::answer::Answer;
use crate::domain::conversation::Markup;
use crate::domain::ids::{OwedId, TurnId};
use crate::domain::inbound::Choice;
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::Line;
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;
use crate::session::words;
use crate::store::{Aftermath, Interrupted, Settlement};

impl Inner {
    /// Resumes, repeats or drops an interrupted turn. The first press of somebody who may decide counts; the store says which that is.
    pub(super) async fn decide_interrupted(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        turn: TurnId,
        choice: Choice,
    ) -> Result<Delivered, Later> {
        let found = self.parts.store.interrupted(turn).await.map_err(|error| Later::because(asked.key, &error))?;
        let found = match found {
            None => return self.give(asked, Answer::aside(words::STALE_BUTTON)).await,
            Some(found) if !asked.by.may_decide_for(&found.author) => {
                return self.give(asked, Answer::aside(words::NOT_YOURS)).await;
            }
            Some(found) if choice == Choice::Resume && !found.session_lives => {
                return self.give(asked, Answer::aside(words::NOTHING_TO_RESUME)).await;
            }
            Some(found) => found,
        };
        let settlement = self.settlement(asked, turn, choice, &found);
        let owed = settlement.owed.clone();
        let settled = self.parts.store.settle_interrupted(settlement).await;
        if !settled.map_err(|error| Later::because(asked.key, &error))? {
            return self.give(asked, Answer::aside(words::STALE_BUTTON)).await;
        }
        tracing::info!(conversation = %found.conversation, turn.id = %turn, ?choice, user.id = %asked.by.user(), "An interrupted turn is decided");
        if choice != Choice::Drop {
            self.stored_in(&found.conversation, Line::Turn, found.seq);
        }
        Ok(Some(self.parts.outbox.send(owed).boxed()))
    }

    fn settlement(&self, asked: &Asked<'_>, turn: TurnId, choice: Choice, found: &Interrupted) -> Settlement {
        let markup = found.place.markup();
        let text = self.parts.render.parts(markup, words::chosen(choice)).into_iter().next().unwrap_or_default();
        // A mention is no Markdown.
        let by = match markup {
            Markup::Slack => format!("<@{}>", asked.by.user()),
            Markup::Markdown => asked.by.user().to_string(),
        };
        let op = Op::Revise { of: found.card, body: Body::Text(format!("{text} ({by})")) };
        let revision =
            Owed { id: OwedId::new(), conversation: found.place.clone(), turn: Some(turn), answers: None, op };
        let aftermath = match choice {
            Choice::Resume => Aftermath::Waits { resumes: true },
            Choice::Retry => Aftermath::Waits { resumes: false },
            Choice::Drop => Aftermath::Over,
        };
        let now_ms = self.parts.clock.wall_ms();
        Settlement { turn, seq: found.seq, aftermath, owed: vec![revision], press: asked.seq, now_ms }
    }
}
