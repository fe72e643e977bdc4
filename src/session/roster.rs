//! The sessions as an operator and a page see them: lists, and what can be done to one from outside its conversation.

use crate::backend::error::{BackendError, Kind};
use crate::domain::access::Admitted;
use crate::domain::command::NewArgs;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::ports::Line;
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::store::{SessionFilter, StoreError};

use super::live::IfLost;
use super::manager::{Inner, Manager};
use super::policy::StartRefused;
use super::slots::{Active, Mapping};
use super::words;

/// A session and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The mapping.
    pub record: SessionRecord,
    /// What it does.
    pub doing: Doing,
    /// How many messages wait for it.
    pub waiting: usize,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It has ended for good.
    Ended,
    /// Nothing runs for it; the next message brings it up.
    Asleep,
    /// Its agent runs and waits.
    Idle,
    /// A turn runs.
    Working,
}

/// Why a session was not brought up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such session.
    #[error("there is no such session")]
    NotFound,
    /// The conversation has a session already.
    #[error("this conversation has a session already")]
    Occupied,
    /// What was asked for is not allowed or does not exist.
    #[error(transparent)]
    Refused(#[from] StartRefused),
    /// Its creator has as many as one person may have.
    #[error("{0}")]
    TooMany(String),
    /// Its backend did not bring it up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Whether the session is gone for good.
    pub fn is_session_ended(&self) -> bool {
        matches!(self, Self::Backend(error) if error.kind() == Kind::Permanent)
    }
}

impl Manager {
    /// The active sessions, last used first.
    pub async fn sessions(&self, filter: SessionFilter) -> Result<Vec<Overview>, StoreError> {
        let mut all = Vec::new();
        for record in self.0.parts.store.sessions(filter).await? {
            all.push(self.0.overview(record).await?);
        }
        Ok(all)
    }

    /// The sessions, ended ones too, whose id begins like this; at most `limit`.
    pub async fn sessions_named(&self, prefix: &str, limit: usize) -> Result<Vec<Overview>, StoreError> {
        let mut all = Vec::new();
        for record in self.0.parts.store.session_by_prefix(prefix, limit).await? {
            all.push(self.0.overview(record).await?);
        }
        Ok(all)
    }

    /// How many mappings are active, whether or not something runs for them.
    pub async fn count(&self) -> Result<u32, StoreError> {
        self.0.parts.store.active_sessions().await
    }

    /// Ends a session for good and tells its conversation. Returns how many waiting messages ended with it; nothing when there is no
    /// such session. Ending one that has ended is fine.
    pub async fn end(&self, id: SessionId) -> Result<Option<usize>, StoreError> {
        let Some(record) = self.0.parts.store.session(id).await? else { return Ok(None) };
        if record.status == SessionStatus::Ended {
            return Ok(Some(0));
        }
        let waiting = self.0.end_for_good(&record, i64::MAX).await?;
        let told = self.0.say(&record.conversation, None, &words::ended(waiting));
        let _nobody_waits = self.0.owe(told).await?;
        Ok(Some(waiting))
    }

    /// Starts a session in a conversation that has none, and brings it up. One that does not come up leaves nothing behind.
    ///
    /// # Errors
    /// [`OpenError`] says why there is none.
    pub async fn open(
        &self,
        key: &ConversationKey,
        asked: &NewArgs,
        by: &Admitted,
    ) -> Result<SessionRecord, OpenError> {
        let inner = &self.0;
        inner.ensure_open()?;
        if inner.parts.store.session_in(key).await?.is_some() {
            return Err(OpenError::Occupied);
        }
        let start = inner.parts.policy.start(&key.channel, asked.agent.as_deref(), asked.dir.as_deref())?;
        let record = inner.new_record(key, &start, by.user(), &asked.text);
        if !inner.parts.store.create_session(record.clone(), inner.limit()).await? {
            return Err(OpenError::TooMany(inner.too_many_sessions()));
        }
        inner.slots().entry(key).mapping = Mapping::Active(Box::new(Active { record: record.clone(), live: None }));
        match inner.ready(&record, IfLost::StartAfresh).await {
            Ok(_ready) => Ok(record),
            Err(error) => {
                inner.end_for_good(&record, i64::MAX).await?;
                Err(error.into())
            }
        }
    }

    /// Brings an active session up, so that the next message does not have to wait for that.
    ///
    /// # Errors
    /// [`OpenError`] says why it is not up. One that its backend calls ended, or does not know, has ended then.
    pub async fn resume(&self, id: SessionId) -> Result<SessionRecord, OpenError> {
        let inner = &self.0;
        inner.ensure_open()?;
        let record = inner.parts.store.session(id).await?.ok_or(OpenError::NotFound)?;
        if record.status == SessionStatus::Ended {
            return Err(BackendError::Ended.into());
        }
        inner.remember(&record);
        match inner.ready(&record, IfLost::StartAfresh).await {
            Ok(ready) => {
                if ready.origin.is_context_lost() {
                    inner.slots().leave_untold(&record);
                }
                Ok(record)
            }
            Err(error) if error.kind() == Kind::Permanent => {
                inner.end_for_good(&record, i64::MAX).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Inner {
    fn ensure_open(&self) -> Result<(), BackendError> {
        if self.slots().draining { Err(BackendError::ShuttingDown) } else { Ok(()) }
    }

    /// Notes a mapping that was just read, where none is known yet.
    pub(super) fn remember(&self, record: &SessionRecord) {
        let mut slots = self.slots();
        let slot = slots.entry(&record.conversation);
        if slot.is_mapped().is_none() {
            slot.mapping = Mapping::Active(Box::new(Active { record: record.clone(), live: None }));
        }
    }

    /// How a session stands.
    pub(super) async fn overview(&self, record: SessionRecord) -> Result<Overview, StoreError> {
        let waiting = self.parts.store.waiting(&record.conversation, Line::Turn).await?;
        let doing = self.doing(&record);
        let waiting = if doing == Doing::Ended { 0 } else { waiting };
        Ok(Overview { record, doing, waiting })
    }

    fn doing(&self, record: &SessionRecord) -> Doing {
        if record.status == SessionStatus::Ended {
            return Doing::Ended;
        }
        let slots = self.slots();
        let slot = slots
            .get(&record.conversation)
            .filter(|slot| slot.active().is_some_and(|active| active.record.id == record.id));
        match slot {
            Some(slot) if slot.turn.is_some() => Doing::Working,
            Some(slot) if slot.active().is_some_and(|active| active.live.is_some()) => Doing::Idle,
            _ => Doing::Asleep,
        }
    }
}
