//! One turn: the prompt is typed, the screen is watched, and there is exactly one end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::screen::{Piece, Told};
use super::seen::Seen;
use super::server::{Above, Fate, HISTORY, Trouble};
use super::session::{CANCEL_GRACE, Core};
use super::terminal::LOOK_PAUSE;
use crate::backend::config::CancelKey;
use crate::backend::error::BackendError;
use crate::backend::{Outcome, TurnEvent};
use crate::domain::agent::AgentEvent;

/// How long we wait at the most for what was pasted to be seen, before it is sent: some programs take the key for a part of it.
const ECHO: Duration = Duration::from_secs(1);
/// How many looks in a row may fail before a turn does.
const FAILURES: u32 = 10;

/// A turn that runs.
pub(super) struct Turn {
    core: Arc<Core>,
    events: mpsc::Sender<TurnEvent>,
    cancel: CancellationToken,
    /// What is typed.
    text: String,
    /// Whether some of it may have been.
    is_typed: bool,
    told: Told,
    failures: u32,
}

/// What the loop woke up for.
enum Woke {
    Look,
    Unread,
    Cancelled,
    GraceOver,
}

impl Turn {
    pub(super) fn new(
        core: Arc<Core>,
        events: mpsc::Sender<TurnEvent>,
        cancel: CancellationToken,
        text: String,
    ) -> Self {
        Self { core, events, cancel, text, is_typed: false, told: Told::default(), failures: 0 }
    }

    /// Runs the turn to its end. The session takes the next prompt before the reader hears of the end.
    pub(super) async fn run(mut self) {
        let outcome = match self.converse().await {
            Ok(outcome) => outcome,
            Err(trouble) => self.unless_cancelled(Outcome::Failed(self.give_up(trouble).await)),
        };
        self.core.settle();
        // A reader that went away needs no end.
        let _ = self.events.send(TurnEvent::End(outcome)).await;
    }

    /// Why the turn fails. A program of which it is not known what it does, and what stands typed in it, gets no other prompt.
    async fn give_up(&self, trouble: Trouble) -> BackendError {
        let terminal = &self.core.terminal;
        let (is_gone, is_typed) = (trouble == Trouble::Gone, self.is_typed);
        let error = if is_gone { terminal.last_words().await } else { trouble.into() };
        if is_gone || is_typed {
            terminal.kill(&self.core.shared.parts.clock).await;
        }
        error
    }

    async fn converse(&mut self) -> Result<Outcome, Trouble> {
        if !self.is_at_rest().await? {
            return Ok(self.unless_cancelled(Outcome::Failed(BackendError::Busy)));
        }
        let mut seen = self.picture_before().await?;
        if self.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        self.submit(&mut seen).await?;
        let mut grace_over: Option<Instant> = None;
        loop {
            match self.wake(grace_over).await {
                Woke::Look => {}
                // An answer that nobody reads needs no program that works on it.
                Woke::Unread => self.cancel.cancel(),
                Woke::Cancelled => {
                    self.core.terminal.press(key(self.core.cancel_key)).await?;
                    grace_over = Some(self.now() + CANCEL_GRACE);
                    seen.disturb(self.now());
                }
                Woke::GraceOver => {
                    tracing::warn!("A program in tmux did not stop its turn in time; it is ended");
                    self.core.terminal.kill(&self.core.shared.parts.clock).await;
                    return Ok(Outcome::Cancelled);
                }
            }
            if !self.look(&mut seen).await? {
                continue;
            }
            if self.is_over(&seen, grace_over.is_some()) {
                self.finish(&seen).await;
                return Ok(self.unless_cancelled(if seen.is_cut() { Outcome::Truncated } else { Outcome::Completed }));
            }
            self.tell(&seen);
        }
    }

    /// Whether the program takes a prompt. One that an earlier run of the daemon left running gets a moment to show that.
    async fn is_at_rest(&self) -> Result<bool, Trouble> {
        let Core { terminal, rules, may_work, .. } = &*self.core;
        if !may_work.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let rest = Box::pin(terminal.until(|screen, still| rules.is_at_rest(screen, still)));
        let rest = self.core.shared.parts.clock.timeout(rules.rest_within(), rest);
        match self.cancel.run_until_cancelled(rest).await {
            Some(Ok(rests)) => rests?,
            Some(Err(_)) | None => return Ok(false),
        }
        may_work.store(false, Ordering::Relaxed);
        Ok(true)
    }

