//! The echo agent: it answers with the prompt's text, or does what a directive says.
//!
//! A backend in every respect but one: its sessions hold nothing, so that one of an earlier process can always be restored.

mod choices;
mod ledger;
mod script;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use choices::Choices;
use ledger::Ledger;
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
    ledger: Mutex<Ledger>,
    stopping: CancellationToken,
}

impl EchoBackend {
    /// A backend without sessions.
    pub fn new(parts: &BackendParts) -> Self {
        let ledger = Mutex::default();
        let stopping = CancellationToken::new();
        Self { shared: Arc::new(Shared { clock: parts.clock.clone(), scope: parts.scope.clone(), ledger, stopping }) }
    }

    fn open(&self, id: SessionId, dir: PathBuf) -> Result<Arc<dyn Session>, BackendError> {
        if self.shared.stopping.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        let mut ledger = self.shared.ledger();
        if ledger.is_ended(id) {
            return Err(BackendError::Ended);
        }
        ledger.opened(id, dir, self.shared.clock.wall_ms());
        let (state, choices) = (Mutex::new(State::Idle), Mutex::default());
        Ok(Arc::new(EchoSession(Arc::new(Core { id, shared: self.shared.clone(), state, choices }))))
    }
}

#[async_trait]
impl Backend for EchoBackend {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.open(spec.session, spec.working_dir)
    }

    async fn restore(&self, session: &BackendRef, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let id = session.0.strip_prefix(REF_START).and_then(SessionId::parse);
        self.open(id.ok_or(BackendError::Unknown)?, spec.working_dir)
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        if self.shared.stopping.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        let listed = |entry: ledger::Entry| Listed {
            backend_ref: reference(entry.id),
            working_dir: Some(entry.working_dir),
            title: None,
            updated_ms: Some(entry.used_ms),
        };
        Ok(self.shared.ledger().newest(query.limit).into_iter().map(listed).collect())
    }

    async fn shutdown(&self, _deadline: Instant) {
        self.shared.stopping.cancel();
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reference(id: SessionId) -> BackendRef {
    BackendRef(format!("{REF_START}{id}"))
}

#[derive(Debug)]
struct EchoSession(Arc<Core>);

/// A session, shared with its running turn.
#[derive(Debug)]
struct Core {
    id: SessionId,
    shared: Arc<Shared>,
    state: Mutex<State>,
    choices: Mutex<Choices>,
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
        reference(self.0.id)
    }

    fn is_alive(&self) -> bool {
        !matches!(*self.0.state(), State::Gone)
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        self.0.accept(Script::of(prompt.text()).naming(prompt.attachments()))
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
        self.0.choices().offers()
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        match self.0.refusal(&self.0.state()) {
            None | Some(BackendError::Busy) => self.0.choices().choose(option, value),
            Some(error) => Err(error),
        }
    }

    async fn release(&self, _deadline: Instant) -> Result<(), BackendError> {
        if let State::Running { cancel, .. } = std::mem::replace(&mut *self.0.state(), State::Gone) {
            cancel.cancel();
        }
        Ok(())
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        self.0.shared.ledger().ended(self.0.id);
        self.release(deadline).await
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn choices(&self) -> MutexGuard<'_, Choices> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it can't take a prompt.
    fn refusal(&self, state: &State) -> Option<BackendError> {
        match state {
            State::Idle => None,
            State::Running { .. } => Some(BackendError::Busy),
            State::Gone | State::Vanished if self.shared.ledger().is_ended(self.id) => Some(BackendError::Ended),
            State::Gone | State::Vanished => Some(script::crash()),
        }
    }

    fn accept(self: &Arc<Self>, script: Script) -> Result<TurnStream, BackendError> {
        let mut state = self.state();
        if let Some(error) = self.refusal(&state) {
            return Err(error);
        }
        if self.shared.stopping.is_cancelled() {
            return Err(BackendError::ShuttingDown);
        }
        self.shared.ledger().used(self.id, self.shared.clock.wall_ms());
        let choices = *self.choices();
        let script = if choices.plans { script.planned() } else { script };
        let (events, stream) = TurnStream::channel();
        if script.is_immediate() {
            // No task for what is known at once: the channel holds all of it.
            *state = self.after(script.then);
            let said = script.steps.into_iter().filter_map(|step| match step {
                Step::Do(event) => Some(TurnEvent::Agent(choices.voiced(event))),
                Step::Wait(_) | Step::Ask => None,
            });
            for event in said.chain([TurnEvent::End(script.end)]) {
                // The reader is in our hands and an immediate script is shorter than the channel.
                let _ = events.try_send(event);
            }
        } else {
            let cancel = self.shared.stopping.child_token();
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
            let event = self.choices().voiced(event);
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
                self.shared.ledger().ended(self.id);
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
