//! The operator's view of the sessions: how things stand, the list, one of them, and its end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Probes, Readiness, reasons};
use crate::domain::ids::SessionId;
use crate::session::{Hold, Manager, Overview};
use crate::store::{SessionFilter, StoreError};

/// How many sessions a list holds at most.
const LIST: usize = 1_000;
/// How many candidates are named for an id that fits several.
const CANDIDATES: usize = 10;

/// How the daemon stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// What stands in the way of taking a message; nothing when it is ready.
    pub failing: Vec<String>,
    /// How many connections to Slack have been greeted and live.
    pub sockets: usize,
    /// Whether what was said while nobody listened is still being read back.
    #[serde(default)]
    pub catching_up: bool,
    /// Why turns are held back that could begin otherwise; nothing when none is.
    #[serde(default)]
    pub held: Vec<String>,
    /// How many dead letters there are.
    #[serde(default)]
    pub dead_letters: u32,
    /// The pool of sessions; nothing before there is one, and after it has been let go.
    pub pool: Option<Pool>,
}

/// The pool of sessions in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Conversations that have a session, whether or not something runs for it.
    pub mapped: u32,
    /// Sessions that a backend runs now.
    pub total: usize,
    /// Of these, those that take prompts.
    pub active: usize,
    /// Of these, those that are being let go.
    pub draining: usize,
    /// Lines of conversations with work in hand.
    pub busy: usize,
    /// Whether no turn starts any more.
    pub closed: bool,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Our id.
    pub id: String,
    /// `working`, `idle`, `asleep` or `ended`.
    pub state: String,
    /// Where it answers: team, channel and thread, or `web:` and a name.
    pub conversation: String,
    /// The configured name of its agent.
    pub agent: String,
    /// What the agent calls it.
    pub agent_session: Option<String>,
    /// Where the agent works.
    pub working_dir: PathBuf,
    /// The beginning of its first prompt.
    pub description: String,
    /// Who started it.
    pub creator: String,
    /// When.
    pub created: Timestamp,
    /// When it was last used.
    pub last_active: Timestamp,
    /// How many messages wait for it.
    pub waiting: usize,
    /// What people chose among its agent's own options.
    pub options: BTreeMap<String, String>,
    /// The command by which its agent can be watched, and typed to, on the machine where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
}

/// What became of a session that was to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Our id of it.
    pub id: String,
    /// How many messages waited for it; they end with it.
    pub waiting: usize,
}

impl From<Overview> for View {
    fn from(overview: Overview) -> Self {
        let Overview { record, doing, waiting, attach } = overview;
        Self {
            id: record.id.to_string(),
            state: doing.word().to_owned(),
            conversation: record.conversation.to_string(),
            agent: record.backend,
            agent_session: record.backend_ref.map(|name| name.0),
            working_dir: record.working_dir,
            description: record.description,
            creator: record.creator.to_string(),
            created: time(record.created_ms),
            last_active: time(record.last_active_ms),
            waiting,
            options: record.options,
            attach,
        }
    }
}

/// Why a request has no answer of its own.
pub(super) enum NoAnswer {
    /// The pool is not there yet, or no more.
    NoPool,
    /// No session's id begins like this.
    Unknown(String),
    /// Several do.
    Ambiguous(Vec<Overview>),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for NoAnswer {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::NoPool => (StatusCode::SERVICE_UNAVAILABLE, "the daemon is starting or stopping".to_owned()),
            Self::Unknown(id) => (StatusCode::NOT_FOUND, format!("no session's id begins with `{id}`")),
            Self::Ambiguous(several) => {
                let ids: Vec<String> = several.iter().map(|overview| overview.record.id.to_string()).collect();
                (StatusCode::CONFLICT, format!("several sessions' ids begin like this: {}", ids.join(", ")))
            }
            Self::Store(error) => {
                tracing::error!(%error, "An operator's request about sessions failed");
                (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        };
        (status, why + "\n").into_response()
    }
}

/// `GET /status`
pub(super) async fn status(State(probes): State<Probes>) -> Result<Json<Status>, NoAnswer> {
    let failing = reasons(&probes).await;
    let Readiness { sockets, catching_up, .. } = probes.readiness.borrow().clone();
    let pool = match manager(&probes) {
        Ok(manager) => Some(pool(&manager).await?),
        Err(_none) => None,
    };
    let (held, dead_letters) = (held(&probes), probes.store.count_dead_letters().await?);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Json(Status { version, failing, sockets, catching_up, held, dead_letters, pool }))
}

/// Why turns are held back.
fn held(probes: &Probes) -> Vec<String> {
    let hold = manager(probes).map_or(Hold::Nothing, |manager| *manager.held().borrow());
    let safe_mode = match hold {
        Hold::Nothing => None,
        Hold::OneAtATime => Some("safe mode: the daemon crashed again and again; one conversation at a time is tried"),
        Hold::Everything => Some("safe mode: the daemon crashed again and again; no turn begins for now"),
    };
    safe_mode.map(str::to_owned).into_iter().chain(probes.store.turns_wait_for_room()).collect()
}

/// `GET /sessions`: the active ones, last used first.
pub(super) async fn list(State(probes): State<Probes>) -> Result<Json<Vec<View>>, NoAnswer> {
    let filter = SessionFilter { limit: LIST, ..SessionFilter::default() };
    let sessions = manager(&probes)?.sessions(filter).await?;
    Ok(Json(sessions.into_iter().map(View::from).collect()))
}

/// `GET /sessions/{id}`: one of them, ended ones too; the beginning of its id is enough.
pub(super) async fn show(State(probes): State<Probes>, Path(id): Path<String>) -> Result<Json<View>, NoAnswer> {
    let overview = the_one(&manager(&probes)?, &id).await?;
    Ok(Json(overview.into()))
}

/// `DELETE /sessions/{id}`: ends it for good.
pub(super) async fn end(State(probes): State<Probes>, Path(id): Path<String>) -> Result<Json<Ended>, NoAnswer> {
    let manager = manager(&probes)?;
    let id: SessionId = the_one(&manager, &id).await?.record.id;
    let waiting = manager.end(id).await?.ok_or_else(|| NoAnswer::Unknown(id.to_string()))?;
    Ok(Json(Ended { id: id.to_string(), waiting }))
}

pub(super) fn manager(probes: &Probes) -> Result<Manager, NoAnswer> {
    probes.manager.borrow().clone().ok_or(NoAnswer::NoPool)
}

async fn pool(manager: &Manager) -> Result<Pool, StoreError> {
    let stats = manager.stats();
    Ok(Pool {
        mapped: manager.count().await?,
        total: stats.total,
        active: stats.active,
        draining: stats.draining,
        busy: stats.busy,
        closed: stats.closed,
    })
}

async fn the_one(manager: &Manager, prefix: &str) -> Result<Overview, NoAnswer> {
    let mut named = manager.sessions_named(prefix, CANDIDATES).await?;
    match (named.pop(), named.len()) {
        (Some(one), 0) => Ok(one),
        (Some(last), _) => {
            named.push(last);
            Err(NoAnswer::Ambiguous(named))
        }
        (None, _) => Err(NoAnswer::Unknown(prefix.to_owned())),
    }
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
