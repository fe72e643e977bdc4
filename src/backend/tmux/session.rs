//! One session: its state, its lock on the keyboard, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::rules::Rules;
use super::terminal::{REAP_GRACE, Terminal};
use super::text::sanitise;
use super::turn::Turn;
use crate::backend::config::{CancelKey, Newlines};
use crate::backend::error::{BackendError, Phase};
use crate::backend::{Answered, Session, TurnStream};
use crate::domain::agent::{Decision, Offers, Prompt};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;
use crate::scope::OnCrash;

/// How long a cancelled turn may take to end before its program is ended.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// A session, as its owner holds it.
#[derive(Debug)]
pub(super) struct TmuxSession(Arc<Core>);

/// A session, shared with its running turn.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) terminal: Terminal,
    pub(super) rules: Rules,
    pub(super) cancel_key: CancelKey,
    pub(super) shared: Arc<Shared>,
    newlines: Newlines,
    /// What we call it.
    reference: BackendRef,
    /// Whether its program may outlive the daemon.
    may_outlive: bool,
    /// Whether its program may still work on what an earlier run of the daemon told it.
    pub(super) may_work: AtomicBool,
    state: watch::Sender<State>,
}

/// What a session is doing.
#[derive(Debug, Clone)]
enum State {
    Idle,
    /// A turn runs; the token is cancelled when it is asked to stop.
    Running(CancellationToken),
    /// Nothing is done in it any more; only a restored one goes on.
    Released,
}

/// How a session behaves, as configured.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) rules: Rules,
    pub(super) cancel_key: CancelKey,
    pub(super) newlines: Newlines,
    pub(super) may_outlive: bool,
}

impl TmuxSession {
    /// The session of a program that has just started.
    pub(super) fn new(reference: BackendRef, terminal: Terminal, manner: Manner, shared: Arc<Shared>) -> Self {
        let (state, _) = watch::channel(State::Idle);
        let Manner { rules, cancel_key, newlines, may_outlive } = manner;
        let may_work = AtomicBool::new(false);
        Self(Arc::new(Core { terminal, rules, cancel_key, shared, newlines, reference, may_outlive, may_work, state }))
    }

    /// The session of a program that an earlier run of the daemon left running.
    pub(super) fn taken_up(reference: BackendRef, terminal: Terminal, manner: Manner, shared: Arc<Shared>) -> Self {
        let session = Self::new(reference, terminal, manner, shared);
        session.0.may_work.store(true, Ordering::Relaxed);
        session
    }
}

#[async_trait]
impl Session for TmuxSession {
    fn backend_ref(&self) -> BackendRef {
        self.0.reference.clone()
    }

    fn is_alive(&self) -> bool {
        !matches!(*self.0.state.borrow(), State::Released) && self.0.terminal.is_alive()
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        let cancel = self.0.begin()?;
        let Some(text) = sanitise(&prompt.text_and_files(), self.0.newlines) else {
            self.0.settle();
            return Err(BackendError::Rejected("nothing of it can be typed into a terminal".to_owned()));
        };
        if !self.0.terminal.is_alive() {
            self.0.settle();
            return Err(self.0.terminal.last_words().await);
        }
        let (events, stream) = TurnStream::channel();
        let turn = Turn::new(self.0.clone(), events, cancel, text);
        self.0.shared.parts.scope.spawn("tmux turn", OnCrash::Log, turn.run());
        Ok(stream)
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        self.0.cancel();
        Ok(())
    }

    /// A program in a terminal asks on its screen; whoever is attached answers it there.
    async fn answer(&self, _request: &RequestId, _decision: Decision) -> Answered {
        Answered::NotWaiting
    }

    fn offers(&self) -> Offers {
        Offers::default()
    }

    async fn set_option(&self, option: &str, _value: &str) -> Result<(), BackendError> {
        if self.0.is_ended() {
            return Err(BackendError::Ended);
        }
        Err(BackendError::Rejected(format!("a program in a terminal has no option `{option}`")))
    }

    async fn detach(&self, deadline: Instant) -> Result<(), BackendError> {
        if !self.0.may_outlive || self.0.is_ended() {
            return self.release(deadline).await;
        }
        self.0.rest(deadline).await;
        self.0.terminal.leave_running();
        Ok(())
    }

    fn attach(&self) -> Option<String> {
        Some(self.0.terminal.server().attach())
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        self.0.shared.mark_ended(&self.0.reference);
        self.release(deadline).await
    }

    async fn release(&self, deadline: Instant) -> Result<(), BackendError> {
        let core = &self.0;
        core.rest(deadline).await;
        core.terminal.leave(deadline);
        let clock = &core.shared.parts.clock;
        let started = clock.now();
        let gone = clock.timeout_at(deadline.max(started) + REAP_GRACE, core.terminal.gone()).await;
        let late =
            |_| BackendError::Timeout { phase: Phase::End, after: clock.now().saturating_duration_since(started) };
        gone.map_err(late)
    }
}

impl Core {
    /// Takes the session for a turn.
    fn begin(&self) -> Result<CancellationToken, BackendError> {
        if self.is_ended() {
            return Err(BackendError::Ended);
        }
        if self.shared.stop.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        let cancel = CancellationToken::new();
        let mut refused = None;
        self.state.send_if_modified(|state| {
            refused = match state {
                State::Idle => None,
                State::Running(_) => Some(BackendError::Busy),
                State::Released => {
                    Some(BackendError::Transient("this session was released; restore it first".to_owned()))
                }
            };
            if refused.is_none() {
                *state = State::Running(cancel.clone());
            }
            refused.is_none()
        });
        refused.map_or(Ok(cancel), Err)
    }

    fn is_ended(&self) -> bool {
        self.shared.is_ended(&self.reference)
    }

    /// A turn is over: the next may begin.
    pub(super) fn settle(&self) {
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running(_));
            if running {
                *state = State::Idle;
            }
            running
        });
    }

    /// Asks the running turn to stop.
    fn cancel(&self) {
        if let State::Running(cancel) = &*self.state.borrow() {
            cancel.cancel();
        }
    }

    /// Stops the running turn, if one runs, and begins no other.
    async fn rest(&self, deadline: Instant) {
        self.cancel();
        let clock = &self.shared.parts.clock;
        let until = (clock.now() + CANCEL_GRACE).min(deadline);
        let mut state = self.state.subscribe();
        let over = state.wait_for(|state| !matches!(state, State::Running(_)));
        // Late is not worse: its program goes next, or is left to itself.
        let _late = clock.timeout_at(until, over).await.map(drop);
        self.state.send_replace(State::Released);
    }
}
