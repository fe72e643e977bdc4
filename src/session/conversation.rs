//! A conversation's task: one message after the other, until none is left.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::backend::Session;
use crate::backend::error::{BackendError, Kind};
use crate::domain::access::Admitted;
use crate::domain::agent::Prompt;
use crate::domain::command::{Command, NewArgs};
use crate::domain::conversation::ConversationKey;
use crate::domain::inbound::{ChannelKind, Message};
use crate::domain::outgoing::Place;
use crate::domain::ports::{Intent, Line};
use crate::domain::session::SessionRecord;
use crate::store::Begun;

use super::commands::Asked;
use super::files::Fetched;
use super::lines::{Delivered, Later};
use super::live::{IfLost, NotReady, Origin, Ready};
use super::manager::Inner;
use super::pool::CLEAN_UP;
use super::reply::QUIET;
use super::rules::{self, Decision};
use super::slots::{Active, Mapping, Running};
use super::turn::{self, Controls, Finished, StopReason, Turn};
use super::words;

/// A message that is handled now.
pub(super) struct Work {
    pub(super) seq: i64,
    pub(super) message: Message,
    pub(super) kind: ChannelKind,
    pub(super) admitted: Admitted,
    /// Set when the intent was committed with the event.
    pub(super) intent: Option<Intent>,
    /// How often its handling had begun before.
    pub(super) attempts: u32,
    /// Whether its turn is to go on where an interrupted one was.
    pub(super) resumes: bool,
}

impl Work {
    /// Where it is answered: in its conversation, or in its own thread where that is a whole channel.
    pub(super) fn place(&self, key: &ConversationKey) -> ConversationKey {
        if !key.is_channel_wide() {
            return key.clone();
        }
        let Message { thread, ts, .. } = &self.message;
        ConversationKey { thread: thread.as_ref().unwrap_or(ts).clone(), ..key.clone() }
    }
}

impl Inner {
    /// Does what a message asks for, in its line.
    pub(super) async fn handle(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        work: Work,
    ) -> Result<Delivered, Later> {
        if let Some(intent) = work.intent.clone() {
            let text = work.message.text.clone();
            return Ok(self.run_turn(key, work, intent, text).await);
        }
        let at = work.place(key);
        if line == Line::Turn {
            self.unmark(key, work.seq, &work.message.ts);
        }
        let active = self.mapping(key).await?;
        if key.is_channel_wide() && active.is_none() {
            // What answered in all of the channel has ended, or has gone: in its own thread a mention starts a session.
            return self.move_to_thread(&at, work.seq).await;
        }
        let decision = rules::decide(&work.message, work.kind, active.is_some(), &self.parts.policy);
        let begun_before = work.attempts > 0 && active.is_some();
        let decision = if begun_before { decision.once_more() } else { decision };
        // What it means may have been unknown when it was claimed, or have changed since, for instance because the session was ended.
        let belongs = if decision.line(active.is_some()) == Line::Turn { Line::Turn } else { Line::Command };
        if line != belongs {
            return self.move_to(key, belongs, work.seq).await;
        }
        let begins_turn =
            active.is_none() && matches!(&decision, Decision::Run(Command::New(args)) if !args.text.is_empty());
        match decision {
            Decision::Ignore(_) => {
                self.tell_not_passed_on(&at, &work);
                self.done(key, work.seq).await
            }
            // A turn counts its own attempts, with its intent.
            Decision::Misused(_) | Decision::Run(_) if !begins_turn && !self.take_up(key, work.seq).await? => Ok(None),
            Decision::Misused(misuse) => Ok(self.answer(&at, work.seq, &words::misused(&misuse)).await),
            Decision::Run(Command::New(args)) if active.is_none() && !args.text.is_empty() => {
                self.prompt_anew(key, work, &args).await
            }
            Decision::Run(command) => self.run_command(&Asked::written(key, &work), command).await,
            Decision::Prompt(text) => match active {
                Some(active) => self.prompt(key, work, Intent::follow(active.record.id), text).await,
                None => self.prompt_anew(key, work, &NewArgs { text, ..NewArgs::default() }).await,
            },
        }
    }

