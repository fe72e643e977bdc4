//! How a prompt reaches its server: once, however often that must be tried.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::line::Line;
use super::session::CANCEL_GRACE;
use super::turn::{End, Turn};
use super::{Condition, EventStream, Failure, Reader};
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backoff::Backoff;
use crate::domain::agent::{AgentEvent, Progress, ToolCall};

/// The delays between attempts to hand a prompt over.
const TRYING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long that is tried.
const GIVE_UP_AFTER: Duration = Duration::from_mins(30);
/// How long an earlier turn that was cancelled may go on before the next prompt is handed over all the same.
const DRAIN: Duration = Duration::from_mins(1);
/// The delays between two looks at it.
const LOOKING: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The id under which it is shown that a prompt waits.
const WAITING: &str = "hitchline-waiting";

/// How far an attempt had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The prompt was not sent.
    Before,
    /// It was being sent.
    Sending,
}

/// What is done about an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Bring the session back, and try again.
    Resume,
    /// Try again, after this time at the least.
    Wait(Duration),
    /// Say so. This is the condition of the session.
    GiveUp(Condition),
}

/// Decides what is done. A prompt that may have arrived is never sent again.
fn step(stage: Stage, failure: &Failure, is_gone: bool, was_resumed: bool, condition: Condition) -> Step {
    let pause = match stage {
        Stage::Before => failure.may_pass_after(),
        Stage::Sending => failure.passes_after(),
    };
    match pause {
        _ if is_gone && !was_resumed => Step::Resume,
        _ if is_gone => Step::GiveUp(Condition::PutAway),
        Some(pause) => Step::Wait(pause),
        None if stage == Stage::Sending && failure.may_have_arrived() => Step::GiveUp(Condition::Spent),
        None => Step::GiveUp(condition),
    }
}

/// One delivery.
struct Attempts {
    condition: Condition,
    /// Whether the session was brought back, and nothing was waited for since.
    was_resumed: bool,
    backoff: Backoff,
    chance: fastrand::Rng,
    give_up_at: Instant,
    /// Whether the person has been told that it waits.
    told: bool,
}

impl Turn {
    /// Brings the prompt to the server; returns the turn's events, or its end where there are none.
    pub(super) async fn deliver(&mut self, text: &str, condition: Condition) -> Result<Line, End> {
        let mut attempts = Attempts {
            condition,
            was_resumed: condition == Condition::PutAway,
            backoff: Backoff::new(TRYING.0, TRYING.1),
            chance: fastrand::Rng::new(),
            give_up_at: self.now() + GIVE_UP_AFTER,
            told: false,
        };
        loop {
            let (stage, failure) = match self.prepare(attempts.condition).await? {
                Err(failure) => (Stage::Before, failure),
                Ok((stream, mark)) => {
                    attempts.condition = Condition::Fresh;
                    match self.send(text, &mark).await? {
                        Ok(reader) => {
                            self.waited(attempts.told).await;
                            return Ok(Line::new(self.core.clone(), stream, reader));
                        }
                        Err(failure) => (Stage::Sending, failure),
                    }
                }
            };
            self.go_on(stage, &failure, &mut attempts).await?;
        }
    }

    /// Sees to the session, and opens its events: before the prompt, so that none is missed.
    async fn prepare(&self, condition: Condition) -> Result<Result<(EventStream, Value), Failure>, End> {
        let (dialect, place) = (&self.core.shared.dialect, &self.core.place);
        let preparing = async {
            match condition {
                Condition::Fresh => {}
                Condition::Spent => self.renew().await?,
                Condition::PutAway => drop(dialect.resume(&place.id, &place.dir).await?),
            }
            let mark = dialect.mark(place).await;
            Ok((dialect.events(place).await?, mark))
        };
        tokio::select! {
            biased;
            () = self.unwanted() => Err((Outcome::Cancelled, condition)),
            prepared = preparing => Ok(prepared),
        }
    }

