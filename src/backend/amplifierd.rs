//! Agents behind an amplifierd server (github.com/microsoft/amplifierd, observed at version 0.1.0).
//!
//! What is peculiar to it: a cancelled session answers nothing more until it has been put away and resumed; one that was deleted comes
//! back when it is resumed, so that only our own word makes an end last; after its restart all sessions are put away; and errors have
//! four shapes. Its approvals can't be given over HTTP: nothing ever waits for one there.

mod listener;
mod transcript;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::listener::Listener;
use super::config::Amplifierd;
use super::http::{self, Api, Dialect, Ended, EventStream, Failure, Opened, Place, Reader, Request, SignIn};
use super::{Backend, BackendParts, ListQuery, Listed};
use crate::domain::agent::{Decision, Offers};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;

/// How long making or resuming a session may take: its bundle may have to be fetched first.
const LOADING: Duration = Duration::from_mins(5);

/// The backend of the server that is configured so. It asks nothing yet.
pub(super) fn backend(config: &Amplifierd, parts: &BackendParts) -> Arc<dyn Backend> {
    let sign_in = config.api_key.clone().map_or(SignIn::Nobody, SignIn::Bearer);
    let api = Api::new(&config.url, sign_in, parts);
    http::backend(Box::new(Server { api, bundle: config.bundle.clone() }), parts)
}

#[derive(Debug)]
struct Server {
    api: Api,
    bundle: Option<String>,
}

