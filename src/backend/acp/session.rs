//! One session of an agent: its state, who waits for a decision, and its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::agent::{REAP_GRACE, RunningAgent};
use super::classify::{Asked, classify};
use super::connection::{Failure, Reply};
use super::convert;
use super::greeting::Handshake;
use super::host::Seat;
use super::turn::Turn;
use crate::backend::error::{BackendError, Phase};
use crate::backend::{Answered, Session, TurnStream};
use crate::domain::agent::{Decision, Offers, Prompt};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;
use crate::scope::OnCrash;

/// How long a cancelled turn may take to end before its agent is killed.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// How long an agent may take to close a session.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How long an agent may take to set an option: some load a model for it.
const OPTION_PATIENCE: Duration = Duration::from_secs(30);
/// A session, as its owner holds it.
#[derive(Debug)]
pub(super) struct AcpSession(Arc<Core>);

/// A session, shared with its running turn.
#[derive(Debug)]
pub(super) struct Core {
    seat: Seat,
    pub(super) shared: Arc<Shared>,
    state: watch::Sender<State>,
    waiting: Mutex<Waiting>,
}

/// What a session is doing.
#[derive(Debug, Clone)]
enum State {
    Idle,
    /// A turn runs; the token is cancelled when it is asked to stop.
    Running(CancellationToken),
    /// Nothing runs for it any more; only a restored one goes on.
    Released,
}

/// The agent's requests that wait for a decision.
#[derive(Debug, Default)]
struct Waiting {
    replies: HashMap<RequestId, Reply>,
    asked: u64,
}

impl AcpSession {
    pub(super) fn new(seat: Seat, shared: Arc<Shared>) -> Self {
        let (state, _) = watch::channel(State::Idle);
        Self(Arc::new(Core { seat, shared, state, waiting: Mutex::default() }))
    }
}

#[async_trait]
impl Session for AcpSession {
    fn backend_ref(&self) -> BackendRef {
        BackendRef(self.0.id().to_owned())
    }

    fn is_alive(&self) -> bool {
        !matches!(*self.0.state.borrow(), State::Released) && self.0.agent().is_alive()
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        let cancel = self.0.begin()?;
        if !self.0.agent().is_alive() {
            self.0.settle();
            return Err(self.0.agent().gone().await);
        }
        let (events, stream) = TurnStream::channel();
        let turn = Turn::new(self.0.clone(), events, self.0.seat.desk.open(), cancel);
        self.0.shared.parts.scope.spawn("acp turn", OnCrash::Log, turn.run(prompt));
        Ok(stream)
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        self.0.cancel();
        Ok(())
    }

    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered {
        self.0.answer(request, &decision)
    }

    fn offers(&self) -> Offers {
        self.0.seat.desk.menu().offers()
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        self.0.set_option(option, value).await
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        self.0.shared.mark_ended(self.0.id());
        self.release(deadline).await
    }

    async fn release(&self, deadline: Instant) -> Result<(), BackendError> {
        let core = &self.0;
        core.cancel();
        core.turn_over(deadline).await;
        core.state.send_replace(State::Released);
        core.close(deadline).await;
        core.seat.desk.close();
        if core.seat.leave() {
            core.agent().leave(deadline);
        } else if core.seat.host.is_shared() {
            return Ok(());
        }
        let clock = &core.shared.parts.clock;
        let started = clock.now();
        let gone = clock.timeout_at(deadline.max(started) + REAP_GRACE, core.agent().gone()).await;
        let late =
            |_| BackendError::Timeout { phase: Phase::End, after: clock.now().saturating_duration_since(started) };
        gone.map(drop).map_err(late)
    }
}

impl Core {
    /// The agent's id of it.
    pub(super) fn id(&self) -> &str {
        &self.seat.id
    }

    pub(super) fn agent(&self) -> &RunningAgent {
        &self.seat.host.agent
    }

    pub(super) fn handshake(&self) -> &Handshake {
        &self.seat.host.handshake
    }

