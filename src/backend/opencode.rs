//! Agents behind an opencode server (`opencode serve`, npm package `opencode-ai`, observed at version 1.18.33; it describes itself at
//! `/doc`).
//!
//! What is peculiar to it: each request names the directory whose instance is meant; a prompt that comes during a turn is queued without
//! a word; what was deleted is gone for good, so that a session that is let go is only stopped; and its agents ask for permissions.

mod decisions;
mod listener;
mod offers;
mod parts;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::listener::Listener;
use super::config::Opencode;
use super::http::{self, Api, Dialect, Ended, EventStream, Failure, Opened, Place, Reader, Request, SignIn};
use super::{Backend, BackendParts, ListQuery, Listed};
use crate::domain::agent::{Decision, Offers};
use crate::domain::ids::RequestId;
use crate::domain::session::BackendRef;

/// How the ids of sessions begin.
const SESSION: &str = "ses";
/// How the ids of questions begin; those of permission requests are others.
const QUESTION: &str = "que";
/// How many of a session's last messages are read to see what a turn has missed: a long one has some dozens.
const RECORDED: &str = "200";

/// The backend of the server that is configured so. It asks nothing yet.
pub(super) fn backend(config: &Opencode, parts: &BackendParts) -> Arc<dyn Backend> {
    let password = config.password.clone();
    let sign_in = password.map_or(SignIn::Nobody, |password| SignIn::Basic(config.username.clone(), password));
    let api = Api::new(&config.url, sign_in, parts);
    http::backend(Box::new(Server { api, model: config.model.clone() }), parts)
}

#[derive(Debug)]
struct Server {
    api: Api,
    /// The model that was configured, as `provider/model`.
    model: Option<String>,
}

#[async_trait]
impl Dialect for Server {
    fn server(&self) -> &'static str {
        "opencode"
    }

    fn gone(&self) -> &'static [&'static str] {
        &["NotFoundError"]
    }

    fn is_name(&self, id: &str) -> bool {
        id.starts_with(SESSION)
    }

    async fn create(&self, dir: &Path) -> Result<Opened, Failure> {
        let made = self.api.call(in_dir(Request::post(&["session"]), dir).json(json!({}))).await?;
        self.opened(&made, dir).await
    }

    async fn resume(&self, id: &str, dir: &Path) -> Result<Opened, Failure> {
        let session = self.api.call(in_dir(Request::get(&["session", id]), dir)).await?;
        self.opened(&session, dir).await
    }

    async fn list(&self, query: &ListQuery, ended: &Ended) -> Result<Vec<Listed>, Failure> {
        let known = in_dir(Request::get(&["session"]), &query.working_dir).query("roots", "true");
        let known = self.api.call(known).await?;
        let mut listed: Vec<Listed> = known.as_array().into_iter().flatten().filter_map(listed).collect();
        listed.retain(|listed| !ended.has(&listed.backend_ref.0));
        listed.sort_by_key(|listed| Reverse(listed.updated_ms));
        listed.truncate(query.limit);
        Ok(listed)
    }

    async fn events(&self, place: &Place) -> Result<EventStream, Failure> {
        self.api.events(in_dir(Request::get(&["event"]), &place.dir)).await
    }

    async fn mark(&self, place: &Place) -> Value {
        let last = Request::get(&["session", &place.id, "message"]).query("limit", "1");
        let last = self.api.call(in_dir(last, &place.dir)).await.unwrap_or_default();
        last.pointer("/0/info/id").cloned().unwrap_or_default()
    }

    async fn submit(
        &self,
        place: &Place,
        text: &str,
        chosen: &[(String, String)],
        mark: &Value,
    ) -> Result<Box<dyn Reader>, Failure> {
        let mut body = json!({"parts": [{"type": "text", "text": text}]});
        let of = |option| chosen.iter().find(|(id, _)| id == option).map(|(_, value)| value.as_str());
        if let Some((provider, model)) =
            of(offers::MODEL).or(self.model.as_deref()).and_then(|model| model.split_once('/'))
        {
            body["model"] = json!({"providerID": provider, "modelID": model});
        }
        if let Some(agent) = of(offers::MODE) {
            body["agent"] = agent.into();
        }
        let request = in_dir(Request::post(&["session", &place.id, "prompt_async"]), &place.dir);
        self.api.call(request.json(body)).await?;
        let before = mark.as_str().map(ToOwned::to_owned);
        Ok(Box::new(Listener::new(place.id.clone(), text.to_owned(), before)))
    }

    async fn record(&self, place: &Place) -> Result<Value, Failure> {
        // First, for what was written when a turn had ended is all of it.
        let status = self.status(place).await?;
        let ask = async |path: &[&str]| self.api.call(in_dir(Request::get(path), &place.dir)).await;
        let (permissions, questions) = (ask(&["permission"]).await?, ask(&["question"]).await?);
        let messages = Request::get(&["session", &place.id, "message"]).query("limit", RECORDED);
        let messages = self.api.call(in_dir(messages, &place.dir)).await?;
        Ok(json!({"status": status, "messages": messages, "permissions": permissions, "questions": questions}))
    }

    async fn is_running(&self, place: &Place) -> Result<bool, Failure> {
        Ok(listener::is_running(&self.status(place).await?))
    }

    async fn renew(&self, _: &Place) -> Result<(), Failure> {
        Ok(())
    }

    async fn cancel(&self, place: &Place) -> Result<(), Failure> {
        self.api.call(in_dir(Request::post(&["session", &place.id, "abort"]), &place.dir)).await.map(drop)
    }

    async fn decide(&self, place: &Place, request: &RequestId, decision: &Decision) -> Result<(), Failure> {
        let id = request.as_str();
        let chosen = match decision {
            Decision::Selected { option } => Some(option.as_str()),
            Decision::Cancelled => None,
        };
        let request = if id.starts_with(QUESTION) {
            match chosen.and_then(parts::answer) {
                Some(label) => Request::post(&["question", id, "reply"]).json(json!({"answers": [[label]]})),
                None => Request::post(&["question", id, "reject"]),
            }
        } else {
            Request::post(&["permission", id, "reply"]).json(json!({"reply": chosen.unwrap_or(parts::REJECT)}))
        };
        self.api.call(in_dir(request, &place.dir)).await.map(drop)
    }

    async fn release(&self, _: &Place) -> Result<(), Failure> {
        // Its turn has been cancelled, and it holds nothing else that runs.
        Ok(())
    }

    async fn end(&self, place: &Place) -> Result<(), Failure> {
        self.api.call(in_dir(Request::delete(&["session", &place.id]), &place.dir)).await.map(drop)
    }
}

