//! How damage is found: by a check before anything is done, or by whoever meets it while running.
//!
//! The check at every start passes over indexes, for they would make it many times longer. Whoever meets damage while running leaves
//! word of it, and the next start then checks them as well.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::{lock, snapshots};

/// The file beside the database that says that damage was met while running.
const MET: &str = "damaged";

/// Why a database can't be worked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It is damaged, or no database; nothing but another file helps.
    #[error("{0}")]
    Damaged(String),
    /// Something else, which may pass.
    #[error("{0}")]
    Other(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { Self::Damaged(error.to_string()) } else { Self::Other(error) }
    }
}

/// Whether `SQLite` says that the file itself is at fault.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether the disk, or the way to it, failed.
pub(super) fn is_io_error(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// Leaves word for the next start, on disk, that damage was met in the database of `connection`.
pub(super) fn met(connection: &Connection) {
    let Some(path) = connection.path().map(marker) else { return };
    let dir = path.parent().unwrap_or(Path::new("."));
    let left = lock::open_private(&path).and_then(|file| file.sync_all()).and_then(|()| snapshots::sync_dir(dir));
    if let Err(error) = left {
        tracing::error!(path = %path.display(), %error, "The next start does not hear of the damage, and may not find it");
    }
}

/// Whether damage was met in the database at `path`, and not repaired since.
pub(super) fn was_met(path: &Path) -> bool {
    marker(path).exists()
}

/// Takes the word back: the database at `path` is repaired, or has been found sound after all.
pub(super) fn is_past(path: &Path) -> io::Result<()> {
    snapshots::remove(&marker(path))
}

fn marker(path: impl AsRef<Path>) -> PathBuf {
    path.as_ref().with_file_name(MET)
}

/// Reads the whole database and finds whether its structure is sound, but not whether each index knows each row.
pub(super) fn check(connection: &Connection) -> Result<(), Trouble> {
    verdict(connection, "PRAGMA quick_check(1)")
}

/// The same, and each index too. Takes several times as long.
pub(super) fn check_all(connection: &Connection) -> Result<(), Trouble> {
    verdict(connection, "PRAGMA integrity_check(1)")
}

fn verdict(connection: &Connection, pragma: &str) -> Result<(), Trouble> {
    let found: String = connection.query_row(pragma, [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(trouble(found.replace('\n', " "))) }
}

/// What a check's finding means: that a page could not be read says nothing about what is on it.
fn trouble(found: String) -> Trouble {
    match error_code(&found).map(ffi::Error::new) {
        Some(error) if !matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Trouble::Other(rusqlite::Error::SqliteFailure(error, Some(found)))
        }
        _ => Trouble::Damaged(found),
    }
}

/// The result code in a finding such as `Tree 3 page 7: unable to get the page. error code=266`.
fn error_code(found: &str) -> Option<i32> {
    let (_, rest) = found.split_once("error code")?;
    let digits = rest.trim_start_matches(['=', ' ']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The same for a file that nobody works with. Returns the version of its schema.
pub(super) fn check_file(path: &Path) -> Result<i64, Trouble> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&connection)?;
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_cant_be_read_is_no_damage() {
        for (found, is_damage) in [
            ("Tree 3 page 7 cell 2: 2nd reference to page 9", true),
            ("row 1 missing from index outbox_pending", true),
            ("Tree 3 page 7: unable to get the page. error code=11", true),
            ("Tree 3 page 7: btreeInitPage() returns error code 11", true),
            ("Tree 3 page 7: unable to get the page. error code=267", true),
            ("Tree 3 page 7: unable to get the page. error code=10", false),
            ("Tree 3 page 7: unable to get the page. error code=266 Tree 4: more", false),
            ("Tree 3 page 7: btreeInitPage() returns error code 7", false),
        ] {
            assert_eq!(matches!(trouble(found.to_owned()), Trouble::Damaged(_)), is_damage, "{found}");
        }
    }
}
