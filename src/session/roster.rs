//! The sessions as an operator and a page see them: lists, and what can be done to one from outside its conversation.

use std::sync::Arc;

use crate::backend::error::{BackendError, Kind};
use crate::domain::access::Admitted;
use crate::domain::command::NewArgs;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::ports::Line;
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::store::{SessionFilter, StoreError};

use super::live::{IfLost, NotReady};
use super::manager::{Inner, Manager};
use super::policy::StartRefused;
use super::slots::Mapping;
use super::words;

/// How often a session is looked for that moves meanwhile.
const RESUMES: usize = 3;

/// A session and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The mapping.
    pub record: SessionRecord,
    /// What it does.
    pub doing: Doing,
    /// How many messages wait for it.
    pub waiting: usize,
    /// The command by which its agent can be watched, and typed to, on the machine where it runs.
    pub attach: Option<String>,
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

impl Doing {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Asleep => "asleep",
            Self::Idle => "idle",
            Self::Working => "working",
        }
    }
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
        self.0.overviews(self.0.parts.store.sessions(filter).await?).await
    }

    /// The sessions, ended ones too, whose id begins like this; at most `limit`.
    pub async fn sessions_named(&self, prefix: &str, limit: usize) -> Result<Vec<Overview>, StoreError> {
        self.0.overviews(self.0.parts.store.session_by_prefix(prefix, limit).await?).await
    }

    /// How many mappings are active, whether or not something runs for them.
    pub async fn count(&self) -> Result<u32, StoreError> {
        self.0.parts.store.active_sessions().await
    }

    /// Ends a session for good and tells its conversation. Returns how many waiting messages ended with it; nothing when there is no
    /// such session. Ending one that has ended is fine. It comes to its end even when nobody waits for that any more.
    pub async fn end(&self, id: SessionId) -> Result<Option<usize>, StoreError> {
        let inner = self.0.clone();
        self.0
            .parts
            .scope
            .to_its_end("roster", async move { inner.end_and_tell(id).await })
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    /// Starts a session in a conversation that has none, and brings it up. One that does not come up leaves nothing behind, also when
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// [`OpenError`] says why there is none.
    pub async fn open(
        &self,
        key: &ConversationKey,
        asked: &NewArgs,
        by: &Admitted,
    ) -> Result<SessionRecord, OpenError> {
        let (inner, key, asked, by) = (self.0.clone(), key.clone(), asked.clone(), by.clone());
        let opened = self.0.parts.scope.to_its_end("roster", async move { inner.open(&key, &asked, &by).await }).await;
        opened.unwrap_or(Err(OpenError::Backend(BackendError::ShuttingDown)))
    }

    /// Brings an active session up, so that the next message does not have to wait for that.
    ///
    /// # Errors
    /// [`OpenError`] says why it is not up. One that its backend calls ended, or does not know, has ended then.
    pub async fn resume(&self, id: SessionId) -> Result<SessionRecord, OpenError> {
        let inner = self.0.clone();
        let resumed = self.0.parts.scope.to_its_end("roster", async move { inner.resume(id).await }).await;
        resumed.unwrap_or(Err(OpenError::Backend(BackendError::ShuttingDown)))
    }
}

impl Inner {
    async fn end_and_tell(self: &Arc<Self>, id: SessionId) -> Result<Option<usize>, StoreError> {
        if self.parts.store.session(id).await?.is_none() {
            return Ok(None);
        }
        let Some((key, waiting)) = self.end_for_good(id, i64::MAX).await? else { return Ok(Some(0)) };
        let _nobody_waits = self.owe(self.say(&key, None, &words::ended(waiting))).await?;
        Ok(Some(waiting))
    }

    async fn open(
        self: &Arc<Self>,
        key: &ConversationKey,
        asked: &NewArgs,
        by: &Admitted,
    ) -> Result<SessionRecord, OpenError> {
        self.ensure_open()?;
        if self.parts.store.session_in(key).await?.is_some() {
            return Err(OpenError::Occupied);
        }
        let start = self.parts.policy.start(&key.channel, asked.agent.as_deref(), asked.dir.as_deref())?;
        let record = self.new_record(key, &start, by.user(), &asked.text);
        if !self.parts.store.create_session(record.clone(), self.limit()).await? {
            return Err(OpenError::TooMany(self.too_many_sessions()));
        }
        self.slots().entry(key).mapping = Mapping::asleep(record.clone());
        match self.ready(&record, IfLost::StartAfresh).await {
            Ok(_ready) => Ok(record),
            Err(error) => {
                self.end_for_good(record.id, i64::MAX).await?;
                Err(BackendError::from(error).into())
            }
        }
    }

    async fn resume(self: &Arc<Self>, id: SessionId) -> Result<SessionRecord, OpenError> {
        self.ensure_open()?;
        for _ in 0..RESUMES {
            let record = self.parts.store.session(id).await?.ok_or(OpenError::NotFound)?;
            if record.status == SessionStatus::Ended {
                return Err(BackendError::Ended.into());
            }
            self.remember(&record);
            let error = match self.ready(&record, IfLost::StartAfresh).await {
                Ok(_ready) => return Ok(record),
                // It has moved, or ended, meanwhile.
                Err(NotReady::Elsewhere) => continue,
                Err(NotReady::Failed(error)) => error,
            };
            if error.kind() == Kind::Permanent && self.end_for_good(id, i64::MAX).await?.is_some() {
                let told = self.say(&record.conversation, None, &words::failed(&error));
                let _nobody_waits = self.owe(told).await?;
            }
            return Err(error.into());
        }
        Err(BackendError::Transient("the session is being moved".to_owned()).into())
    }

    fn ensure_open(&self) -> Result<(), BackendError> {
        if self.slots().draining { Err(BackendError::ShuttingDown) } else { Ok(()) }
    }

    /// Notes a mapping that was just read, where none is known yet.
    pub(super) fn remember(&self, record: &SessionRecord) {
        let mut slots = self.slots();
        let slot = slots.entry(&record.conversation);
        if slot.is_mapped().is_none() {
            slot.mapping = Mapping::asleep(record.clone());
        }
    }

    /// How sessions stand.
    pub(super) async fn overviews(&self, records: Vec<SessionRecord>) -> Result<Vec<Overview>, StoreError> {
        let mut overviews = Vec::new();
        for record in records {
            overviews.push(self.overview(record).await?);
        }
        Ok(overviews)
    }

    /// How a session stands.
    pub(super) async fn overview(&self, record: SessionRecord) -> Result<Overview, StoreError> {
        if record.status == SessionStatus::Ended {
            return Ok(Overview { record, doing: Doing::Ended, waiting: 0, attach: None });
        }
        let waiting = self.parts.store.waiting(&record.conversation, Line::Turn).await?;
        Ok(Overview { doing: self.doing(&record), attach: self.attach(&record), record, waiting })
    }

    /// What a session does that has not ended.
    fn doing(&self, record: &SessionRecord) -> Doing {
        let slots = self.slots();
        match slots.of(record) {
            Some(slot) if slot.turn.is_some() => Doing::Working,
            Some(slot) if slot.active().is_some_and(|active| active.live.is_some()) => Doing::Idle,
            _ => Doing::Asleep,
        }
    }

    fn attach(&self, record: &SessionRecord) -> Option<String> {
        self.slots().of(record)?.active()?.live.as_ref()?.session.attach()
    }

    /// The turn that runs in a session.
    pub(super) fn turn_of(&self, record: &SessionRecord) -> Option<TurnId> {
        self.slots().of(record)?.turn.as_ref().map(|running| running.turn)
    }
}
