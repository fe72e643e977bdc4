//! The web chat: a second surface on the session manager, on the operator's HTTP listener.
//!
//! `surfaces` takes what is written to a conversation on the page: what lasts goes into the `transcript`, what only shows how an answer
//! comes along onto the `board`. `routes` is the API, `events` streams to whoever watches, `page` is a page that uses both. Who is let
//! in is decided in `access`.
//!
//! There is one operator, and so one *connected* session at a time: the one that was created or resumed last. The others stay as they
//! are.

mod access;
mod board;
mod events;
mod html;
mod messages;
mod page;
mod refusal;
mod routes;
mod sessions;
mod surfaces;
mod transcript;
mod view;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::SessionId;
use crate::domain::ports::Deliver;
use crate::scope::Scope;
use crate::secret::SecretString;
use crate::session::Manager;
use crate::store::{SessionFilter, Store, StoreError};

pub use page::PATH;
pub use surfaces::Surfaces;
use transcript::Transcript;

/// How many may watch at once; a further one is refused.
const WATCHERS: usize = 32;
/// How long a wrong token takes, so that nobody tries many.
const WRONG_TOKEN: Duration = Duration::from_secs(1);
/// How soon the log tells of a wrong token once more.
const TOLD_WRONG_AGAIN: Duration = Duration::from_secs(10);

/// What the web chat works with.
#[derive(Debug)]
pub struct Parts {
    /// What the operator's requests carry; without it nobody is let in.
    pub token: Option<SecretString>,
    /// What lasts.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Owner of what must not end with the request that began it.
    pub scope: Scope,
    /// Ends whoever watches.
    pub close: CancellationToken,
}

/// The web chat; cheap to clone.
#[derive(Clone)]
pub struct Chat(Arc<Inner>);

/// What all requests share.
struct Inner {
    parts: Parts,
    transcript: Transcript,
    desk: watch::Sender<Option<Desk>>,
    connected: watch::Sender<Option<SessionId>>,
    watchers: Arc<Semaphore>,
    /// When the log last told of a wrong token.
    told_wrong: Mutex<Option<Instant>>,
}

/// Where requests are dealt with.
#[derive(Clone)]
struct Desk {
    manager: Manager,
    deliver: Arc<dyn Deliver>,
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").field("connected", &*self.0.connected.borrow()).finish_non_exhaustive()
    }
}

impl Chat {
    /// A chat that is not open yet: it says so to whoever comes.
    pub fn new(parts: Parts) -> Self {
        let (desk, connected) = (watch::Sender::new(None), watch::Sender::new(None));
        let transcript = Transcript::new(parts.store.clone(), parts.clock.clone());
        let (watchers, told_wrong) = (Arc::new(Semaphore::new(WATCHERS)), Mutex::default());
        Self(Arc::new(Inner { parts, transcript, desk, connected, watchers, told_wrong }))
    }

    /// The page and its API.
    pub fn routes(&self) -> Router {
        routes::router(self.clone())
    }

    /// Both surfaces: Slack, and this one beside it.
    pub fn beside<S>(&self, slack: S) -> Surfaces<S> {
        Surfaces::new(slack, self.0.transcript.clone())
    }

    /// Takes messages from now on. The session that was used last is connected again.
    ///
    /// # Errors
    /// When the store can't say which that is.
    pub async fn open(&self, manager: Manager, deliver: Arc<dyn Deliver>) -> Result<(), StoreError> {
        let web = SessionFilter { limit: 1, ..on_the_page() };
        let last = self.0.parts.store.sessions(web).await?.into_iter().next();
        self.0.connected.send_replace(last.map(|record| record.id));
        self.0.desk.send_replace(Some(Desk { manager, deliver }));
        Ok(())
    }

    /// Somebody came with a wrong token: that is counted, told in the log now and then, and takes a while.
    async fn wrong_token(&self) {
        metrics::counter!("hitchline_chat_logins_refused_total").increment(1);
        let clock = &self.0.parts.clock;
        let now = clock.now();
        let due = {
            let mut told = self.0.told_wrong.lock().unwrap_or_else(PoisonError::into_inner);
            let due = told.is_none_or(|last| now >= last + TOLD_WRONG_AGAIN);
            *told = if due { Some(now) } else { *told };
            due
        };
        if due {
            tracing::warn!(
                "Somebody tried to log in to the web chat with a wrong token; it is told every 10 s at the most"
            );
        }
        clock.sleep(WRONG_TOKEN).await;
    }

    /// Takes nothing any more.
    pub fn close(&self) {
        self.0.desk.send_replace(None);
    }
}

/// The sessions whose conversations are on the page.
fn on_the_page() -> SessionFilter {
    let ConversationKey { team, channel, .. } = ConversationKey::web("any");
    SessionFilter { team: Some(team), channel: Some(channel), ..SessionFilter::default() }
}
