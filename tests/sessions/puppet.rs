//! A session whose every word the test says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use hitchline::backend::error::BackendError;
use hitchline::backend::{Answered, Outcome, Session, TURN_CAPACITY, TurnEvent, TurnStream};
use hitchline::domain::agent::{AgentEvent, Decision, Offers, OptionKind, PermissionOption, PermissionRequest, Prompt};
use hitchline::domain::ids::RequestId;
use hitchline::domain::session::BackendRef;
use tokio::sync::mpsc;

use super::agent::{Act, Agents, Manners, Prompted, locked};

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

/// A session as the manager holds it.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) Arc<Puppet>);

impl Puppet {
    pub(crate) fn new(name: String, agents: Arc<Agents>) -> Self {
        let manners = Mutex::new(locked(&agents.manners).clone());
        Self {
            name,
            agents,
            manners,
            alive: AtomicBool::new(true),
            turn: Mutex::default(),
            waiting: Mutex::default(),
            answers: Mutex::default(),
        }
    }

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
        let files = prompt.attachments().to_vec();
        locked(&self.0.agents.prompts).push(Prompted { session, text: prompt.text().to_owned(), files, seen: false });
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

    fn offers(&self) -> Offers {
        locked(&self.0.manners).offers.clone()
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        self.0.act("set_option", |manners| &manners.set_option).take().await?;
        let mut manners = locked(&self.0.manners);
        let known = manners.offers.options.iter_mut().find(|known| known.id == option);
        let known = known.ok_or_else(|| BackendError::Rejected(format!("there is no option `{option}`")))?;
        value.clone_into(&mut known.current);
        let set = (self.0.name.clone(), option.to_owned(), value.to_owned());
        locked(&self.0.agents.options_set).push(set);
        Ok(())
    }

    async fn release(&self, _deadline: Instant) -> Result<(), BackendError> {
        let act = self.0.act("release", |manners| &manners.release);
        self.0.leave(act).await
    }

    async fn detach(&self, deadline: Instant) -> Result<(), BackendError> {
        self.0.agents.called("detach", &self.0.name);
        self.release(deadline).await
    }

    fn attach(&self) -> Option<String> {
        Some(format!("attach to {}", self.0.name))
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

    /// Whether something still runs for it.
    pub(crate) fn is_running(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Whether a turn waits for its answer.
    pub(crate) fn is_asked(&self) -> bool {
        locked(&self.turn).is_some()
    }

    /// Says something, and returns once it is heard.
    pub(crate) async fn says(&self, text: &str) {
        self.sends(AgentEvent::Text { message: None, delta: text.to_owned() }).await;
    }

    /// Asks for a decision under `id`, with one option for each kind.
    pub(crate) async fn asks(&self, id: &str, kinds: &[OptionKind]) {
        self.asks_about(id, None, kinds).await;
    }

    /// Asks for a decision about an exact command.
    pub(crate) async fn asks_about(&self, id: &str, command: Option<&str>, kinds: &[OptionKind]) {
        locked(&self.waiting).push(id.into());
        let options = kinds.iter().enumerate().map(|(n, kind)| PermissionOption {
            id: format!("o{n}"),
            label: format!("{kind:?}"),
            kind: *kind,
        });
        let (title, detail) = (format!("do {id}"), command.map(Into::into));
        let request = PermissionRequest { id: id.into(), title, detail, options: options.collect() };
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

    /// Its process dies.
    pub(crate) fn dies(&self) {
        self.alive.store(false, Ordering::Relaxed);
        self.finish(Outcome::Failed(BackendError::Crashed { exit: "exit code 1".into(), stderr: String::new() }));
    }

    /// Lets go of the turn without a word.
    pub(crate) fn vanishes(&self) {
        locked(&self.waiting).clear();
        locked(&self.turn).take();
    }

    pub(crate) async fn sends(&self, event: AgentEvent) {
        let events = self.events();
        events.send(TurnEvent::Agent(event)).await.expect("the turn is heard");
        while events.capacity() < TURN_CAPACITY && !events.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}
