//! The one thread that writes, in groups.
//!
//! A job runs inside the group's transaction, under a savepoint of its own so that one that fails takes only itself back; what it
//! leaves to be done runs after the commit, on this thread and in the order of the jobs. A job that nobody waits for is a note: it
//! makes no group of its own as long as another job comes soon.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::damage::{self, Trouble, is_damage, is_io_error};
use super::disk::Disk;
use super::lock::Lock;
use super::{Store, StoreError, boots, is_full, opening};
use crate::scope::panic_text;

/// How many jobs one transaction takes at the most.
const GROUP: usize = 256;
/// How many jobs may wait. When it is full, whoever wants to write waits, and withholds its acknowledgement after its own deadline.
const WAITING: usize = 1_024;

/// How often a database whose disk failed is opened again, and the pause between.
const REOPENINGS: u32 = 3;
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// How long notes wait for a job to ride with; a crash loses what was noted meanwhile.
const RIDE: Duration = Duration::from_millis(10);

/// What is left to do once the group's commit is known.
type Settle = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A change; it runs in the group's transaction, and not at all without one.
type Change = Box<dyn FnOnce(Option<&Connection>) -> (Ran, Settle) + Send>;

/// How a change went, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ran {
    Done,
    Failed,
    /// There was no room for it on the disk.
    Full,
    /// The disk failed. What it holds of this commit is not known.
    Io,
    /// It failed because the database is damaged.
    Damaged,
}

impl Ran {
    fn of<T>(result: &rusqlite::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) if is_damage(error) => Self::Damaged,
            Err(error) if is_full(error) => Self::Full,
            Err(error) if is_io_error(error) => Self::Io,
            Err(_) => Self::Failed,
        }
    }
}

/// A change that waits for its group.
struct Job {
    change: Change,
    haste: Haste,
}

/// Whether somebody waits for a change to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    Now,
    Note,
}

/// The writer thread's handle.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Cancelled when the thread has ended.
    ended: CancellationToken,
    /// How many rows have been written so far.
    changed: Arc<AtomicU64>,
}

/// A place in the writer's queue, taken before a decision that must then be written.
#[derive(Debug)]
pub struct Slot(mpsc::OwnedPermit<Job>);

impl Writer {
    /// Starts the thread. It holds the directory's lock until the database is closed.
    pub(super) fn start(connection: Connection, lock: Lock, disk: Arc<Disk>) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel(WAITING);
        let runtime = Handle::current();
        // Of its own, for it waits with a time-out even while everything else ends.
        let waiting = Builder::new_current_thread().enable_time().build()?;
        let ended = CancellationToken::new();
        let ending = ended.clone().drop_guard();
        let changed = Arc::new(AtomicU64::new(0));
        let counted = changed.clone();
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            // However it ends.
            let _ending = ending;
            // What a settled job wakes may spawn tasks.
            let _runtime = runtime.enter();
            Writing { connection, disk, changed: counted }.run(jobs, &waiting);
            drop(lock);
        })?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), ended, changed })
    }

    pub(super) async fn close(&self) {
        let jobs = locked(&self.jobs).take();
        drop(jobs);
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread {
            // Joining blocks for as long as the last commits take.
            let _panicked = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// How many rows have been written so far; for finding out whether any have.
    pub(super) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    fn sender(&self) -> Result<mpsc::Sender<Job>, StoreError> {
        locked(&self.jobs).clone().ok_or(StoreError::Closed)
    }
}

impl Store {
    /// Waits until the writer has ended.
    ///
    /// # Panics
    /// When it ended by itself and not because the store was closed, or when the database was found damaged or unreadable: nothing can
    /// be relied on any more, and whoever owns the store has to stop.
    pub async fn ended(&self) {
        let lost = self.reader.lost().run_until_cancelled(self.writer.ended.cancelled()).await.is_none();
        assert!(!lost, "the database can't be read any more");
        assert!(locked(&self.writer.jobs).is_none(), "the store's writer ended by itself");
    }

    /// Waits for a place in the writer's queue. Cancel safe.
    pub async fn slot(&self) -> Result<Slot, StoreError> {
        self.writer.sender()?.reserve_owned().await.map(Slot).map_err(|_closed| StoreError::Closed)
    }

    /// Runs `change` in the next group and `then` when it is committed, whether or not anybody still waits.
    pub(super) fn write_in<T, C, D>(slot: Slot, change: C, then: D)
    where
        T: Send + 'static,
        C: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        D: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        slot.0.send(Job { change: settled_by(change, then), haste: Haste::Now });
    }

    /// The same for a change that nobody waits for: it may be on disk a moment later.
    pub(super) fn note_in<C, D>(slot: Slot, change: C, then: D)
    where
        C: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
        D: FnOnce(Result<(), StoreError>) + Send + 'static,
    {
        slot.0.send(Job { change: settled_by(change, then), haste: Haste::Note });
    }

    /// Runs `change` in the next group and returns its result when it is committed.
    pub(super) async fn write<T, C>(&self, change: C) -> Result<T, StoreError>
    where
        T: Send + 'static,
        C: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let slot = self.slot().await?;
        let (done, result) = oneshot::channel();
        Self::write_in(slot, change, move |outcome| {
            // Nobody waits any more: the change stands all the same.
            let _unheard = done.send(outcome);
        });
        result.await.map_err(|_closed| StoreError::Closed)?
    }
}