    /// Sends the prompt. Once begun it is not broken off when the turn is cancelled: whether it has arrived must be known.
    async fn send(&self, text: &str, mark: &Value) -> Result<Result<Box<dyn Reader>, Failure>, End> {
        let core = &self.core;
        let chosen = core.chosen();
        let too_late = async {
            self.unwanted().await;
            core.shared.parts.clock.sleep(CANCEL_GRACE).await;
        };
        tokio::select! {
            biased;
            sent = core.shared.dialect.submit(&core.place, text, &chosen, mark) => Ok(sent),
            () = too_late => Err((Outcome::Cancelled, Condition::Spent)),
        }
    }

    /// Does what an attempt that failed asks for; returns the turn's end where that is all.
    async fn go_on(&mut self, stage: Stage, failure: &Failure, attempts: &mut Attempts) -> Result<(), End> {
        let shared = self.core.shared.clone();
        let next = step(stage, failure, shared.is_gone(failure), attempts.was_resumed, attempts.condition);
        match next {
            Step::Resume => {
                tracing::debug!(server = shared.dialect.server(), "A server has put a session away; it is resumed");
                (attempts.condition, attempts.was_resumed) = (Condition::PutAway, true);
                Ok(())
            }
            Step::Wait(pause) if self.now() < attempts.give_up_at => {
                self.tell_of_waiting(failure, &mut attempts.told).await;
                let pause = pause.max(attempts.backoff.next(&mut attempts.chance));
                attempts.was_resumed = false;
                tokio::select! {
                    biased;
                    () = self.unwanted() => Err((Outcome::Cancelled, attempts.condition)),
                    () = shared.parts.clock.sleep(pause) => Ok(()),
                }
            }
            Step::Wait(_) => Err((Outcome::Failed(shared.error(failure)), attempts.condition)),
            Step::GiveUp(condition) => Err((Outcome::Failed(shared.error(failure)), condition)),
        }
    }

    /// Says once in the answer why it does not come yet, and shows that it is waited for each time.
    async fn tell_of_waiting(&mut self, failure: &Failure, told: &mut bool) {
        let server = self.core.shared.dialect.server();
        let notice = match self.core.shared.error(failure) {
            BackendError::Busy => {
                format!("{server} is still busy with an earlier prompt of this session; this one waits for its turn.")
            }
            error => format!("{error}. Your message waits until it can be handed over."),
        };
        if !std::mem::replace(told, true) {
            tracing::info!(server, %notice, "A prompt waits");
            self.say(AgentEvent::Notice(notice)).await;
        }
        self.say(AgentEvent::Tool(waiting(Some(format!("waiting for {server}")), Progress::Running))).await;
    }

    async fn waited(&mut self, told: bool) {
        if told {
            self.say(AgentEvent::Tool(waiting(None, Progress::Done))).await;
        }
    }

    /// Waits for the end of an earlier turn that was cancelled, which is asked for once more, and makes the session usable again.
    async fn renew(&self) -> Result<(), Failure> {
        let (shared, place) = (&self.core.shared, &self.core.place);
        let (until, mut backoff) = (self.now() + DRAIN, Backoff::new(LOOKING.0, LOOKING.1));
        let mut chance = fastrand::Rng::new();
        while shared.dialect.is_running(place).await? {
            if backoff.attempts() == 0 {
                shared.dialect.cancel(place).await?;
            }
            if self.now() >= until {
                tracing::warn!(
                    server = shared.dialect.server(),
                    "A turn that was cancelled goes on; the next one does not wait for it"
                );
                break;
            }
            shared.parts.clock.sleep(backoff.next(&mut chance)).await;
        }
        shared.dialect.renew(place).await
    }
}

fn waiting(title: Option<String>, status: Progress) -> ToolCall {
    ToolCall { id: WAITING.to_owned(), title, status: Some(status) }
}

#[cfg(test)]
mod tests;
