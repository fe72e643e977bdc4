//! The way from a command to the daemon that runs: its control socket.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, Response};

use super::{Exit, Failure};
use crate::admin::CONTROL_SOCKET;
use crate::http_client::Owner;
use crate::settings::Environment;
use crate::settings::sources::{self, Flags};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Enough of an answer to say why.
const LONGEST_REASON: usize = 1_000;

/// A running daemon, as far as is known before it is asked.
pub(super) struct Daemon {
    client: Owner,
    socket: PathBuf,
}

impl Daemon {
    /// The one that `flags` mean.
    ///
    /// # Errors
    /// When it can't be told which one that is.
    pub(super) fn find(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        // Only the state directory matters here: mistakes elsewhere are for `check` to report.
        let loaded = sources::load(flags, environment).map_err(|error| no(&error.to_string()))?;
        let dir = loaded.settings.store.dir;
        let dir = if loaded.fresh_state { the_only_one(living_below(&dir)) } else { Ok(dir) };
        let dir = dir.map_err(|reason| no(&reason))?;
        Self::at(dir.join(CONTROL_SOCKET)).map_err(|reason| no(&reason))
    }

    fn at(socket: PathBuf) -> Result<Self, String> {
        let client = Owner::build_for_socket(&socket).map_err(|error| error.to_string())?;
        Ok(Self { client, socket })
    }

    /// The body of its answer.
    ///
    /// # Errors
    /// When it does not answer in time, or says no: a sentence that says why.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<String, Failure> {
        self.answer(method, path).await.map_err(|reason| no(&reason))
    }

    async fn answer(&self, method: Method, path: &str) -> Result<String, String> {
        let request = self.client.lend().request(method, format!("http://hitchline/{path}")).timeout(TIMEOUT);
        let answer = request.send().await.map_err(|error| unreachable(&self.socket, &error))?;
        if answer.status().is_success() {
            return answer.text().await.map_err(|error| unreachable(&self.socket, &error));
        }
        Err(format!("{path} answered {}", refusal(answer).await))
    }
}

async fn refusal(answer: Response) -> String {
    let status = answer.status().as_u16();
    let reason: String = answer.text().await.unwrap_or_default().chars().take(LONGEST_REASON).collect();
    format!("{status}: {}", reason.trim())
}

/// The daemon's no, or its silence.
fn no(reason: &str) -> Failure {
    Failure::new(Exit::Unhealthy, reason)
}

/// The state directories below `parent` whose daemons live: without a `store.dir` each simulator has one of its own.
fn living_below(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|dir| UnixStream::connect(dir.join(CONTROL_SOCKET)).is_ok()).collect()
}

/// Which one is meant is plain only when there is no other.
fn the_only_one(mut living: Vec<PathBuf>) -> Result<PathBuf, String> {
    living.sort();
    let shown: Vec<String> = living.iter().map(|dir| dir.display().to_string()).collect();
    match (living.pop(), living.len()) {
        (Some(dir), 0) => Ok(dir),
        (Some(_), _) => Err(format!(
            "several `run --simulator` are running; put the state directory of one into HITCHLINE__STORE__DIR and ask again: {}",
            shown.join(", ")
        )),
        (None, _) => Err("no `run --simulator` is running as this user".to_owned()),
    }
}

fn unreachable(socket: &Path, error: &reqwest::Error) -> String {
    let socket = socket.display();
    if error.is_timeout() {
        format!("nothing came from {socket} within {} s; the daemon hangs", TIMEOUT.as_secs())
    } else if error.is_connect() {
        format!("no daemon listens on {socket}; is it running, with this state directory, as this user?")
    } else {
        format!("{socket} gave no answer that can be read: {error}")
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;

    use super::*;

    /// A daemon that lives and is not ready.
    fn daemon(socket: &Path) -> JoinSet<()> {
        let starting = || async { (StatusCode::SERVICE_UNAVAILABLE, "connecting\n") };
        let router = Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", get(starting));
        let listener = UnixListener::bind(socket).unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    #[tokio::test]
    async fn a_probe_is_asked_through_the_control_socket() {
        let state = tempfile::tempdir().unwrap();
        let socket = state.path().join("ctl.sock");
        let _server = daemon(&socket);
        let daemon = Daemon::at(socket).unwrap();
        assert_eq!(daemon.answer(Method::GET, "livez").await, Ok("ok".to_owned()));
        let not_ready = daemon.answer(Method::GET, "readyz").await;
        assert_eq!(not_ready, Err("readyz answered 503: connecting".to_owned()));
    }

    #[tokio::test]
    async fn of_the_simulators_the_only_one_that_lives_is_meant() {
        let parent = tempfile::tempdir().unwrap();
        let socket = |name: &str| {
            std::fs::create_dir(parent.path().join(name)).unwrap();
            UnixListener::bind(parent.path().join(name).join(CONTROL_SOCKET)).unwrap()
        };
        let chosen = || the_only_one(living_below(parent.path()));
        drop(socket("killed"));
        assert_eq!(chosen(), Err("no `run --simulator` is running as this user".to_owned()));
        let _living = socket("living");
        assert_eq!(chosen(), Ok(parent.path().join("living")));
        let _other = socket("other");
        let several = chosen().unwrap_err();
        assert!(several.contains("HITCHLINE__STORE__DIR") && several.contains("/living, /"), "{several}");
        assert!(several.ends_with("/other"), "{several}");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_holds_is_named() {
        let state = tempfile::tempdir().unwrap();
        let socket = state.path().join("ctl.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let reason = Daemon::at(socket).unwrap().answer(Method::GET, "livez").await.unwrap_err();
        assert!(reason.starts_with("no daemon listens on ") && reason.contains("ctl.sock"), "{reason}");
    }
}
