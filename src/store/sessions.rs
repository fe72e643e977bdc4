//! The mappings between conversations and sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::{Store, StoreError, outbox, waiting};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, SessionId, TeamId, UserId};
use crate::domain::ports::Limit;
use crate::domain::session::{BackendRef, SessionRecord, SessionStatus};

const COLUMNS: &str = "id, team, channel, thread, backend, backend_ref, working_dir, description, creator, created_ms, \
                       last_active_ms, options, status";

/// The sessions of a person that count for a limit: those that were used lately, and those that work.
const COUNTED: &str = "SELECT count(*) FROM session WHERE creator = ?1 AND status = 'active' AND (last_active_ms >= ?2 \
                       OR EXISTS (SELECT 1 FROM turn WHERE turn.session = session.id AND outcome IS NULL))";

/// Which active sessions are asked for; every condition that is there must hold.
#[derive(Debug, Clone)]
pub struct SessionFilter {
    /// Who started them.
    pub creator: Option<UserId>,
    /// The workspace in which they answer.
    pub team: Option<TeamId>,
    /// The channel in which they answer.
    pub channel: Option<ChannelId>,
    /// How many at the most.
    pub limit: usize,
}

impl Default for SessionFilter {
    /// All of them, as many as a list may show.
    fn default() -> Self {
        Self { creator: None, team: None, channel: None, limit: 50 }
    }
}

/// What became of a session that was to answer elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It answers there from now on.
    Moved,
    /// It has ended, or never was.
    Ended,
    /// Another one answers there.
    Occupied,
}

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

    /// When the message was said with which a conversation's session began, in microseconds of Slack's time; nothing where a command began
    /// it, or it is not known any more.
    pub async fn followed_since(&self, conversation: ConversationKey) -> Result<Option<i64>, StoreError> {
        self.read(move |connection| {
            // The turn that was written along with its session.
            let sql = "SELECT min(said_us) FROM session JOIN turn ON turn.session = session.id JOIN inbox ON inbox.seq = turn.seq \
                       WHERE session.team = ?1 AND session.channel = ?2 AND session.thread = ?3 AND status = 'active' \
                       AND started_ms <= created_ms + 1000";
            let key = [conversation.team.as_str(), conversation.channel.as_str(), conversation.thread.as_str()];
            connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))
        })
        .await
    }

    /// A mapping, active or ended.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM session WHERE id = ?1");
            connection.prepare_cached(&sql)?.query_row([id.to_string()], record).optional()
        })
        .await
    }

    /// The active mappings that a filter asks for, the last used first.
    pub async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRecord>, StoreError> {
        self.read(move |connection| {
            let SessionFilter { creator, team, channel, limit } = &filter;
            let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
            let conditions = [
                (" AND creator = ?", creator.as_ref().map(UserId::as_str)),
                (" AND team = ?", team.as_ref().map(TeamId::as_str)),
                (" AND channel = ?", channel.as_ref().map(ChannelId::as_str)),
            ];
            let given = || conditions.iter().filter_map(|(condition, value)| value.map(|value| (*condition, value)));
            let conditions: String = given().map(|(condition, _)| condition).collect();
            let sql = format!(
                "SELECT {COLUMNS} FROM session WHERE status = 'active'{conditions} \
                 ORDER BY last_active_ms DESC, id LIMIT {limit}"
            );
            let values = rusqlite::params_from_iter(given().map(|(_, value)| value));
            connection.prepare_cached(&sql)?.query_map(values, record)?.collect()
        })
        .await
    }

    /// The mappings, active and ended, whose id begins with what a person typed: the active ones and the last used first.
    pub async fn session_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<SessionRecord>, StoreError> {
        // As it is written, so that nothing that is typed means something to LIKE.
        let prefix: String = prefix.trim().to_ascii_lowercase().split('-').collect();
        if prefix.is_empty() || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM session WHERE id >= ?1 AND id < ?1 || 'g' \
                 ORDER BY status, last_active_ms DESC, id LIMIT ?2"
            );
            let range = params![prefix, i64::try_from(limit).unwrap_or(i64::MAX)];
            connection.prepare_cached(&sql)?.query_map(range, record)?.collect()
        })
        .await
    }

    /// The mapping, active or ended, of what a backend calls `backend_ref`; of several the active one, or the last used.
    pub async fn session_by_ref(
        &self,
        backend: &str,
        backend_ref: &BackendRef,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let (backend, backend_ref) = (backend.to_owned(), backend_ref.clone());
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM session WHERE backend = ?1 AND backend_ref = ?2 \
                 ORDER BY status, last_active_ms DESC LIMIT 1"
            );
            connection.prepare_cached(&sql)?.query_row(params![backend, backend_ref.0], record).optional()
        })
        .await
    }

    /// The conversations of active mappings that are whole channels, not threads.
    pub async fn channel_wide(&self) -> Result<Vec<ConversationKey>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT team, channel, thread FROM session WHERE status = 'active' AND thread = ''";
            connection.prepare_cached(sql)?.query_map([], |row| outbox::conversation(row, 0))?.collect()
        })
        .await
    }

    /// How many mappings are active.
    pub async fn active_sessions(&self) -> Result<u32, StoreError> {
        self.read(|connection| {
            let sql = "SELECT count(*) FROM session WHERE status = 'active'";
            connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
        })
        .await
    }

    /// Writes a new mapping, unless its creator has as many as `limit` allows. Returns whether it is written.
    pub async fn create_session(&self, record: SessionRecord, limit: Option<Limit>) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if is_over_limit(connection, &record.creator, limit)? {
                return Ok(false);
            }
            insert(connection, &record).map(|()| true)
        })
        .await
    }

    /// Lets an active session answer in another conversation from now on, and in its old one no more.
    pub async fn move_session(&self, id: SessionId, to: ConversationKey) -> Result<Moved, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE session SET team = ?2, channel = ?3, thread = ?4 WHERE id = ?1 AND status = 'active'";
            let place = params![id.to_string(), to.team.as_str(), to.channel.as_str(), to.thread.as_str()];
            match connection.prepare_cached(sql)?.execute(place) {
                Ok(0) => Ok(Moved::Ended),
                Ok(_) => Ok(Moved::Moved),
                // There is at most one for each conversation.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(Moved::Occupied),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Notes what people have chosen among the agent's own options; what was chosen of others stays.
    pub async fn set_options(&self, id: SessionId, options: BTreeMap<String, String>) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE session SET options = json_patch(options, ?2) WHERE id = ?1")?
                .execute(params![id.to_string(), to_json(&options)?])
                .map(drop)
        })
        .await
    }

    /// Notes that a session was used.
    pub async fn touch(&self, id: SessionId, now_ms: i64) -> Result<(), StoreError> {
        self.write(move |connection| touch(connection, id, now_ms)).await
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

    /// Ends a mapping for good, wherever it answers now, and with it what waits there before the event `before`. Returns where that is
    /// and how many messages waited; nothing when it has ended before, or never was.
    pub async fn end_session(
        &self,
        id: SessionId,
        before: i64,
        now_ms: i64,
    ) -> Result<Option<(ConversationKey, usize)>, StoreError> {
        self.write(move |connection| {
            let Some(key) = place(connection, id)? else { return Ok(None) };
            end(connection, id, now_ms)?;
            let waiting = waiting::drop_waiting(connection, &key, before)?;
            Ok(Some((key, waiting)))
        })
        .await
    }
}

