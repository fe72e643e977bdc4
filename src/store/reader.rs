//! Reads, on connections of their own, so that a long list never delays a commit.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{Store, StoreError};

/// How many reads run side by side; a further one waits.
const CONNECTIONS: usize = 2;

/// A small pool of read-only connections.
#[derive(Debug)]
pub(super) struct Reader {
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Reader {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connections = (0..CONNECTIONS).map(|_| connect(path)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self { free: Mutex::new(connections), permits: Semaphore::new(CONNECTIONS) })
    }

    fn take(&self) -> Option<Connection> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(connection);
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

impl Store {
    /// Runs `query` on a read-only connection.
    pub(super) async fn read<T, Q>(&self, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _permit = self.reader.permits.acquire().await.map_err(|_closed| StoreError::Closed)?;
        let connection = self.reader.take().ok_or(StoreError::Closed)?;
        let reader = self.reader.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = query(&connection);
            reader.give_back(connection);
            answer
        });
        Ok(answer.await.map_err(|crash| StoreError::Failed(crash.to_string()))??)
    }
}
