//! `hitchline healthcheck`: asks the running daemon through its control socket.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;

use super::arguments::Healthcheck;
use super::{Exit, Failure};
use crate::http_client::Owner;
use crate::settings::Environment;
use crate::settings::sources::{self, Flags};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Enough of an answer to say why.
const LONGEST_REASON: usize = 200;
/// The control socket's name in the state directory.
const CONTROL_SOCKET: &str = "ctl.sock";

/// Ends well when the daemon does.
pub(super) async fn healthcheck(arguments: &Healthcheck, environment: &Environment) -> Result<Exit, Failure> {
    let flags = Flags { simulator: arguments.simulator, ..arguments.file.flags() };
    // Only the state directory matters here: mistakes elsewhere are for `check` to report.
    let loaded = sources::load(&flags, environment).map_err(|error| unhealthy(&error.to_string()))?;
    let dir = loaded.settings.store.dir;
    let dir = if loaded.fresh_state { the_only_one(living_below(&dir)) } else { Ok(dir) };
    let probe = if arguments.ready { "readyz" } else { "livez" };
    let asked = match dir {
        Ok(dir) => ask(&dir.join(CONTROL_SOCKET), probe).await,
        Err(reason) => Err(reason),
    };
    asked.map_err(|reason| unhealthy(&reason))?;
    Ok(Exit::Done)
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

fn unhealthy(reason: &str) -> Failure {
    Failure::new(Exit::Unhealthy, reason)
}

/// Asks one probe; the error says in a sentence why it is not well.
async fn ask(socket: &Path, probe: &str) -> Result<(), String> {
    let client = Owner::build_for_socket(socket).map_err(|error| error.to_string())?;
    let request = client.lend().request(Method::GET, format!("http://hitchline/{probe}")).timeout(TIMEOUT);
    let answer = request.send().await.map_err(|error| unreachable(socket, &error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let reason: String = answer.text().await.unwrap_or_default().chars().take(LONGEST_REASON).collect();
    Err(format!("{probe} answered {}: {}", status.as_u16(), reason.trim()))
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
        assert_eq!(ask(&socket, "livez").await, Ok(()));
        assert_eq!(ask(&socket, "readyz").await, Err("readyz answered 503: connecting".to_owned()));
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
        let reason = ask(&socket, "livez").await.unwrap_err();
        assert!(reason.starts_with("no daemon listens on ") && reason.contains("ctl.sock"), "{reason}");
    }
}
