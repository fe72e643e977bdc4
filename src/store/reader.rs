//! Reads, on connections of their own, so that a long list never delays a commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::damage::{self, is_damage, is_io_error};
use super::disk::Disk;
use super::{Store, StoreError};
use crate::scope::panic_text;

/// How many reads run side by side; a further one waits.
const CONNECTIONS: usize = 2;

/// A small pool of read-only connections.
#[derive(Debug)]
pub(super) struct Reader {
    free: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    /// Cancelled when a read finds the database damaged, or its disk failing for the second time.
    lost: CancellationToken,
    disk: Arc<Disk>,
}

/// Opens the connections.
pub(super) fn connect_all(path: &Path) -> rusqlite::Result<Vec<Connection>> {
    (0..CONNECTIONS).map(|_| connect(path)).collect()
}

impl Reader {
    pub(super) fn of(connections: Vec<Connection>, disk: Arc<Disk>) -> Self {
        Self {
            free: Mutex::new(connections),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            lost: CancellationToken::new(),
            disk,
        }
    }

    /// Cancelled when a read finds the database damaged, or its disk failing for the second time.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Does what an error of the file or of the disk calls for. Returns the connection to go on with.
    fn after(&self, error: &rusqlite::Error, connection: Connection) -> Connection {
        if is_damage(error) {
            tracing::error!(%error, "The database is damaged; the next start checks it and restores a snapshot");
            damage::met(&connection);
            self.lost.cancel();
        } else if is_io_error(error) {
            return self.after_io_error(error, connection);
        }
        connection
    }

    fn after_io_error(&self, error: &rusqlite::Error, connection: Connection) -> Connection {
        if !self.disk.is_first_io_error() {
            tracing::error!(%error, "The disk fails again: nothing more is read");
            self.lost.cancel();
            return connection;
        }
        tracing::error!(%error, "The disk failed: the database is opened once more");
        let path = connection.path().map(PathBuf::from);
        path.and_then(|path| connect(&path).ok()).unwrap_or(connection)
    }

    fn take(&self) -> Option<Connection> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.permits.is_closed() {
            free.push(connection);
        }
    }

    /// Lets no more reads begin; those that have begun come to their end.
    pub(super) fn close(&self) {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.permits.close();
        free.clear();
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

impl Store {
    /// Runs `query` on a read-only connection. Cancel safe: a query that has begun keeps its connection until its end.
    pub(super) async fn read<T, Q>(&self, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let reader = self.reader.clone();
        let permit = reader.permits.clone().acquire_owned().await.map_err(|_closed| StoreError::Closed)?;
        let connection = reader.take().ok_or(StoreError::Closed)?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = catch_unwind(AssertUnwindSafe(|| query(&connection)));
            reader.give_back(match &answer {
                Ok(Err(error)) => reader.after(error, connection),
                _ => connection,
            });
            // Whoever has the permit finds the connection there.
            drop(permit);
            answer.map_err(|panic| crashed(panic_text(panic.as_ref())))?.map_err(StoreError::from)
        });
        answer.await.unwrap_or_else(|stopped| Err(StoreError::Failed(stopped.to_string())))
    }
}

fn crashed(reason: &str) -> StoreError {
    tracing::error!(reason, "A query of the store crashed");
    metrics::counter!("hitchline_task_crashes_total", "task" => "store-reader").increment(1);
    StoreError::Failed(format!("the query crashed: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    use futures_util::FutureExt;

    fn open() -> (Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Store::open(dir.path()).unwrap(), dir)
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_keeps_its_connection_until_it_ends() {
        let (store, _dir) = open();
        let mut ends = Vec::new();
        for _ in 0..CONNECTIONS {
            let (end, ended) = mpsc::channel::<()>();
            let read = store.read(move |_| {
                let _ended = ended.recv();
                Ok(())
            });
            assert!(read.now_or_never().is_none());
            ends.push(end);
        }
        let mut next = std::pin::pin!(store.read(|_| Ok(7)));
        assert!(futures_util::poll!(next.as_mut()).is_pending(), "it waits for a connection");
        drop(ends);
        assert_eq!(next.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_query_that_crashes_gives_its_connection_back() {
        let (store, _dir) = open();
        for _ in 0..=CONNECTIONS {
            let crashed = store.read(|_| -> rusqlite::Result<()> { panic!("boom") }).await;
            assert!(matches!(crashed, Err(StoreError::Failed(why)) if why.contains("boom")));
        }
        assert_eq!(store.read(|_| Ok(7)).await.unwrap(), 7);
    }
}
