//! Verified copies of the database. The newest one takes its place when it is damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::damage::{self, Trouble};
use super::disk;
use super::{COMPANIONS, DATABASE, OpenError, Store, StoreError, lock, make_private_dir, schema};

/// Their directory's name in the state directory.
const DIR: &str = "snapshots";
/// What their names end with, after the moment at which they were taken; so they sort by age.
const EXTENSION: &str = "db";
/// What stands behind the moment, and before the schema's version, in the name of one that was taken before a migration.
const BEFORE: &str = ".schema-";
/// One that is being made, or that was when the process was killed.
const PARTIAL: &str = "partial";
/// What `SQLite` puts beside it meanwhile.
const PARTIAL_JOURNAL: &str = "partial-journal";
/// How many are kept, beside the newest one that was taken before a migration: who goes back to an earlier version needs it, however
/// long after.
const KEEP: usize = 4;

/// What is known about one database's snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// The state directory.
    dir: PathBuf,
    /// Held while one is taken: there is never more than one at work.
    last: Mutex<Last>,
}

/// How the last attempt went.
#[derive(Debug, Default)]
struct Last {
    /// What the writer had changed when one was taken.
    changed: u64,
    /// Whether there was no room since then, which is told once.
    no_room: bool,
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) path: PathBuf,
    /// The moment at which it was taken, as in its name.
    pub(super) taken: String,
    /// Whether an earlier version's database is in it.
    pub(super) is_earlier: bool,
}

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("it needs {needed} bytes on the disk, and {free} are free; there is none until there is room")]
    NoRoom { needed: u64, free: u64 },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    #[error("{0}")]
    Check(#[from] Trouble),
}

impl Snapshots {
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), last: Mutex::default() }
    }

    /// Takes one, unless no more has been changed than was the last time, or there is still no room. Returns whether it was taken.
    fn take(&self, changed: u64, keep_free: u64, now_ms: i64) -> Result<bool, NotTaken> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.changed == changed {
            return Ok(false);
        }
        match take(&self.dir, keep_free, now_ms, "") {
            Ok(()) => *last = Last { changed, no_room: false },
            Err(NotTaken::NoRoom { .. }) if last.no_room => return Ok(false),
            Err(error) => {
                last.no_room = matches!(error, NotTaken::NoRoom { .. });
                return Err(error);
            }
        }
        Ok(true)
    }
}

impl Store {
    /// Copies the database, checks the copy, and keeps it for the case that the database is damaged one day; unless nothing has changed
    /// since the last time. Returns whether there is a new copy. The writer goes on meanwhile. A copy that would leave less than
    /// `keep_free` bytes on the disk is not made; the first time, that is an error.
    pub async fn snapshot(&self, keep_free: u64, now_ms: i64) -> Result<bool, StoreError> {
        let (snapshots, changed) = (self.snapshots.clone(), self.writer.changed());
        let (done, taken) = oneshot::channel();
        // Of its own, and not waited for by the process's end: what is half done then is removed the next time.
        std::thread::Builder::new()
            .name("store-snapshot".to_owned())
            .spawn(move || {
                // Nobody waits any more: the snapshot stands all the same.
                let _unheard = done.send(snapshots.take(changed, keep_free, now_ms));
            })
            .map_err(|error| StoreError::Failed(format!("there is no thread for a snapshot: {error}")))?;
        let taken = taken.await.map_err(|_crashed| StoreError::Failed("the snapshot crashed".to_owned()))?;
        taken.map_err(|error| StoreError::Failed(format!("no snapshot was taken: {error}")))
    }
}

/// Copies the database of `dir`, which is of an earlier `version`, before it is brought along.
pub(super) fn take_before(dir: &Path, version: i64, now_ms: i64) -> Result<(), StoreError> {
    let kind = format!("{BEFORE}{version}");
    take(dir, 0, now_ms, &kind).map_err(|error| StoreError::Failed(error.to_string()))
}

