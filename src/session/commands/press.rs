//! Buttons, and stops: what is done at once, and what waits in a line like the command that it stands for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Asked;
use super::answer::Answer;
use crate::domain::access::{Admitted, Denied};
use crate::domain::command::{self, Command, Entry, Reading};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ApprovalId, SessionId, Ts, TurnId};
use crate::domain::inbound::{Button, Click, Inbound, Message, What};
use crate::domain::ports::Line;
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;
use crate::session::turn::{Press, StopReason};
use crate::session::words;
use crate::store::StoreError;

/// How many presses are remembered.
const LATELY: usize = 256;

impl Inner {
    /// Acts on the running turn: a press, a stop.
    pub(in crate::session) async fn act_at_once(self: Arc<Self>, seq: i64, inbound: Inbound) {
        if let Err(Later) = self.act_on_turn(seq, &inbound).await {
            tracing::warn!(conversation = %inbound.queue(), "A press or a stop is not handled yet; the next start sees to it");
        }
    }

    async fn act_on_turn(self: &Arc<Self>, seq: i64, inbound: &Inbound) -> Result<Delivered, Later> {
        let found =
            || async { self.acting_on(inbound).await.map_err(|error| Later::because(&inbound.queue(), &error)) };
        let key = self.insist(found).await?;
        match (&inbound.what, self.admit(inbound)) {
            (What::Click(click), Ok(by)) => return self.click(&key, seq, inbound, click, by).await,
            (What::Message(message), Ok(_)) => return self.stop_by_message(&key, seq, inbound, message).await,
            (What::Click(click), Err(denied)) => self.refuse_press(&key, click, denied),
            (What::Stop { .. }, Ok(_)) if self.stop_turn(&key) => {
                tracing::info!(conversation = %key, "A turn was stopped with Slack's own button");
            }
            _ => {}
        }
        self.insist(|| self.done(&key, seq)).await
    }

    /// Tells somebody who may not press a button that they may not.
    pub(in crate::session) fn refuse_press(self: &Arc<Self>, key: &ConversationKey, click: &Click, denied: Denied) {
        metrics::counter!("hitchline_authz_denied_total").increment(1);
        tracing::info!(conversation = %key, reason = ?denied, "A press by somebody who may not was refused");
        self.respond(click.reply.clone(), words::PRESS_DENIED);
    }

    /// `stop`, or `stop all`. Where nothing runs, the answer that says so waits like that of any other command.
    async fn stop_by_message(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        inbound: &Inbound,
        message: &Message,
    ) -> Result<Delivered, Later> {
        if stops_all(message) {
            let (stopped, dropped) = self.stop_all(key, seq).await?;
            let told = words::stopped_all(stopped, dropped);
            return Ok(self.answer(&inbound.queue(), seq, &told).await);
        }
        if self.stop_turn(key) {
            return self.insist(|| self.done(key, seq)).await;
        }
        let kept_in = self.kept_in(inbound, message);
        self.insist(|| self.move_to(&kept_in, Line::Command, seq)).await
    }

    /// The conversation whose turn a press or a stop is about. A whole channel is answered in the threads of its messages.
    pub(super) async fn acting_on(&self, inbound: &Inbound) -> Result<ConversationKey, StoreError> {
        let key = inbound.queue();
        let Some(whole) = self.whole_channel(&key) else { return Ok(key) };
        // A thread with a session of its own is that session's.
        let own = self.parts.store.session_in(&key).await?;
        Ok(if own.is_some() { key } else { whole })
    }

    /// The conversation in whose line a message is kept.
    fn kept_in(&self, inbound: &Inbound, message: &Message) -> ConversationKey {
        let key = inbound.queue();
        let whole = message.thread.is_none().then(|| self.whole_channel(&key)).flatten();
        whole.unwrap_or(key)
    }

    async fn click(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        inbound: &Inbound,
        click: &Click,
        by: Admitted,
    ) -> Result<Delivered, Later> {
        match click.button {
            Button::Approval { id, option } => self.decide(key, click, by, id, option),
            Button::Stop { turn } => self.stop_from(inbound, click, &by, turn),
            _ => return self.insist(|| self.put_into_line(seq, inbound, click)).await,
        }
        self.insist(|| self.done(key, seq)).await
    }

    /// Lets a press wait like the command that it stands for.
    async fn put_into_line(self: &Arc<Self>, seq: i64, inbound: &Inbound, click: &Click) -> Result<Delivered, Later> {
        let key = inbound.queue();
        let mapped = self.mapping(&key).await?.is_some();
        match line_of(&click.button, mapped) {
            Some(line) => self.move_to(&key, line, seq).await,
            None => self.done(&key, seq).await,
        }
    }

    fn decide(self: &Arc<Self>, key: &ConversationKey, click: &Click, by: Admitted, id: ApprovalId, option: usize) {
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        let press = Press { id, option, by, reply: click.reply.clone() };
        // Where none runs, whoever ended it has taken the buttons away, or does so now.
        if running.is_none_or(|running| running.presses.try_send(press).is_err()) {
            self.respond(click.reply.clone(), words::STALE_BUTTON);
        }
    }

