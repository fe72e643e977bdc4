//! The mappings between conversations and sessions.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, events};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::session::{BackendRef, SessionRecord, SessionStatus};

const COLUMNS: &str = "id, team, channel, thread, backend, backend_ref, working_dir, description, creator, created_ms, \
                       last_active_ms, status";

impl Store {
    /// The active mapping of exactly this conversation.
    pub async fn session_in(&self, conversation: &ConversationKey) -> Result<Option<SessionRecord>, StoreError> {
        let key = conversation.clone();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM session WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND status = 'active'"
            );
            let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str()];
            connection.prepare_cached(&sql)?.query_row(key, record).optional()
        })
        .await
    }

    /// Writes a new mapping.
    pub async fn create_session(&self, record: SessionRecord) -> Result<(), StoreError> {
        self.write(move |connection| insert(connection, &record)).await
    }

    /// Notes what the backend calls the session. Nobody waits for this commit; it rides with the next one.
    pub async fn name_session(&self, id: SessionId, backend_ref: BackendRef) -> Result<(), StoreError> {
        let slot = self.slot().await?;
        let change = move |connection: &Connection| {
            connection
                .prepare_cached("UPDATE session SET backend_ref = ?2 WHERE id = ?1")?
                .execute(params![id.to_string(), backend_ref.0])
                .map(drop)
        };
        Self::note_in(slot, change, move |outcome| {
            if let Err(error) = outcome {
                tracing::warn!(session.id = %id, %error, "A session's name was not noted; after a restart it begins anew");
            }
        });
        Ok(())
    }

    /// Ends a mapping for good, and with it what waits in its conversation before the event `before`. Returns how many that were.
    /// Ending one that has ended, or that never was, is fine.
    pub async fn end_session(&self, id: SessionId, key: ConversationKey, before: i64) -> Result<usize, StoreError> {
        self.write(move |connection| {
            end(connection, id)?;
            events::drop_waiting(connection, &key, before)
        })
        .await
    }
}

pub(super) fn insert(connection: &Connection, record: &SessionRecord) -> rusqlite::Result<()> {
    let sql = "INSERT INTO session (id, team, channel, thread, backend, backend_ref, working_dir, description, creator, \
               created_ms, last_active_ms, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'active')";
    connection
        .prepare_cached(sql)?
        .execute(params![
            record.id.to_string(),
            record.conversation.team.as_str(),
            record.conversation.channel.as_str(),
            record.conversation.thread.as_str(),
            record.backend,
            record.backend_ref.as_ref().map(|name| &name.0),
            record.working_dir.to_string_lossy(),
            record.description,
            record.creator.as_str(),
            record.created_ms,
            record.last_active_ms,
        ])
        .map(drop)
}

pub(super) fn end(connection: &Connection, id: SessionId) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE session SET status = 'ended' WHERE id = ?1")?.execute([id.to_string()]).map(drop)
}

pub(super) fn touch(connection: &Connection, id: SessionId, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE session SET last_active_ms = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), now_ms])
        .map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    let text = |column: usize| row.get::<_, String>(column);
    let id = SessionId::parse(&text(0)?).ok_or_else(|| super::outbox::unreadable(0, "not a session id"))?;
    let status = if text(11)? == "active" { SessionStatus::Active } else { SessionStatus::Ended };
    Ok(SessionRecord {
        id,
        conversation: ConversationKey { team: text(1)?.into(), channel: text(2)?.into(), thread: text(3)?.into() },
        backend: text(4)?,
        backend_ref: row.get::<_, Option<String>>(5)?.map(BackendRef),
        working_dir: PathBuf::from(text(6)?),
        description: text(7)?,
        creator: text(8)?.into(),
        created_ms: row.get(9)?,
        last_active_ms: row.get(10)?,
        status,
    })
}
