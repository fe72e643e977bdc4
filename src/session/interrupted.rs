//! Turns that were cut off: by the end of an earlier process, or by a crash in this one.
//!
//! Of a turn that may have run nobody knows how far it came, so it is never silently repeated: it ends visibly, and by the policy people
//! decide, or it is resumed, repeated or dropped. Until that is written down its conversation begins no other turn.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, TurnId};
use crate::domain::inbound::{Button, Choice, Inbound};
use crate::domain::outgoing::{Answers, ApprovalCard, ApprovalState, Body, List, ListButton, ListRow, Op, Owed};
use crate::domain::ports::{Line, Trace, WriteError};
use crate::scope::OnCrash;
use crate::store::{Aftermath, CutOff, CutOffEnd, StoreError};

use super::lines::Delivered;
use super::manager::Inner;
use super::reply::finals;
use super::words;
use plan::{Plan, plan};

/// How many conversations' interrupted turns are looked after side by side.
const AT_ONCE: usize = 8;
/// How long a thread is looked through for what an interrupted turn left there.
const LOOK: Duration = Duration::from_secs(10);

impl Inner {
    /// Takes up the turns that the end of the last process cut off, and that may have run. They are closed by a task that holds their
    /// conversations back until then, and nobody else.
    pub(super) async fn take_up_cut_off(self: &Arc<Self>) -> Result<(), StoreError> {
        self.close_questions(None, &ApprovalState::CutOff).await?;
        let mut lines: BTreeMap<ConversationKey, Vec<CutOff>> = BTreeMap::new();
        for turn in self.parts.store.cut_off_turns().await? {
            tracing::warn!(turn.id = %turn.turn, conversation = %turn.conversation, "A turn was cut off");
            lines.entry(turn.conversation.clone()).or_default().push(turn);
        }
        if lines.is_empty() {
            return Ok(());
        }
        {
            let mut slots = self.slots();
            for key in lines.keys() {
                slots.begin(key, Line::Turn);
            }
        }
        let inner = self.clone();
        self.parts.scope.spawn("interrupted turns", OnCrash::Stop, async move {
            let close = |(key, turns)| inner.close_line(key, turns);
            stream::iter(lines).for_each_concurrent(AT_ONCE, close).await;
        });
        Ok(())
    }

    /// Closes what was cut off in one line, which then goes on. When we begin to stop, the rest is left to the next start.
    async fn close_line(self: &Arc<Self>, key: ConversationKey, turns: Vec<CutOff>) {
        let close = async {
            for turn in turns {
                drop(self.close_cut_off(turn).await);
            }
            self.queue(Line::Turn).place_in_time().await
        };
        let closed = self.parts.scope.finish().run_until_cancelled(close).await;
        if let Some(place) = closed.flatten() {
            return self.run_line(key, Line::Turn, place, None);
        }
        self.slots().give_up(&key, Line::Turn);
        self.rested.notify_waiters();
    }

    /// Ends a turn that was cut off, visibly and in one commit. What it was showing is taken over, so that there is one message.
    pub(super) async fn close_cut_off(self: &Arc<Self>, turn: CutOff) -> Delivered {
        if let Err(error) = self.close_questions(Some(turn.turn), &ApprovalState::Withdrawn).await {
            tracing::warn!(turn.id = %turn.turn, %error, "A question of an interrupted turn keeps its buttons until the next start");
        }
        let at = turn
            .inbound
            .as_ref()
            .map_or_else(|_unreadable| turn.conversation.clone(), |inbound| inbound.answered_at(&turn.conversation));
        let shown = if turn.shown.is_empty() { self.look_for_shown(&at, &turn).await } else { turn.shown.clone() };
        let plan = plan(self.parts.policy.on_interrupt, &turn);
        let asked = turn.inbound.as_ref().ok().and_then(Inbound::message).cloned();
        let answers = asked.map(if plan.is_interim() { Answers::Interim } else { Answers::Finally });
        let row = |op| Owed {
            id: OwedId::new(),
            conversation: at.clone(),
            turn: Some(turn.turn),
            answers: answers.clone(),
            op,
        };
        let owed: Vec<Owed> = finals(self.told(&at, turn.turn, &plan), shown).into_iter().map(row).collect();
        let aftermath = match plan {
            Plan::Ask => owed.first().map_or(Aftermath::Over, |card| Aftermath::Asks(card.id)),
            Plan::Resume => Aftermath::Waits { resumes: true },
            Plan::Retry => Aftermath::Waits { resumes: false },
            Plan::Lost | Plan::Ended => Aftermath::Over,
            Plan::Stopped => Aftermath::Stopped,
            Plan::GiveUp(reason) => Aftermath::Dead(reason),
        };
        let now_ms = self.parts.clock.wall_ms();
        let end = CutOffEnd { turn: turn.turn, seq: turn.seq, aftermath, owed, now_ms };
        while let Err(error) = self.parts.store.close_cut_off(end.clone()).await {
            if self.is_over(&turn.conversation, &error).await {
                return None;
            }
        }
        metrics::counter!("hitchline_turns_total", "outcome" => end.aftermath.outcome()).increment(1);
        if matches!(end.aftermath, Aftermath::Waits { .. }) {
            self.stored_in(&turn.conversation, Line::Turn, turn.seq);
        }
        Some(self.parts.outbox.send(end.owed).boxed())
    }

