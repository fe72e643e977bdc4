//! One turn: a prompt, the agent's events, people's interventions, and exactly one end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::backend::error::{BackendError, Phase};
use crate::backend::{Outcome, Session, TurnEvent, TurnStream};
use crate::domain::agent::{AgentEvent, Prompt, Usage};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ApprovalId, OwedId, Ts};
use crate::domain::outgoing::{Answers, Op, Owed};
use crate::domain::ports::WriteError;
use crate::outbox::Fate;

use super::approvals::Approvals;
use super::files::Fetched;
use super::live::Ready;
use super::manager::Inner;
use super::reply::{Reply, Worked};
use super::words;

mod beginning;
mod conclusion;
mod controls;
mod decisions;
mod tools;

use conclusion::conclude;
pub(super) use controls::{Cancelling, Controls, Press, StopReason, stopped};
use tools::Questions;
pub(super) use tools::{Question, ToolCall};

/// How long a cancelled turn may take to say so, before its session is released by force. Above the backends' own grace.
const CANCEL_GRACE: Duration = Duration::from_secs(8);
/// How long releasing a session by force may take.
const FORCED_RELEASE: Duration = Duration::from_secs(2);
/// How long a session may take to hear of a decision or a cancellation. Meanwhile nobody else is heard.
const CALL: Duration = Duration::from_secs(2);

/// A turn to be run.
pub(super) struct Turn {
    pub(super) inner: Arc<Inner>,
    /// Whose turn it is.
    pub(super) conversation: ConversationKey,
    /// Where it is answered: there, or in the message's own thread where the conversation is a whole channel.
    pub(super) key: ConversationKey,
    pub(super) prompt: Prompt,
    /// What has become of the files that came with its message.
    pub(super) files: Fetched,
    /// The message that asked.
    pub(super) message: Ts,
    /// Whether it goes on where an interrupted turn was, as far as its session knows of that.
    pub(super) resumes: bool,
    /// Whether it is on disk that the agent may have seen the prompt.
    pub(super) reached: AtomicBool,
}

/// How a turn ended.
pub(super) struct Finished {
    /// In one word, for the store and the metrics.
    pub(super) outcome: &'static str,
    /// What failed, if something did.
    pub(super) error: Option<BackendError>,
    /// What is owed for it.
    pub(super) owed: Vec<Owed>,
    /// Whether the agent said or did anything.
    pub(super) heard: bool,
}

/// A turn that runs.
struct Live<'a> {
    turn: &'a Turn,
    session: &'a Arc<dyn Session>,
    reply: Reply,
    approvals: Approvals,
    /// Questions on their way to Slack.
    cards: FuturesUnordered<BoxFuture<'static, (ApprovalId, Fate)>>,
    /// Who waits for the answers to what the agent asked with a tool.
    questions: Questions,
    /// Whether the agent showed something with a tool.
    shown: bool,
    /// Commands that are too long for their cards, on their way as files.
    attaching: FuturesUnordered<BoxFuture<'static, Result<(), WriteError>>>,
    /// What was to be shown, and the store did not take.
    unwritten: Vec<Owed>,
    started: Instant,
    last_heard: Instant,
    heard: bool,
    cancelling: Option<(Cancelling, Instant)>,
    /// What the session has used so far, as the agent said last.
    usage: Option<Usage>,
}

/// What the loop woke up for.
enum Woke {
    Stopped(Cancelling),
    Pressed(Press),
    Event(Option<TurnEvent>),
    Reply(Worked),
    Card(ApprovalId, Fate),
    Called(ToolCall),
    Attached(Result<(), WriteError>),
    Time,
}