    /// Starts a session as asked, with its first prompt.
    pub(super) async fn prompt_anew(
        self: &Arc<Self>,
        key: &ConversationKey,
        work: Work,
        args: &NewArgs,
    ) -> Result<Delivered, Later> {
        match self.parts.policy.start(&key.channel, args.agent.as_deref(), args.dir.as_deref()) {
            Ok(start) => {
                let record = self.new_record(key, &start, work.admitted.user(), &args.text);
                self.prompt(key, work, self.begin(record), args.text.clone()).await
            }
            Err(refused) => Ok(self.answer(&work.place(key), work.seq, &words::not_started(&refused)).await),
        }
    }

    /// Gives `text` to the agent.
    async fn prompt(
        self: &Arc<Self>,
        key: &ConversationKey,
        work: Work,
        mut intent: Intent,
        text: String,
    ) -> Result<Delivered, Later> {
        intent.reached = self.slots().runs(key, intent.session);
        let begun = self
            .parts
            .store
            .begin_turn(intent.clone(), work.seq, work.message.text.clone(), self.parts.clock.wall_ms())
            .await;
        match begun.map_err(|error| Later::because(key, &error))? {
            Begun::Begun => {}
            // The session was ended in this moment, and what waited for it too.
            Begun::NotWaiting => return Ok(None),
            // It is read again.
            Begun::Changed => {
                self.slots().note_more(key, Line::Turn);
                return Ok(None);
            }
            Begun::NoSession => {
                let mut slots = self.slots();
                if let Some(slot) = slots.get_mut(key) {
                    slot.mapping = Mapping::Unknown;
                }
                slots.note_more(key, Line::Turn);
                return Ok(None);
            }
            Begun::OverLimit => return Ok(self.answer(&work.place(key), work.seq, &self.too_many_sessions()).await),
        }
        if let Some(record) = &intent.new_session {
            self.slots().entry(key).mapping = Mapping::asleep((**record).clone());
        }
        Ok(self.run_turn(key, work, intent, text).await)
    }

    /// The conversation's mapping, asked of the store the first time.
    pub(super) async fn mapping(&self, key: &ConversationKey) -> Result<Option<Active>, Later> {
        {
            let mut slots = self.slots();
            let slot = slots.entry(key);
            if slot.is_mapped().is_some() {
                return Ok(slot.active().cloned());
            }
        }
        let record = self.parts.store.session_in(key).await.map_err(|error| Later::because(key, &error))?;
        let found = record.map_or(Mapping::None, Mapping::asleep);
        let mut slots = self.slots();
        let slot = slots.entry(key);
        // Somebody else may have asked, and gone on, meanwhile.
        if slot.is_mapped().is_none() {
            slot.mapping = found;
        }
        Ok(slot.active().cloned())
    }

    async fn run_turn(self: &Arc<Self>, key: &ConversationKey, work: Work, intent: Intent, text: String) -> Delivered {
        let Some((active, mut controls)) = self.start_turn(key, &intent, &work) else {
            // Its session was ended between its commit and now.
            return self.close_turn(key, &work, &intent, ended_before(self, &work.place(key), &intent)).await;
        };
        let mut turn = Turn {
            inner: self.clone(),
            conversation: key.clone(),
            key: work.place(key),
            prompt: Prompt::new(intent.turn, &work.admitted, text),
            files: Fetched::default(),
            message: work.message.ts.clone(),
            resumes: work.resumes,
            reached: AtomicBool::new(intent.reached),
        };
        let mut attempt = match turn.fetch(active.record.id, &work.message.files, &mut controls).await {
            Ok(()) => self.attempt(&turn, &active.record, IfLost::StartAfresh, &mut controls).await,
            Err(finished) => Attempt { finished, was_running: false },
        };
        if attempt.is_lost() {
            self.let_go(&active.record).await;
            attempt = self.attempt(&turn, &active.record, IfLost::GiveUp, &mut controls).await;
        }
        turn.dismiss(controls);
        let finished = attempt.finished;
        let dead = self.after_turn(key, &active.record, &finished);
        let delivered = self.close_turn(key, &work, &intent, finished).await;
        // The person is told first, the next message waits.
        if let Some(session) = dead {
            let _nobody_brings_it_up = self.gate(key).await;
            self.release(key, &session, CLEAN_UP).await;
        }
        delivered
    }