    /// What people read of an interrupted turn.
    fn told(&self, at: &ConversationKey, turn: TurnId, plan: &Plan) -> Vec<Body> {
        let text = match plan {
            Plan::Ask => return vec![self.card(at, turn)],
            Plan::Resume => words::RESUMED,
            Plan::Retry => words::RETRIED,
            Plan::Lost => words::INTERRUPTED,
            Plan::Stopped => words::STOPPED,
            Plan::Ended => words::INTERRUPTED_AND_ENDED,
            Plan::GiveUp(_) => words::GIVEN_UP,
        };
        self.parts.render.parts(at.markup(), text).into_iter().map(Body::Text).collect()
    }

    /// Asks what is to become of an interrupted turn.
    fn card(&self, at: &ConversationKey, turn: TurnId) -> Body {
        let part = |text: &str| self.parts.render.parts(at.markup(), text).into_iter().next().unwrap_or_default();
        let row = |choice| {
            let (text, label) = words::choice(choice);
            let danger = choice == Choice::Drop;
            let button = ListButton { label: label.to_owned(), button: Button::Interrupted { turn, choice }, danger };
            ListRow { text: part(text), button: Some(button) }
        };
        let rows = [Choice::Resume, Choice::Retry, Choice::Drop].into_iter().map(row).collect();
        Body::List(List { text: part(words::ASK_INTERRUPTED), rows })
    }

    /// Takes the buttons off the questions that nobody waits for any more: of one turn, or of all.
    async fn close_questions(&self, turn: Option<TurnId>, state: &ApprovalState) -> Result<(), StoreError> {
        for open in self.parts.store.open_approvals(turn).await? {
            tracing::info!(conversation = %open.conversation, approval.id = %open.card.id, "A question that was cut off is closed");
            let body = Body::Approval(ApprovalCard { state: state.clone(), ..open.card });
            let op = Op::Revise { of: open.row, body };
            let revision =
                Owed { id: OwedId::new(), conversation: open.conversation, turn: Some(open.turn), answers: None, op };
            drop(self.owe(vec![revision]).await?);
        }
        Ok(())
    }

    /// Looks for the message that an interrupted turn let grow, where that was not noted in time.
    async fn look_for_shown(&self, at: &ConversationKey, turn: &CutOff) -> Vec<Ts> {
        let Some(asked) = turn.inbound.as_ref().ok().and_then(Inbound::message) else { return Vec::new() };
        let look = self.parts.clock.timeout(LOOK, self.find_shown(at, asked, turn.turn));
        match look.await {
            Ok(Ok(found)) => found.into_iter().collect(),
            Ok(Err(error)) => {
                tracing::warn!(conversation = %at, %error, "What an interrupted turn was showing can't be looked for");
                Vec::new()
            }
            Err(_late) => {
                tracing::warn!(conversation = %at, "What an interrupted turn was showing was not found in time");
                Vec::new()
            }
        }
    }

    async fn find_shown(&self, at: &ConversationKey, asked: &Ts, turn: TurnId) -> Result<Option<Ts>, WriteError> {
        // What was said before a question still looks as if it grew until its final form, which is owed, has arrived.
        self.parts.outbox.settled(at).await;
        let slack = &self.parts.slack;
        match slack.look_back(at, asked, Trace::Growing).await? {
            Some(found) => Ok(Some(found)),
            None => slack.look_back(at, asked, Trace::Key(OwedId::of_draft(turn, 0))).await,
        }
    }
}
