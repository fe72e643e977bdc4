//! One process for each state directory.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::OpenError;

/// The directory's lock; the system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Takes the lock of `dir`.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: dir.to_owned(), source };
        let file =
            File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }
}
