//! One session behind a server: its state, who waits for a decision, and its end.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::turn::Turn;
use super::{Condition, Failure, Opened, Place, Shared};
use crate::backend::error::{BackendError, Phase};
use crate::backend::{Answered, Session, TurnStream};
use crate::backoff::Backoff;
use crate::domain::agent::{Decision, Offers, Prompt};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;

/// How long a cancelled turn may take to end before it is left to itself.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// The delays between attempts to tell a server what was decided, and how many there are: about a minute of them.
const DECIDING: (Duration, Duration, u32) = (Duration::from_millis(200), Duration::from_secs(10), 12);

/// A session, as its owner holds it.
#[derive(Debug)]
pub(super) struct HttpSession(Arc<Core>);

/// A session, shared with its running turn.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) place: Place,
    pub(super) shared: Arc<Shared>,
    state: watch::Sender<State>,
    choices: Mutex<Choices>,
    /// The requests that nobody has answered yet.
    waiting: Mutex<HashSet<RequestId>>,
}

/// What a session is doing.
#[derive(Debug, Clone)]
enum State {
    /// Nothing; this must be done before its next prompt.
    Idle(Condition),
    /// A turn runs; the token is cancelled when it is asked to stop.
    Running(CancellationToken),
    /// It was let go; only a restored one goes on.
    Released,
}

/// What can be chosen, and what a person has chosen.
#[derive(Debug)]
struct Choices {
    offers: Offers,
    chosen: BTreeMap<String, String>,
}

impl HttpSession {
    pub(super) fn new(opened: Opened, shared: Arc<Shared>) -> Self {
        let Opened { place, offers } = opened;
        let (state, _) = watch::channel(State::Idle(Condition::Fresh));
        let choices = Mutex::new(Choices { offers, chosen: BTreeMap::new() });
        Self(Arc::new(Core { place, shared, state, choices, waiting: Mutex::default() }))
    }
}

#[async_trait]
impl Session for HttpSession {
    fn backend_ref(&self) -> BackendRef {
        BackendRef(self.0.place.id.clone())
    }

    fn is_alive(&self) -> bool {
        // Whether its server holds it only the next prompt can tell, and brings it back.
        !matches!(*self.0.state.borrow(), State::Released)
    }

    async fn prompt(&self, prompt: Prompt) -> Result<TurnStream, BackendError> {
        let (cancel, condition) = self.0.begin()?;
        let (events, stream) = TurnStream::channel();
        let turn = Turn::new(self.0.clone(), events, cancel);
        self.0.shared.spawn("http turn", turn.run(prompt.text_and_files(), condition));
        Ok(stream)
    }

    async fn cancel(&self) -> Result<(), BackendError> {
        self.0.cancel();
        Ok(())
    }

    async fn answer(&self, request: &RequestId, decision: Decision) -> Answered {
        self.0.answer(request, decision)
    }

    fn offers(&self) -> Offers {
        self.0.choices().offers.clone()
    }

    async fn set_option(&self, option: &str, value: &str) -> Result<(), BackendError> {
        self.0.choose(option, value)
    }

    async fn release(&self, deadline: Instant) -> Result<(), BackendError> {
        let core = &self.0;
        if core.stop(deadline).await {
            return core.in_time(deadline, core.shared.dialect.release(&core.place)).await;
        }
        Ok(())
    }

    async fn end(&self, deadline: Instant) -> Result<(), BackendError> {
        let core = &self.0;
        let is_new = core.shared.ended.add(&core.place.id);
        core.stop(deadline).await;
        if is_new {
            return core.in_time(deadline, core.shared.dialect.end(&core.place)).await;
        }
        Ok(())
    }
}

impl Core {
    /// Takes the session for a turn. Returns what must be done before its prompt.
    fn begin(&self) -> Result<(CancellationToken, Condition), BackendError> {
        if self.shared.ended.has(&self.place.id) {
            return Err(BackendError::Ended);
        }
        self.shared.ensure_runs()?;
        let cancel = self.shared.stop.child_token();
        let mut begun = Err(BackendError::Busy);
        self.state.send_if_modified(|state| {
            begun = match state {
                State::Idle(condition) => Ok((cancel.clone(), *condition)),
                State::Running(_) => Err(BackendError::Busy),
                State::Released => Err(released()),
            };
            if begun.is_ok() {
                *state = State::Running(cancel.clone());
            }
            begun.is_ok()
        });
        begun
    }

