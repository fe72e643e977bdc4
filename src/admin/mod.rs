//! The operator's surface: probes on the HTTP listener, and the same on the control socket for `hitchline healthcheck`.
//!
//! `/livez` says only that our own loops turn: it does not ask Slack, the store or an agent, for a restart would mend none of them.
//! `/readyz` says whether a message would be taken now, and if not, why.

pub mod config;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::scope::{OnCrash, Scope};
use crate::store::Store;

/// The control socket's name in the state directory.
pub const CONTROL_SOCKET: &str = "ctl.sock";

/// What the probes need to know; the supervisor keeps it current.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// How many sockets to Slack have been greeted and live.
    pub sockets: usize,
    /// Why there is none, where that is known.
    pub trouble: Option<String>,
    /// Whether we are stopping.
    pub draining: bool,
}

/// What the routes answer from.
#[derive(Debug, Clone)]
pub struct Probes {
    /// How things stand.
    pub readiness: watch::Receiver<Readiness>,
    /// The store, asked for a commit; absent until it is open.
    pub store: Store,
}

/// A surface that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("http.listen: {address} can't be opened: {source}; choose another address, or \"\" to have none")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket can't be made.
    #[error("the control socket {path} can't be opened: {source}")]
    Control {
        /// Where it would be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the HTTP listener and serves until `close`. Returns the address, which differs from `listen` for port 0.
///
/// # Errors
/// When the address can't be opened.
pub async fn serve_http(
    listen: SocketAddr,
    probes: Probes,
    scope: &Scope,
    close: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError::Tcp { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let app = router(probes);
    scope.spawn("http", OnCrash::Stop, async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(close.cancelled_owned()).await;
        report(served);
    });
    Ok(address)
}

/// Opens the control socket in `dir`, for this user alone, and serves until `close`.
///
/// # Errors
/// When the socket can't be made.
pub fn serve_control(dir: &Path, probes: Probes, scope: &Scope, close: CancellationToken) -> Result<(), ListenError> {
    let path = dir.join(CONTROL_SOCKET);
    let failed = |source| ListenError::Control { path: path.clone(), source };
    // We hold the directory's lock, so a socket that lies here belonged to a process that is gone.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let app = router(probes);
    scope.spawn("control socket", OnCrash::Stop, async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(close.cancelled_owned()).await;
        report(served);
        let _gone_already = std::fs::remove_file(&path);
    });
    Ok(())
}

fn report(served: io::Result<()>) {
    if let Err(error) = served {
        tracing::error!(%error, "A listener ended");
    }
}

fn router(probes: Probes) -> Router {
    Router::new().route("/livez", get(|| async { "alive\n" })).route("/readyz", get(ready)).with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, String) {
    let readiness = probes.readiness.borrow().clone();
    let stored = probes.store.probe().await.map_err(|error| error.to_string());
    let failing = failing(&readiness, stored);
    if failing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n")
}

/// Everything that stands in the way of taking a message.
fn failing(readiness: &Readiness, stored: Result<(), String>) -> Vec<String> {
    let mut failing = Vec::new();
    if readiness.draining {
        failing.push("stopping: no turn starts any more".to_owned());
    }
    if readiness.sockets == 0 {
        failing
            .push(readiness.trouble.clone().unwrap_or_else(|| "slack: no connection has been greeted yet".to_owned()));
    }
    if let Err(error) = stored {
        failing.push(format!("store: {error}"));
    }
    failing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_named() {
        let well = Readiness { sockets: 1, ..Readiness::default() };
        assert!(failing(&well, Ok(())).is_empty());
        let ill = Readiness { sockets: 0, trouble: Some("slack: token refused".into()), draining: true };
        let reasons = failing(&ill, Err("disk full".into()));
        assert_eq!(reasons, ["stopping: no turn starts any more", "slack: token refused", "store: disk full"]);
    }
}