    /// Stops a certain turn, which may run elsewhere.
    fn stop_from(self: &Arc<Self>, inbound: &Inbound, click: &Click, by: &Admitted, turn: TurnId) {
        let found = self.slots().turn(turn);
        let told = match found {
            Some((record, _)) if !may_act(inbound, by, &record) => words::NOT_YOURS,
            Some((_, running)) if running.stop(StopReason::Stop) => words::STOPPING,
            _ => words::STALE_BUTTON,
        };
        self.respond(click.reply.clone(), told);
    }

    /// A press that waited in a line.
    pub(in crate::session) async fn press(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        inbound: &Inbound,
        click: &Click,
        by: &Admitted,
    ) -> Result<Delivered, Later> {
        let asked = Asked::replied(key, seq, by, click.reply.clone());
        match &click.button {
            Button::Connect { .. } | Button::Adopt { .. } if key.is_channel_wide() => {
                self.connect_in_new_thread(&asked, inbound, click).await
            }
            Button::Connect { session, .. } => {
                let answer = self.connect_ours(&asked, *session).await?;
                self.give(&asked, answer).await
            }
            Button::Adopt { backend, backend_ref, .. } => {
                let answer = self.connect_agents(&asked, backend, backend_ref).await?;
                self.give(&asked, answer).await
            }
            Button::Option { session, option, value } => {
                let Some(record) = self.chosen_for(inbound, by, *session).await? else {
                    return self.give(&asked, Answer::aside(words::STALE_BUTTON)).await;
                };
                let asked = Asked::replied(&record.conversation, seq, by, click.reply.clone());
                let answer = self.set_option(&record, option, value).await?;
                self.give(&asked, answer).await
            }
            Button::Interrupted { turn, choice } => self.decide_interrupted(&asked, *turn, *choice).await,
            Button::Offer { offer, accept } => self.settle_offer(&asked, inbound, *offer, *accept).await,
            Button::Approval { .. } | Button::Stop { .. } => self.done(key, seq).await,
        }
    }

    /// The session whose option was pressed, as long as it lives where the menu stands.
    async fn chosen_for(
        &self,
        inbound: &Inbound,
        by: &Admitted,
        id: SessionId,
    ) -> Result<Option<SessionRecord>, Later> {
        let found = self.parts.store.session(id).await.map_err(|error| Later::because(&inbound.queue(), &error))?;
        Ok(found.filter(|record| record.status == SessionStatus::Active && may_act(inbound, by, record)))
    }

    /// Opens a thread for a session that was chosen from a list which stands in none.
    async fn connect_in_new_thread(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        inbound: &Inbound,
        click: &Click,
    ) -> Result<Delivered, Later> {
        if self.mapping(asked.key).await?.is_some() {
            return self.give(asked, Answer::aside(words::SESSION_EXISTS)).await;
        }
        if let Button::Connect { session, .. } = click.button
            && let Some(why_not) = self.why_not_ours(asked, session).await?
        {
            return self.give(asked, Answer::aside(why_not)).await;
        }
        if !self.presses.is_first(click) {
            return self.give(asked, Answer::aside(words::STALE_BUTTON)).await;
        }
        match self.open_thread(asked.key, words::connecting_for(asked.by.user())).await? {
            Ok(ts) => {
                let click = Click { thread: Some(ts), ..click.clone() };
                self.go_on_in_thread(asked.seq, Inbound { what: What::Click(click), ..inbound.clone() }).await
            }
            Err(why_not) => self.give(asked, Answer::aside(&why_not)).await,
        }
    }
}

/// In which line a press waits, in none where it acts on what runs; `mapped` says whether its conversation has a session.
pub(super) fn line_of(button: &Button, mapped: bool) -> Option<Line> {
    match button {
        Button::Approval { .. } | Button::Stop { .. } => None,
        // As `connect` itself: with the session the turns begin.
        Button::Connect { .. } | Button::Adopt { .. } if !mapped => Some(Line::Turn),
        Button::Connect { .. }
        | Button::Adopt { .. }
        | Button::Option { .. }
        | Button::Interrupted { .. }
        | Button::Offer { .. } => Some(Line::Command),
    }
}

/// Whether a message stops what runs and drops what waits.
pub(super) fn stops_all(message: &Message) -> bool {
    command::read(&message.text, Entry::InSession) == Reading::Command(Command::Stop { waiting_too: true })
}

/// The presses that opened a thread lately, so that a double click opens one.
#[derive(Default)]
pub(in crate::session) struct Presses(Mutex<VecDeque<(Ts, Button)>>);

impl Presses {
    /// Notes a press; whether its button was not pressed before.
    fn is_first(&self, click: &Click) -> bool {
        let pressed = (click.message.clone(), click.button.clone());
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.contains(&pressed) {
            return false;
        }
        if lately.len() >= LATELY {
            lately.pop_front();
        }
        lately.push_back(pressed);
        true
    }
}

/// Whether a press may act on a session: in its own channel whoever may prompt there, elsewhere its creator or an admin.
fn may_act(inbound: &Inbound, by: &Admitted, record: &SessionRecord) -> bool {
    let place = &record.conversation;
    (place.team == inbound.team && place.channel == inbound.channel) || by.may_decide_for(&record.creator)
}
