//! Waiting: for a message that matches, and for whatever comes.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Query, Refused, channel};
use crate::simulator::core::Core;
use crate::simulator::feed::Entry;
use crate::simulator::ids::Ts;
use crate::simulator::message::Message;
use crate::simulator::wait::Filter;
use crate::simulator::world::{Channel, World};

/// How long a wait lasts when it says nothing, and at most.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// How many messages of the channel a failed wait shows.
const SEEN: usize = 20;

#[derive(Debug, Deserialize)]
pub(super) struct Since {
    since: Option<u64>,
}

/// `GET /sim/wait`
pub(super) async fn wait(State(core): State<Arc<Core>>, Query(filter): Query<Filter>) -> Result<Response, Refused> {
    let patience = filter.timeout_ms.map_or(DEFAULT_WAIT, Duration::from_millis).min(LONGEST_WAIT);
    let place = filter.channel.clone();
    let receiver = {
        let mut world = core.world();
        let matching = matching(channel(&world, &place)?, &filter);
        if filter.satisfied(matching.len()) {
            return Ok(found(&world, &place, &matching));
        }
        world.waiters.add(filter, matching)
    };
    let waited = core.clock.timeout(patience, receiver).await;
    let mut world = core.world();
    if let Ok(Ok(matching)) = waited {
        return Ok(found(&world, &place, &matching));
    }
    world.waiters.forget_gone();
    let all: Vec<_> = world.channel(&place).into_iter().flat_map(Channel::messages).map(shown).collect();
    let seen = &all[all.len().saturating_sub(SEEN)..];
    Ok((StatusCode::REQUEST_TIMEOUT, Json(json!({"error": "timeout", "seen": seen}))).into_response())
}

fn matching(channel: &Channel, filter: &Filter) -> BTreeSet<Ts> {
    let matches = |message: &&Message| filter.matches(message);
    match filter.thread_ts {
        None => channel.messages().filter(matches).map(|message| message.ts).collect(),
        Some(root) => {
            channel.thread(root).chain(channel.ephemeral(root)).filter(matches).map(|message| message.ts).collect()
        }
    }
}

fn found(world: &World, channel: &str, matching: &BTreeSet<Ts>) -> Response {
    let messages: Vec<_> = matching.iter().filter_map(|ts| world.message(channel, *ts)).map(shown).collect();
    Json(json!({"messages": messages})).into_response()
}

fn shown(message: &Message) -> Value {
    message.shown(true)
}

/// `GET /sim/events`: from `since`, or from where the browser's own reconnect left off, or from now.
pub(super) async fn events(
    State(core): State<Arc<Core>>,
    Query(Since { since }): Query<Since>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let newest = core.feed.watch();
    let seq = last_seen.or(since).unwrap_or(*newest.borrow());
    let listener = Listener { core, newest, seq, ready: VecDeque::new() };
    Sse::new(stream::unfold(listener, Listener::next)).keep_alive(KeepAlive::default())
}

/// One open page.
#[derive(Debug)]
struct Listener {
    core: Arc<Core>,
    newest: watch::Receiver<u64>,
    seq: u64,
    ready: VecDeque<Entry>,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.seq = entry.seq;
                let event = sse::Event::default().id(entry.seq.to_string()).data(&*entry.json);
                return Some((Ok(event), self));
            }
            let seq = self.seq;
            tokio::select! {
                newer = self.newest.wait_for(|newest| *newest > seq) => newer.ok().map(|_| ())?,
                () = self.core.stop.cancelled() => return None,
            }
            self.ready = self.core.feed.after(self.seq).into();
        }
    }
}
