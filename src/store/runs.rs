//! The daemon's own runs: which of them may have left processes behind.

use rusqlite::params;

use super::{Store, StoreError};

impl Store {
    /// Notes that the run `id` begins.
    pub async fn begin_run(&self, id: String, now_ms: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT INTO run (id, started_ms) VALUES (?1, ?2)")?
                .execute(params![id, now_ms])
                .map(drop)
        })
        .await
    }

    /// The runs that have begun and whose processes were not seen to be gone.
    pub async fn open_runs(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            connection.prepare("SELECT id FROM run ORDER BY started_ms")?.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }

    /// Notes that nothing of a run is left.
    pub async fn close_run(&self, id: String) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM run WHERE id = ?1")?.execute([id]).map(drop)
        })
        .await
    }
}
