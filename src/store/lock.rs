//! One process for each state directory.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::OpenError;

/// The file's name in the state directory.
pub(super) const NAME: &str = "lock";
/// For its owner alone.
const PRIVATE: u32 = 0o600;

/// The directory's lock; the system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Whether another process holds the lock of `dir`. Makes nothing.
    pub(super) fn is_held(dir: &Path) -> bool {
        let file = File::open(dir.join(NAME));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock of `dir`.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: dir.to_owned(), source };
        let file = open_private(&dir.join(NAME)).map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }
}

/// Opens a file that only its owner may read, making it when it is missing.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(PRIVATE).open(path)?;
    let is_open = file.metadata()?.permissions().mode() & 0o077 != 0;
    // Not every file system has modes to change.
    if is_open && let Err(error) = file.set_permissions(Permissions::from_mode(PRIVATE)) {
        tracing::warn!(path = %path.display(), %error, "Others than the owner may read what is stored");
    }
    Ok(file)
}
