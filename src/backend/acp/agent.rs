//! A running agent: its process and the connection to it, and the task that owns both and sees to their end.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Shared;
use super::breaker::Death;
use super::connection::{self, Connection, Inbox};
use super::gate::Books;
use super::process::{self, Process, Tail};
use crate::backend::error::BackendError;
use crate::backend::handle::Handle;
use crate::backend::stray;
use crate::clock::Clock;
use crate::scope::OnCrash;

/// How long an agent may take to exit after its input is closed.
const EXIT_GRACE: Duration = Duration::from_secs(1);
/// How long its group may take after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long the kernel, and we, may take to be rid of what was killed.
pub(super) const REAP_GRACE: Duration = Duration::from_secs(1);
/// How long we go on reading what an agent wrote before it exited, and wait for the exit of one that closed its output.
const DRAIN: Duration = Duration::from_millis(500);

/// A handle to a running agent. When the last one is dropped the agent is killed.
#[derive(Debug)]
pub(super) struct RunningAgent {
    connection: Connection,
    gone: watch::Receiver<Option<Gone>>,
    leave: watch::Sender<Option<Instant>>,
    kill: CancellationToken,
    _killed_on_drop: DropGuard,
}

/// How an agent came to its end.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    death: Death,
    violation: Option<String>,
}

/// What the owner woke up for.
enum Cause {
    /// It is asked to leave, by this time at the latest.
    Leave(Instant),
    /// It must go at once.
    Kill,
    /// Its process has ended.
    Exited,
    /// It closed its output, or broke a rule of the gate.
    Closed,
}

impl RunningAgent {
    /// Takes an agent into its keeping that was started with `mark` in its environment. When the backend stops, it is killed.
    pub(super) async fn launch(
        (process, pipes): (Process, process::Pipes),
        mark: String,
        inbox: Arc<dyn Inbox>,
        shared: &Arc<Shared>,
    ) -> Result<Self, BackendError> {
        let parts = &shared.parts;
        let (kill, books, tail) = (shared.stop.child_token(), Books::new(), Tail::default());
        let killed_on_drop = kill.clone().drop_guard();
        let (leave, leaving) = watch::channel(None);
        let (report, mut gone) = watch::channel(None);
        let (connected, connection) = oneshot::channel();
        let follower = tail.clone();
        let stderr = pipes.stderr;
        let follow = parts.scope.spawn("acp stderr", OnCrash::Log, async move { follower.follow(stderr).await });
        let serve = connection::serve(pipes.stdin, pipes.stdout, inbox, books.clone(), connected);
        let owner = Owner { process, leaving, kill: kill.clone(), clock: parts.clock.clone() };
        let agents = &shared.agents;
        let shared = shared.clone();
        let run = async move {
            let clock = owner.clock.clone();
            let Ended { status, by_itself, family } = owner.run(Box::pin(serve)).await;
            // A scan that fails leaves it to the next one.
            let _ = tokio::task::spawn_blocking(move || end_family(family, &mark)).await;
            let aborted = follow.abort_handle();
            let _late = clock.timeout(DRAIN, follow).await;
            aborted.abort();
            let violation = books.violation().map(ToOwned::to_owned);
            let death = Death { exit: process::describe(status), stderr: tail.text() };
            if by_itself {
                shared.crashed(death.clone());
            }
            report.send_replace(Some(Gone { death, violation }));
        };
        parts.scope.spawn("acp agent", OnCrash::Log, agents.track_future(run));
        let Ok(connection) = connection.await else {
            drop(killed_on_drop);
            drop(parts.clock.timeout(REAP_GRACE, gone.wait_for(Option::is_some)).await);
            return Err(BackendError::Transient("the connection to the agent could not be set up".to_owned()));
        };
        Ok(Self { connection, gone, leave, kill, _killed_on_drop: killed_on_drop })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether it can still be asked anything: it runs, and nobody has killed it.
    pub(super) fn is_alive(&self) -> bool {
        !self.kill.is_cancelled() && self.gone.borrow().is_none()
    }

    /// Waits until nothing of it runs any more; returns why.
    pub(super) async fn gone(&self) -> BackendError {
        let mut gone = self.gone.clone();
        match gone.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) {
            Some(end) => end.error(),
            // Its owner was dropped with the runtime.
            None => BackendError::ShuttingDown,
        }
    }