/// Runs a turn to its end.
pub(super) async fn run(turn: &Turn, ready: &Ready, controls: &mut Controls) -> Finished {
    let told = tokio::select! {
        biased;
        why = stopped(&mut controls.stop) => return turn.not_begun(why),
        told = turn.history(ready) => told,
    };
    let prompt = turn.wording(ready);
    let prompt = told.iter().fold(prompt, |prompt, history| prompt.after(&history.context));
    let prompt = turn.files.given_to(prompt);
    let stream = match turn.begin(&ready.session, prompt, controls).await {
        Ok(stream) => stream,
        Err(finished) => return finished,
    };
    turn.inner.slots().told(&turn.conversation);
    let parts = &turn.inner.parts;
    let reply = Reply::new(parts, &turn.key, &turn.prompt, &turn.message);
    let now = parts.clock.now();
    let mut live = Live {
        turn,
        session: &ready.session,
        reply,
        approvals: Approvals::default(),
        cards: FuturesUnordered::new(),
        questions: Questions::default(),
        shown: false,
        attaching: FuturesUnordered::new(),
        unwritten: Vec::new(),
        started: now,
        last_heard: now,
        heard: false,
        cancelling: None,
        usage: None,
    };
    if ready.untold {
        live.reply.push(Some("note"), &words::context_lost(told.map_or(0, |history| history.messages)));
    }
    if let Some(note) = turn.files.note() {
        live.reply.push(Some("files"), &note);
    }
    let outcome = live.run(stream, controls).await;
    live.show_usage(&outcome);
    live.finish(outcome).await
}

