//! Interactive programs, each in a tmux session of its own that a person can attach to.
//!
//! The last resort for agents that speak no protocol: a prompt is typed, the answer is what comes on the screen, and the end of a turn is a
//! pattern or a screen that stands still. `server` is our private tmux; `terminal` owns the program in it; `turn` types and watches. What
//! may be typed (`text`), what the screen says (`screen`, `seen`) and when a turn is over (`rules`) are decided without I/O.

mod family;
mod reference;
mod rules;
mod screen;
mod seen;
mod server;
mod session;
mod terminal;
mod text;
mod turn;

use std::collections::HashSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::reference::Reference;
use self::rules::Rules;
use self::server::{Above, Fate, Launch, Look, Pane, Server, Trouble};
use self::session::{Manner, TmuxSession};
use self::terminal::Terminal;
use super::config::{Tmux, TmuxOnShutdown};
use super::environment::Given;
use super::error::{BackendError, Phase};
use super::{Backend, BackendParts, ListQuery, Listed, Session, StartSpec, stray};
use crate::domain::session::BackendRef;

pub use self::rules::BadPattern;

/// The folder of the sockets, in the state directory.
const FOLDER: &str = "tmux";
/// The pause between two looks at a program that starts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a program that was left running may take to show that it is ready; one that works on something does not.
const READY_AGAIN: Duration = Duration::from_secs(2);

/// Interactive programs, as configured under one name.
#[derive(Debug)]
pub struct TmuxBackend {
    config: Tmux,
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    parts: BackendParts,
    /// The sessions that were ended. They are never brought back.
    ended: Mutex<HashSet<String>>,
    /// Cancelled when every program must go that is not left running.
    stop: CancellationToken,
    /// The terminals that we keep.
    terminals: TaskTracker,
}

/// Looks at the patterns of a configuration.
///
/// # Errors
/// The first that is no regular expression.
pub fn check_patterns(config: &Tmux) -> Result<(), BadPattern> {
    Rules::new(config).map(drop)
}

/// Whether the sockets below this state directory have paths that can be opened.
pub fn socket_fits(state_dir: &Path) -> bool {
    Server::socket_fits(&Server::socket_in(&state_dir.join(FOLDER), &reference::new_name()))
}

/// The mark of a session's processes, when they may run on while no daemon does.
pub(super) fn outliving(config: &Tmux, session: &BackendRef) -> Option<String> {
    let may = config.on_shutdown == TmuxOnShutdown::Detach;
    Reference::parse(session).filter(|_| may).map(|reference| reference.name)
}

impl TmuxBackend {
    /// A backend without sessions. It starts nothing yet.
    pub fn new(config: Tmux, parts: &BackendParts) -> Self {
        let shared = Shared {
            parts: parts.clone(),
            ended: Mutex::default(),
            stop: CancellationToken::new(),
            terminals: TaskTracker::new(),
        };
        Self { config, shared: Arc::new(shared) }
    }

    /// The server of a session, whether or not it runs.
    fn server(&self, name: String) -> Result<Server, BackendError> {
        let Shared { parts, .. } = &*self.shared;
        let tmux = find("tmux", parts.environment.get("PATH").map(String::as_str).unwrap_or_default())
            .ok_or_else(|| BackendError::Transient("tmux is not installed where Hitchline runs".to_owned()))?;
        Ok(Server { tmux, dir: parts.state_dir.join(FOLDER), name, clock: parts.clock.clone() })
    }

    fn manner(&self) -> Result<Manner, BackendError> {
        let bad = |BadPattern { key, why }| BackendError::Transient(format!("its `{key}` is no pattern: {why}"));
        let may_outlive = self.config.on_shutdown == TmuxOnShutdown::Detach;
        let Tmux { cancel_key, newlines, .. } = self.config;
        Ok(Manner { rules: Rules::new(&self.config).map_err(bad)?, cancel_key, newlines, may_outlive })
    }

    async fn open(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let clock = &self.shared.parts.clock;
        let after = spec.deadline.saturating_duration_since(clock.now());
        let late = || BackendError::Timeout { phase: Phase::Create, after };
        let manner = self.manner()?;
        let name = reference::new_name();
        let server = self.server(name.clone())?;
        make_folder(&server.dir)?;
        let launch =
            async { Terminal::launch(server, self.launch(&name, spec.working_dir).await?, &self.shared).await };
        let terminal = clock.timeout_at(spec.deadline, launch).await.map_err(|_| late())??;
        let started = has_started(terminal.server(), terminal.pane(), &manner.rules);
        let error = match (clock.timeout_at(spec.deadline, started).await, terminal.pane().program) {
            (Ok(Ok(())), Some(program)) => {
                let reference = Reference { name, program }.written();
                return Ok(Arc::new(TmuxSession::new(reference, terminal, manner, self.shared.clone())));
            }
            (Ok(Ok(()) | Err(Trouble::Gone)), _) => terminal.last_words().await,
            (Ok(Err(trouble)), _) => trouble.into(),
            (Err(_late), _) => late(),
        };
        terminal.kill(clock).await;
        Err(error)
    }

