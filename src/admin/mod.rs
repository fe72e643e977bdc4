//! The operator's surface: probes and metrics on the HTTP listener, and the same on the control socket for `hitchline healthcheck`.
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
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::scope::{OnCrash, Scope};
use crate::secret::{ExposeSecret, SecretString};
use crate::session::Manager;
use crate::store::Store;
use crate::telemetry::Counters;

/// The control socket's name in the state directory.
pub const CONTROL_SOCKET: &str = "ctl.sock";

/// What the probes need to know; the supervisor keeps it current.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// How many sockets to Slack have been greeted and live.
    pub sockets: usize,
    /// Why there is none, where that is known.
    pub trouble: Option<String>,
    /// Why Slack takes nothing that we write, while that lasts.
    pub refused: Option<String>,
    /// Whether we are stopping.
    pub draining: bool,
}

/// What the routes answer from.
#[derive(Debug, Clone)]
pub struct Probes {
    /// How things stand.
    pub readiness: watch::Receiver<Readiness>,
    /// The store, asked for a commit.
    pub store: Store,
    /// The sessions, from when there are any until they have been let go.
    pub manager: watch::Receiver<Option<Manager>>,
    /// What has been counted.
    pub counters: Counters,
}

impl Probes {
    /// What has been counted, with what there is at this moment.
    fn measure(&self) -> String {
        let pool = self.manager.borrow().as_ref().map(Manager::stats);
        let readiness = self.readiness.borrow();
        set("hitchline_sockets_live", readiness.sockets);
        set("hitchline_sessions_live", pool.map_or(0, |pool| pool.live));
        set("hitchline_conversations_busy", pool.map_or(0, |pool| pool.busy));
        set("hitchline_draining", usize::from(readiness.draining));
        self.counters.render()
    }
}

fn set(gauge: &'static str, value: usize) {
    metrics::gauge!(gauge).set(u32::try_from(value).unwrap_or(u32::MAX));
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

/// Opens the HTTP listener and serves until `close`; without `token` only the probes answer. Returns the address, which differs from `listen` for port 0.
///
/// # Errors
/// When the address can't be opened.
pub async fn serve_http(
    listen: SocketAddr,
    token: Option<SecretString>,
    probes: Probes,
    scope: &Scope,
    close: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError::Tcp { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let app = router(probes, Access::Token(token));
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
    let app = router(probes, Access::Owner);
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

/// Who may ask for more than the probes.
#[derive(Debug, Clone)]
enum Access {
    /// Whoever can open the socket's file: its owner.
    Owner,
    /// Whoever sends this token; nobody when there is none.
    Token(Option<SecretString>),
}

impl Access {
    fn allows(&self, headers: &HeaderMap) -> bool {
        let Self::Token(token) = self else { return true };
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        token.as_ref().zip(sent).is_some_and(|(token, sent)| same(token.expose_secret().as_bytes(), sent.as_bytes()))
    }
}

/// Compares in a time that tells nothing of where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn router(probes: Probes, access: Access) -> Router {
    let metrics = get(
        async move |State(probes): State<Probes>, headers: HeaderMap| {
            if access.allows(&headers) { probes.measure().into_response() } else { unauthorized() }
        },
    );
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", metrics)
        .with_state(probes)
}

fn unauthorized() -> Response {
    let wanted = "send the token of http.token_file as `Authorization: Bearer …`\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], wanted).into_response()
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
    failing.extend(readiness.refused.clone());
    if let Err(error) = stored {
        failing.push(format!("store: {error}"));
    }
    failing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_who_has_the_token_may_read_metrics() {
        let bearer = |text: &str| HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())]);
        let token = Access::Token(Some("secret".into()));
        assert!(Access::Owner.allows(&HeaderMap::new()));
        assert!(token.allows(&bearer("Bearer secret")));
        for wrong in ["Bearer secreT", "Bearer secret ", "Bearer ", "secret", "Basic secret"] {
            assert!(!token.allows(&bearer(wrong)), "{wrong}");
        }
        assert!(!token.allows(&HeaderMap::new()));
        assert!(!Access::Token(None).allows(&bearer("Bearer ")), "without a token nobody has it");
    }

    #[test]
    fn each_reason_is_named() {
        let well = Readiness { sockets: 1, ..Readiness::default() };
        assert!(failing(&well, Ok(())).is_empty());
        let (trouble, refused) = (Some("slack: link disabled".into()), Some("slack.bot_token: refused".into()));
        let ill = Readiness { sockets: 0, trouble, refused, draining: true };
        let reasons = failing(&ill, Err("disk full".into()));
        let named = [
            "stopping: no turn starts any more",
            "slack: link disabled",
            "slack.bot_token: refused",
            "store: disk full",
        ];
        assert_eq!(reasons, named);
        assert_eq!(failing(&Readiness { refused: ill.refused, ..well }, Ok(())), ["slack.bot_token: refused"]);
    }
}
