//! What survives: `SQLite` in WAL mode with `synchronous=FULL`, written by one thread that groups commits.
//!
//! A method that writes returns when its change is on disk. Everything that waits when the writer is free goes into one transaction;
//! nothing is delayed on purpose to fill one. No other room knows SQL.

mod approvals;
mod audit;
mod boots;
mod closures;
pub mod config;
mod cursors;
mod cut_off;
mod damage;
mod dead_letters;
mod disk;
mod events;
mod file_system;
mod lock;
mod notes;
mod offers;
mod opening;
mod outbox;
mod purge;
mod reader;
mod runs;
mod schema;
mod sessions;
mod snapshots;
mod transcript;
mod turns;
mod waiting;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use approvals::OpenApproval;
pub use audit::AuditEntry;
pub use boots::Boot;
pub use closures::{Closed, Closure};
pub use cut_off::{Aftermath, CutOff, CutOffEnd, Interrupted, Settlement};
pub use dead_letters::{DeadId, DeadLetter, Retried};
pub use disk::Room;
pub use events::{Accept, Accepted};
pub use notes::Note;
pub use offers::{Kept, Late, Lot, OfferEnd, OfferPress, OfferSettlement};
pub use opening::Repair;
pub use outbox::{Noted, Parked, Pending, Trouble};
pub use sessions::{Moved, SessionFilter};
pub use transcript::{ChatAuthor, ChatMessage};
pub use turns::{Begun, TurnEnd};
pub use waiting::{Queued, Unreadable};
pub use writer::Slot;

use disk::Disk;
use lock::Lock;
use reader::Reader;
use snapshots::Snapshots;
use writer::Writer;

/// The database file's name in the state directory.
const DATABASE: &str = "hitchline.db";
/// What `SQLite` puts beside it. Their modes are the database's when they are made.
const COMPANIONS: [&str; 2] = ["hitchline.db-wal", "hitchline.db-shm"];
/// The store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Arc<Writer>,
    reader: Arc<Reader>,
    snapshots: Arc<Snapshots>,
    disk: Arc<Disk>,
}

/// Why the store could not be opened. Each is for a person to solve.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be made or written.
    #[error("store.dir: {path} can't be written: {source}; name a directory that this user may write")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process works with it.
    #[error("store.dir: another hitchline already works in {path}; stop it, or give this one a directory of its own")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{path} was written by a newer hitchline (schema {found}, this one knows {known}); run that version",
        known = schema::VERSION
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// It is damaged, and nothing good is there to take its place.
    #[error(
        "{path} is damaged ({why}), and there is no good snapshot of it; put a backup in its place, or let `hitchline run \
         --fresh-store` set it aside and begin with an empty one"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is damaged, and what could take its place can't be read.
    #[error(
        "{path}, whose newest snapshot is to take the place of a damaged store, can't be read: {source}; mend that, then start again"
    )]
    Snapshots {
        /// Their directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its disk is somewhere else, or a process's own.
    #[error(
        "store.dir: {path} is on {kind}, where a database's locks can't be relied on; name a directory on a disk of this machine"
    )]
    Remote {
        /// The directory.
        path: PathBuf,
        /// What kind of file system it is.
        kind: &'static str,
    },
    /// There is no room even to open it. May pass by itself.
    #[error("store.dir: the disk of {path} is full: {source}; free some space there, then start again")]
    Full {
        /// The directory.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// The `SQLite` that is built in has a known fault.
    #[error(
        "this binary was built with SQLite {found}, which can damage its log; build it with {OLDEST_SQLITE} or later"
    )]
    Sqlite {
        /// Its version.
        found: &'static str,
    },
    /// `SQLite` can't work with it, for another reason.
    #[error("{path} can't be used: {source}; mend that, then start again")]
    Database {
        /// The database file.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
}

