//! `GET /api/chat/events`: what happens in the connected session, as server-sent events.
//!
//! Lines of the transcript carry an id, `THREAD.PLACE`; who comes back with the last one in `Last-Event-ID` is told everything since.
//! What else there is (status, growing messages) is told as it is now, whenever that differs from what was told last. Nothing is
//! queued for whoever watches: they are told when they can take it, and steps in between are left out.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::board::View;
use super::refusal::Refusal;
use super::view::{Connection, Session, Text, Told};
use super::{Chat, WATCHERS};
use crate::domain::ids::{SessionId, Ts};

/// Somebody who watches.
struct Watcher {
    chat: Chat,
    _place: OwnedSemaphorePermit,
    changes: watch::Receiver<()>,
    connected: watch::Receiver<Option<SessionId>>,
    /// What is not sent yet, at most a page of the transcript and what is shown beside it.
    ready: VecDeque<Event>,
    /// Whether there may be more that nobody will be told of.
    more: bool,
    /// Whether we stop: what there is is told, and then it is over.
    closing: bool,
    told: Known,
}

/// What somebody who watches has been told.
#[derive(Default)]
struct Known {
    connection: Option<Connection>,
    thread: Option<Ts>,
    /// The place of the last line.
    pos: i64,
    /// None before the first time: who comes back may show an older one.
    status: Option<String>,
    /// How much of each growing message.
    growing: HashMap<Ts, usize>,
    /// The same as for the status.
    waiting: Option<BTreeSet<String>>,
}

/// The stream, until the daemon stops or whoever watches goes away.
pub(super) async fn watch(
    State(chat): State<Chat>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    chat.desk()?;
    let full = |_| Refusal::unavailable(format!("{WATCHERS} others are watching already; close one of them"));
    let place = Arc::clone(&chat.0.watchers).try_acquire_owned().map_err(full)?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(place_of);
    let (thread, pos) = match seen {
        // A place that the conversation has not reached is from before its store was restored: it is told whole.
        Some((thread, pos)) if chat.0.transcript.reaches(&thread, pos).await? => (Some(thread), pos),
        _ => (None, 0),
    };
    let watcher = Watcher {
        changes: chat.0.transcript.board.watch(),
        connected: chat.0.connected.subscribe(),
        chat,
        _place: place,
        ready: VecDeque::new(),
        more: true,
        closing: false,
        told: Known { thread, pos, ..Known::default() },
    };
    let events = unfold(watcher, async |mut watcher| watcher.next().await.map(|event| (Ok(event), watcher)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The conversation and the place that the id of an event names.
fn place_of(id: &str) -> Option<(Ts, i64)> {
    let (thread, pos) = id.split_once('.')?;
    Some((thread.into(), pos.parse().ok()?))
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.more {
                if self.closing {
                    return None;
                }
                self.change().await;
            }
            if self.look().await.is_err() {
                // It has been logged; whoever watches comes back by itself.
                return None;
            }
        }
    }

    /// Waits until there is something to look at.
    async fn change(&mut self) {
        tokio::select! {
            () = self.chat.0.parts.close.cancelled() => self.closing = true,
            // Both last as long as we do.
            _changed = self.changes.changed() => {}
            _changed = self.connected.changed() => {}
        }
    }

    /// Makes events of everything that is new.
    async fn look(&mut self) -> Result<(), Refusal> {
        let record = self.chat.connected().await?;
        // Before the transcript: what has become a line meanwhile is told as one, and not as gone.
        let thread =
            record.as_ref().map(|record| record.conversation.thread.clone()).or_else(|| self.told.thread.clone());
        let view = thread.as_ref().map(|thread| self.chat.0.transcript.board.look(thread)).unwrap_or_default();
        self.tell_connection(record.as_ref().map(Into::into));
        self.more = false;
        let Some(thread) = thread else { return Ok(()) };
        if self.told.thread.as_ref() != Some(&thread) {
            self.told =
                Known { connection: self.told.connection.take(), thread: Some(thread.clone()), ..Known::default() };
        }
        self.tell_lines(&thread, &view).await?;
        if !self.more {
            self.tell_view(view);
        }
        Ok(())
    }

    fn tell_connection(&mut self, session: Option<Session>) {
        let connection = Connection::to(session);
        if self.told.connection.as_ref() != Some(&connection) {
            self.push("session", &connection);
            self.told.connection = Some(connection);
        }
    }

    async fn tell_lines(&mut self, thread: &Ts, view: &View) -> Result<(), Refusal> {
        if view.newest.is_some_and(|newest| newest <= self.told.pos) {
            return Ok(());
        }
        let page = self.chat.0.transcript.after(thread, self.told.pos).await?;
        (self.told.pos, self.more) = (page.upto, page.is_full);
        for entry in page.entries {
            let id = format!("{thread}.{}", entry.pos);
            let (name, told) = Told::of(entry);
            self.ready.extend(event(name, &told).map(|event| event.id(id)));
        }
        Ok(())
    }

    /// Tells how what is shown differs from what was told.
    fn tell_view(&mut self, view: View) {
        let gone = |id: &Ts| view.growing.iter().all(|growing| growing.id != *id);
        let gone: Vec<Ts> = self.told.growing.keys().filter(|id| gone(id)).cloned().collect();
        for id in gone {
            self.told.growing.remove(&id);
            self.push("gone", &json!({"id": id}));
        }
        for growing in view.growing {
            let length = growing.markdown.len();
            if self.told.growing.insert(growing.id.clone(), length) != Some(length) {
                self.push("growing", &Growing { id: growing.id, text: Text::of(&growing.markdown) });
            }
        }
        if self.told.status.as_ref() != Some(&view.status) {
            self.push("status", &json!({"text": view.status}));
            self.told.status = Some(view.status);
        }
        if self.told.waiting.as_ref() != Some(&view.waiting) {
            self.push("waiting", &json!({"ids": view.waiting}));
            self.told.waiting = Some(view.waiting);
        }
    }

    fn push(&mut self, name: &str, data: &impl Serialize) {
        self.ready.extend(event(name, data));
    }
}

/// A message that grows: all that it says so far.
#[derive(Serialize)]
struct Growing {
    id: Ts,
    #[serde(flatten)]
    text: Text,
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    let event = Event::default().event(name).json_data(data);
    event.inspect_err(|error| tracing::error!(%error, "An event of the web chat can't be written")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_names_its_place() {
        assert_eq!(place_of("0198ab.12"), Some(("0198ab".into(), 12)));
        for other in ["", "12", "w.", "w.x"] {
            assert_eq!(place_of(other), None, "{other}");
        }
    }
}
