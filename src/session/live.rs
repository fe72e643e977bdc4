//! From a mapping to a session that can be prompted: the one that runs, or one that is brought back, or a new one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::backend::error::{BackendError, Phase};
use crate::backend::{Backend, Session, StartSpec};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::session::{BackendRef, SessionRecord, SessionStatus};

use super::manager::Inner;
use super::pool::CLEAN_UP;
use super::slots::Live;
use super::turn::Turn;
use super::way_in::WayIn;

/// How long a backend may take to clean up after a start that took too long.
const START_GRACE: Duration = Duration::from_secs(5);

/// A session ready for a prompt.
pub(super) struct Ready {
    pub(super) session: Arc<dyn Session>,
    pub(super) origin: Origin,
    /// Whether it stands in for one that was lost, and no turn has said so yet.
    pub(super) untold: bool,
}

/// Why no session is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotReady {
    /// The mapping has ended, or has moved to another conversation, since it was read.
    Elsewhere,
    /// Its backend did not bring it up.
    Failed(BackendError),
}

impl From<NotReady> for BackendError {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::Elsewhere => Self::Ended,
            NotReady::Failed(error) => error,
        }
    }
}

/// Where a session that is ready comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// It ran already.
    Running,
    /// It was brought back with all that it knew.
    Restored,
    /// It is the mapping's first.
    New(BackendRef),
    /// It stands in for one that could not be brought back.
    Afresh(BackendRef),
}

/// What is done about a session that its backend can't bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfLost {
    /// A restart, a crash or its expiry took it: another takes its place.
    StartAfresh,
    /// The backend lost it under our hands: that was its end.
    GiveUp,
}

impl Origin {
    /// Whether what was said before is unknown to it.
    fn is_context_lost(&self) -> bool {
        matches!(self, Self::Afresh(_))
    }

    /// What the backend calls it, when that is new.
    fn name(&self) -> Option<&BackendRef> {
        match self {
            Self::Running | Self::Restored => None,
            Self::New(name) | Self::Afresh(name) => Some(name),
        }
    }
}

impl Inner {
    /// Brings a turn's session up, and notes that the agent may see the prompt from now on.
    pub(super) async fn ready_for(
        self: &Arc<Self>,
        turn: &Turn,
        record: &SessionRecord,
        if_lost: IfLost,
    ) -> Result<Ready, NotReady> {
        let ready = self.ready_in_peace(record, if_lost).await?;
        while !turn.reached.load(Ordering::Relaxed) {
            match self.parts.store.reach(turn.prompt.turn()).await {
                Ok(()) => turn.reached.store(true, Ordering::Relaxed),
                // It has not started, and simply runs after the next start.
                Err(error) if self.is_over(&turn.key, &error).await => std::future::pending().await,
                Err(_again) => {}
            }
        }
        Ok(ready)
    }

    /// A live session for the mapping. Whoever else wants it meanwhile waits, and gets the same.
    pub(super) async fn ready(self: &Arc<Self>, record: &SessionRecord, if_lost: IfLost) -> Result<Ready, NotReady> {
        let gate = self.gate(&record.conversation).await;
        let ready = self.bring_up(record, if_lost).await;
        drop(gate);
        if ready.is_err() {
            self.slots().forget_if_empty(&record.conversation);
        }
        ready
    }

    async fn bring_up(self: &Arc<Self>, record: &SessionRecord, if_lost: IfLost) -> Result<Ready, NotReady> {
        let active = self.slots().active_mut(record).cloned().ok_or(NotReady::Elsewhere)?;
        if let Some(live) = active.live.filter(|live| live.session.is_alive()) {
            return Ok(Ready { session: live.session, origin: Origin::Running, untold: live.untold });
        }
        let record = active.record;
        self.confirm(&record).await?;
        let started = self.in_time(&record, |spec| self.start_or_restore(&record, spec, if_lost)).await;
        let (session, origin) = started.map_err(NotReady::Failed)?;
        let untold = origin.is_context_lost();
        let ready = Ready { session, origin, untold };
        if !self.keep_live(&record, &ready) {
            self.end_live(record.conversation.clone(), ready.session);
            return Err(NotReady::Elsewhere);
        }
        self.note_use(&record, &ready.origin).await;
        self.choose_again(&record, ready.session.as_ref()).await;
        Ok(ready)
    }

    /// Whether the mapping still stands in the store as it is known here. It may have been read just before its end, or its move.
    pub(super) async fn confirm(&self, record: &SessionRecord) -> Result<(), NotReady> {
        let now = self.parts.store.session(record.id).await;
        let now = now.map_err(|error| NotReady::Failed(BackendError::Transient(error.to_string())))?;
        let stands =
            now.is_some_and(|now| now.status == SessionStatus::Active && now.conversation == record.conversation);
        if stands {
            return Ok(());
        }
        self.slots().doubt(record);
        Err(NotReady::Elsewhere)
    }