    /// Ends what runs for it by force: its agent, unless that serves others too and closes the session when it is asked to.
    pub(super) async fn stop(&self) {
        let clock = &self.shared.parts.clock;
        if !self.seat.host.is_alone() {
            self.state.send_replace(State::Released);
            if self.close(clock.now() + CLOSE_GRACE).await {
                return;
            }
        }
        tracing::warn!("An agent did not stop its turn in time; it is killed");
        self.agent().kill(clock).await;
    }

    /// Takes the session for a turn.
    fn begin(&self) -> Result<CancellationToken, BackendError> {
        if self.shared.is_ended(self.id()) {
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
                State::Released => Some(released()),
            };
            if refused.is_none() {
                *state = State::Running(cancel.clone());
            }
            refused.is_none()
        });
        refused.map_or(Ok(cancel), Err)
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        if self.shared.is_ended(self.id()) {
            return Err(BackendError::Ended);
        }
        if matches!(*self.state.borrow(), State::Released) {
            return Err(released());
        }
        let desk = &self.seat.desk;
        let setting = desk.menu().setting(self.id(), option, value)?;
        let asked = self.agent().connection().request_heard(setting.method, setting.params, desk.clone());
        let late = |_| BackendError::Timeout { phase: Phase::Option, after: OPTION_PATIENCE };
        match self.shared.parts.clock.timeout(OPTION_PATIENCE, asked).await.map_err(late)? {
            Ok(answer) => {
                // An answer that tells how all options are now has been taken already.
                if answer.get("configOptions").is_none() {
                    desk.menu().set(option, value);
                }
                Ok(())
            }
            Err(Failure::Answered(error)) => {
                Err(classify(Asked::Option(self.id()), &error, &self.handshake().auth_methods))
            }
            Err(Failure::Closed) => Err(self.agent().gone().await),
        }
    }

    /// A turn is over: the next may begin. Whatever still waits for a decision is answered.
    pub(super) fn settle(&self) {
        self.seat.desk.close();
        self.withdraw_all();
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running(_));
            if running {
                *state = State::Idle;
            }
            running
        });
    }

    /// Asks the running turn to stop. It tells the agent, so that the agent hears of it after the prompt.
    pub(super) fn cancel(&self) {
        if let State::Running(cancel) = &*self.state.borrow() {
            cancel.cancel();
        }
    }

    async fn turn_over(&self, deadline: Instant) {
        let clock = &self.shared.parts.clock;
        let until = (clock.now() + CANCEL_GRACE).min(deadline);
        let mut state = self.state.subscribe();
        let over = state.wait_for(|state| !matches!(state, State::Running(_)));
        // Late is not worse: its agent goes next.
        let _late = clock.timeout_at(until, over).await.map(drop);
    }

    /// Tells the agent that the session is over, where it wants to know; says whether it has closed it.
    async fn close(&self, deadline: Instant) -> bool {
        if !self.handshake().can_close || !self.agent().is_alive() {
            return false;
        }
        let clock = &self.shared.parts.clock;
        let until = (clock.now() + CLOSE_GRACE).min(deadline);
        let closed = self.agent().connection().request("session/close", json!({"sessionId": self.id()}));
        let closed = matches!(clock.timeout_at(until, closed).await, Ok(Ok(_)));
        if !closed {
            tracing::debug!("An agent did not close a session; it ends with its process");
        }
        closed
    }

    /// Keeps a request until it is decided; returns its id.
    pub(super) fn wait_for_decision(&self, reply: Reply) -> RequestId {
        let mut waiting = self.waiting();
        waiting.asked += 1;
        let id = RequestId::from(format!("request-{}", waiting.asked));
        waiting.replies.insert(id.clone(), reply);
        id
    }

    pub(super) fn answer(&self, request: &RequestId, decision: &Decision) -> Answered {
        let Some(reply) = self.waiting().replies.remove(request) else { return Answered::NotWaiting };
        reply.send(convert::decision(decision));
        Answered::Applied
    }

    /// Answers all that wait for a decision: there will be none.
    pub(super) fn withdraw_all(&self) {
        let replies = std::mem::take(&mut self.waiting().replies);
        for reply in replies.into_values() {
            reply.send(convert::decision(&Decision::Cancelled));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn released() -> BackendError {
    BackendError::Transient("this session was released; restore it first".to_owned())
}
