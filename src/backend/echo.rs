//! The echo agent: it answers with the prompt's text, or does what a directive says.
//!
//! A backend in every respect but one: its sessions hold nothing, so that one of an earlier process can always be restored.

mod script;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::BackendError;
use super::{Answered, Backend, BackendParts, ListQuery, Listed, Outcome, Session, StartSpec, TurnEvent, TurnStream};
use crate::clock::Clock;
use crate::domain::agent::{AgentEvent, Decision, Offers, PermissionRequest, Prompt};
use crate::domain::ids::{RequestId, SessionId};
use crate::domain::session::BackendRef;
use crate::scope::{OnCrash, Scope};
use script::{Script, Step, Then};

/// What our names for sessions begin with.
const REF_START: &str = "echo-";

/// The echo backend.
#[derive(Debug)]
pub struct EchoBackend {
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    scope: Scope,
    /// The sessions that are gone for good; an id is never used again.
    ended: Mutex<HashSet<SessionId>>,
    stopping: CancellationToken,
}

impl EchoBackend {
    /// A backend without sessions.
    pub fn new(parts: &BackendParts) -> Self {
        let ended = Mutex::default();
        let stopping = CancellationToken::new();
        Self { shared: Arc::new(Shared { clock: parts.clock.clone(), scope: parts.scope.clone(), ended, stopping }) }
    }

    fn open(&self, id: SessionId) -> Result<Arc<dyn Session>, BackendError> {
        if self.shared.stopping.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        if self.shared.is_ended(id) {
            return Err(BackendError::Ended);
        }
        Ok(Arc::new(EchoSession(Arc::new(Core { id, shared: self.shared.clone(), state: Mutex::new(State::Idle) }))))
    }
}

#[async_trait]
impl Backend for EchoBackend {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.open(spec.session)
    }

    async fn restore(&self, session: &BackendRef, _spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let id = session.0.strip_prefix(REF_START).and_then(SessionId::parse);
        self.open(id.ok_or(BackendError::Unknown)?)
    }

    async fn list(&self, _query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        Err(BackendError::Unsupported("list its sessions"))
    }

    async fn shutdown(&self, _deadline: Instant) {
        self.shared.stopping.cancel();
    }
}

impl Shared {
    fn is_ended(&self, id: SessionId) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    fn mark_ended(&self, id: SessionId) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }
}

#[derive(Debug)]
struct EchoSession(Arc<Core>);

/// A session, shared with its running turn.
#[derive(Debug)]
struct Core {
    id: SessionId,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Idle,
    Running {
        cancel: CancellationToken,
        /// The decision that the turn waits for.
        asked: Option<(RequestId, oneshot::Sender<Decision>)>,
    },
    /// Crashed, released or ended; only a restored one goes on.
    Gone,
    /// Gone behind everybody's back: only the next prompt finds out.
    Vanished,
}

#[async_trait]
impl Session for EchoSession {
    fn backend_ref(&self) -> BackendRef {
        BackendRef(format!("{REF_START}{}", self.0.id))
    }

    fn is_alive(&self) -> bool {
        !matches!(*self.0.state(), State::Gone)
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        self.0.accept(Script::of(prompt.text()))
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        if let State::Running { cancel, .. } = &*self.0.state() {
            cancel.cancel();
        }
        Ok(())
    }

    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered {
        let waiting = match &mut *self.0.state() {
            State::Running { asked, .. } => asked.take_if(|(id, _)| id == request),
            _ => None,
        };
        match waiting.map(|(_, reply)| reply.send(decision)) {
            Some(Ok(())) => Answered::Applied,
            _ => Answered::NotWaiting,
        }
    }

    fn offers(&self) -> Offers {
        Offers::default()
    }

    async fn set_option(&self, option: &str, _value: &str) -> Result<(), BackendError> {
        Err(BackendError::Rejected(format!("there is no option `{option}`")))
    }