fn settled_by<T, C, D>(change: C, then: D) -> Change
where
    T: Send + 'static,
    C: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    D: FnOnce(Result<T, StoreError>) + Send + 'static,
{
    Box::new(move |connection| {
        let (ran, result) = match connection {
            None => (Ran::Failed, Err(StoreError::Failed("its group had failed before it".to_owned()))),
            // What it had changed is taken back, and the connection holds nothing else that it could have left half done.
            Some(connection) => match catch_unwind(AssertUnwindSafe(|| change(connection))) {
                Ok(result) => (Ran::of(&result), result.map_err(StoreError::from)),
                Err(panic) => (Ran::Failed, Err(crashed(panic.as_ref()))),
            },
        };
        let settle: Settle = Box::new(move |commit| then(commit.and(result)));
        (ran, settle)
    })
}

/// The error of a job that panicked.
fn crashed(panic: &(dyn Any + Send)) -> StoreError {
    let why = panic_text(panic);
    tracing::error!(reason = why, "A change of the store crashed");
    metrics::counter!("hitchline_task_crashes_total", "task" => "store-writer").increment(1);
    StoreError::Failed(format!("the change crashed: {why}"))
}

/// What the writer's thread works with.
struct Writing {
    connection: Connection,
    disk: Arc<Disk>,
    changed: Arc<AtomicU64>,
}

impl Writing {
    /// Writes group after group, until there are no more or the database can't be written any more.
    fn run(mut self, mut jobs: mpsc::Receiver<Job>, waiting: &Runtime) {
        let mut group = Vec::with_capacity(GROUP);
        while waiting.block_on(next_group(&mut jobs, &mut group)) {
            let worst = write_group(&self.connection, group.drain(..), &self.changed);
            if !self.goes_on_after(worst, waiting) {
                break;
            }
        }
        if let Err((_connection, error)) = self.connection.close() {
            tracing::warn!(%error, "The database did not close cleanly; its log is replayed at the next start");
        }
    }

    /// Does what a group's failure calls for. Returns whether more may be written.
    fn goes_on_after(&mut self, worst: Ran, waiting: &Runtime) -> bool {
        match worst {
            Ran::Done | Ran::Failed => true,
            Ran::Full => {
                self.disk.release_reserve();
                true
            }
            Ran::Io => self.reopen(waiting),
            Ran::Damaged => {
                tracing::error!(
                    "The database is damaged, so nothing more is written; the next start checks it and restores a snapshot"
                );
                damage::met(&self.connection);
                false
            }
        }
    }

    /// Goes on with a new connection after an error of the disk, once in the life of the process: one that failed to sync may take
    /// for written what is not. The readers keep what all connections share, and so the place up to which the log is valid: what was
    /// written of the failed commit lies beyond it and is overwritten by the next.
    fn reopen(&mut self, waiting: &Runtime) -> bool {
        if self.is_read_only() {
            return true;
        }
        if !self.disk.is_first_io_error() {
            tracing::error!("The disk failed again, so nothing more is written; see what the system says about it");
            return false;
        }
        tracing::error!("The disk failed: that commit is taken back, and the database is opened and checked once more");
        for attempt in 1..=REOPENINGS {
            match reopened(&self.connection) {
                Ok(connection) => {
                    self.connection = connection;
                    tracing::warn!("The database is sound; going on");
                    return true;
                }
                Err(trouble) => tracing::error!(attempt, %trouble, "The database can't be opened again"),
            }
            // A file system that has found an error fails first, and closes itself then.
            if self.is_read_only() {
                return true;
            }
            waiting.block_on(tokio::time::sleep(REOPEN_PAUSE));
        }
        false
    }