impl Server {
    async fn opened(&self, session: &Value, dir: &Path) -> Result<Opened, Failure> {
        let id = text_of(session, "id").filter(|id| id.starts_with(SESSION));
        let id =
            id.ok_or_else(|| Failure::Unexpected("made a session without an id; is `url` its address?".to_owned()))?;
        let dir = text_of(session, "directory").map_or_else(|| dir.to_owned(), PathBuf::from);
        let offers = self.offers(session, &dir).await;
        Ok(Opened { place: Place { id: id.to_owned(), dir }, offers })
    }

    /// What can be chosen; nothing where the server does not say.
    async fn offers(&self, session: &Value, dir: &Path) -> Offers {
        let ask = async |path: &[&str]| self.api.call(in_dir(Request::get(path), dir)).await.unwrap_or_default();
        let (providers, agents, config) = (ask(&["config", "providers"]), ask(&["agent"]), ask(&["config"]));
        let (providers, agents, config) = tokio::join!(providers, agents, config);
        offers::read(&providers, &agents, &config, session, self.model.as_deref())
    }

    /// How a session stands; `null` where nothing runs in it.
    async fn status(&self, place: &Place) -> Result<Value, Failure> {
        let all = self.api.call(in_dir(Request::get(&["session", "status"]), &place.dir)).await?;
        Ok(all.get(&place.id).cloned().unwrap_or_default())
    }
}

/// A request to the instance of a directory.
fn in_dir(request: Request, dir: &Path) -> Request {
    request.query("directory", dir.to_string_lossy())
}

fn listed(session: &Value) -> Option<Listed> {
    let used = session.get("time").and_then(|time| time.get("updated")).and_then(Value::as_i64);
    Some(Listed {
        backend_ref: BackendRef(text_of(session, "id")?.to_owned()),
        working_dir: text_of(session, "directory").map(PathBuf::from),
        title: text_of(session, "title").map(ToOwned::to_owned),
        updated_ms: used,
    })
}

/// The text under `key`, where one is there.
fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
