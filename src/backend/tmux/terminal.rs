//! A program in its terminal, and the task that owns both and sees to their end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::family::{self, Process};
use super::screen::Picture;
use super::server::{Above, Fate, Launch, Look, Pane, Server, Trouble};
use crate::backend::error::BackendError;
use crate::backend::stray;
use crate::clock::Clock;
use crate::scope::OnCrash;
use crate::secret::redact;

/// How long a program and its descendants may take after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// How long they may take after the hang-up of their terminal. Shells that talk to people go only then.
const HANG_UP_GRACE: Duration = Duration::from_millis(500);
/// How long we wait for those that were killed.
pub(super) const REAP_GRACE: Duration = Duration::from_secs(2);
/// The pause between two looks at a screen.
pub(super) const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two looks at who still lives.
const PAUSE: Duration = Duration::from_millis(10);
/// How often we look for how a program ended that has just done so.
const LAST_LOOKS: usize = 50;
/// How much of what a program wrote last is told, in bytes.
const TAIL: usize = 4 * 1024;

/// A handle to a program in its terminal. When it is dropped, the program is ended.
#[derive(Debug)]
pub(super) struct Terminal {
    server: Server,
    pane: Pane,
    leave: watch::Sender<Leaving>,
    gone: watch::Receiver<bool>,
}

/// How a terminal is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Stays,
    /// Its program is ended, by this time.
    By(Instant),
    /// Its program runs on without us.
    RunsOn,
}

impl Terminal {
    /// Starts a program. Whatever goes wrong, and when this is dropped half-way, nothing is left running.
    pub(super) async fn launch(server: Server, launch: Launch, shared: &Shared) -> Result<Self, BackendError> {
        let (leave, leaving) = watch::channel(Leaving::Stays);
        let (report, mut gone) = watch::channel(false);
        let (started, pane) = oneshot::channel();
        let owner = Owner { server: server.clone(), leaving, stop: shared.stop.clone(), runs_on: false };
        let run = async move {
            let start = owner.server.start(&launch).await;
            let pane = start.as_ref().ok().cloned();
            // Nobody waits when the start was given up, and then nobody holds the other end of `leaving` either.
            let _given_up = started.send(start);
            owner.run(pane).await;
            report.send_replace(true);
        };
        shared.parts.scope.spawn("tmux session", OnCrash::Log, shared.terminals.track_future(run));
        match pane.await {
            Ok(Ok(pane)) => Ok(Self { server, pane, leave, gone }),
            Ok(Err(trouble)) => {
                leave.send_replace(Leaving::By(server.clock.now()));
                drop(server.clock.timeout(REAP_GRACE, gone.wait_for(|gone| *gone)).await);
                Err(trouble.into())
            }
            Err(_crashed) => Err(BackendError::ShuttingDown),
        }
    }