    async fn launch(&self, name: &str, dir: PathBuf) -> Result<Launch, BackendError> {
        let Tmux { command, env, env_pass, env_file, columns, rows, .. } = &self.config;
        if command.is_empty() {
            return Err(BackendError::Transient("its `command` is not configured".to_owned()));
        }
        let given = Given { peculiar: &[], env, env_pass, env_file: env_file.as_deref() };
        let mut env = given.environment(&self.shared.parts).await?;
        env.insert(stray::MARK.to_owned(), name.to_owned());
        Ok(Launch { command: command.clone(), dir, env, columns: *columns, rows: *rows })
    }

    /// Takes up a program that an earlier run of the daemon left running.
    async fn reattach(&self, reference: Reference) -> Result<Arc<dyn Session>, BackendError> {
        let manner = self.manner()?;
        let server = self.server(reference.name.clone())?;
        let pane = match server.find(reference.program.id).await {
            Ok(pane) if pane.program == Some(reference.program) => pane,
            // The program has ended, and its server shows its last words to nobody.
            Ok(pane) if pane.program.is_none() => return Err(self.clear_away(server, pane).await),
            Ok(_) | Err(Trouble::Gone) => return Err(BackendError::Unknown),
            Err(trouble) => return Err(trouble.into()),
        };
        let clock = &self.shared.parts.clock;
        match clock.timeout(READY_AGAIN, has_started(&server, &pane, &manner.rules)).await {
            Ok(Ok(())) => {}
            Ok(Err(Trouble::Gone)) => return Err(self.clear_away(server, pane).await),
            Ok(Err(trouble)) => return Err(trouble.into()),
            Err(_late) => return Err(BackendError::Busy),
        }
        self.ensure_open()?;
        let terminal = Terminal::adopt(server, pane, &self.shared);
        Ok(Arc::new(TmuxSession::new(reference.written(), terminal, manner, self.shared.clone())))
    }

    async fn clear_away(&self, server: Server, pane: Pane) -> BackendError {
        Terminal::adopt(server, pane, &self.shared).kill(&self.shared.parts.clock).await;
        BackendError::Unknown
    }
}

#[async_trait]
impl Backend for TmuxBackend {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.ensure_open()?;
        self.open(spec).await
    }

    async fn restore(&self, session: &BackendRef, _spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        if self.shared.is_ended(session) {
            return Err(BackendError::Ended);
        }
        self.ensure_open()?;
        if self.config.on_shutdown == TmuxOnShutdown::End {
            return Err(BackendError::Unsupported("bring back a program that was ended"));
        }
        self.reattach(Reference::parse(session).ok_or(BackendError::Unknown)?).await
    }

    async fn list(&self, _query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        self.ensure_open()?;
        Err(BackendError::Unsupported("list its sessions"))
    }

    fn outlived(&self, session: &BackendRef) -> bool {
        let may = self.config.on_shutdown == TmuxOnShutdown::Detach;
        may && Reference::parse(session).is_some_and(|reference| reference.program.is_alive())
    }

    async fn shutdown(&self, deadline: Instant) {
        self.shared.stop.cancel();
        self.shared.terminals.close();
        if self.shared.parts.clock.timeout_at(deadline, self.shared.terminals.wait()).await.is_err() {
            tracing::warn!("A program in tmux did not end in time");
        }
    }
}

impl TmuxBackend {
    fn ensure_open(&self) -> Result<(), BackendError> {
        if self.shared.stop.is_cancelled() { Err(BackendError::ShuttingDown) } else { Ok(()) }
    }
}

impl Shared {
    fn is_ended(&self, session: &BackendRef) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&session.0)
    }

    fn mark_ended(&self, session: &BackendRef) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(session.0.clone());
    }
}

/// Waits until the program in a pane is ready for input. Nothing comes of one that ends.
async fn has_started(server: &Server, pane: &Pane, rules: &Rules) -> Result<(), Trouble> {
    let clock = &server.clock;
    let (mut shown, mut changed) = (None, clock.now());
    loop {
        match server.look(pane, Above::Lines(0)).await? {
            Look { fate: Fate::Leaves | Fate::Ended(_), .. } => return Err(Trouble::Gone),
            Look { picture, .. } if shown.as_ref() == Some(&picture) => {
                if rules.is_ready(&picture, clock.now().saturating_duration_since(changed)) {
                    return Ok(());
                }
            }
            Look { picture, .. } => (shown, changed) = (Some(picture), clock.now()),
        }
        clock.sleep(PAUSE).await;
    }
}

/// Makes the folder of the sockets, which nobody else may enter.
fn make_folder(dir: &Path) -> Result<(), BackendError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        BackendError::Transient(format!("the folder of its socket, {}, can't be made: {error}", dir.display()))
    })
}

/// A program in the folders of `search`.
fn find(program: &str, search: &str) -> Option<PathBuf> {
    std::env::split_paths(search).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_outlive_the_daemon_is_spared() {
        let name = BackendRef("hl-0123456789abcdef.42.4711".to_owned());
        let config = |on_shutdown| Tmux { on_shutdown, ..Tmux::default() };
        let mark = outliving(&config(TmuxOnShutdown::Detach), &name);
        assert_eq!(mark.as_deref(), Some("hl-0123456789abcdef"));
        assert_eq!(outliving(&config(TmuxOnShutdown::End), &name), None);
        assert_eq!(outliving(&config(TmuxOnShutdown::Detach), &BackendRef("echo-1".to_owned())), None);
    }
}
