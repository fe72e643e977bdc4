//! One turn of a session: the prompt, what comes back, and exactly one end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::session::{CANCEL_GRACE, Core};
use super::{Condition, Heard};
use crate::backend::error::BackendError;
use crate::backend::{Outcome, TurnEvent};
use crate::domain::agent::AgentEvent;

/// How long a server may take to say anything of a prompt that it has accepted. Then its record is asked.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may take to end a turn that is about to end.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How long a server may take to hear that a turn is cancelled.
const CANCEL_CALL: Duration = Duration::from_secs(2);
/// After this time it is told again.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);
/// Longer texts are handed on in pieces, so that a reader which stalls holds little.
const PIECE: usize = 16 * 1024;

/// How a turn ended, and in what condition it leaves its session.
pub(super) type End = (Outcome, Condition);

/// A turn that runs.
pub(super) struct Turn {
    pub(super) core: Arc<Core>,
    events: mpsc::Sender<TurnEvent>,
    cancel: CancellationToken,
    /// What the reader has not taken yet. More is taken in only when it is empty.
    ready: VecDeque<AgentEvent>,
}

/// The times at which a turn must look up.
#[derive(Debug, Default)]
struct Timers {
    /// The server should have said something by then.
    begins: Option<Instant>,
    /// The turn ends so by then, whether the server says so or not.
    ends: Option<(Instant, Outcome)>,
    /// The turn was cancelled and is left to itself then.
    grace: Option<Instant>,
    /// The server is told again then: it may have heard of the cancellation before it began with the prompt.
    tell_again: Option<Instant>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    LeftToItself,
    TellAgain,
    Ends(Outcome),
    Begins,
}

/// What the loop woke up for.
enum Woke {
    Heard(Vec<Heard>),
    Room,
    Unread,
    Cancelled,
    Time,
}

impl Turn {
    pub(super) fn new(core: Arc<Core>, events: mpsc::Sender<TurnEvent>, cancel: CancellationToken) -> Self {
        Self { core, events, cancel, ready: VecDeque::new() }
    }

    /// Runs the turn to its end. The session takes the next prompt before the reader hears of the end.
    pub(super) async fn run(mut self, text: String, condition: Condition) {
        let (outcome, condition) = match self.deliver(&text, condition).await {
            Ok(line) => self.listen(line).await,
            Err(ended) => ended,
        };
        self.drain().await;
        let was_cancelled = self.cancel.is_cancelled();
        self.core.settle(condition);
        let outcome = if was_cancelled { Outcome::Cancelled } else { outcome };
        // A reader that went away needs no end.
        let _ = self.events.send(TurnEvent::End(outcome)).await;
    }

