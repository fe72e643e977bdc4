//! What is there, and what happened so far. The logs are bounded, and numbered: whoever asks in time for what came `after` the last
//! number they saw gets all of the longest run, and a gap in the numbers is what was forgotten.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Query, channel};
use crate::simulator::core::{Core, lock};
use crate::simulator::ids::{BOT, BOT_NAME, BOT_USER, TEAM, TEAM_NAME, Ts};
use crate::simulator::message::Message;
use crate::simulator::world::{Channel, User};

#[derive(Debug, Deserialize)]
pub(super) struct Messages {
    channel: String,
    thread_ts: Option<Ts>,
    /// Replies and messages that only one person sees, too.
    #[serde(default)]
    all: bool,
    /// Only what was posted later.
    after: Option<Ts>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Calls {
    method: Option<String>,
    /// Only those with higher numbers.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// A part of a log.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    /// Only what has a higher number.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `GET /sim/state`
pub(super) async fn state(State(core): State<Arc<Core>>) -> Json<Value> {
    let world = core.world();
    Json(json!({
        "team": {"id": TEAM, "name": TEAM_NAME},
        "bot": {"user_id": BOT_USER, "bot_id": BOT, "name": BOT_NAME},
        "users": world.users.iter().map(User::shown).collect::<Vec<_>>(),
        "channels": world.channels.iter().map(Channel::shown).collect::<Vec<_>>(),
        "connections": core.envelopes.with_connections(|all| all.live()),
        "commands": ["/hitch"],
    }))
}

/// `GET /sim/messages`
pub(super) async fn messages(State(core): State<Arc<Core>>, Query(query): Query<Messages>) -> Answer<Value> {
    let world = core.world();
    let channel = channel(&world, &query.channel)?;
    let messages: Vec<_> = match query.thread_ts {
        None => channel.messages().filter(|message| query.all || message.thread_ts.is_none()).collect(),
        Some(root) => {
            let mut thread: Vec<_> = channel.thread(root).chain(channel.ephemeral(root)).collect();
            thread.sort_by_key(|message| message.ts);
            thread
        }
    };
    let later = messages.into_iter().filter(|message| query.after.is_none_or(|after| after < message.ts));
    let messages: Vec<_> = later.take(query.limit.unwrap_or(usize::MAX)).map(shown).collect();
    Ok(Json(json!({"messages": messages})))
}

fn shown(message: &Message) -> Value {
    message.shown(true)
}

/// `GET /sim/calls`
pub(super) async fn calls(State(core): State<Arc<Core>>, Query(query): Query<Calls>) -> Answer<Value> {
    Ok(Json(lock(&core.calls).shown(query.method.as_deref(), query.after, query.limit.unwrap_or(usize::MAX))))
}

/// `GET /sim/envelopes`
pub(super) async fn envelopes(State(core): State<Arc<Core>>, Query(part): Query<Part>) -> Answer<Value> {
    Ok(Json(json!({"envelopes": core.envelopes.sent(part.after, part.limit.unwrap_or(usize::MAX))})))
}

/// `GET /sim/acks`: each acknowledgement in the order in which they came, also those of an envelope that had one.
pub(super) async fn acks(State(core): State<Arc<Core>>, Query(part): Query<Part>) -> Answer<Value> {
    Ok(Json(json!({"acks": core.envelopes.acknowledged(part.after, part.limit.unwrap_or(usize::MAX))})))
}

/// `GET /sim/connections`
pub(super) async fn connections(State(core): State<Arc<Core>>) -> Json<Value> {
    let (connections, max_live) = core.envelopes.with_connections(|all| (all.records(), all.max_live()));
    Json(json!({"connections": connections, "max_live": max_live}))
}