    /// What stands on the screen before the prompt. There is room for a long answer above it.
    async fn picture_before(&self) -> Result<Seen, Trouble> {
        let terminal = &self.core.terminal;
        let mut look = terminal.look(Above::Lines(0)).await?;
        if look.scrolled > HISTORY / 2 {
            terminal.forget_history().await?;
            look = terminal.look(Above::Lines(0)).await?;
        }
        if look.fate == Fate::Runs { Ok(Seen::before(look, self.now())) } else { Err(Trouble::Gone) }
    }

    /// Pastes the prompt and, once it is seen, sends it. One that is cancelled by then is sent all the same, and stopped as any other: it
    /// would stand there before the next.
    async fn submit(&mut self, seen: &mut Seen) -> Result<(), Trouble> {
        self.is_typed = true;
        self.core.terminal.paste(&self.text).await?;
        let until = self.now() + ECHO;
        while self.now() < until && !seen.is_changed_and_still(self.now(), LOOK_PAUSE) {
            self.core.shared.parts.clock.sleep(LOOK_PAUSE).await;
            self.look(seen).await?;
        }
        seen.disturb(self.now());
        self.core.terminal.press("Enter").await
    }

    async fn wake(&self, grace_over: Option<Instant>) -> Woke {
        let clock = &self.core.shared.parts.clock;
        let grace = async {
            match grace_over {
                Some(until) => clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled(), if grace_over.is_none() => Woke::Cancelled,
            () = grace => Woke::GraceOver,
            () = self.events.closed(), if !self.cancel.is_cancelled() => Woke::Unread,
            () = clock.sleep(LOOK_PAUSE) => Woke::Look,
        }
    }

    /// Takes another look; says whether the whole answer was seen.
    async fn look(&mut self, seen: &mut Seen) -> Result<bool, Trouble> {
        match self.core.terminal.look(Above::Lines(seen.above())).await {
            Ok(look) if look.fate != Fate::Runs => Err(Trouble::Gone),
            Ok(look) => {
                self.failures = 0;
                Ok(seen.take(look, self.now()))
            }
            Err(Trouble::Failed(why)) if self.failures < FAILURES => {
                self.failures += 1;
                tracing::debug!(%why, "A look at a screen failed");
                Ok(false)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn is_over(&self, seen: &Seen, is_stopped: bool) -> bool {
        let since = seen.since(&self.text);
        self.core.rules.is_over(&since, seen.picture(), seen.still(self.now()), is_stopped)
    }

    /// Tells what stands still of the answer, if there is room; what is not told now is told later.
    fn tell(&mut self, seen: &Seen) {
        let since = seen.since(&self.text);
        if !since.is_echoed || seen.is_cut() {
            return;
        }
        let answer = since.answer(self.core.rules.ends_with_prompt(seen.picture()));
        if let Ok(room) = self.events.try_reserve()
            && let Some(piece) = self.told.look(answer)
        {
            room.send(event(piece));
        }
    }

    /// Tells the rest, for as long as there is a reader; a stop cuts it short.
    async fn finish(&mut self, seen: &Seen) {
        if seen.is_cut() {
            return;
        }
        let since = seen.since(&self.text);
        let answer = since.answer(self.core.rules.ends_with_prompt(seen.picture()));
        let Some(piece) = self.told.finish(answer) else { return };
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event(piece)) {
            // A reader that has gone needs nothing.
            let _ = self.cancel.run_until_cancelled(self.events.send(event)).await;
        }
    }

    fn unless_cancelled(&self, outcome: Outcome) -> Outcome {
        if self.cancel.is_cancelled() { Outcome::Cancelled } else { outcome }
    }

    fn now(&self) -> Instant {
        self.core.shared.parts.clock.now()
    }
}

fn event(Piece { message, delta }: Piece) -> TurnEvent {
    TurnEvent::Agent(AgentEvent::Text { message: Some(message.to_string()), delta })
}

/// tmux's name of a key.
fn key(key: CancelKey) -> &'static str {
    match key {
        CancelKey::CtrlC => "C-c",
        CancelKey::Escape => "Escape",
    }
}