    /// A turn is over: the next may begin.
    pub(super) fn settle(&self, condition: Condition) {
        self.withdraw_all();
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running(_));
            if running {
                *state = State::Idle(condition);
            }
            running
        });
    }

    fn cancel(&self) {
        if let State::Running(cancel) = &*self.state.borrow() {
            cancel.cancel();
        }
    }

    /// Stops what runs and takes nothing on any more; returns whether that is new.
    async fn stop(&self, deadline: Instant) -> bool {
        self.cancel();
        let clock = &self.shared.parts.clock;
        // Some of the time is for what the server is still to be told.
        let now = clock.now();
        let until = now + (deadline.saturating_duration_since(now) * 3 / 4).min(CANCEL_GRACE);
        let mut state = self.state.subscribe();
        let over = state.wait_for(|state| !matches!(state, State::Running(_)));
        // One that is late ends by itself, and says so to nobody.
        let _late = clock.timeout_at(until, over).await.map(drop);
        !matches!(self.state.send_replace(State::Released), State::Released)
    }

    /// Tells the server something about the session's end, of which it may have heard before.
    async fn in_time(
        &self,
        deadline: Instant,
        telling: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), BackendError> {
        let clock = &self.shared.parts.clock;
        let after = deadline.saturating_duration_since(clock.now());
        let told = clock.timeout_at(deadline, telling).await;
        match told.map_err(|_late| BackendError::Timeout { phase: Phase::End, after })? {
            Err(failure) if !self.shared.is_gone(&failure) => Err(self.shared.error(&failure)),
            _ => Ok(()),
        }
    }

    /// Keeps a request until it is decided.
    pub(super) fn wait_for_decision(&self, request: RequestId) {
        self.waiting().insert(request);
    }

    /// Nobody needs to decide this any more; returns whether somebody was to.
    pub(super) fn withdraw(&self, request: &RequestId) -> bool {
        self.waiting().remove(request)
    }

    /// Nobody needs to decide anything any more: servers forget their questions with the turn.
    pub(super) fn withdraw_all(&self) {
        self.waiting().clear();
    }

    fn answer(self: &Arc<Self>, request: &RequestId, decision: Decision) -> Answered {
        if !self.withdraw(request) {
            return Answered::NotWaiting;
        }
        let (core, request) = (self.clone(), request.clone());
        let cancel = match &*self.state.borrow() {
            State::Running(cancel) => cancel.clone(),
            _ => return Answered::NotWaiting,
        };
        self.shared.spawn("http decision", async move {
            cancel.run_until_cancelled(core.tell(&request, &decision)).await;
        });
        Answered::Applied
    }

    /// Tells the server what was decided until it has heard it: it waits for that, and the people have been told that it is settled.
    async fn tell(&self, request: &RequestId, decision: &Decision) {
        let mut backoff = Backoff::new(DECIDING.0, DECIDING.1);
        let mut chance = fastrand::Rng::new();
        while let Err(failure) = self.shared.dialect.decide(&self.place, request, decision).await {
            let error = self.shared.error(&failure);
            if !matches!(error, BackendError::Transient(_)) || backoff.attempts() >= DECIDING.2 {
                tracing::warn!(server = self.shared.dialect.server(), %error, "A decision did not reach its agent");
                return;
            }
            self.shared.parts.clock.sleep(backoff.next(&mut chance)).await;
        }
    }

    fn choose(&self, option: &str, value: &str) -> Result<(), BackendError> {
        if self.shared.ended.has(&self.place.id) {
            return Err(BackendError::Ended);
        }
        if matches!(*self.state.borrow(), State::Released) {
            return Err(released());
        }
        let mut choices = self.choices();
        let known = choices.offers.options.iter_mut().find(|known| known.id == option);
        let known = known.ok_or_else(|| BackendError::Rejected(format!("there is no option `{option}`")))?;
        if !known.values.iter().any(|choice| choice.value == value) {
            return Err(BackendError::Rejected(format!("its option `{option}` has no value `{value}`")));
        }
        value.clone_into(&mut known.current);
        choices.chosen.insert(option.to_owned(), value.to_owned());
        Ok(())
    }

    /// The options that a person has set.
    pub(super) fn chosen(&self) -> Vec<(String, String)> {
        self.choices().chosen.clone().into_iter().collect()
    }

    fn choices(&self) -> MutexGuard<'_, Choices> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn released() -> BackendError {
    BackendError::Transient("this session was released; restore it first".to_owned())
}
