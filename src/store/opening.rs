//! How the database is opened: one that is sound, or new, or else a snapshot in its place; never an empty one in the place of one that
//! held something.
//!
//! It is checked at every start and not only after an unclean end: that costs a quarter of a second for 64 MiB that the system has in
//! memory already, else what the disk takes to read them, and finds as well what a disk, or somebody who copied files about, has done
//! since.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::damage::{self, Trouble};
use super::snapshots::{self, Snapshot};
use super::{COMPANIONS, DATABASE, OpenError, cursors, lock, schema, turns};

/// The size of a page, in bytes. Our rows are short and lie on many pages, all of which go into the log whole.
const PAGE_SIZE: u32 = 1_024;
/// Pages in the write-ahead log, 16 MiB, after which `SQLite` copies them back; checkpoints make the tail of the commit time.
const CHECKPOINT_PAGES: u32 = 16_000;
/// The size of a database, in bytes, whose check may take long enough for somebody to wonder.
const LARGE: u64 = 256 << 20;
/// A snapshot on its way to become the database.
const RESTORING: &str = "hitchline.db.restoring";

/// What may be done about a damaged database.
#[derive(Debug, Clone, Copy)]
pub struct Repair {
    /// Whether to begin with an empty one when there is no good snapshot.
    pub fresh: bool,
    /// The time, in milliseconds since the Unix epoch, for names and for what is written.
    pub now_ms: i64,
}

/// Opens the database of `dir`, which is locked. Without a repair a damaged one is refused.
pub(super) fn open(dir: &Path, repair: Option<Repair>) -> Result<Connection, OpenError> {
    let connection = sound_or_repaired(dir, repair)?;
    // Last of all: a crash before costs one more thorough check.
    damage::is_past(&dir.join(DATABASE)).map_err(not_writable(dir))?;
    Ok(connection)
}

fn sound_or_repaired(dir: &Path, repair: Option<Repair>) -> Result<Connection, OpenError> {
    let path = dir.join(DATABASE);
    let unusable = |source| OpenError::Database { path: path.clone(), source };
    let connection = match (sound(dir), repair) {
        (Ok(connection), _) => connection,
        (Err(Trouble::Other(source)), _) => return Err(unusable(source)),
        (Err(Trouble::Damaged(why)), None) => return Err(damaged(dir, why)),
        (Err(Trouble::Damaged(why)), Some(repair)) => return put_in_place(dir, why, repair),
    };
    if let Some(repair) = repair {
        prepare(&connection, dir, repair);
    }
    schema::migrate(&connection, &path)?;
    Ok(connection)
}

/// Tells that nothing is to be repaired, and keeps what an earlier version wrote.
fn prepare(connection: &Connection, dir: &Path, repair: Repair) {
    if repair.fresh {
        tracing::warn!("The store is sound, so --fresh-store does nothing");
    }
    if let Some(version) = schema::earlier(connection)
        && let Err(error) = snapshots::take_before(dir, version, repair.now_ms)
    {
        tracing::warn!(%error, "There is no snapshot of the store as the earlier version left it");
    }
}

/// A connection to a database that is new, or that is there and sound.
fn sound(dir: &Path) -> Result<Connection, Trouble> {
    if is_lost(dir) {
        return Err(Trouble::Damaged("the file is missing or empty, but not what belongs to it".to_owned()));
    }
    examined(&dir.join(DATABASE))
}