/// Copies the database of `dir`, which others may read and write meanwhile; `kind` stands behind the moment in the copy's name.
fn take(dir: &Path, keep_free: u64, now_ms: i64, kind: &str) -> Result<(), NotTaken> {
    let snapshots = dir.join(DIR);
    make_private_dir(&snapshots)?;
    // Of a process that was killed.
    discard_partial(&snapshots)?;
    ensure_room(dir, keep_free)?;
    if let Err(error) = make(dir, &snapshots, &format!("{}{kind}.{EXTENSION}", stamp(now_ms))) {
        // It is of no use, and may be what fills the disk.
        discard_partial(&snapshots)?;
        return Err(error);
    }
    let (earlier, ours): (Vec<_>, Vec<_>) = by_age(dir, now_ms)?.into_iter().partition(|snapshot| snapshot.is_earlier);
    ours.iter().skip(KEEP).chain(earlier.iter().skip(1)).try_for_each(|old| remove(&old.path))?;
    Ok(())
}

fn make(dir: &Path, snapshots: &Path, name: &str) -> Result<(), NotTaken> {
    let partial = snapshots.join(PARTIAL);
    // Made before SQLite does, which would let everybody read it.
    lock::open_private(&partial)?;
    copy(&dir.join(DATABASE), &partial)?;
    damage::check_file(&partial)?;
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(&partial, snapshots.join(name))?;
    sync_dir(snapshots)?;
    Ok(())
}

fn discard_partial(snapshots: &Path) -> io::Result<()> {
    remove(&snapshots.join(PARTIAL)).and(remove(&snapshots.join(PARTIAL_JOURNAL)))
}

/// Whether a copy of the database fits, and leaves `keep_free` bytes on the disk.
fn ensure_room(dir: &Path, keep_free: u64) -> Result<(), NotTaken> {
    let size = |name| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    // What is in the log may come on top.
    let needed = size(DATABASE).saturating_add(size(COMPANIONS[0])).saturating_add(keep_free);
    let free = disk::free(dir)?;
    if free < needed { Err(NotTaken::NoRoom { needed, free }) } else { Ok(()) }
}

/// Writes what is committed at this moment, and nothing else, into the empty file `to`. Blocks no writer.
fn copy(database: &Path, to: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
}

/// Whether there are any. A directory that can't be read is taken for one that holds some.
pub(super) fn exist(dir: &Path) -> bool {
    stored(dir).map_or(true, |found| !found.is_empty())
}

/// All of them, the newest first. A clock that was wrong gave those their names that are dated after now, so they come last.
fn by_age(dir: &Path, now_ms: i64) -> io::Result<Vec<Snapshot>> {
    let now = stamp(now_ms);
    let (after_now, mut found): (Vec<_>, Vec<_>) = stored(dir)?.into_iter().partition(|snapshot| snapshot.taken > now);
    found.extend(after_now);
    Ok(found)
}

/// All of them, in the order of their names, the latest first.
pub(super) fn stored(dir: &Path) -> io::Result<Vec<Snapshot>> {
    let entries = match fs::read_dir(dir.join(DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let snapshot = |path: PathBuf| {
        let name = path.extension().filter(|end| *end == EXTENSION).and(path.file_stem())?.to_str()?;
        let before = name.split_once(BEFORE).map(|(taken, _version)| taken);
        let (taken, is_earlier) = (before.unwrap_or(name).to_owned(), before.is_some());
        Some(Snapshot { path, taken, is_earlier })
    };
    let mut found: Vec<_> = paths.into_iter().filter_map(snapshot).collect();
    found.sort_by(|one, other| other.taken.cmp(&one.taken));
    Ok(found)
}

/// The newest one that is sound. Passes over those that are damaged, and no others: what can't be read now, or only by a newer version,
/// may be good, and an older one in its place would lose more than need be.
pub(super) fn newest_good(dir: &Path, now_ms: i64) -> Result<Option<Snapshot>, OpenError> {
    let snapshots = by_age(dir, now_ms).map_err(|source| OpenError::Snapshots { path: dir.join(DIR), source })?;
    for snapshot in snapshots {
        let path = snapshot.path.clone();
        match damage::check_file(&path) {
            Ok(version) if schema::is_known(version) => return Ok(Some(snapshot)),
            Ok(found) if found > 0 => return Err(OpenError::Newer { path, found }),
            Ok(_) => tracing::error!(path = %path.display(), "A file among the store's snapshots is none of ours"),
            Err(Trouble::Damaged(why)) => {
                tracing::error!(path = %path.display(), why, "A snapshot of the store is damaged");
            }
            Err(Trouble::Other(source)) => return Err(OpenError::Database { path, source }),
        }
    }
    Ok(None)
}

/// A moment for a file's name: `20261121T143005.123Z`.
pub(super) fn stamp(now_ms: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// Makes sure that what was renamed in a directory is so after a power loss, too.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