#[async_trait]
impl Dialect for Server {
    fn server(&self) -> &'static str {
        "amplifierd"
    }

    fn gone(&self) -> &'static [&'static str] {
        &["session-not-found", "session-not-running"]
    }

    fn is_name(&self, id: &str) -> bool {
        !id.is_empty()
    }

    async fn create(&self, dir: &Path) -> Result<Opened, Failure> {
        self.ensure_ready().await?;
        let mut body = json!({"working_dir": dir});
        if let Some(bundle) = &self.bundle {
            body["bundle_name"] = bundle.clone().into();
        }
        let made = self.api.call(Request::post(&["sessions"]).json(body).patience(LOADING)).await?;
        opened(&made, dir)
    }

    async fn resume(&self, id: &str, dir: &Path) -> Result<Opened, Failure> {
        self.ensure_ready().await?;
        let resumed = self.api.call(Request::post(&["sessions", id, "resume"]).patience(LOADING)).await?;
        opened(&resumed, dir)
    }

    async fn list(&self, query: &ListQuery, ended: &Ended) -> Result<Vec<Listed>, Failure> {
        let known = self.api.call(Request::get(&["sessions"])).await?;
        let sessions = known.get("sessions").and_then(Value::as_array);
        let mut listed: Vec<_> = sessions.into_iter().flatten().filter_map(listed).collect();
        listed.retain(|(_, listed)| !ended.has(&listed.backend_ref.0));
        listed.sort_by_key(|(used, _)| Reverse(*used));
        let listed: Vec<Listed> = listed.into_iter().map(|(_, listed)| listed).take(query.limit).collect();
        let dirs = join_all(listed.iter().map(|listed| self.dir_of(&listed.backend_ref.0))).await;
        Ok(listed.into_iter().zip(dirs).map(|(listed, working_dir)| Listed { working_dir, ..listed }).collect())
    }

    async fn events(&self, place: &Place) -> Result<EventStream, Failure> {
        self.api.events(Request::get(&["events"]).query("session", &place.id)).await
    }

    async fn mark(&self, place: &Place) -> Value {
        let transcript = self.api.call(Request::get(&["sessions", &place.id, "transcript"])).await.unwrap_or_default();
        transcript.get("transcript").and_then(Value::as_array).map_or(0, Vec::len).into()
    }

    async fn submit(
        &self,
        place: &Place,
        text: &str,
        _: &[(String, String)],
        mark: &Value,
    ) -> Result<Box<dyn Reader>, Failure> {
        let request = Request::post(&["sessions", &place.id, "execute", "stream"]).json(json!({"prompt": text}));
        let accepted = self.api.call(request).await?;
        let turn = text_of(&accepted, "correlation_id").map(ToOwned::to_owned);
        let turn = turn.ok_or_else(|| Failure::Unexpected("accepted a prompt without an id for it".to_owned()))?;
        let before = mark.as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        Ok(Box::new(Listener::new(place.id.clone(), turn, text.to_owned(), before)))
    }

    async fn record(&self, place: &Place) -> Result<Value, Failure> {
        let session = self.session(&place.id).await?;
        let transcript = match self.api.call(Request::get(&["sessions", &place.id, "transcript"])).await {
            // Before a session's first turn has ended there may be none.
            Err(failure) if failure.is_not_found() => Value::Null,
            transcript => transcript?,
        };
        Ok(json!({"status": session.get("status"), "transcript": transcript.get("transcript")}))
    }

    async fn is_running(&self, place: &Place) -> Result<bool, Failure> {
        match self.session(&place.id).await {
            Ok(session) => Ok(listener::is_running(&session)),
            Err(failure) if failure.is_gone(self.gone()) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn renew(&self, place: &Place) -> Result<(), Failure> {
        self.put_away(place).await?;
        self.resume(&place.id, &place.dir).await.map(drop)
    }

    async fn cancel(&self, place: &Place) -> Result<(), Failure> {
        let request = Request::post(&["sessions", &place.id, "cancel"]).json(json!({"immediate": true}));
        self.api.call(request).await.map(drop)
    }

    async fn decide(&self, _: &Place, _: &RequestId, _: &Decision) -> Result<(), Failure> {
        Err(Failure::Unexpected("asks for no decisions".to_owned()))
    }

    async fn release(&self, place: &Place) -> Result<(), Failure> {
        self.put_away(place).await
    }

    async fn end(&self, place: &Place) -> Result<(), Failure> {
        self.put_away(place).await
    }
}

impl Server {
    /// Sees that bundles are loaded: the first may take minutes.
    async fn ensure_ready(&self) -> Result<(), Failure> {
        let ready = match self.api.call(Request::get(&["ready"])).await {
            Ok(ready) => ready,
            // Other versions have no such question.
            Err(Failure::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if ready.get("ready").and_then(Value::as_bool) != Some(false) {
            return Ok(());
        }
        let why = text_of(&ready, "error").map_or_else(|| "it is loading its bundles".to_owned(), http::shown);
        Err(Failure::NotReady(why))
    }

    /// A session that the server holds.
    async fn session(&self, id: &str) -> Result<Value, Failure> {
        self.api.call(Request::get(&["sessions", id])).await
    }

    /// The directory of a session, which only those have that the server holds.
    async fn dir_of(&self, id: &str) -> Option<PathBuf> {
        text_of(&self.session(id).await.ok()?, "working_dir").map(PathBuf::from)
    }

    /// Lets the server forget a session until it is resumed.
    async fn put_away(&self, place: &Place) -> Result<(), Failure> {
        match self.api.call(Request::delete(&["sessions", &place.id])).await {
            Err(failure) if !failure.is_gone(self.gone()) => Err(failure),
            _ => Ok(()),
        }
    }
}

fn opened(session: &Value, dir: &Path) -> Result<Opened, Failure> {
    let id = text_of(session, "session_id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Failure::Unexpected("made a session without an id; is `url` its address?".to_owned()))?;
    let dir = text_of(session, "working_dir").map_or_else(|| dir.to_owned(), PathBuf::from);
    Ok(Opened { place: Place { id: id.to_owned(), dir }, offers: Offers::default() })
}

/// One of the listed sessions, and when it was used; those that agents have started for parts of their work are left out.
fn listed(session: &Value) -> Option<(Option<Timestamp>, Listed)> {
    let used = text_of(session, "last_activity").or_else(|| text_of(session, "created_at"));
    let used: Option<Timestamp> = used.and_then(|used| used.parse().ok());
    let listed = Listed {
        backend_ref: BackendRef(text_of(session, "session_id")?.to_owned()),
        working_dir: None,
        title: text_of(session, "name").map(ToOwned::to_owned),
        updated_ms: used.map(Timestamp::as_millisecond),
    };
    text_of(session, "parent_session_id").is_none().then_some((used, listed))
}

/// The text under `key`, where one is there.
fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
