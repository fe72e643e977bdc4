//! An agent's process: its own group, its pipes, the last words of its stderr, and its certain end.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::backend::error::BackendError;
use crate::secret::redact;

/// How much of stderr is kept, in bytes.
const TAIL: usize = 4 * 1024;

/// How many file descriptors no agent may take: without them the connections to Slack could not be opened again.
const KEPT_DESCRIPTORS: u64 = 16;

/// A running process and its group. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
}

/// The pipes of a process.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    /// Starts `command` in `dir` with exactly the environment `env`.
    ///
    /// # Errors
    /// When the command is empty, or the program can't be executed.
    pub(super) fn spawn(
        command: &[String],
        dir: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<(Self, Pipes), BackendError> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| BackendError::Transient("its `command` is not configured".to_owned()))?;
        let failed = |why: &dyn std::fmt::Display| {
            BackendError::Transient(format!("the agent's program `{program}` could not be started: {why}"))
        };
        if !has_descriptors() {
            return Err(failed(&"too few file descriptors are left (LimitNOFILE)"));
        }
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child, group };
        match pipes {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, Pipes { stdin, stdout, stderr })),
            _ => Err(failed(&"it has no pipes")),
        }
    }

    /// Its number, as long as it runs.
    pub(super) fn id(&self) -> Option<i32> {
        self.child.id().and_then(|id| i32::try_from(id).ok())
    }

    /// Waits until the process itself has ended. Cancel safe.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Asks everything in its group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills everything in its group, also what outlived the process itself, and reaps the process.
    pub(super) async fn kill(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::KILL);
        let status = self.wait().await;
        // The number may be given to somebody else from now on.
        self.group = None;
        status
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails only when nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Whether a further process leaves enough descriptors for connections and files. Where nobody can say, it does.
fn has_descriptors() -> bool {
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else { return true };
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return true };
    let open = u64::try_from(open.count()).unwrap_or(u64::MAX);
    open.saturating_add(KEPT_DESCRIPTORS) < limit
}

/// How a process ended, in words.
pub(super) fn describe(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    let Some(status) = status else { return "in an unknown way".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The last lines that a process wrote to its stderr; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    /// Reads until the end, so that the process never has to wait for us.
    pub(super) async fn follow(&self, mut stderr: ChildStderr) {
        let mut buffer = vec![0; TAIL];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            self.push(buffer.get(..count).unwrap_or_default());
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        // One byte more than is shown tells whether something was cut off.
        let excess = kept.len().saturating_sub(TAIL + 1);
        kept.drain(..excess);
    }

    /// The text, without secrets. Of a line that is cut nothing is left: half a token could not be recognised.
    pub(super) fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = kept.len() > TAIL;
        let text = String::from_utf8_lossy(kept.make_contiguous());
        let whole = if cut { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        redact(whole.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_holds_no_secret() {
        let tail = Tail::default();
        tail.push(b"start xoxb-1-2\n");
        assert_eq!(tail.text(), "start xoxb-…");
        for _ in 0..TAIL {
            tail.push(b"Bearer abc\n");
        }
        tail.push(b"the end\n");
        let text = tail.text();
        assert!(text.len() < 2 * TAIL && text.ends_with("the end"), "{text}");
        assert!(!text.contains("abc") && !text.contains("start"), "{text}");
    }

    #[tokio::test]
    async fn a_group_dies_with_its_process() {
        let command = ["sh", "-c", "sleep 1000 & echo $!; wait"].map(str::to_owned);
        let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into();
        let (mut process, mut pipes) = Process::spawn(&command, Path::new("/"), &env).unwrap();
        let mut line = [0; 32];
        let count = pipes.stdout.read(&mut line).await.unwrap();
        let grandchild = std::str::from_utf8(&line[..count]).unwrap().trim().to_owned();
        assert_eq!(describe(process.kill().await), "signal 9");
        // Only when the grandchild is gone too is the pipe closed.
        assert_eq!(pipes.stdout.read(&mut line).await.unwrap(), 0, "process {grandchild} lives");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Process::spawn(&["/no/such/agent".to_owned()], Path::new("/"), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("`/no/such/agent`"), "{error}");
    }
}
