//! The operator's surface: probes, metrics, sessions and dead letters on the HTTP listener, and the same on the control socket for our own commands.
//!
//! `/livez` says only that our own loops turn: it does not ask Slack, the store or an agent, for a restart would mend none of them.
//! `/readyz` says whether a message would be taken now, and if not, why.

mod audit;
pub mod config;
mod dead_letters;
mod listeners;
mod sessions;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::sync::watch;

use crate::secret::{SecretString, is_same};
use crate::session::{Hold, Manager};
use crate::store::Store;
use crate::telemetry::Counters;

pub use audit::Settled;
pub use dead_letters::{DeadLetter, Named};
pub use listeners::{CONTROL_SOCKET, Http, ListenError, Listeners, Operator};
pub use sessions::{Ended, Pool, Status, View};

/// What the probes need to know; the supervisor keeps it current.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// How many sockets to Slack have been greeted and live.
    pub sockets: usize,
    /// Why there is none, where that is known.
    pub trouble: Option<String>,
    /// Why Slack takes nothing that we write, while that lasts.
    pub refused: Option<String>,
    /// Why nothing can be stored, while the connections to Slack are closed for it.
    pub storage: Option<String>,
    /// Whether we are stopping.
    pub draining: bool,
    /// Whether what was said while nobody listened is still being read back.
    pub catching_up: bool,
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
    async fn measure(&self) -> String {
        // A store that fails has gauges of its own.
        if let Ok(letters) = self.store.count_dead_letters().await {
            set("hitchline_dead_letters", letters as usize);
        }
        let pool = self.manager.borrow().as_ref().map(Manager::stats);
        let readiness = self.readiness.borrow();
        set("hitchline_sockets_live", readiness.sockets);
        set("hitchline_sessions_live", pool.map_or(0, |pool| pool.total));
        set("hitchline_conversations_busy", pool.map_or(0, |pool| pool.busy));
        set("hitchline_catching_up", usize::from(readiness.catching_up));
        let held = self.manager.borrow().as_ref().is_some_and(|manager| *manager.held().borrow() != Hold::Nothing);
        set("hitchline_safe_mode", usize::from(held));
        set("hitchline_draining", usize::from(readiness.draining));
        self.counters.render()
    }
}

fn set(gauge: &'static str, value: usize) {
    metrics::gauge!(gauge).set(u32::try_from(value).unwrap_or(u32::MAX));
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
        token.as_ref().zip(sent).is_some_and(|(token, sent)| is_same(token, sent))
    }
}

fn router(probes: Probes, access: Access) -> Router {
    let operators = Router::new()
        .route("/metrics", get(async |State(probes): State<Probes>| probes.measure().await))
        .route("/status", get(sessions::status))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show).delete(sessions::end))
        .route("/audit", get(audit::list))
        .route("/dlq", get(dead_letters::list))
        .route("/dlq/{id}", delete(dead_letters::drop_one))
        .route("/dlq/{id}/retry", post(dead_letters::retry))
        .route_layer(middleware::from_fn(move |request: Request, next: Next| {
            let allowed = access.allows(request.headers());
            async move { if allowed { next.run(request).await } else { unauthorized() } }
        }));
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .merge(operators)
        .with_state(probes)
}

fn unauthorized() -> Response {
    let wanted = "send the token of http.token_file as `Authorization: Bearer …`\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], wanted).into_response()
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, String) {
    let failing = reasons(&probes).await;
    if failing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n")
}

/// Why no message would be taken now; nothing when one would.
async fn reasons(probes: &Probes) -> Vec<String> {
    let stored = probes.store.probe().await.and_then(|()| probes.store.takes_events());
    let stored = stored.map_err(|error| error.to_string());
    failing(&probes.readiness.borrow(), stored)
}

/// Everything that stands in the way of taking a message.
fn failing(readiness: &Readiness, stored: Result<(), String>) -> Vec<String> {
    let mut failing = Vec::new();
    if readiness.draining {
        failing.push("stopping: no turn starts any more".to_owned());
    }
    failing.extend(readiness.storage.clone());
    if readiness.sockets == 0 && readiness.storage.is_none() {
        failing
            .push(readiness.trouble.clone().unwrap_or_else(|| "slack: no connection has been greeted yet".to_owned()));
    }
    failing.extend(readiness.refused.clone());
    if let (Err(error), None) = (stored, &readiness.storage) {
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
        let ill = Readiness { sockets: 0, trouble, refused, storage: None, draining: true, catching_up: true };
        let reasons = failing(&ill, Err("disk full".into()));
        let named = [
            "stopping: no turn starts any more",
            "slack: link disabled",
            "slack.bot_token: refused",
            "store: disk full",
        ];
        assert_eq!(reasons, named);
        let full = Readiness { storage: Some("store: disk full".into()), ..Readiness::default() };
        assert_eq!(
            failing(&full, Err("disk full".into())),
            ["store: disk full"],
            "once, and it says why no socket lives"
        );
        assert_eq!(failing(&Readiness { refused: ill.refused, ..well }, Ok(())), ["slack.bot_token: refused"]);
    }
}
