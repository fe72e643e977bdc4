//! Agents that do as the test says, step by step.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use hitchline::backend::error::BackendError;
use hitchline::backend::{Answered, Backend, Outcome, Session, StartSpec, TURN_CAPACITY, TurnEvent, TurnStream};
use hitchline::domain::agent::{AgentEvent, Decision, OptionKind, PermissionOption, PermissionRequest, Prompt};
use hitchline::domain::ids::RequestId;
use hitchline::domain::session::BackendRef;
use tokio::sync::{Semaphore, mpsc};

/// How a call is taken.
#[derive(Debug, Clone, Default)]
pub(crate) enum Act {
    /// As asked.
    #[default]
    Obey,
    /// Says yes and does nothing.
    Ignore,
    Fail(BackendError),
    /// Never answers.
    Hang,
    /// Waits for a permit of the test.
    Wait(Arc<Semaphore>),
    Panic,
}

/// How every call is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    pub(crate) start: Act,
    pub(crate) restore: Act,
    pub(crate) prompt: Act,
    pub(crate) answer: Act,
    pub(crate) cancel: Act,
    pub(crate) release: Act,
    pub(crate) end: Act,
    pub(crate) shutdown: Act,
}

/// The backend: it makes puppets and remembers what was asked of them.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pub(crate) manners: Mutex<Manners>,
    /// Every call, in order: what, and of which session.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Whether sessions answer by themselves, with what they are told.
    pub(crate) echo: AtomicBool,
    pub(crate) prompts: Mutex<Vec<Prompted>>,
}

/// A prompt that a session took.
#[derive(Debug, Clone)]
pub(crate) struct Prompted {
    pub(crate) session: Arc<Puppet>,
    pub(crate) text: String,
    /// Whether the test has seen it.
    pub(crate) seen: bool,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Puppet {
    name: String,
    agents: Arc<Agents>,
    pub(crate) manners: Mutex<Manners>,
    alive: AtomicBool,
    turn: Mutex<Option<mpsc::Sender<TurnEvent>>>,
    waiting: Mutex<Vec<RequestId>>,
    pub(crate) answers: Mutex<Vec<(RequestId, Decision)>>,
}

/// The content of a lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Act {
    async fn take(self) -> Result<(), BackendError> {
        match self {
            Self::Obey | Self::Ignore => Ok(()),
            Self::Fail(error) => Err(error),
            Self::Hang => pending().await,
            Self::Wait(permits) => {
                permits.acquire().await.expect("the test holds it").forget();
                Ok(())
            }
            Self::Panic => panic!("as the test says"),
        }
    }
}

/// A session as the manager holds it.
#[derive(Debug)]
struct Held(Arc<Puppet>);

/// The backend as the manager holds it.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Agents>);

impl Shared {
    fn make(&self, name: String) -> Arc<dyn Session> {
        let puppet = Puppet {
            name,
            agents: self.0.clone(),
            manners: Mutex::new(locked(&self.0.manners).clone()),
            alive: AtomicBool::new(true),
            turn: Mutex::default(),
            waiting: Mutex::default(),
            answers: Mutex::default(),
        };
        Arc::new(Held(Arc::new(puppet)))
    }
}

impl Agents {
    fn called(&self, what: &str, session: &str) {
        locked(&self.calls).push(format!("{what} {session}"));
    }

    /// How often `what` was asked, of whichever session.
    pub(crate) fn count(&self, what: &str) -> usize {
        locked(&self.calls).iter().filter(|call| call.split(' ').next() == Some(what)).count()
    }
}

#[async_trait]
impl Backend for Shared {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let name = spec.session.short();
        self.0.called("start", &name);
        let act = locked(&self.0.manners).start.clone();
        act.take().await?;
        Ok(self.make(name))
    }

    async fn restore(&self, session: &BackendRef, _spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.0.called("restore", &session.0);
        let act = locked(&self.0.manners).restore.clone();
        act.take().await?;
        Ok(self.make(session.0.clone()))
    }

    async fn shutdown(&self, _deadline: Instant) {
        self.0.called("shutdown", "all");
        let act = locked(&self.0.manners).shutdown.clone();
        let _as_told = act.take().await;
    }
}

