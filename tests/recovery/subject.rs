//! The daemon under test: its directory, its lives one after the other, and what can be seen of it on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hitchline::store::Store;
use rustix::process::Signal;
use tempfile::TempDir;

use super::agent;
use super::process::{DEADLINE, Process, eventually};
use super::trace;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// It answers with what it is told, and keeps no log.
    Echo,
    /// The recording agent.
    Recording,
}

/// A state directory and its configuration.
pub(crate) struct Subject {
    dir: TempDir,
}

impl Subject {
    /// One whose daemons connect to the simulator at `slack`.
    pub(crate) fn new(slack: &str, backend: Backend) -> Self {
        let subject = Self { dir: tempfile::tempdir().unwrap() };
        let dir = subject.path().to_str().unwrap().to_owned();
        let sections = match backend {
            Backend::Echo => String::new(),
            Backend::Recording => {
                format!("[backends.agent]\nkind = \"acp\"\nworking_dir = \"{dir}\"\ncommand = {:?}\n", agent::command())
            }
        };
        let name = if backend == Backend::Echo { "echo" } else { "agent" };
        let config = format!(
            "[slack]\napi_url = \"http://{slack}/api/\"\nbot_token = \"xoxb-simulator\"\napp_token = \"xapp-simulator\"\npacing = \"off\"\n\
             [access]\nusers = [\"*\"]\n[store]\ndir = \"{dir}/state\"\n[http]\nlisten = \"\"\n[sessions]\nbackend = \"{name}\"\n\
             max_per_user = 0\nsafe_mode_after = 0\n{sections}"
        );
        std::fs::write(subject.config(), config).unwrap();
        subject
    }

    /// From its next start on it holds so many connections.
    pub(crate) fn hold_sockets(&self, sockets: usize) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        let config = config.replacen("[slack]\n", &format!("[slack]\nsockets = {sockets}\n"), 1);
        std::fs::write(self.config(), config).unwrap();
    }

    /// Where the agents work.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("hitchline.toml")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Starts a daemon, which may not be ready yet.
    pub(crate) fn start(&self) -> Life {
        // A process that a killed daemon had forked, and that has not become an agent yet, holds the daemon's lock a moment longer.
        let free = eventually(DEADLINE, || Store::ensure_free(&self.state()).ok());
        assert!(free.is_some(), "something still works in {}", self.state().display());
        let config = self.config();
        Life { process: Process::start(&["run", "--config", config.to_str().unwrap()], &[]) }
    }

    /// The same under a tracer, which writes into `log`; without the tool the running test is noted as not run.
    pub(crate) fn start_traced(&self, log: &Path) -> Option<Life> {
        let binary = Path::new(env!("CARGO_BIN_EXE_hitchline"));
        let mut command = trace::traced(log, binary)?;
        Some(Life { process: Process::spawn(command.args(["run", "--config"]).arg(self.config()), &[]) })
    }

    /// The same under a tracer that kills it at the `nth` call of this name that one of its threads makes.
    pub(crate) fn start_doomed(&self, call: &str, nth: usize) -> Option<Life> {
        let doom = [format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={nth}")];
        let mut command = trace::strace(&["-e", &doom[0], "-e", &doom[1], "-o", "/dev/null"])?;
        command.arg(env!("CARGO_BIN_EXE_hitchline")).args(["run", "--config"]).arg(self.config());
        // One thread does what else any of two might do, so that their calls can be counted.
        Some(Life { process: Process::spawn(&mut command, &[("TOKIO_WORKER_THREADS", "1")]) })
    }

    /// Takes over the state of another one, which is at rest.
    pub(crate) fn continue_from(&self, other: &Self) {
        std::fs::create_dir(self.state()).unwrap();
        for file in std::fs::read_dir(other.state()).unwrap().flatten().filter(|file| file.path().is_file()) {
            std::fs::copy(file.path(), self.state().join(file.file_name())).unwrap();
        }
    }

    /// What is on the disk of a daemon that is dead, opened as a copy: whoever looks must not recover it in the daemon's place.
    pub(crate) fn image(&self) -> Image {
        let copy = tempfile::tempdir().unwrap();
        for file in ["hitchline.db", "hitchline.db-wal"] {
            // Killed early enough, there is none yet.
            drop(std::fs::copy(self.state().join(file), copy.path().join(file)));
        }
        let database = rusqlite::Connection::open(copy.path().join("hitchline.db")).unwrap();
        Image { database, _copy: Some(copy) }
    }

    /// What is in the store of a daemon that is alive.
    pub(crate) fn store(&self) -> Image {
        let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(self.state().join("hitchline.db"), read_only).unwrap();
        database.busy_timeout(DEADLINE).unwrap();
        Image { database, _copy: None }
    }

    /// Processes that still work for it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let cwd = |id: &u32| std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == self.path());
        ids.filter(cwd).collect()
    }
}

