//! Sessions whose agents run on while no daemon does: they are taken up at the start, so that they can be ended, expire, and be attached to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::backend::error::{BackendError, Kind};
use crate::domain::ids::SessionId;
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::scope::OnCrash;
use crate::store::{SessionFilter, StoreError};

use super::live::{NotReady, Origin, Ready};
use super::manager::Inner;

/// The pause before one that can't be taken up yet is tried again, such as when its backend, or the store, did not answer in time.
const AGAIN: Duration = Duration::from_secs(5);

/// What came of an attempt to take a session up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// There is nothing more to do about it.
    Done,
    /// It may work later.
    Later,
}

impl Inner {
    /// Begins to take up what runs of earlier runs' sessions; nobody waits for it.
    pub(super) async fn take_up_outlived(self: &Arc<Self>) -> Result<(), StoreError> {
        let filter = SessionFilter { limit: usize::MAX, ..SessionFilter::default() };
        let mut outlived = self.parts.store.sessions(filter).await?;
        outlived.retain(|record| self.has_outlived(record));
        if !outlived.is_empty() {
            tracing::info!(sessions = outlived.len(), "Taking up sessions that an earlier run left running");
            let inner = self.clone();
            self.parts.scope.spawn("outlived sessions", OnCrash::Log, async move {
                join_all(outlived.into_iter().map(|record| inner.take_up_until_done(record.id))).await;
            });
        }
        Ok(())
    }

    fn has_outlived(&self, record: &SessionRecord) -> bool {
        let reference = record.backend_ref.as_ref();
        reference.is_some_and(|name| self.backend(&record.backend).is_ok_and(|backend| backend.outlived(name)))
    }

    async fn take_up_until_done(self: &Arc<Self>, id: SessionId) {
        let finish = self.parts.scope.finish();
        while !finish.is_cancelled() && self.take_up_session(id).await == Attempt::Later {
            let _finished = finish.run_until_cancelled(self.parts.clock.sleep(AGAIN)).await;
        }
    }

    /// Takes a session up as its next message would; one that has ended meanwhile is ended on its backend.
    async fn take_up_session(self: &Arc<Self>, id: SessionId) -> Attempt {
        let Ok(record) = self.parts.store.session(id).await else { return Attempt::Later };
        let Some(record) = record else { return Attempt::Done };
        let gate = self.gate(&record.conversation).await;
        let attempt = self.take_up_alone(&record).await;
        drop(gate);
        self.slots().forget_if_empty(&record.conversation);
        attempt
    }

    /// The same, while nobody else brings the conversation's session up.
    async fn take_up_alone(self: &Arc<Self>, record: &SessionRecord) -> Attempt {
        let (Some(name), Ok(backend)) = (&record.backend_ref, self.backend(&record.backend)) else {
            return Attempt::Done;
        };
        if record.status == SessionStatus::Active {
            self.remember(record);
        }
        if self.slots().active_mut(record).is_some_and(|active| active.live.is_some()) {
            return Attempt::Done;
        }
        let stands = match self.confirm(record).await {
            Ok(()) => true,
            Err(NotReady::Elsewhere) if record.status == SessionStatus::Ended => false,
            // It has just ended or moved, or can't be read.
            Err(_) => return Attempt::Later,
        };
        let restore = |spec| async { Ok((backend.restore(name, spec).await?, Origin::Restored)) };
        let (session, origin) = match self.in_time(record, restore).await {
            Ok(restored) => restored,
            Err(BackendError::Unsupported(_)) => return Attempt::Done,
            Err(error) if error.kind() == Kind::Permanent => return Attempt::Done,
            Err(_) => return Attempt::Later,
        };
        let ready = Ready { session, origin, untold: false };
        if !stands || !self.keep_live(record, &ready) {
            self.end_live(record.conversation.clone(), ready.session);
        }
        Attempt::Done
    }
}