    /// Starts a session for a mapping, or brings one back, in the time that its backend has for that. Where there are tools, it has its own
    /// way in to them.
    pub(super) async fn in_time<T, F>(
        &self,
        record: &SessionRecord,
        start: impl FnOnce(StartSpec) -> F,
    ) -> Result<(Arc<dyn Session>, T), BackendError>
    where
        F: Future<Output = Result<(Arc<dyn Session>, T), BackendError>>,
    {
        let timeout = self.parts.policy.create_timeout(&record.backend);
        let deadline = self.parts.clock.now() + timeout;
        let way_in = self.parts.toolbox.as_ref().map(|toolbox| WayIn::open(toolbox, record.id));
        let tools = way_in.as_ref().map(WayIn::access);
        let spec = StartSpec { session: record.id, working_dir: record.working_dir.clone(), deadline, tools };
        // Backends keep to the deadline themselves, and then see to it that nothing is left.
        let started = self.parts.clock.timeout_at(deadline + START_GRACE, start(spec)).await;
        let (session, more) =
            started.map_err(|_late| BackendError::Timeout { phase: Phase::Create, after: timeout })??;
        Ok((WayIn::keep(way_in, session), more))
    }

    /// Writes down that a session was brought up, and what its backend calls it, so that a crash does not lose that.
    async fn note_use(&self, record: &SessionRecord, origin: &Origin) {
        if let Some(name) = origin.name() {
            self.note_name(record.id, name.clone()).await;
        }
        // One that begins was used when it was written.
        if matches!(origin, Origin::Restored | Origin::Afresh(_))
            && let Err(error) = self.parts.store.touch(record.id, self.parts.clock.wall_ms()).await
        {
            tracing::warn!(session.id = %record.id, %error, "That a session is used was not noted");
        }
    }

    /// Waits until nobody else brings a conversation's session up or lets it go, and keeps others from it.
    pub(super) async fn gate(&self, key: &ConversationKey) -> OwnedMutexGuard<()> {
        let gate = self.slots().entry(key).gate();
        gate.lock_owned().await
    }

    async fn start_or_restore(
        &self,
        record: &SessionRecord,
        spec: StartSpec,
        if_lost: IfLost,
    ) -> Result<(Arc<dyn Session>, Origin), BackendError> {
        let backend = self.backend(&record.backend)?;
        check_dir(&spec.working_dir)?;
        let Some(earlier) = &record.backend_ref else {
            let session = backend.start(spec).await?;
            let origin = Origin::New(session.backend_ref());
            return Ok((session, origin));
        };
        match (backend.restore(earlier, spec.clone()).await, if_lost) {
            (Ok(session), _) => Ok((session, Origin::Restored)),
            // It was not ended by anybody: the person goes on, and is told what is gone.
            (Err(BackendError::Unsupported(_) | BackendError::Unknown), IfLost::StartAfresh) => {
                let session = backend.start(spec).await?;
                let origin = Origin::Afresh(session.backend_ref());
                Ok((session, origin))
            }
            (Err(BackendError::Unsupported(_)), IfLost::GiveUp) => Err(BackendError::Unknown),
            (Err(error), _) => Err(error),
        }
    }

    /// The agent of this name.
    pub(super) fn backend(&self, name: &str) -> Result<&dyn Backend, BackendError> {
        let gone = || BackendError::Transient(format!("the agent `{name}` is not configured any more"));
        self.parts.backends.get(name).map(AsRef::as_ref).ok_or_else(gone)
    }

    /// Notes what runs for a mapping. Returns false when a person has ended the mapping meanwhile.
    pub(super) fn keep_live(&self, record: &SessionRecord, ready: &Ready) -> bool {
        let used = self.parts.clock.now();
        let mut slots = self.slots();
        let Some(active) = slots.active_mut(record) else { return false };
        active.live = Some(Live { session: ready.session.clone(), used, untold: ready.untold });
        if let Some(name) = ready.origin.name() {
            active.record.backend_ref = Some(name.clone());
        }
        true
    }

    /// Writes down what the backend calls a new session: before its first turn, so that a crash does not lose it.
    async fn note_name(&self, session: SessionId, name: BackendRef) {
        if let Err(error) = self.parts.store.name_session(session, name).await {
            tracing::warn!(session.id = %session, %error, "A session's name was not noted; after a restart it begins anew");
        }
    }

    /// Releases what runs for a mapping, which stays. Whoever wants it meanwhile waits.
    pub(super) async fn let_go(&self, record: &SessionRecord) {
        let _one_at_a_time = self.gate(&record.conversation).await;
        let live = self.slots().active_mut(record).and_then(|active| active.live.take());
        if let Some(Live { session, .. }) = live {
            self.release(&record.conversation, &session, CLEAN_UP).await;
        }
    }
}

fn check_dir(dir: &Path) -> Result<(), BackendError> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(BackendError::Rejected(format!("its working directory {} does not exist", dir.display())))
}