    /// Takes a program into its keeping that an earlier run of the daemon left running. It runs on until its end is asked for.
    pub(super) fn adopt(server: Server, pane: Pane, shared: &Shared) -> Self {
        let (leave, leaving) = watch::channel(Leaving::Stays);
        let (report, gone) = watch::channel(false);
        let owner = Owner { server: server.clone(), leaving, stop: shared.stop.clone(), runs_on: true };
        let kept = Some(pane.clone());
        let run = async move {
            owner.run(kept).await;
            report.send_replace(true);
        };
        shared.parts.scope.spawn("tmux session", OnCrash::Log, shared.terminals.track_future(run));
        Self { server, pane, leave, gone }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn pane(&self) -> &Pane {
        &self.pane
    }

    /// Whether the program runs and nobody has ended it.
    pub(super) fn is_alive(&self) -> bool {
        *self.leave.borrow() == Leaving::Stays && self.pane.program.is_some_and(Process::is_alive)
    }

    pub(super) async fn look(&self, above: Above) -> Result<Look, Trouble> {
        self.server.look(&self.pane, above).await
    }

    /// Waits until `is_so` of what it shows, and of how long that stands. Nothing comes of a program that ends.
    pub(super) async fn until(&self, is_so: impl Fn(&Picture, Duration) -> bool) -> Result<(), Trouble> {
        let clock = &self.server.clock;
        let (mut shown, mut changed) = (None, clock.now());
        loop {
            match self.look(Above::Lines(0)).await? {
                Look { fate: Fate::Leaves | Fate::Ended(_), .. } => return Err(Trouble::Gone),
                Look { picture, .. } if shown.as_ref() == Some(&picture) => {
                    if is_so(&picture, clock.now().saturating_duration_since(changed)) {
                        return Ok(());
                    }
                }
                Look { picture, .. } => (shown, changed) = (Some(picture), clock.now()),
            }
            clock.sleep(LOOK_PAUSE).await;
        }
    }

    pub(super) async fn paste(&self, text: &str) -> Result<(), Trouble> {
        self.server.paste(&self.pane, text).await
    }

    pub(super) async fn press(&self, key: &str) -> Result<(), Trouble> {
        self.server.press(&self.pane, key).await
    }

    pub(super) async fn forget_history(&self) -> Result<(), Trouble> {
        self.server.forget_history(&self.pane).await
    }

    /// How the program came to its end, with what it wrote last, without secrets. tmux sometimes never learns how.
    pub(super) async fn last_words(&self) -> BackendError {
        let mut words = String::new();
        for _ in 0..LAST_LOOKS {
            let look = match self.look(Above::All).await {
                Ok(look) => look,
                Err(trouble) => return trouble.into(),
            };
            words = redact(&look.picture.tail(TAIL));
            if let Fate::Ended(exit) = look.fate {
                return BackendError::Crashed { exit, stderr: words };
            }
            self.server.clock.sleep(PAUSE).await;
        }
        BackendError::Crashed { exit: "in an unknown way".to_owned(), stderr: words }
    }

    /// Lets its program end, by `deadline` at the latest.
    pub(super) fn leave(&self, deadline: Instant) {
        self.let_go(Leaving::By(deadline));
    }

    /// Leaves its program running.
    pub(super) fn leave_running(&self) {
        self.let_go(Leaving::RunsOn);
    }

    /// The first who lets go decides how.
    fn let_go(&self, how: Leaving) {
        self.leave.send_if_modified(|leaving| {
            let goes = *leaving == Leaving::Stays;
            if goes {
                *leaving = how;
            }
            goes
        });
    }

    /// Waits until nothing of it runs any more, or it was left running.
    pub(super) async fn gone(&self) {
        let mut gone = self.gone.clone();
        // Its owner may have been dropped with the runtime.
        drop(gone.wait_for(|gone| *gone).await);
    }

    /// Ends the program at once and waits for that, for a moment at the longest.
    pub(super) async fn kill(&self, clock: &Clock) {
        self.leave(clock.now());
        if clock.timeout(REAP_GRACE, self.gone()).await.is_err() {
            tracing::warn!(session = self.server.name, "A program in tmux that was killed is not gone yet");
        }
    }
}

/// What owns a server and its program: nothing but this ends them.
struct Owner {
    server: Server,
    leaving: watch::Receiver<Leaving>,
    stop: CancellationToken,
    /// Whether the program runs on when nobody says how it is to be let go.
    runs_on: bool,
}

impl Owner {
    /// Waits until the terminal is let go, and ends what is to end. Without a pane there is nothing to wait for.
    async fn run(mut self, pane: Option<Pane>) {
        let deadline = match &pane {
            Some(_) => match self.let_go().await {
                Leaving::RunsOn => return,
                Leaving::By(deadline) => deadline,
                Leaving::Stays => self.server.clock.now(),
            },
            None => self.server.clock.now(),
        };
        end(&self.server, pane.as_ref(), deadline).await;
    }

    async fn let_go(&mut self) -> Leaving {
        let unsaid = if self.runs_on { Leaving::RunsOn } else { Leaving::By(self.server.clock.now()) };
        tokio::select! {
            biased;
            // Nobody holds the terminal any more when there is nothing to read.
            leaving = self.leaving.wait_for(|leaving| *leaving != Leaving::Stays) => leaving.map_or(unsaid, |leaving| *leaving),
            () = self.stop.cancelled() => unsaid,
        }
    }
}

/// Ends a program with all its descendants, then its server. Whoever does not go when asked is killed at `deadline` at the latest. Without a
/// pane, as of a server that can't be reached any more, all go who bear the session's mark.
pub(super) async fn end(server: &Server, pane: Option<&Pane>, deadline: Instant) {
    let members = members(server, pane).await;
    for member in &members {
        member.signal(Signal::TERM);
    }
    have_gone(&server.clock, &members, TERM_GRACE, deadline).await;
    let _stuck = server.clock.timeout(REAP_GRACE, server.kill()).await;
    have_gone(&server.clock, &members, HANG_UP_GRACE, deadline).await;
    for member in &members {
        member.signal(Signal::KILL);
    }
    let name = server.name.clone();
    // Who was started meanwhile, and the server if it is stuck. A scan that fails leaves them to the next start.
    let _ = tokio::task::spawn_blocking(move || stray::kill(stray::MARK, &name)).await;
    // One that never was, or is gone already, needs no removal.
    let _ = std::fs::remove_file(server.socket());
}

async fn members(server: &Server, pane: Option<&Pane>) -> Vec<Process> {
    let program = pane.and_then(|pane| pane.program);
    let (name, except) = (server.name.clone(), pane.map(|pane| pane.server));
    tokio::task::spawn_blocking(move || family::members(program, &name, except)).await.unwrap_or_default()
}

/// Waits until all have gone, no longer than `grace`, nor than until `deadline`.
async fn have_gone(clock: &Clock, members: &[Process], grace: Duration, deadline: Instant) {
    let until = (clock.now() + grace).min(deadline);
    while clock.now() < until && members.iter().any(|member| member.is_alive()) {
        clock.sleep(PAUSE).await;
    }
}