/// One run of the daemon.
pub(crate) struct Life {
    process: Process,
}

impl Life {
    /// Waits until it takes messages.
    pub(crate) fn ready(&self) {
        self.process.line("ready");
    }

    /// Whether it has become ready since this was last asked.
    pub(crate) fn is_ready(&self) -> bool {
        self.process.lines.try_iter().any(|line| line == "ready")
    }

    /// Whether it is ready within `time`; it may as well never be.
    pub(crate) fn ready_within(&self, time: Duration) -> bool {
        eventually(time, || self.is_ready().then_some(())).is_some()
    }

    /// Whether it is gone.
    pub(crate) fn is_over(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_some()
    }

    /// Kills it, if nobody else has.
    pub(crate) fn kill(mut self) {
        if !self.is_over() {
            self.process.signal(Signal::KILL);
        }
        assert_eq!(self.process.ended(DEADLINE).0, -1, "it was killed");
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let (code, log) = self.process.ended(DEADLINE);
        assert_eq!(code, 0, "{log}");
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// A look into a store.
pub(crate) struct Image {
    database: rusqlite::Connection,
    _copy: Option<TempDir>,
}

impl Image {
    /// The keys under which the inbox knows what it has seen; none when there is no store yet.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.strings("SELECT key FROM dedup").unwrap_or_default()
    }

    /// Whether nothing is in hand, nothing waits, and nothing is owed.
    pub(crate) fn is_at_rest(&self) -> bool {
        let busy = "SELECT (SELECT count(*) FROM inbox WHERE state IN ('queued', 'running'))
                         + (SELECT count(*) FROM outbox WHERE state = 'pending')
                         + (SELECT count(*) FROM turn WHERE outcome IS NULL)";
        self.database.query_row(busy, [], |row| row.get::<_, u32>(0)).unwrap() == 0
    }

    /// The ids of all turns, each with the time stamp of its message, in microseconds.
    pub(crate) fn turns(&self) -> Vec<(i64, String)> {
        let sql = "SELECT said_us, turn.id FROM turn JOIN inbox USING (seq)";
        let mut turns = self.database.prepare(sql).unwrap();
        turns.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    /// Time stamps of messages that were given up for good; a press or a command may have been as well.
    pub(crate) fn given_up(&self) -> Vec<String> {
        let sql =
            "SELECT json_extract(body, '$.what.message.ts') AS ts FROM inbox WHERE state = 'dead' AND ts IS NOT NULL";
        self.strings(sql).unwrap()
    }

    /// The time stamp of the message whose turn this is.
    pub(crate) fn message_of(&self, turn: &str) -> Option<String> {
        let sql = "SELECT json_extract(body, '$.what.message.ts') FROM turn JOIN inbox USING (seq) WHERE turn.id = ?1";
        self.database.query_row(sql, [turn], |row| row.get(0)).ok()
    }

    fn strings(&self, sql: &str) -> rusqlite::Result<Vec<String>> {
        self.database.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }
}