    async fn listen(&mut self, mut line: Line) -> End {
        let clock = self.core.shared.parts.clock.clone();
        let mut timers = Timers { begins: Some(clock.now() + BEGINS_WITHIN), ..Timers::default() };
        loop {
            let woke = {
                let time = async {
                    match timers.next() {
                        Some(at) => clock.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled(), if timers.grace.is_none() => Woke::Cancelled,
                    () = time => Woke::Time,
                    () = self.events.closed(), if !self.cancel.is_cancelled() => Woke::Unread,
                    _ = self.events.reserve(), if !self.ready.is_empty() => Woke::Room,
                    heard = line.next(), if self.ready.is_empty() => Woke::Heard(heard),
                }
            };
            match woke {
                Woke::Heard(heard) => {
                    if let Some(ended) = self.take(heard, &mut timers) {
                        return ended;
                    }
                }
                Woke::Room => self.hand_on(),
                // An answer that nobody reads needs no agent.
                Woke::Unread => self.cancel.cancel(),
                Woke::Cancelled => {
                    timers.grace = Some(clock.now() + CANCEL_GRACE);
                    self.tell_of_cancellation().await;
                    timers.tell_again = Some(clock.now() + CANCEL_AGAIN);
                }
                Woke::Time => match timers.due(clock.now()) {
                    Some(Due::LeftToItself) => {
                        let server = self.core.shared.dialect.server();
                        tracing::warn!(server, "An agent did not stop its turn in time");
                        return (Outcome::Cancelled, Condition::Spent);
                    }
                    Some(Due::TellAgain) => {
                        self.tell_of_cancellation().await;
                        timers.tell_again = Some(clock.now() + CANCEL_AGAIN);
                    }
                    Some(Due::Ends(outcome)) => line.end(outcome),
                    Some(Due::Begins) => line.cut(),
                    None => {}
                },
            }
        }
    }

    /// Takes what was heard; returns the turn's end when that was among it.
    fn take(&mut self, heard: Vec<Heard>, timers: &mut Timers) -> Option<End> {
        for heard in heard {
            timers.begins = None;
            match heard {
                Heard::Agent(event) => self.admit(event),
                Heard::Ending(outcome) => timers.ends = Some((self.now() + ENDS_WITHIN, outcome)),
                Heard::Over(outcome) => return Some(self.over(outcome)),
                // Who is unsure has been seen to where that was heard.
                Heard::Began | Heard::Unsure => {}
                Heard::Lost(error, condition) => return Some((Outcome::Failed(error), condition)),
            }
        }
        None
    }

    /// The end of which a server has told. It may take no prompt after a cancellation, also one that nobody asked for here: another of its
    /// clients did, or an earlier run of ours.
    fn over(&self, outcome: Outcome) -> End {
        match outcome {
            outcome if self.cancel.is_cancelled() => (outcome, Condition::Spent),
            Outcome::Cancelled => {
                let server = self.core.shared.dialect.server();
                let why = format!("{server} stopped this turn, which nobody here had asked for");
                (Outcome::Failed(BackendError::Transient(why)), Condition::Spent)
            }
            outcome => (outcome, Condition::Fresh),
        }
    }

    /// Takes what the agent said or did, as far as it is for the reader.
    fn admit(&mut self, event: AgentEvent) {
        match event {
            AgentEvent::Text { message, delta } => {
                let pieces = pieces(&delta).map(ToOwned::to_owned);
                self.ready.extend(pieces.map(|delta| AgentEvent::Text { message: message.clone(), delta }));
            }
            // A turn that is about to end waits for nobody.
            AgentEvent::Permission(_) if self.cancel.is_cancelled() => {}
            AgentEvent::Permission(request) => {
                self.core.wait_for_decision(request.id.clone());
                self.ready.push_back(AgentEvent::Permission(request));
            }
            AgentEvent::PermissionWithdrawn(request) => {
                if self.core.withdraw(&request) {
                    self.ready.push_back(AgentEvent::PermissionWithdrawn(request));
                }
            }
            other => self.ready.push_back(other),
        }
    }

    async fn tell_of_cancellation(&self) {
        self.core.withdraw_all();
        let shared = &self.core.shared;
        let told = shared.parts.clock.timeout(CANCEL_CALL, shared.dialect.cancel(&self.core.place)).await;
        match told {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                let error = shared.error(&failure);
                tracing::warn!(server = shared.dialect.server(), %error, "A turn could not be cancelled");
            }
            Err(_late) => tracing::warn!(server = shared.dialect.server(), "A turn was not cancelled in time"),
        }
    }

    /// Waits until nobody wants the turn any more.
    pub(super) async fn unwanted(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.events.closed() => {}
        }
    }

    /// Tells the reader something of our own, for as long as there is one.
    pub(super) async fn say(&mut self, event: AgentEvent) {
        self.ready.push_back(event);
        self.drain().await;
    }

    /// Hands the first event on, for which there is room.
    fn hand_on(&mut self) {
        if let Some(event) = self.ready.pop_front() {
            // There is room, and a reader that has just gone needs nothing.
            let _ = self.events.try_send(TurnEvent::Agent(event));
        }
    }

    /// Hands on all that is left, for as long as there is a reader; a stop cuts it short.
    async fn drain(&mut self) {
        while !self.ready.is_empty() {
            let room = tokio::select! {
                room = self.events.reserve() => room.is_ok(),
                () = self.cancel.cancelled() => self.events.capacity() > 0,
            };
            if !room {
                self.ready.clear();
                return;
            }
            self.hand_on();
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.core.shared.parts.clock.now()
    }
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        let ends = self.ends.as_ref().map(|(at, _)| *at);
        [self.begins, ends, self.grace, self.tell_again].into_iter().flatten().min()
    }

    /// Takes the most important of what is due.
    fn due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |at: &mut Instant| *at <= now;
        if self.grace.is_some_and(|at| at <= now) {
            return Some(Due::LeftToItself);
        }
        if let Some((_, outcome)) = self.ends.take_if(|(at, _)| *at <= now) {
            return Some(Due::Ends(outcome));
        }
        if self.tell_again.take_if(is_due).is_some() {
            return Some(Due::TellAgain);
        }
        self.begins.take_if(is_due).map(|_| Due::Begins)
    }
}

/// A text in pieces that are not too long, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(PIECE);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for text in ["", "short", &"é".repeat(PIECE), &"x".repeat(3 * PIECE)] {
            let cut: Vec<&str> = pieces(text).collect();
            assert_eq!(cut.concat(), text);
            assert!(cut.iter().all(|piece| piece.len() <= PIECE && !piece.is_empty()));
        }
    }
}
