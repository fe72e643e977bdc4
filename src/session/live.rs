//! From a mapping to a session that can be prompted: the one that runs, or one that is brought back, or a new one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::backend::error::{BackendError, Phase};
use crate::backend::{Backend, Session, StartSpec};
use crate::domain::ids::SessionId;
use crate::domain::session::{BackendRef, SessionRecord};

use super::manager::Inner;
use super::slots::Live;

/// How long a backend may take to clean up after a start that took too long.
const START_GRACE: Duration = Duration::from_secs(5);
/// How long what is left of a session may take to go.
const RELEASE: Duration = Duration::from_secs(8);

/// A session ready for a prompt.
pub(super) struct Ready {
    pub(super) session: Arc<dyn Session>,
    pub(super) origin: Origin,
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
    pub(super) fn is_context_lost(&self) -> bool {
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
    /// A live session for the mapping. Whoever else wants it meanwhile waits, and gets the same.
    pub(super) async fn ready(
        self: &Arc<Self>,
        record: &SessionRecord,
        if_lost: IfLost,
    ) -> Result<Ready, BackendError> {
        let _one_at_a_time = self.gate(record).await;
        let active = self.slots().active_mut(record).cloned().ok_or(BackendError::Ended)?;
        if let Some(live) = active.live.filter(|live| live.session.is_alive()) {
            let untold = self.slots().take_untold(&active.record);
            let origin = if untold { Origin::Afresh(live.session.backend_ref()) } else { Origin::Running };
            return Ok(Ready { session: live.session, origin });
        }
        let record = active.record;
        let timeout = self.parts.policy.create_timeout(&record.backend);
        let deadline = self.parts.clock.now() + timeout;
        let spec = StartSpec { session: record.id, working_dir: record.working_dir.clone(), deadline };
        // Backends keep to the deadline themselves, and then see to it that nothing is left.
        let patience = deadline + START_GRACE;
        let ready = self.parts.clock.timeout_at(patience, self.start_or_restore(&record, spec, if_lost)).await;
        let ready = ready.map_err(|_late| BackendError::Timeout { phase: Phase::Create, after: timeout })??;
        if !self.keep_live(&record, &ready) {
            self.end_live(record.conversation.clone(), ready.session);
            return Err(BackendError::Ended);
        }
        if let Some(name) = ready.origin.name() {
            self.note_name(record.id, name.clone()).await;
        }
        self.choose_again(&record, ready.session.as_ref()).await;
        Ok(ready)
    }

    async fn gate(&self, record: &SessionRecord) -> OwnedMutexGuard<()> {
        let gate = self.slots().entry(&record.conversation).gate();
        gate.lock_owned().await
    }

    async fn start_or_restore(
        &self,
        record: &SessionRecord,
        spec: StartSpec,
        if_lost: IfLost,
    ) -> Result<Ready, BackendError> {
        let backend = self.backend(&record.backend)?;
        check_dir(&spec.working_dir)?;
        let Some(earlier) = &record.backend_ref else {
            let session = backend.start(spec).await?;
            return Ok(Ready { origin: Origin::New(session.backend_ref()), session });
        };
        match (backend.restore(earlier, spec.clone()).await, if_lost) {
            (Ok(session), _) => Ok(Ready { session, origin: Origin::Restored }),
            // It was not ended by anybody: the person goes on, and is told what is gone.
            (Err(BackendError::Unsupported(_) | BackendError::Unknown), IfLost::StartAfresh) => {
                let session = backend.start(spec).await?;
                Ok(Ready { origin: Origin::Afresh(session.backend_ref()), session })
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
    fn keep_live(&self, record: &SessionRecord, ready: &Ready) -> bool {
        let used = self.parts.clock.now();
        let mut slots = self.slots();
        let Some(active) = slots.active_mut(record) else { return false };
        active.live = Some(Live { session: ready.session.clone(), used, untold: false });
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
        let _one_at_a_time = self.gate(record).await;
        let live = self.slots().active_mut(record).and_then(|active| active.live.take());
        if let Some(Live { session, .. }) = live {
            let deadline = self.parts.clock.now() + RELEASE;
            self.see_off(&record.conversation, deadline, session.release(deadline)).await;
        }
    }
}

fn check_dir(dir: &Path) -> Result<(), BackendError> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(BackendError::Rejected(format!("its working directory {} does not exist", dir.display())))
}
