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
use std::time::Instant;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::reference::Reference;
use self::rules::Rules;
use self::server::{Launch, Server, Trouble};
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
        let started = terminal.until(|screen, still| manner.rules.is_ready(screen, still));
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

    /// Takes up a program that an earlier run of the daemon left running. It may still work on what it was told then.
    async fn reattach(&self, reference: Reference) -> Result<Arc<dyn Session>, BackendError> {
        let manner = self.manner()?;
        let server = self.server(reference.name.clone())?;
        match server.find(reference.program.id).await {
            Ok(pane) if pane.program == Some(reference.program) => {
                self.ensure_open()?;
                let terminal = Terminal::adopt(server, pane, &self.shared);
                Ok(Arc::new(TmuxSession::taken_up(reference.written(), terminal, manner, self.shared.clone())))
            }
            // One of the two has ended, and what is left of the other runs for nobody.
            Ok(_) | Err(Trouble::Gone) => {
                terminal::end(&server, None, server.clock.now()).await;
                Err(BackendError::Unknown)
            }
            Err(trouble) => Err(trouble.into()),
        }
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
