//! The built binary as a process, and the way to wait for it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of a test fails the test that called it")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A process of the binary, its stdout line by line and its log so far.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) lines: Receiver<String>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(binary().args(arguments), environment)
    }

    /// The same for a command of any program.
    pub(crate) fn spawn(command: &mut Command, environment: &[(&str, &str)]) -> Self {
        let mut process = Self::spawn_unread(command, environment);
        let (written, err) = (process.log.clone(), BufReader::new(process.child.stderr.take().unwrap()));
        process.reader = Some(std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        }));
        process
    }

    /// The same, of which nobody reads the log.
    pub(crate) fn spawn_unread(command: &mut Command, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("HOME", std::env::temp_dir())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| send.send(line).is_ok()));
        Self { child, lines, log: Arc::default(), reader: None }
    }

    /// Waits for a line of stdout that begins so; returns the rest of it.
    pub(crate) fn line(&self, start: &str) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("no line `{start}`; the log:\n{}", self.log()));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn ended(&mut self, within: Duration) -> (i32, String) {
        let ended = eventually(within, || self.child.try_wait().unwrap());
        let status = ended.unwrap_or_else(|| panic!("still running; the log:\n{}", self.log()));
        // Its last words may still be on their way to us.
        self.reader.take().map_or(Ok(()), JoinHandle::join).unwrap();
        (status.code().unwrap_or(-1), self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
        if std::thread::panicking() {
            println!("the log:\n{}", self.log());
        }
    }
}

/// The built binary, to be started.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hitchline"))
}

/// Looks again and again until there is something, by the deadline.
pub(crate) fn eventually<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // A short park between looks: this waits for a condition, not for time to pass.
    let rounds = within.as_millis() / 10;
    for _ in 0..rounds {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    None
}
