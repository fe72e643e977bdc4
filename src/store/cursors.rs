//! Up to where everything that was said is known to have come, and how far the reading back of the rest has got.
//!
//! Moments are Slack's time, in microseconds since the Unix epoch. Up to *heard* everything was delivered, or has been read back. A
//! cursor is the same for one place, for as long as a reading back lasts.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, outbox};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;

/// Up to it everything is known.
const HEARD: &str = "heard";
/// There as long as the store is what a snapshot held: what was done since then is only known to Slack.
const RESTORED: &str = "restored";

impl Store {
    /// The moment up to which everything that was said is known; `None` before the first one was noted.
    pub async fn heard(&self) -> Result<Option<i64>, StoreError> {
        self.read(|connection| moment(connection, HEARD)).await
    }

    /// Moves that moment forward. Nobody waits for this commit; it rides with the next one.
    pub async fn note_heard(&self, us: i64) -> Result<(), StoreError> {
        let slot = self.slot().await?;
        let change = move |connection: &Connection| move_heard(connection, us);
        Self::note_in(slot, change, |outcome| {
            if let Err(error) = outcome {
                tracing::warn!(%error, "How far Slack was heard is not noted; a restart reads back a little more");
            }
        });
        Ok(())
    }

    /// Whether the store is a snapshot that took the place of a damaged one, and the time since has not been read back yet.
    pub async fn is_restored(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(moment(connection, RESTORED)?.is_some())).await
    }

    /// The places that an unfinished reading back has been through, each with the moment up to which.
    pub async fn cursors(&self) -> Result<HashMap<ConversationKey, i64>, StoreError> {
        self.read(|connection| {
            let row = |row: &Row<'_>| {
                let read_until = Ts::from(row.get::<_, String>(3)?).micros().unwrap_or(0);
                Ok((outbox::conversation(row, 0)?, read_until))
            };
            connection.prepare_cached("SELECT team, channel, thread, ts FROM cursor")?.query_map([], row)?.collect()
        })
        .await
    }

    /// Everything up to a moment has been read back: that ends the reading, and its cursors go.
    pub async fn caught_up(&self, us: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            move_heard(connection, us)?;
            connection.execute("DELETE FROM cursor", [])?;
            connection.execute("DELETE FROM moment WHERE name = ?1", [RESTORED]).map(drop)
        })
        .await
    }
}

/// Notes in a snapshot that it takes the place of what is damaged.
pub(super) fn note_restored(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO moment (name, us) SELECT ?2, us FROM moment WHERE name = ?1";
    connection.execute(sql, params![HEARD, RESTORED]).map(drop)
}

/// The moment since which something is being read back; 0 when there is none.
pub(super) fn since(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(moment(connection, HEARD)?.unwrap_or(0))
}

/// Notes that a place has been read back up to a moment.
pub(super) fn move_cursor(connection: &Connection, place: &ConversationKey, us: i64) -> rusqlite::Result<()> {
    let (team, channel, thread) = (place.team.as_str(), place.channel.as_str(), place.thread.as_str());
    connection
        .prepare_cached("INSERT OR REPLACE INTO cursor (team, channel, thread, ts) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![team, channel, thread, Ts::from_micros(us).as_str()])
        .map(drop)
}

fn moment(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT us FROM moment WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Never back: what was heard stays heard.
fn move_heard(connection: &Connection, us: i64) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO moment (name, us) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET us = max(us, excluded.us)";
    connection.prepare_cached(sql)?.execute(params![HEARD, us]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_heard_only_moves_forward() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.heard().await.unwrap(), None);
        for (us, heard) in [(5, 5), (9, 9), (7, 9)] {
            store.note_heard(us).await.unwrap();
            store.probe().await.unwrap();
            assert_eq!(store.heard().await.unwrap(), Some(heard));
        }
        store.caught_up(12).await.unwrap();
        assert_eq!(store.heard().await.unwrap(), Some(12));
    }

    #[tokio::test]
    async fn cursors_last_as_long_as_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let place = ConversationKey::channel_wide("T".into(), "C".into());
        let moved = place.clone();
        store.note_heard(3).await.unwrap();
        store.write(note_restored).await.unwrap();
        store.write(move |connection| move_cursor(connection, &moved, 1_700_000_000_000_001)).await.unwrap();
        assert_eq!(store.cursors().await.unwrap(), HashMap::from([(place, 1_700_000_000_000_001)]));
        assert!(store.is_restored().await.unwrap());
        store.caught_up(4).await.unwrap();
        assert!(store.cursors().await.unwrap().is_empty() && !store.is_restored().await.unwrap());
    }

    #[tokio::test]
    async fn a_store_that_never_heard_anything_is_not_restored_to_something() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write(note_restored).await.unwrap();
        assert!(!store.is_restored().await.unwrap());
    }
}
