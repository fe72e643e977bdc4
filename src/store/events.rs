//! The inbox's rows: what people did, stored before it is acknowledged.

use rusqlite::{Connection, Row, params};

use super::{Slot, Store, StoreError, sessions, turns};
use crate::domain::conversation::ConversationKey;
use crate::domain::inbound::Inbound;
use crate::domain::ports::{Intent, Keep};

/// An inbound and the conditions under which it is stored.
#[derive(Debug, Clone)]
pub struct Accept {
    /// What was done.
    pub inbound: Inbound,
    /// When, and with which intent.
    pub keep: Keep,
    /// How many may wait in one conversation before a further one is refused.
    pub queue_limit: usize,
    /// When it came, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Stored, under this number.
    Stored(i64),
    /// Stored as refused: too many wait in its conversation.
    Refused(i64),
    /// One of its keys is known.
    Duplicate,
    /// Its conversation has no active mapping, which was the condition.
    NotFollowed,
}

/// An inbound that waits in the store.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its number.
    pub seq: i64,
    /// What was done.
    pub inbound: Inbound,
}

impl Store {
    /// Stores an inbound in the next group; `then` hears what became of it once that is on disk.
    pub fn accept<D>(slot: Slot, accept: Accept, then: D)
    where
        D: FnOnce(Accept, Result<Accepted, StoreError>) + Send + 'static,
    {
        let body = serde_json::to_string(&accept.inbound).unwrap_or_default();
        let shared = std::sync::Arc::new(accept);
        let job = shared.clone();
        Self::write_in(
            slot,
            move |connection| accept_in(connection, &job, &body),
            move |outcome| then(std::sync::Arc::unwrap_or_clone(shared), outcome),
        );
    }

    /// Marks an inbound as handled and empties its body.
    pub async fn done(&self, seq: i64) -> Result<(), StoreError> {
        self.write(move |connection| finish_event(connection, seq)).await
    }

    /// Puts back what was being handled when the process ended and had started no turn. For start-up. Returns the newest number.
    pub async fn requeue(&self) -> Result<i64, StoreError> {
        self.write(|connection| {
            connection.execute(
                "UPDATE inbox SET state = 'queued' WHERE state = 'running' AND seq NOT IN (SELECT seq FROM turn WHERE outcome IS NULL)",
                [],
            )?;
            connection.query_row("SELECT coalesce(max(seq), 0) FROM inbox", [], |row| row.get(0))
        })
        .await
    }

    /// The inbounds that wait, after number `after`, at most `limit` of them.
    pub async fn queued(&self, after: i64, limit: usize) -> Result<Vec<Queued>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT seq, body FROM inbox WHERE state = 'queued' AND seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            query.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], queued_row)?.collect()
        })
        .await
    }
}

fn accept_in(connection: &Connection, accept: &Accept, body: &str) -> rusqlite::Result<Accepted> {
    let conversation = accept.inbound.conversation();
    if accept.keep.only_if_followed && !is_followed(connection, conversation.as_ref())? {
        return Ok(Accepted::NotFollowed);
    }
    if !insert_keys(connection, &accept.inbound.keys, accept.now_ms)? {
        return Ok(Accepted::Duplicate);
    }
    if accept.keep.at_once || accept.keep.intent.is_some() {
        let seq = insert_event(connection, conversation.as_ref(), "running", Some(body), accept.now_ms)?;
        if let Some(intent) = &accept.keep.intent {
            begin(connection, intent, seq, accept.now_ms)?;
        }
        return Ok(Accepted::Stored(seq));
    }
    if waiting(connection, conversation.as_ref())? >= accept.queue_limit {
        return insert_event(connection, conversation.as_ref(), "refused", None, accept.now_ms).map(Accepted::Refused);
    }
    insert_event(connection, conversation.as_ref(), "queued", Some(body), accept.now_ms).map(Accepted::Stored)
}

/// Writes a turn's intent, and its session when that is new.
pub(super) fn begin(connection: &Connection, intent: &Intent, seq: i64, now_ms: i64) -> rusqlite::Result<()> {
    if let Some(record) = &intent.new_session {
        sessions::insert(connection, record)?;
    }
    turns::insert(connection, intent, seq, now_ms)
}

/// Marks an event as taken up by a turn.
pub(super) fn start_event(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE inbox SET state = 'running' WHERE seq = ?1")?.execute([seq]).map(drop)
}

pub(super) fn finish_event(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE inbox SET state = 'done', body = NULL WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// Whether all keys were new. A duplicate teaches its other keys, so that a third delivery under any of them is known too.
fn insert_keys(connection: &Connection, keys: &[String], now_ms: i64) -> rusqlite::Result<bool> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO dedup (key, seen_ms) VALUES (?1, ?2)")?;
    let mut all_new = true;
    for key in keys {
        all_new &= insert.execute(params![key, now_ms])? > 0;
    }
    Ok(all_new)
}

fn insert_event(
    connection: &Connection,
    conversation: Option<&ConversationKey>,
    state: &str,
    body: Option<&str>,
    now_ms: i64,
) -> rusqlite::Result<i64> {
    let key = conversation.map(|key| (key.team.as_str(), key.channel.as_str(), key.thread.as_str()));
    connection
        .prepare_cached(
            "INSERT INTO inbox (team, channel, thread, state, body, received_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![key.map(|key| key.0), key.map(|key| key.1), key.map(|key| key.2), state, body, now_ms])?;
    Ok(connection.last_insert_rowid())
}

fn is_followed(connection: &Connection, conversation: Option<&ConversationKey>) -> rusqlite::Result<bool> {
    let Some(key) = conversation else { return Ok(false) };
    connection
        .prepare_cached("SELECT 1 FROM session WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND status = 'active'")?
        .exists(params![key.team.as_str(), key.channel.as_str(), key.thread.as_str()])
}

fn waiting(connection: &Connection, conversation: Option<&ConversationKey>) -> rusqlite::Result<usize> {
    let Some(key) = conversation else { return Ok(0) };
    let sql = "SELECT count(*) FROM inbox WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND state = 'queued'";
    let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str()];
    let count: i64 = connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn queued_row(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let body: String = row.get(1)?;
    let inbound = serde_json::from_str(&body).map_err(|error| super::outbox::unreadable(1, error))?;
    Ok(Queued { seq: row.get(0)?, inbound })
}
