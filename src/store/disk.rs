//! The disk below the state directory: how much room it has, what that is kept for, and a reserve for when there is none.
//!
//! What is promised comes before what is new: below `store.min_free` no further event is stored, so that answers, outbox rows and the
//! ends of turns find room. A little before that no further turn begins, for each brings such rows.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::FallocateFlags;
use tokio::sync::watch;

use super::{Store, StoreError, lock};
use crate::byte_size;
use crate::clock::Clock;

/// How often the system is asked how much is free.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The file whose space is given back when a commit finds none.
const RESERVE: &str = "reserve";
/// The most that it takes.
const LARGEST_RESERVE: u64 = 64 << 20;

/// How much room there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Room {
    /// Enough for everything.
    #[default]
    Ample,
    /// New events are stored, but no turn begins. With the bytes that are free.
    Scarce(u64),
    /// What is left is kept for what is promised; no new event is stored. With the bytes that are free.
    Kept(u64),
    /// The file system takes no writes at all.
    ReadOnly,
}

impl Room {
    fn of(free: u64, min_free: u64) -> Self {
        if free < min_free {
            Self::Kept(free)
        } else if free < before_turns(min_free) {
            Self::Scarce(free)
        } else {
            Self::Ample
        }
    }

    /// Whether a turn may begin.
    pub fn has_room_for_turns(self) -> bool {
        self == Self::Ample
    }

    fn has_room_for_events(self) -> bool {
        matches!(self, Self::Ample | Self::Scarce(_))
    }

    /// Whether it means the same for what may be done.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// What must be free for a turn to begin: two and a half times what must be for an event.
fn before_turns(min_free: u64) -> u64 {
    min_free.saturating_add(min_free).saturating_add(min_free / 2)
}

/// What is known about the disk of one state directory.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    /// How many bytes are kept for what is promised; none until somebody says so.
    min_free: AtomicU64,
    room: watch::Sender<Room>,
    io_errors: AtomicU32,
}

impl Disk {
    pub(super) fn of(dir: &Path) -> Self {
        let room = watch::Sender::new(Room::Ample);
        Self { dir: dir.to_owned(), min_free: AtomicU64::new(0), room, io_errors: AtomicU32::new(0) }
    }

    fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    /// Asks how much room there is, and makes the reserve again where there is enough. Blocks.
    pub(super) fn look(&self) {
        let (room, free) = match free(&self.dir) {
            _ if takes_no_writes(&self.dir) => (Room::ReadOnly, 0),
            Ok(free) => (Room::of(free, self.min_free()), free),
            // Nothing is known then; a commit finds out.
            Err(error) => {
                tracing::debug!(%error, "The disk does not say how much room it has");
                return;
            }
        };
        self.note(room);
        let size = self.reserve();
        if size > 0 && free.saturating_sub(size) >= before_turns(self.min_free()) {
            self.make_reserve(size);
        }
    }

    /// Keeps it, and says so when it means something else than before.
    fn note(&self, room: Room) {
        let is_news = self.room.send_if_modified(|before| {
            let is_news = !before.is_like(room);
            *before = room;
            is_news
        });
        match (is_news, self.reason(room)) {
            (false, _) => {}
            (true, Some(reason)) => tracing::error!("{reason}"),
            (true, None) => tracing::info!(dir = %self.dir.display(), "The disk has room for everything again"),
        }
    }

    /// Why not everything may be done; nothing when it may.
    fn reason(&self, room: Room) -> Option<String> {
        let (dir, kept) = (self.dir.display(), byte_size::format(self.min_free()));
        let free = |bytes| format!("{dir} has {bytes} bytes free on its disk");
        Some(match room {
            Room::Ample => return None,
            Room::Scarce(bytes) => format!(
                "{}, less than two and a half times store.min_free ({kept}), so messages are stored but no turn begins; free some space",
                free(bytes)
            ),
            Room::Kept(bytes) => format!(
                "{}, less than store.min_free ({kept}), so no new message is stored; free some space there, or lower store.min_free",
                free(bytes)
            ),
            Room::ReadOnly => format!("{dir} can only be read, so nothing is stored; mount it for writing again"),
        })
    }

    pub(super) fn is_read_only(&self) -> bool {
        *self.room.borrow() == Room::ReadOnly || takes_no_writes(&self.dir)
    }

    /// Counts an error of the disk; returns whether it is the first.
    pub(super) fn is_first_io_error(&self) -> bool {
        metrics::counter!("hitchline_store_io_errors_total").increment(1);
        self.io_errors.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// How large the reserve is to be.
    fn reserve(&self) -> u64 {
        self.min_free().min(LARGEST_RESERVE)
    }

    fn make_reserve(&self, size: u64) {
        let path = self.dir.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|file| file.len() == size) {
            return;
        }
        if let Err(error) = allocate(&path, size) {
            tracing::debug!(path = %path.display(), %error, "There is no reserve on the disk");
            let _nothing_to_remove = fs::remove_file(&path);
        }
    }