/// A read or write that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` or the disk refused.
    #[error("the store failed: {0}")]
    Failed(String),
    /// What is free on the disk is kept for what is promised.
    #[error("{0}")]
    NoRoom(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Store {
    /// Opens the store in `dir`, making what is missing, and takes the directory's lock. A damaged one is refused.
    ///
    /// # Errors
    /// [`OpenError`] says what a person has to do.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, None)
    }

    /// The same; but a damaged one is set aside, and the newest good snapshot takes its place. Prompts that had not begun when the
    /// snapshot was taken count as cut off, for they may have been handled since.
    ///
    /// # Errors
    /// As [`Store::open`]. A damaged one is refused when there is no good snapshot, unless the repair wants an empty one then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open_or_restore(dir: &Path, repair: Repair) -> Result<Self, OpenError> {
        Self::open_with(dir, Some(repair))
    }

    fn open_with(dir: &Path, repair: Option<Repair>) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: dir.to_owned(), source };
        ensure_sound_sqlite(rusqlite::version_number(), rusqlite::version())?;
        make_private_dir(dir).map_err(not_writable)?;
        if let Some(kind) = file_system::refused(dir) {
            return Err(OpenError::Remote { path: dir.to_owned(), kind });
        }
        let lock = Lock::take(dir)?;
        keep_private(dir).map_err(not_writable)?;
        let (connection, reader) = match open_files(dir, repair) {
            Err(OpenError::Full { .. }) if disk::give_up_reserve(dir) => open_files(dir, repair)?,
            opened => opened?,
        };
        let disk = Arc::new(Disk::of(dir));
        let reader = Arc::new(Reader::of(reader, disk.clone()));
        let writer = Arc::new(Writer::start(connection, lock, disk.clone()).map_err(not_writable)?);
        Ok(Self { writer, reader, snapshots: Arc::new(Snapshots::of(dir)), disk })
    }

    /// Finds out whether another process works in `dir`, before anything is made there.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when one does.
    pub fn ensure_free(dir: &Path) -> Result<(), OpenError> {
        if Lock::is_held(dir) { Err(OpenError::Locked { path: dir.to_owned() }) } else { Ok(()) }
    }

    /// Goes through the writer once: works as long as a commit would.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.write(|_connection| Ok(())).await
    }

    /// Finishes what was handed over, and closes the database. Later calls fail with [`StoreError::Closed`]. Twice is fine.
    pub async fn close(&self) {
        // Whoever closes the database last empties its log, and only the writer may.
        self.reader.close();
        self.writer.close().await;
    }
}

/// The first version of `SQLite` in which a log that begins anew can't damage the database.
const OLDEST_SQLITE: &str = "3.51.3";

fn ensure_sound_sqlite(number: i32, found: &'static str) -> Result<(), OpenError> {
    if number < 3_051_003 { Err(OpenError::Sqlite { found }) } else { Ok(()) }
}

/// The connections that write and read.
fn open_files(
    dir: &Path,
    repair: Option<Repair>,
) -> Result<(rusqlite::Connection, Vec<rusqlite::Connection>), OpenError> {
    let path = dir.join(DATABASE);
    let open = || {
        let connection = opening::open(dir, repair)?;
        let readers =
            reader::connect_all(&path).map_err(|source| OpenError::Database { path: path.clone(), source })?;
        Ok((connection, readers))
    };
    open().map_err(|error| match error {
        OpenError::Database { source, .. } if is_full(&source) => OpenError::Full { path: dir.to_owned(), source },
        other => other,
    })
}

/// Whether `SQLite` found no room on the disk. What it shares between its connections says so in another way than the rest.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == rusqlite::ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes the database before `SQLite` does, which would let everybody read it, and takes from others what an earlier version gave them.
/// The directory may be older than we are, and open.
fn keep_private(dir: &Path) -> std::io::Result<()> {
    lock::open_private(&dir.join(DATABASE))?;
    for companion in COMPANIONS.map(|name| dir.join(name)).iter().filter(|path| path.exists()) {
        lock::open_private(companion)?;
    }
    Ok(())
}