impl Live<'_> {
    async fn run(&mut self, mut stream: TurnStream, controls: &mut Controls) -> Outcome {
        loop {
            let timer = self.next_timer();
            let clock = &self.turn.inner.parts.clock;
            // People first, so that a flood of text can't delay a stop; then the agent, whose end makes cosmetic work superfluous.
            let woke = tokio::select! {
                biased;
                why = stopped(&mut controls.stop) => Woke::Stopped(why),
                Some(press) = controls.presses.recv() => Woke::Pressed(press),
                event = stream.next() => Woke::Event(event),
                Some((id, fate)) = self.cards.next() => Woke::Card(id, fate),
                Some(call) = controls.calls.recv() => Woke::Called(call),
                Some(attached) = self.attaching.next() => Woke::Attached(attached),
                worked = self.reply.work() => Woke::Reply(worked),
                () = clock.sleep_until(timer) => Woke::Time,
            };
            match woke {
                Woke::Stopped(why) => self.cancel(why).await,
                Woke::Pressed(press) => self.press(press).await,
                Woke::Event(Some(TurnEvent::Agent(event))) => self.on_event(event).await,
                Woke::Event(Some(TurnEvent::End(outcome))) => return outcome,
                Woke::Event(None) => return Outcome::Completed,
                Woke::Reply(Worked::Done) => {}
                Woke::Card(id, fate) => self.on_card(id, fate).await,
                Woke::Called(call) => self.on_call(call).await,
                Woke::Attached(attached) => self.on_attached(attached).await,
                Woke::Reply(Worked::StoppedByPerson) => self.cancel(Cancelling::Stopped).await,
                Woke::Time => {
                    if let Some(outcome) = self.on_time().await {
                        return outcome;
                    }
                }
            }
        }
    }

    /// Adds what the session has used to an answer that is whole, where that is wanted.
    fn show_usage(&mut self, outcome: &Outcome) {
        let wanted = self.turn.inner.parts.policy.show_usage && *outcome == Outcome::Completed;
        if let Some(usage) = self.usage.take().filter(|_| wanted && !self.reply.is_silent()) {
            self.reply.push(Some("usage"), &words::usage(&usage));
        }
    }

    async fn on_event(&mut self, event: AgentEvent) {
        self.last_heard = self.now();
        self.heard = true;
        match event {
            AgentEvent::Text { message, delta } => self.reply.push(message.as_deref(), &delta),
            AgentEvent::Thought(_) => self.reply.status(words::THINKING),
            AgentEvent::Tool(call) => {
                if let Some(title) = call.title {
                    self.reply.status(&format!("is working: {title}"));
                }
            }
            AgentEvent::Plan(entries) => {
                let done = entries.iter().filter(|entry| entry.status == crate::domain::agent::Progress::Done).count();
                self.reply.status(&format!("is working: {done} of {} steps done", entries.len()));
            }
            AgentEvent::Permission(request) => self.ask(request).await,
            AgentEvent::PermissionWithdrawn(request) => {
                if let Some(settled) = self.approvals.withdraw(&request) {
                    self.settle(settled).await;
                }
            }
            AgentEvent::Compacting => self.reply.status(words::COMPACTING),
            AgentEvent::Usage(usage) => self.usage = Some(usage),
            AgentEvent::Notice(text) => self.reply.push(Some("notice"), &format!("> {}", text.replace('\n', "\n> "))),
        }
    }

    /// Begins to cancel; the first reason counts, except that an end outranks a stop.
    async fn cancel(&mut self, why: Cancelling) {
        if let Some((reason, _)) = &mut self.cancelling {
            if why == Cancelling::Ended {
                *reason = why;
            }
            return;
        }
        self.cancelling = Some((why, self.now() + CANCEL_GRACE));
        // Before the approvals: an agent that is only told "no" may go on, and finish as if nobody had stopped it.
        let cancelled = self.turn.inner.parts.clock.timeout(CALL, self.session.cancel()).await;
        let late = |_late| Err(BackendError::Timeout { phase: Phase::End, after: CALL });
        if let Err(error) = cancelled.unwrap_or_else(late) {
            tracing::warn!(conversation = %self.turn.key, %error, "A turn could not be cancelled; its session is released if it does not stop");
        }
        for settled in self.approvals.withdraw_all() {
            self.settle(settled).await;
        }
    }

    async fn on_time(&mut self) -> Option<Outcome> {
        let now = self.now();
        if let Some((_, until)) = &self.cancelling {
            if now < *until {
                return None;
            }
            tracing::warn!(conversation = %self.turn.key, "A cancelled turn did not stop; its session is released by force");
            self.turn.release(self.session).await;
            return Some(Outcome::Cancelled);
        }
        if let Some(expired) = self.approvals.expire(now) {
            self.settle(expired).await;
            return None;
        }
        if let Some(error) = self.overdue(now) {
            self.cancel(Cancelling::TimedOut(error)).await;
        }
        None
    }

    fn overdue(&self, now: Instant) -> Option<BackendError> {
        let policy = &self.turn.inner.parts.policy;
        if now >= self.started + policy.turn_timeout {
            return Some(BackendError::Timeout { phase: Phase::Turn, after: policy.turn_timeout });
        }
        let silent = self.approvals.is_empty() && now >= self.last_heard + policy.inactivity_timeout;
        silent.then_some(BackendError::Timeout { phase: Phase::Inactivity, after: policy.inactivity_timeout })
    }

    fn next_timer(&self) -> Instant {
        if let Some((_, until)) = &self.cancelling {
            return *until;
        }
        let policy = &self.turn.inner.parts.policy;
        let turn = self.started + policy.turn_timeout;
        // While a person decides, the agent's silence means nothing.
        let other = self.approvals.next_expiry().unwrap_or(self.last_heard + policy.inactivity_timeout);
        turn.min(other)
    }

    /// The turn's end: its last words become what is owed.
    async fn finish(mut self, outcome: Outcome) -> Finished {
        for settled in self.approvals.withdraw_all() {
            self.settle(settled).await;
        }
        let (name, note, error) = conclude(outcome, self.cancelling.take().map(|(why, _)| why));
        if let Some(note) = note {
            self.reply.push(Some("note"), &note);
        } else if self.reply.is_silent() && !self.shown {
            self.reply.push(None, words::NOTHING_SAID);
        }
        tracing::debug!(conversation = %self.turn.key, message.ts = %self.turn.message, outcome = name, "A turn ended");
        let said = self.reply.checkpoint().await;
        let last = self.rows(said);
        self.unwritten.extend(last);
        let owed = self.unwritten;
        Finished { outcome: name, error, owed, heard: self.heard }
    }

    fn rows(&self, ops: Vec<Op>) -> Vec<Owed> {
        ops.into_iter().map(|op| self.row(OwedId::new(), op)).collect()
    }

    fn row(&self, id: OwedId, op: Op) -> Owed {
        let answers = Some(Answers::Finally(self.turn.message.clone()));
        Owed { id, conversation: self.turn.key.clone(), turn: Some(self.turn.prompt.turn()), answers, op }
    }

    fn now(&self) -> Instant {
        self.turn.inner.parts.clock.now()
    }
}