/// A connection to a database that is sound.
pub(super) fn examined(path: &Path) -> Result<Connection, Trouble> {
    let connection = connect(path)?;
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if bytes > LARGE {
        tracing::info!(bytes, "Checking the store");
    }
    if damage::was_met(path) {
        tracing::warn!("Damage was met in the store the last time: checking all of it, its indexes too");
        damage::check_all(&connection)?;
    } else {
        damage::check(&connection)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// Whether there was a database that is gone. We never remove ours, and an empty file beside a log or snapshots is none of our doing.
fn is_lost(dir: &Path) -> bool {
    let size = |name: &str| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    size(DATABASE) == 0 && (size(COMPANIONS[0]) > 0 || snapshots::exist(dir))
}

/// Closing the connection changes nothing in the files as long as they are not known to be sound.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // Counts only for a database that is made now, and only before its log.
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, not NORMAL: with NORMAL a power cut loses acknowledged rows.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Sets a damaged database aside and puts the newest good snapshot, or an empty one where that is wanted, in its place.
fn put_in_place(dir: &Path, why: String, repair: Repair) -> Result<Connection, OpenError> {
    let Some(snapshot) = snapshots::newest_good(dir, repair.now_ms)? else {
        if !repair.fresh {
            return Err(damaged(dir, why));
        }
        let aside = set_aside(dir, repair.now_ms).map_err(not_writable(dir))?;
        tracing::error!(why, aside = %aside.display(), "The store was damaged and no snapshot is good: begun with an empty one");
        return reopen(dir);
    };
    let restoring = prepared(dir, &snapshot, repair.now_ms)?;
    let aside = set_aside(dir, repair.now_ms).map_err(not_writable(dir))?;
    fs::rename(restoring, dir.join(DATABASE)).and_then(|()| snapshots::sync_dir(dir)).map_err(not_writable(dir))?;
    tracing::error!(
        why,
        aside = %aside.display(),
        snapshot = %snapshot.path.display(),
        "The store was damaged. A snapshot is in its place: what happened since {} is lost, and sessions ended since then are back",
        snapshot.taken,
    );
    reopen(dir)
}

/// Opens what was put in place, or makes what was not.
fn reopen(dir: &Path) -> Result<Connection, OpenError> {
    let path = dir.join(DATABASE);
    lock::open_private(&path).map_err(not_writable(dir))?;
    let connection = examined(&path).map_err(|trouble| match trouble {
        Trouble::Damaged(why) => damaged(dir, why),
        Trouble::Other(source) => OpenError::Database { path: path.clone(), source },
    })?;
    schema::migrate(&connection, &path)?;
    Ok(connection)
}

/// A copy of a snapshot that can become the database.
fn prepared(dir: &Path, snapshot: &Snapshot, now_ms: i64) -> Result<PathBuf, OpenError> {
    let path = dir.join(RESTORING);
    let copied = snapshots::remove(&path).and_then(|()| fs::copy(&snapshot.path, &path));
    copied.map_err(not_writable(dir))?;
    let database = |source| OpenError::Database { path: path.clone(), source };
    let connection = Connection::open(&path).map_err(database)?;
    schema::migrate(&connection, &path)?;
    turns::distrust(&connection, now_ms).map_err(database)?;
    cursors::note_restored(&connection).map_err(database)?;
    connection.close().map_err(|(_connection, source)| database(source))?;
    fs::File::open(&path).and_then(|file| file.sync_all()).map_err(not_writable(dir))?;
    Ok(path)
}

/// Gives a damaged database and its log other names, and returns its own. The database goes first: without its log it might look sound.
fn set_aside(dir: &Path, now_ms: i64) -> io::Result<PathBuf> {
    let stamp = snapshots::stamp(now_ms);
    let aside = |name: &str| dir.join(name.replacen(DATABASE, &format!("{DATABASE}.damaged-{stamp}"), 1));
    for name in [DATABASE, COMPANIONS[0], COMPANIONS[1]] {
        match fs::rename(dir.join(name), aside(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    snapshots::sync_dir(dir)?;
    Ok(aside(DATABASE))
}

fn damaged(dir: &Path, why: String) -> OpenError {
    OpenError::Damaged { path: dir.join(DATABASE), why }
}

fn not_writable(dir: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = dir.to_owned();
    move |source| OpenError::NotWritable { path: path.clone(), source }
}

#[cfg(test)]
mod tests;