impl Puppet {
    pub(crate) fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut locked(&self.manners));
    }

    fn act(&self, what: &str, choose: impl FnOnce(&Manners) -> &Act) -> Act {
        self.agents.called(what, &self.name);
        choose(&locked(&self.manners)).clone()
    }

    fn events(&self) -> mpsc::Sender<TurnEvent> {
        locked(&self.turn).clone().expect("a turn runs")
    }

    fn finish(&self, outcome: Outcome) {
        locked(&self.waiting).clear();
        if let Some(events) = locked(&self.turn).take() {
            let _nobody_listens = events.try_send(TurnEvent::End(outcome));
        }
    }

    /// Leaves for good or for now.
    async fn leave(&self, act: Act) -> Result<(), BackendError> {
        act.take().await?;
        self.alive.store(false, Ordering::Relaxed);
        self.finish(Outcome::Failed(BackendError::Ended));
        Ok(())
    }
}

#[async_trait]
impl Session for Held {
    fn backend_ref(&self) -> BackendRef {
        BackendRef(self.0.name.clone())
    }

    fn is_alive(&self) -> bool {
        self.0.alive.load(Ordering::Relaxed)
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        self.0.act("prompt", |manners| &manners.prompt).take().await?;
        let (events, stream) = TurnStream::channel();
        if self.0.agents.echo.load(Ordering::Relaxed) {
            let text = AgentEvent::Text { message: None, delta: prompt.text().to_owned() };
            events.try_send(TurnEvent::Agent(text)).unwrap();
            events.try_send(TurnEvent::End(Outcome::Completed)).unwrap();
        } else {
            assert!(locked(&self.0.turn).replace(events).is_none(), "one turn at a time");
        }
        let session = self.0.clone();
        locked(&self.0.agents.prompts).push(Prompted { session, text: prompt.text().to_owned(), seen: false });
        Ok(stream)
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        let act = self.0.act("cancel", |manners| &manners.cancel);
        let obeys = matches!(act, Act::Obey);
        act.take().await?;
        if obeys {
            self.0.finish(Outcome::Cancelled);
        }
        Ok(())
    }

    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered {
        let act = self.0.act("answer", |manners| &manners.answer);
        let _as_told = act.take().await;
        let mut waiting = locked(&self.0.waiting);
        let Some(found) = waiting.iter().position(|asked| asked == request) else { return Answered::NotWaiting };
        waiting.remove(found);
        locked(&self.0.answers).push((request.clone(), decision));
        Answered::Applied
    }

    async fn release(&self, _deadline: Instant) -> Result<(), BackendError> {
        let act = self.0.act("release", |manners| &manners.release);
        self.0.leave(act).await
    }

    async fn end(&self, _deadline: Instant) -> Result<(), BackendError> {
        let act = self.0.act("end", |manners| &manners.end);
        self.0.leave(act).await
    }
}

// === What the test makes it do ===

impl Puppet {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says something, and returns once it is heard.
    pub(crate) async fn says(&self, text: &str) {
        self.sends(AgentEvent::Text { message: None, delta: text.to_owned() }).await;
    }

    /// Asks for a decision under `id`, with one option for each kind.
    pub(crate) async fn asks(&self, id: &str, kinds: &[OptionKind]) {
        locked(&self.waiting).push(id.into());
        let options = kinds.iter().enumerate().map(|(n, kind)| PermissionOption {
            id: format!("o{n}"),
            label: format!("{kind:?}"),
            kind: *kind,
        });
        let request =
            PermissionRequest { id: id.into(), title: format!("do {id}"), detail: None, options: options.collect() };
        self.sends(AgentEvent::Permission(request)).await;
    }

    /// Answers the turn that runs, if one does.
    pub(crate) fn answers_if_it_can(&self, text: &str) {
        let events = locked(&self.turn).clone();
        if let Some(events) = events {
            let text = AgentEvent::Text { message: None, delta: text.to_owned() };
            events.try_send(TurnEvent::Agent(text)).expect("there is room");
            self.finish(Outcome::Completed);
        }
    }

    /// Ends the turn.
    pub(crate) fn ends(&self, outcome: Outcome) {
        self.finish(outcome);
    }

    async fn sends(&self, event: AgentEvent) {
        let events = self.events();
        events.send(TurnEvent::Agent(event)).await.expect("the turn is heard");
        while events.capacity() < TURN_CAPACITY && !events.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}
