//! How damage is found.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

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

/// Reads the whole database and finds whether its structure is sound.
pub(super) fn check(connection: &Connection) -> Result<(), Trouble> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Trouble::Damaged(found.replace('\n', " "))) }
}

/// The same for a file that nobody works with. Returns the version of its schema.
pub(super) fn check_file(path: &Path) -> Result<i64, Trouble> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&connection)?;
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