    /// Lets it go in good order: its input is closed, then its group gets SIGTERM, and at `deadline` at the latest SIGKILL.
    pub(super) fn leave(&self, deadline: Instant) {
        self.leave.send_replace(Some(deadline));
    }

    /// Has its group killed, without waiting for it.
    pub(super) fn kill_soon(&self) {
        self.kill.cancel();
    }

    /// Kills its group and waits until nothing of it runs any more, for a moment at the longest.
    pub(super) async fn kill(&self, clock: &Clock) {
        self.kill.cancel();
        if clock.timeout(REAP_GRACE, self.gone()).await.is_err() {
            tracing::warn!("An agent that was killed is not gone yet");
        }
    }
}

impl Gone {
    fn error(self) -> BackendError {
        match self.violation {
            Some(violation) => BackendError::Protocol(violation),
            None => BackendError::Crashed { exit: self.death.exit, stderr: self.death.stderr },
        }
    }
}

/// How an agent's process ended.
struct Ended {
    status: Option<ExitStatus>,
    /// Whether nobody asked it to.
    by_itself: bool,
    /// What descended from it when it was asked to.
    family: Vec<Handle>,
}

/// Ends what escaped from an agent's group: what was seen to descend from it, and what has its mark. Blocks for a few milliseconds.
fn end_family(family: Vec<Handle>, mark: &str) {
    let mut killed: Vec<Handle> = family.into_iter().filter(Handle::kill).collect();
    killed.extend(stray::kill(stray::MARK, mark));
    stray::bury(killed);
}

/// What owns a process: nothing but this ends it.
struct Owner {
    process: Process,
    leaving: watch::Receiver<Option<Instant>>,
    kill: CancellationToken,
    clock: Clock,
}

impl Owner {
    /// Runs the agent to its end. Afterwards nothing of its group is left.
    async fn run<S: Future<Output = ()> + Unpin>(mut self, mut serve: S) -> Ended {
        let cause = self.cause(&mut serve).await;
        let by_itself = matches!(cause, Cause::Exited | Cause::Closed);
        // Once it has ended nobody knows any more who descends from it.
        let family = self.family().await;
        match cause {
            Cause::Kill => {}
            Cause::Leave(deadline) => {
                // With the connection its input is closed.
                drop(serve);
                self.see_off(deadline).await;
            }
            Cause::Exited => {
                // What is left of the group would hold the output open; what was written before is still read.
                let status = self.process.kill().await;
                let _late = self.clock.timeout(DRAIN, serve).await;
                return Ended { status, by_itself, family };
            }
            Cause::Closed => {
                let _late = self.clock.timeout(DRAIN, self.process.wait()).await;
            }
        }
        Ended { status: self.process.kill().await, by_itself, family }
    }

    async fn family(&self) -> Vec<Handle> {
        let Some(id) = self.process.id() else { return Vec::new() };
        tokio::task::spawn_blocking(move || stray::descendants(id)).await.unwrap_or_default()
    }

    async fn cause<S: Future<Output = ()> + Unpin>(&mut self, serve: &mut S) -> Cause {
        let deadline = async {
            match self.leaving.wait_for(Option::is_some).await {
                Ok(deadline) => deadline.map_or(Cause::Kill, Cause::Leave),
                // Nobody holds the agent any more.
                Err(_) => Cause::Kill,
            }
        };
        tokio::select! {
            biased;
            () = self.kill.cancelled() => Cause::Kill,
            cause = deadline => cause,
            _ = self.process.wait() => Cause::Exited,
            () = serve => Cause::Closed,
        }
    }

    /// Waits for its exit, then asks for it, each time for no longer than there is.
    async fn see_off(&mut self, deadline: Instant) {
        let until = |clock: &Clock, grace: Duration| (clock.now() + grace).min(deadline);
        let exit = until(&self.clock, EXIT_GRACE);
        if self.clock.timeout_at(exit, self.process.wait()).await.is_ok() {
            return;
        }
        self.process.terminate();
        let term = until(&self.clock, TERM_GRACE);
        let _late = tokio::select! {
            () = self.kill.cancelled() => return,
            late = self.clock.timeout_at(term, self.process.wait()) => late,
        };
    }
}