    /// Whether the disk can only be read, which is said. The same connection goes on afterwards: what was written of a failed commit lies
    /// where the next one is written.
    fn is_read_only(&self) -> bool {
        let is_read_only = self.disk.is_read_only();
        if is_read_only {
            tracing::error!("The disk can only be read: nothing is written until it is mounted for writing again");
        }
        is_read_only
    }
}

/// A new connection to the same database, checked, and shown to be able to commit.
fn reopened(connection: &Connection) -> Result<Connection, Trouble> {
    let path = connection.path().map(PathBuf::from).unwrap_or_default();
    let connection = opening::examined(&path)?;
    boots::try_commit(&connection)?;
    Ok(connection)
}

/// Takes everything that waits, and waits for something; notes alone wait a little longer for company. Returns whether there is more.
async fn next_group(jobs: &mut mpsc::Receiver<Job>, group: &mut Vec<Job>) -> bool {
    if jobs.recv_many(group, GROUP).await == 0 {
        return false;
    }
    let company = async {
        while group.len() < GROUP && group.iter().all(|job| job.haste == Haste::Note) {
            if jobs.recv_many(group, GROUP - group.len()).await == 0 {
                return;
            }
        }
    };
    let _alone = tokio::time::timeout(RIDE, company).await;
    true
}

/// Writes a group, and says how the worst of it went.
fn write_group(connection: &Connection, jobs: impl Iterator<Item = Job>, changed: &AtomicU64) -> Ran {
    let mut settles = Vec::with_capacity(GROUP);
    let before = connection.total_changes();
    let begun = run(connection, "BEGIN IMMEDIATE");
    let mut worst = Ran::of(&begun);
    let mut group = begun.map_err(StoreError::from);
    for job in jobs {
        let (ran, settle) = run_job(connection, job, &group);
        settles.push(settle);
        worst = worst.max(ran);
        // A full disk takes the whole transaction back; what came after would be committed by itself.
        if group.is_ok() && connection.is_autocommit() {
            group = Err(StoreError::Failed("the transaction was taken back".to_owned()));
        }
    }
    let committed = group.and_then(|()| {
        let committed = run(connection, "COMMIT");
        worst = worst.max(Ran::of(&committed));
        committed.map_err(StoreError::from)
    });
    if let Err(error) = &committed {
        tracing::error!(%error, jobs = settles.len(), "A group of changes was not committed");
        metrics::counter!("hitchline_store_failures_total").increment(1);
        // A failed COMMIT leaves the transaction open.
        let _already_rolled_back = run(connection, "ROLLBACK");
    }
    // Before anybody is told, who may ask for a snapshot then.
    changed.fetch_add(connection.total_changes() - before, Ordering::Relaxed);
    for settle in settles {
        // It is committed all the same; only whoever was to be told is not.
        let told = catch_unwind(AssertUnwindSafe(|| settle(committed.clone())));
        if let Err(panic) = told {
            let _reported = crashed(panic.as_ref());
        }
    }
    worst
}

/// Runs a job in its `group`; one whose group has failed is not run.
fn run_job(connection: &Connection, job: Job, group: &Result<(), StoreError>) -> (Ran, Settle) {
    if group.is_err() {
        return (job.change)(None);
    }
    let marked = run(connection, "SAVEPOINT job");
    let (ran, settle) = (job.change)(Some(connection));
    let undone = if ran == Ran::Done { Ok(()) } else { run(connection, "ROLLBACK TO job") };
    match marked.and(undone).and_then(|()| run(connection, "RELEASE job")) {
        Ok(()) => (ran, settle),
        Err(error) => {
            let failed = StoreError::from(error);
            (ran, Box::new(move |commit| settle(commit.and(Err(failed)))))
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// The lock's content; a panic while it was held leaves it usable, for it holds only whole values.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