    /// Runs a turn in the mapping's session, which is brought up first where it does not run.
    async fn attempt(
        self: &Arc<Self>,
        turn: &Turn,
        record: &SessionRecord,
        if_lost: IfLost,
        controls: &mut Controls,
    ) -> Attempt {
        let ready = tokio::select! {
            biased;
            // A start that is dropped half-way leaves nothing behind.
            why = turn::stopped(&mut controls.stop) => Err(turn.not_begun(why)),
            ready = self.ready_for(turn, record, if_lost) => ready.map_err(|error| turn.not_started(error.into())),
            never = self.show_start(&turn.key) => match never {},
        };
        match ready {
            Ok(ready) => {
                let finished = turn::run(turn, &ready, controls).await;
                Attempt { finished, was_running: ready.origin == Origin::Running }
            }
            Err(finished) => Attempt { finished, was_running: false },
        }
    }

    /// A live session for the mapping; after too many crashes, only once they are some time ago.
    pub(super) async fn ready_in_peace(
        self: &Arc<Self>,
        record: &SessionRecord,
        if_lost: IfLost,
    ) -> Result<Ready, NotReady> {
        if let Some(until) = self.crashes.hold_until(&record.conversation, self.parts.clock.now()) {
            tracing::warn!(conversation = %record.conversation, session.id = %record.id, "An agent died again and again; its next start waits");
            self.parts.clock.sleep_until(until).await;
        }
        self.ready(record, if_lost).await
    }

    /// Notes that a turn runs, from which moment on it can be stopped; unless its session has been ended.
    fn start_turn(&self, key: &ConversationKey, intent: &Intent, work: &Work) -> Option<(Active, Controls)> {
        let mut slots = self.slots();
        let interrupting = slots.interrupting;
        let slot = slots.get_mut(key)?;
        let active = slot.active().filter(|active| active.record.id == intent.session).cloned()?;
        let (running, controls) = Running::new(intent.turn, work.seq, work.message.ts.clone(), work.place(key));
        if interrupting {
            running.stop(StopReason::Interrupt);
        }
        slot.turn = Some(running);
        Some((active, controls))
    }

    /// Shows that the agent is being started, where that takes a while.
    async fn show_start(&self, key: &ConversationKey) -> Infallible {
        self.parts.clock.sleep(QUIET).await;
        if let Err(error) = self.parts.slack.status(&Place::from(key), words::STARTING).await {
            tracing::debug!(conversation = %key, %error, "A status could not be shown");
        }
        std::future::pending().await
    }

    /// What a turn's end means for its session. Returns what is left of one that must be released before it is restored.
    fn after_turn(
        self: &Arc<Self>,
        key: &ConversationKey,
        record: &SessionRecord,
        finished: &Finished,
    ) -> Option<Arc<dyn Session>> {
        if let Some(error) = &finished.error {
            tracing::warn!(
                conversation = %key, session.id = %record.id, turn.outcome = finished.outcome, %error,
                "A turn failed"
            );
        }
        if matches!(finished.error, Some(BackendError::Crashed { .. })) {
            self.crashes.note(key, self.parts.clock.now());
        }
        let gone = finished.session_ended();
        if gone {
            self.note_place(key, false);
        }
        let dead = self.slots().take_dead(record, gone, self.parts.clock.now())?;
        if gone {
            self.end_live(key.clone(), dead);
            return None;
        }
        Some(dead)
    }
}

/// A turn that was tried.
struct Attempt {
    finished: Finished,
    /// Whether its session ran already.
    was_running: bool,
}

impl Attempt {
    /// Whether the backend has lost a session that ran, and did nothing of what it was asked: it is brought back, once.
    fn is_lost(&self) -> bool {
        let unknown = matches!(self.finished.error, Some(BackendError::Unknown));
        self.was_running && unknown && !self.finished.heard
    }
}

fn ended_before(inner: &Inner, key: &ConversationKey, intent: &Intent) -> Finished {
    let owed = inner.say(key, Some(intent.turn), &words::failed(&BackendError::Ended));
    // Whoever ended it has seen to the rest.
    Finished { outcome: "failed", error: None, owed, heard: false }
}

impl Finished {
    /// Whether the session is gone for good.
    pub(super) fn session_ended(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.kind() == Kind::Permanent)
    }
}