    async fn release(&self, _deadline: Instant) -> Result<(), BackendError> {
        if let State::Running { cancel, .. } = std::mem::replace(&mut *self.0.state(), State::Gone) {
            cancel.cancel();
        }
        Ok(())
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        self.0.shared.mark_ended(self.0.id);
        self.release(deadline).await
    }
}

impl Core {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, script: Script) -> Result<TurnStream, BackendError> {
        let mut state = self.state();
        match &*state {
            State::Idle => {}
            State::Running { .. } => return Err(BackendError::Busy),
            State::Gone | State::Vanished if self.shared.is_ended(self.id) => return Err(BackendError::Ended),
            State::Gone | State::Vanished => return Err(script::crash()),
        }
        let (events, stream) = TurnStream::channel();
        if script.is_immediate() {
            // No task for what is known at once: the channel holds all of it.
            *state = self.after(script.then);
            let said = script.steps.into_iter().filter_map(|step| match step {
                Step::Do(event) => Some(TurnEvent::Agent(event)),
                Step::Wait(_) | Step::Ask => None,
            });
            for event in said.chain([TurnEvent::End(script.end)]) {
                // The reader is in our hands and an immediate script is shorter than the channel.
                let _ = events.try_send(event);
            }
        } else {
            let cancel = CancellationToken::new();
            *state = State::Running { cancel: cancel.clone(), asked: None };
            let core = self.clone();
            self.shared.scope.spawn("echo turn", OnCrash::Log, async move { core.run(script, events, cancel).await });
        }
        Ok(stream)
    }

    async fn run(&self, script: Script, events: mpsc::Sender<TurnEvent>, cancel: CancellationToken) {
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Outcome::Cancelled,
            () = events.closed() => Outcome::Cancelled,
            () = self.play(script.steps, &events) => script.end,
        };
        {
            let mut state = self.state();
            if matches!(*state, State::Running { .. }) {
                *state = State::Idle;
            }
        }
        // A reader that went away needs no end.
        let _ = events.send(TurnEvent::End(outcome)).await;
    }

    async fn play(&self, steps: Vec<Step>, events: &mpsc::Sender<TurnEvent>) {
        for step in steps {
            let event = match step {
                Step::Do(event) => event,
                Step::Wait(pause) => {
                    self.shared.clock.sleep(pause).await;
                    continue;
                }
                Step::Ask => self.ask(events).await,
            };
            // Without a reader the turn is being cancelled.
            let _ = events.send(TurnEvent::Agent(event)).await;
        }
    }

    /// Asks for a decision; returns what is said about it.
    async fn ask(&self, events: &mpsc::Sender<TurnEvent>) -> AgentEvent {
        let id = RequestId::from(uuid::Uuid::new_v4().to_string());
        let (reply, decided) = oneshot::channel();
        if let State::Running { asked, .. } = &mut *self.state() {
            *asked = Some((id.clone(), reply));
        }
        let request = PermissionRequest {
            id,
            title: "Say what you choose".to_owned(),
            detail: Some("echo 'nothing is run'".to_owned()),
            options: script::options(),
        };
        let _ = events.send(TurnEvent::Agent(AgentEvent::Permission(request))).await;
        let decision = decided.await.unwrap_or(Decision::Cancelled);
        AgentEvent::Text { message: None, delta: describe(&decision) }
    }

    /// The state after an immediate turn.
    fn after(&self, then: Then) -> State {
        match then {
            Then::Stays => State::Idle,
            Then::Crashes => State::Gone,
            Then::Vanishes => {
                self.shared.mark_ended(self.id);
                State::Vanished
            }
        }
    }
}

fn describe(decision: &Decision) -> String {
    let Decision::Selected { option } = decision else { return "Nobody chose.".to_owned() };
    let known = script::options().into_iter().find(|known| known.id == *option);
    known.map_or_else(
        || "You chose something that was not offered.".to_owned(),
        |known| format!("You chose: {}", known.label),
    )
}
