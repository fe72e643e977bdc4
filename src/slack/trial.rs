//! Messages by which `probe` tries Slack out, and what can be read back of them.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::api::{Api, Call, Encoding, Urgency};
use super::error::ApiError;
use super::history::NO_THREAD;
use super::surface::METADATA;
use crate::domain::ids::{ChannelId, Ts};
use crate::scope::Scope;

const POST: &str = "chat.postMessage";
/// How many messages are read at a time: more than a trial posts.
const READ: usize = 200;

/// A channel, and what was posted there for the trial.
#[derive(Debug)]
pub struct Trial {
    place: Arc<Place>,
    /// Posts that are on their way: a trial that is given up must know what it has posted.
    posts: Scope,
}

#[derive(Debug)]
struct Place {
    api: Api,
    channel: ChannelId,
    posted: Mutex<Vec<Ts>>,
}

/// A message to be posted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample<'a> {
    /// What it says.
    pub text: &'a str,
    /// The root of its thread.
    pub thread: Option<&'a Ts>,
    /// The undocumented argument.
    pub client_msg_id: Option<&'a str>,
    /// The key that goes into its metadata.
    pub key: Option<&'a str>,
    /// The `action_id` of a button under it.
    pub button: Option<&'a str>,
}

/// A message that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// Its address in its channel.
    pub ts: Ts,
    /// The key in its metadata.
    pub key: Option<String>,
}

impl Trial {
    /// A trial in `channel`, in which nothing was posted yet.
    pub fn new(api: Api, channel: ChannelId) -> Self {
        Self { place: Arc::new(Place { api, channel, posted: Mutex::default() }), posts: Scope::new() }
    }

    /// Posts a message; to its end, also when nobody waits for that any more.
    ///
    /// # Errors
    /// Slack's refusal, or that it was not reached.
    pub async fn post(&self, sample: &Sample<'_>) -> Result<Ts, ApiError> {
        let (place, args) = (Arc::clone(&self.place), arguments(&self.place.channel, sample));
        let posted = self.posts.to_its_end("post of a trial", async move { place.post(args).await }).await;
        posted.unwrap_or_else(|| Err(ApiError::lost(POST, true, "it crashed")))
    }

    /// Looks for a message in its thread (`conversations.replies`).
    ///
    /// # Errors
    /// Slack's refusal, or that it was not reached.
    pub async fn reply(&self, root: &Ts, ts: &Ts) -> Result<Option<ReadBack>, ApiError> {
        let args = json!({
            "channel": self.place.channel, "ts": root, "oldest": ts, "inclusive": true, "include_all_metadata": true, "limit": READ,
        });
        let answer = self.place.call("conversations.replies", Encoding::Form, args).await;
        match answer {
            Err(error) if error.code == NO_THREAD => Ok(None),
            answer => Ok(find(&answer?, ts)),
        }
    }

    /// Looks for a message in its channel (`conversations.history`).
    ///
    /// # Errors
    /// Slack's refusal, or that it was not reached.
    pub async fn in_history(&self, ts: &Ts) -> Result<Option<ReadBack>, ApiError> {
        let args = json!({
            "channel": self.place.channel, "oldest": ts, "inclusive": true, "include_all_metadata": true, "limit": READ,
        });
        Ok(find(&self.place.call("conversations.history", Encoding::Form, args).await?, ts))
    }

    /// Deletes all that was posted, the last first, so that a thread goes with its root. Returns how many messages are left.
    pub async fn clear(&self) -> usize {
        self.posts.wait().await;
        let place = &self.place;
        let posted = std::mem::take(&mut *place.posted.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = 0;
        for ts in posted.iter().rev() {
            let deleted = place.call("chat.delete", Encoding::Json, json!({"channel": place.channel, "ts": ts})).await;
            left += usize::from(deleted.is_err_and(|error| error.code != "message_not_found"));
        }
        left
    }
}

impl Place {
    async fn post(&self, args: Value) -> Result<Ts, ApiError> {
        let answer = self.call(POST, Encoding::Json, args).await?;
        let ts = answer["ts"].as_str().map(Ts::from);
        let ts = ts.ok_or_else(|| ApiError::lost(POST, true, "the answer names no message"))?;
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        if !posted.contains(&ts) {
            posted.push(ts.clone());
        }
        Ok(ts)
    }

    async fn call(&self, method: &'static str, encoding: Encoding, args: Value) -> Result<Value, ApiError> {
        let place = self.channel.as_str();
        self.api.call(Call { method, encoding, place, urgency: Urgency::Wait, args }).await
    }
}

fn arguments(channel: &ChannelId, sample: &Sample<'_>) -> Value {
    let Sample { text, thread, client_msg_id, key, button } = *sample;
    let mut args = json!({"channel": channel, "text": text});
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            args[name] = value;
        }
    };
    set("thread_ts", thread.map(|ts| json!(ts)));
    set("client_msg_id", client_msg_id.map(Value::from));
    set("metadata", key.map(|key| json!({"event_type": METADATA, "event_payload": {"key": key}})));
    set("blocks", button.map(|action_id| pressable(text, action_id)));
    args
}

fn pressable(text: &str, action_id: &str) -> Value {
    let label = json!({"type": "plain_text", "text": "Press once"});
    json!([
        {"type": "section", "text": {"type": "mrkdwn", "verbatim": true, "text": text}},
        {"type": "actions", "elements": [{"type": "button", "action_id": action_id, "text": label}]},
    ])
}

fn find(answer: &Value, ts: &Ts) -> Option<ReadBack> {
    let messages = answer["messages"].as_array()?;
    let message = messages.iter().find(|message| message["ts"] == ts.as_str())?;
    let key = message["metadata"]["event_payload"]["key"].as_str().map(str::to_owned);
    Some(ReadBack { ts: ts.clone(), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_names_only_what_it_has() {
        let channel = ChannelId::from("C1");
        let plain = arguments(&channel, &Sample { text: "x", ..Sample::default() });
        assert_eq!(plain, json!({"channel": "C1", "text": "x"}));
        let root = Ts::from("1.000001");
        let sample =
            Sample { text: "x", thread: Some(&root), client_msg_id: Some("c"), key: Some("k"), button: Some("press") };
        let full = arguments(&channel, &sample);
        assert_eq!((&full["thread_ts"], &full["client_msg_id"]), (&json!("1.000001"), &json!("c")));
        assert_eq!(full["metadata"]["event_payload"]["key"], "k");
        assert_eq!(full["blocks"][1]["elements"][0]["action_id"], "press");
    }

    #[test]
    fn a_message_is_found_by_its_address_with_its_key() {
        let answer = json!({"messages": [
            {"ts": "1.000001"}, {"ts": "1.000002", "metadata": {"event_payload": {"key": "k"}}},
        ]});
        let key = |ts: &str| find(&answer, &ts.into()).map(|found| found.key);
        assert_eq!(key("1.000001"), Some(None));
        assert_eq!(key("1.000002"), Some(Some("k".to_owned())));
        assert_eq!(key("1.000003"), None);
    }
}