/// Where a session answers, if it is active.
pub(super) fn place(connection: &Connection, id: SessionId) -> rusqlite::Result<Option<ConversationKey>> {
    let sql = "SELECT team, channel, thread FROM session WHERE id = ?1 AND status = 'active'";
    let row = |row: &Row<'_>| outbox::conversation(row, 0);
    connection.prepare_cached(sql)?.query_row([id.to_string()], row).optional()
}

/// Whether a session is active and answers in a conversation.
pub(super) fn answers_in(connection: &Connection, id: SessionId, key: &ConversationKey) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM session \
               WHERE id = ?1 AND status = 'active' AND team = ?2 AND channel = ?3 AND thread = ?4";
    let place = params![id.to_string(), key.team.as_str(), key.channel.as_str(), key.thread.as_str()];
    connection.prepare_cached(sql)?.exists(place)
}

pub(super) fn insert(connection: &Connection, record: &SessionRecord) -> rusqlite::Result<()> {
    let sql =
        format!("INSERT INTO session ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'active')");
    connection
        .prepare_cached(&sql)?
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
            to_json(&record.options)?,
        ])
        .map(drop)
}

/// Whether a person has as many sessions as one may have.
pub(super) fn is_over_limit(connection: &Connection, creator: &UserId, limit: Option<Limit>) -> rusqlite::Result<bool> {
    let Some(Limit { max, since_ms }) = limit else { return Ok(false) };
    let used = params![creator.as_str(), since_ms];
    let count: u32 = connection.prepare_cached(COUNTED)?.query_row(used, |row| row.get(0))?;
    Ok(count >= max)
}

pub(super) fn end(connection: &Connection, id: SessionId, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE session SET status = 'ended', ended_ms = ?2 WHERE id = ?1 AND status = 'active'")?
        .execute(params![id.to_string(), now_ms])
        .map(drop)
}

pub(super) fn touch(connection: &Connection, id: SessionId, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE session SET last_active_ms = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), now_ms])
        .map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    let text = |column: usize| row.get::<_, String>(column);
    let id = SessionId::parse(&text(0)?).ok_or_else(|| outbox::unreadable(0, "not a session id"))?;
    let status = if text(12)? == "active" { SessionStatus::Active } else { SessionStatus::Ended };
    Ok(SessionRecord {
        id,
        conversation: outbox::conversation(row, 1)?,
        backend: text(4)?,
        backend_ref: row.get::<_, Option<String>>(5)?.map(BackendRef),
        working_dir: PathBuf::from(text(6)?),
        description: text(7)?,
        creator: text(8)?.into(),
        created_ms: row.get(9)?,
        last_active_ms: row.get(10)?,
        options: options(&text(11)?),
        status,
    })
}

/// What can't be read is left to the agent's own choice: a session is worth more than its options.
fn options(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

fn to_json(options: &BTreeMap<String, String>) -> rusqlite::Result<String> {
    serde_json::to_string(options).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

#[cfg(test)]
mod tests;
