//! Forgets what is old, a batch at a time, so that no acknowledgement waits behind it.

use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};

/// How long the keys of handled events are kept, and everything else that is over, but for the audit.
const KEEP: Duration = Duration::from_hours(168);

/// How many rows one commit removes at the most.
const BATCH: usize = 1_000;

/// What is removed: how the keys of rows from before a moment are found, at most so many, and how one of them is removed. Sessions come
/// after turns, for they stay as long as one of their turns does.
const OLD: &[(&str, &str)] = &[
    ("SELECT key FROM dedup WHERE seen_ms < ?1 LIMIT ?2", "DELETE FROM dedup WHERE key = ?1"),
    (
        // What has an open turn is not over.
        "SELECT seq FROM inbox WHERE received_ms < ?1 AND state IN ('done', 'refused', 'dead', 'interrupted', 'offered', 'expired') \
         AND seq NOT IN (SELECT seq FROM turn WHERE outcome IS NULL) LIMIT ?2",
        "DELETE FROM inbox WHERE seq = ?1 AND state NOT IN ('queued', 'running')",
    ),
    ("SELECT id FROM turn WHERE ended_ms < ?1 LIMIT ?2", "DELETE FROM turn WHERE id = ?1"),
    (
        "SELECT pos FROM outbox WHERE created_ms < ?1 AND state <> 'pending' LIMIT ?2",
        "DELETE FROM outbox WHERE pos = ?1 AND state <> 'pending'",
    ),
    ("SELECT id FROM approval WHERE row NOT IN (SELECT id FROM outbox) LIMIT ?2", "DELETE FROM approval WHERE id = ?1"),
    (
        "SELECT pos FROM chat_message WHERE created_ms < ?1 AND conversation NOT IN \
         (SELECT thread FROM session WHERE status = 'active' OR ended_ms >= ?1) LIMIT ?2",
        "DELETE FROM chat_message WHERE pos = ?1",
    ),
    // Ninety days: 83 more than everything else.
    ("SELECT id FROM audit WHERE at_ms < ?1 - 83 * 86400000 LIMIT ?2", "DELETE FROM audit WHERE id = ?1"),
    (
        // Whose session it was, and that it has ended, is kept for good where an agent may still know it.
        "SELECT id FROM session WHERE coalesce(ended_ms, last_active_ms) < ?1 AND status = 'ended' AND backend_ref IS NULL \
         AND id NOT IN (SELECT session FROM turn) LIMIT ?2",
        "DELETE FROM session WHERE id = ?1",
    ),
];

impl Store {
    /// When the newest message came, in milliseconds since the Unix epoch; nothing when there is none.
    pub async fn newest_message_ms(&self) -> Result<Option<i64>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT received_ms FROM inbox ORDER BY seq DESC LIMIT 1";
            connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
        })
        .await
    }

    /// Removes what has been over for a week, in as many commits as that takes.
    pub async fn purge(&self, now_ms: i64) -> Result<(), StoreError> {
        for (find, remove) in OLD {
            loop {
                // It can be found beside the writer: what somebody wants tried again meanwhile is not removed.
                let keys = self.read(move |connection| keys(connection, find, now_ms)).await?;
                if keys.is_empty() {
                    break;
                }
                self.write(move |connection| forget(connection, remove, keys)).await?;
            }
        }
        Ok(())
    }
}

fn keys(connection: &Connection, find: &str, now_ms: i64) -> rusqlite::Result<Vec<Value>> {
    let before = now_ms - i64::try_from(KEEP.as_millis()).unwrap_or(i64::MAX);
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    connection.prepare_cached(find)?.query_map(params![before, limit], |row| row.get(0))?.collect()
}

fn forget(connection: &Connection, remove: &str, keys: Vec<Value>) -> rusqlite::Result<()> {
    let mut remove = connection.prepare_cached(remove)?;
    keys.into_iter().try_for_each(|key| remove.execute([key]).map(drop))
}

#[cfg(test)]
mod tests;
