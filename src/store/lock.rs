//! One process for each state directory.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::OpenError;

/// For its owner alone.
const PRIVATE: u32 = 0o600;

/// The directory's lock; the system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Takes the lock of `dir`.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: dir.to_owned(), source };
        let file = open_private(&dir.join("lock")).map_err(not_writable)?;
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
    if file.metadata()?.permissions().mode() & 0o777 != PRIVATE {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    Ok(file)
}
