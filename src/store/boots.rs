//! The starts of the daemon and how each of them ended.

use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};

/// How many are kept: enough to see a loop.
const KEPT: i64 = 100;

/// A start of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// When, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Whether it came to an orderly end, with nothing on its way to Slack.
    pub clean: bool,
    /// For how long turns were held back after it, because those before it had crashed; zero when they were not, or not any more.
    pub held: Duration,
}

impl Store {
    /// The earlier starts, the newest first.
    pub async fn boots(&self) -> Result<Vec<Boot>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT started_ms, clean, held_s FROM boot ORDER BY id DESC";
            connection.prepare_cached(sql)?.query_map([], boot)?.collect()
        })
        .await
    }

    /// Notes a start after which turns are held back for `held`. It counts as unclean until [`Store::end_boot`].
    pub async fn begin_boot(&self, started_ms: i64, held: Duration) -> Result<(), StoreError> {
        self.write(move |connection| begin(connection, started_ms, held)).await
    }

    /// Notes that turns are not held back any more.
    pub async fn end_hold(&self) -> Result<(), StoreError> {
        self.write(|connection| change(connection, "held_s = 0")).await
    }

    /// Notes that this run has come to an orderly end. Nothing may be written after that.
    pub async fn end_boot(&self) -> Result<(), StoreError> {
        self.write(|connection| change(connection, "clean = 1")).await
    }

    /// Finds out whether something can be committed, by committing something.
    pub async fn try_commit(&self) -> Result<(), StoreError> {
        self.write(try_commit).await
    }
}

/// Changes something that nobody reads: a row that stays as it is would not be written.
pub(super) fn try_commit(connection: &Connection) -> rusqlite::Result<()> {
    change(connection, "probes = probes + 1")
}

fn begin(connection: &Connection, started_ms: i64, held: Duration) -> rusqlite::Result<()> {
    let held_s = i64::try_from(held.as_secs()).unwrap_or(i64::MAX);
    connection.execute("INSERT INTO boot (started_ms, held_s) VALUES (?1, ?2)", params![started_ms, held_s])?;
    connection.execute("DELETE FROM boot WHERE id <= (SELECT max(id) FROM boot) - ?1", [KEPT]).map(drop)
}

/// Changes the newest row.
fn change(connection: &Connection, what: &str) -> rusqlite::Result<()> {
    connection.execute(&format!("UPDATE boot SET {what} WHERE id = (SELECT max(id) FROM boot)"), []).map(drop)
}

fn boot(row: &Row<'_>) -> rusqlite::Result<Boot> {
    let held_s: i64 = row.get(2)?;
    let held = Duration::from_secs(u64::try_from(held_s).unwrap_or_default());
    Ok(Boot { started_ms: row.get(0)?, clean: row.get(1)?, held })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_mins(5);

    impl Store {
        /// Lets each further start fail to be noted, or not any more.
        pub(crate) async fn refuse_boots(&self, refuse: bool) {
            let sql = if refuse {
                "CREATE TRIGGER refused BEFORE INSERT ON boot BEGIN SELECT RAISE(ABORT, 'no room'); END"
            } else {
                "DROP TRIGGER refused"
            };
            self.write(move |connection| connection.execute_batch(sql)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_start_is_unclean_until_its_orderly_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.boots().await.unwrap().is_empty());
        store.begin_boot(1, Duration::ZERO).await.unwrap();
        store.try_commit().await.unwrap();
        store.end_boot().await.unwrap();
        store.begin_boot(2, PAUSE).await.unwrap();
        store.close().await;
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = (
            Boot { started_ms: 1, clean: true, held: Duration::ZERO },
            Boot { started_ms: 2, clean: false, held: PAUSE },
        );
        assert_eq!(store.boots().await.unwrap(), [second, first]);
        store.end_hold().await.unwrap();
        assert_eq!(store.boots().await.unwrap()[0].held, Duration::ZERO);
    }

    #[tokio::test]
    async fn old_starts_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write(|connection| (0..=KEPT).try_for_each(|ms| begin(connection, ms, PAUSE))).await.unwrap();
        let boots = store.boots().await.unwrap();
        assert_eq!((boots.len(), boots.last().unwrap().started_ms), (100, 1));
    }
}