    /// Gives the reserve's space back to whoever writes next.
    pub(super) fn release_reserve(&self) {
        match fs::remove_file(self.dir.join(RESERVE)) {
            Ok(()) => tracing::error!(
                dir = %self.dir.display(),
                "The disk is full: the reserve is given up, so that answers can be stored; free some space there"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "The disk is full, and the reserve can't be given up"),
        }
    }
}

/// How many bytes a process of ours may still take of the disk of `dir`.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether the file system of `dir` can only be read. The flag that says so is not set by one that has closed itself after an error.
fn takes_no_writes(dir: &Path) -> bool {
    let opened = File::options().write(true).open(dir.join(lock::NAME));
    opened.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

/// Makes a file whose blocks are its own: one that is only long would give nothing back.
fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let file: File = lock::open_private(path)?;
    file.set_len(0)?;
    Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)?)
}

/// Gives up the reserve of `dir` before its store is open, for a start that finds no room.
pub(super) fn give_up_reserve(dir: &Path) -> bool {
    fs::remove_file(dir.join(RESERVE)).is_ok()
}

impl Store {
    /// Keeps `min_free` bytes of the disk for what is promised, and makes a reserve of it where there is room. Asks the disk at once.
    pub fn keep_free(&self, min_free: u64) {
        self.disk.min_free.store(min_free, Ordering::Relaxed);
        self.disk.look();
    }

    /// Asks again and again how much room the disk has, until it is dropped.
    pub async fn watch_disk(&self, clock: Clock) {
        loop {
            clock.sleep(ASK_EVERY).await;
            let disk = self.disk.clone();
            // Where it never answers, commits don't either.
            let _crashed = tokio::task::spawn_blocking(move || disk.look()).await;
        }
    }

    /// How much room the disk has; changes when that means something else for what may be done.
    pub fn room(&self) -> watch::Receiver<Room> {
        self.disk.room.subscribe()
    }

    /// Whether a new event may be stored.
    ///
    /// # Errors
    /// A sentence that says why not: where, how much is free, and what to do.
    pub fn takes_events(&self) -> Result<(), StoreError> {
        let room = *self.disk.room.borrow();
        let refused = (!room.has_room_for_events()).then(|| self.disk.reason(room)).flatten();
        refused.map_or(Ok(()), |reason| Err(StoreError::NoRoom(reason)))
    }

    /// Why no turn begins, where that is the disk's fault.
    pub fn turns_wait_for_room(&self) -> Option<String> {
        self.disk.reason(*self.disk.room.borrow())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Store {
        /// Pretends that the disk has this room, until it is asked again.
        pub(crate) fn pretend(&self, room: Room) {
            self.disk.note(room);
        }
    }

    fn keeping(dir: &Path, min_free: u64) -> Disk {
        let disk = Disk::of(dir);
        disk.min_free.store(min_free, Ordering::Relaxed);
        disk.look();
        disk
    }

    #[test]
    fn what_is_free_decides_what_may_be_done() {
        for (free, min_free, room) in [
            (250, 100, Room::Ample),
            (249, 100, Room::Scarce(249)),
            (100, 100, Room::Scarce(100)),
            (99, 100, Room::Kept(99)),
            (0, 100, Room::Kept(0)),
            (0, 0, Room::Ample),
            (u64::MAX - 1, u64::MAX, Room::Kept(u64::MAX - 1)),
        ] {
            assert_eq!(Room::of(free, min_free), room, "{free} of {min_free}");
        }
    }

    #[test]
    fn a_reserve_takes_room_is_given_up_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = keeping(dir.path(), 64 << 10);
        let path = dir.path().join(RESERVE);
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512;
        assert!(blocks() >= 64 << 10, "its blocks are its own");
        disk.release_reserve();
        assert!(!path.exists());
        disk.look();
        assert!(blocks() >= 64 << 10);
        keeping(dir.path(), 32 << 10);
        assert_eq!(fs::metadata(&path).unwrap().len(), 32 << 10, "another configuration makes another reserve");
    }

    #[test]
    fn a_disk_that_is_too_small_has_no_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let free = free(dir.path()).unwrap();
        let disk = keeping(dir.path(), free / 2);
        assert!(!dir.path().join(RESERVE).exists());
        assert!(matches!(*disk.room.borrow(), Room::Scarce(_)));
    }

    #[tokio::test]
    async fn each_state_says_where_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let path = dir.path().to_str().unwrap();
        for (room, takes, what_to_do) in [
            (Room::Scarce(7), true, "free some space"),
            (Room::Kept(7), false, "free some space"),
            (Room::ReadOnly, false, "mount it for writing again"),
        ] {
            store.pretend(room);
            let reason = store.turns_wait_for_room().unwrap();
            assert!(reason.contains(path) && reason.contains(what_to_do), "{reason}");
            assert_eq!(store.takes_events().is_ok(), takes, "{room:?}");
        }
        store.pretend(Room::Ample);
        assert!(store.takes_events().is_ok() && store.turns_wait_for_room().is_none());
    }
}
