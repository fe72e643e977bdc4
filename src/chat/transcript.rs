//! What was said on the page, line by line. Lines are only added: whoever has read up to a place reads on from there and misses
//! nothing, also of what became of earlier messages.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::board::Board;
use crate::clock::Clock;
use crate::domain::access::OPERATOR;
use crate::domain::ids::Ts;
use crate::domain::outgoing::Body;
use crate::domain::ports::Said;
use crate::store::{ChatAuthor, ChatMessage, Store, StoreError};

/// How many lines are read at once.
const PAGE: usize = 100;

/// A line, as the store keeps it. Variants and fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A message.
    Message(Body),
    /// What in Slack only the person concerned would see.
    Notice(Body),
    /// An earlier message has another form.
    Revised {
        /// Which.
        id: Ts,
        /// That form.
        body: Body,
    },
    /// An earlier message is gone.
    Withdrawn {
        /// Which.
        id: Ts,
    },
}

/// A line that was read back.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place: behind every earlier line's.
    pub(super) pos: i64,
    /// The id of the message that it adds.
    pub(super) id: Ts,
    pub(super) author: ChatAuthor,
    pub(super) line: Line,
    pub(super) created_ms: i64,
}

/// Lines that stand behind each other.
#[derive(Debug)]
pub(super) struct Page {
    /// Those that can be read.
    pub(super) entries: Vec<Entry>,
    /// The place of the last one, read or not.
    pub(super) upto: i64,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

/// The transcripts of all conversations on the page; cheap to clone.
#[derive(Clone)]
pub(super) struct Transcript {
    store: Store,
    clock: Clock,
    pub(super) board: Arc<Board>,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

/// The id of a message, which tells its conversation too.
pub(super) fn message_id(thread: &Ts, name: impl fmt::Display) -> Ts {
    format!("{thread}.{name}").into()
}

/// The conversation to which a message belongs, if it is one of the page's.
pub(super) fn thread_of(id: &Ts) -> Option<Ts> {
    id.as_str().split_once('.').map(|(thread, _)| thread.into())
}

impl Transcript {
    /// The transcripts in `store`.
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, board: Arc::default() }
    }

    /// Adds a line under an id, and tells whoever watches. Returns whether there was none under this id yet.
    pub(super) async fn add(&self, id: &Ts, author: ChatAuthor, line: &Line) -> Result<bool, StoreError> {
        let Some(thread) = thread_of(id) else { return Ok(false) };
        let message = ChatMessage {
            conversation: thread.clone(),
            key: id.as_str().to_owned(),
            author,
            text: serde_json::to_string(line).map_err(|error| StoreError::Failed(error.to_string()))?,
            created_ms: self.clock.wall_ms(),
        };
        let added = self.store.chat_append(message).await?;
        if let Some(pos) = added {
            let answers = author == ChatAuthor::Agent && matches!(line, Line::Message(_));
            self.board.added(&thread, pos, answers);
        }
        Ok(added.is_some())
    }

    /// Gives a message its final or another form. Twice is fine.
    pub(super) async fn settle(&self, id: &Ts, body: &Body) -> Result<(), StoreError> {
        let first = self.add(id, ChatAuthor::Agent, &Line::Message(body.clone())).await?;
        self.board.forget(id);
        if !first {
            self.show_again(id, ChatAuthor::Agent, body.clone()).await?;
        }
        Ok(())
    }

    /// Shows a message in this form, whatever has become of it.
    pub(super) async fn show_again(&self, id: &Ts, author: ChatAuthor, body: Body) -> Result<(), StoreError> {
        let revised = Line::Revised { id: id.clone(), body };
        self.add(&message_id(id, uuid::Uuid::now_v7().simple()), author, &revised).await.map(drop)
    }

    /// Takes a message away. Twice is fine.
    pub(super) async fn withdraw(&self, id: &Ts, author: ChatAuthor) -> Result<(), StoreError> {
        if self.board.forget(id) {
            return Ok(());
        }
        self.add(&message_id(id, "withdrawn"), author, &Line::Withdrawn { id: id.clone() }).await.map(drop)
    }

    /// The next lines of a conversation behind a place, at most so many as a page has. One that can't be read is left out.
    pub(super) async fn after(&self, thread: &Ts, pos: i64) -> Result<Page, StoreError> {
        let rows = self.store.chat_since(thread, pos, PAGE).await?;
        let upto = rows.last().map_or(pos, |(pos, _)| *pos);
        Ok(Page { upto, is_full: rows.len() == PAGE, entries: rows.into_iter().filter_map(entry).collect() })
    }

    /// Whether a conversation has a line at this place or behind it.
    pub(super) async fn reaches(&self, thread: &Ts, pos: i64) -> Result<bool, StoreError> {
        let found = self.store.chat_since(thread, pos.saturating_sub(1), 1).await?;
        Ok(!found.is_empty())
    }

    /// The last messages of a conversation before one of them, oldest first.
    pub(super) async fn said_before(&self, thread: &Ts, before: &Ts, limit: usize) -> Result<Vec<Said>, StoreError> {
        let found = self.store.chat_before(thread, before.as_str(), limit).await?;
        Ok(found.into_iter().filter_map(|message| said(entry((0, message))?)).collect())
    }
}

fn entry((pos, message): (i64, ChatMessage)) -> Option<Entry> {
    let ChatMessage { key, author, text, created_ms, .. } = message;
    match serde_json::from_str(&text) {
        Ok(line) => Some(Entry { pos, id: key.into(), author, line, created_ms }),
        Err(error) => {
            tracing::warn!(pos, %error, "A line of the web chat's transcript can't be read and is left out");
            None
        }
    }
}

/// What a line says to somebody who was not there.
fn said(entry: Entry) -> Option<Said> {
    let ours = entry.author == ChatAuthor::Agent;
    let text = match entry.line {
        Line::Message(Body::Text(text) | Body::Plain(text)) => text,
        Line::Message(Body::Approval(card)) => card.title,
        Line::Message(Body::List(list)) => list.text,
        Line::Notice(_) | Line::Revised { .. } | Line::Withdrawn { .. } => return None,
    };
    Some(Said { author: if ours { "agent" } else { OPERATOR }.into(), ours, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Body {
        Body::Text(text.to_owned())
    }

    async fn lines(transcript: &Transcript) -> Vec<Line> {
        transcript.after(&"w".into(), 0).await.unwrap().entries.into_iter().map(|entry| entry.line).collect()
    }

    #[tokio::test]
    async fn what_becomes_of_a_message_is_a_line_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = Transcript::new(Store::open(dir.path()).unwrap(), Clock::system());
        let (asked, grows): (Ts, Ts) = ("w.asked".into(), "w.grows".into());
        for first in [true, false] {
            let added = transcript.add(&asked, ChatAuthor::Web, &Line::Message(text("?"))).await.unwrap();
            assert_eq!(added, first, "a repeat adds nothing");
        }
        transcript.board.start(&"w".into(), grows.clone(), "an");
        transcript.settle(&grows, &text("answer")).await.unwrap();
        assert!(transcript.board.look(&"w".into()).growing.is_empty());
        transcript.settle(&grows, &text("better")).await.unwrap();
        for _ in 0..2 {
            transcript.withdraw(&asked, ChatAuthor::Web).await.unwrap();
        }
        let expected = [
            Line::Message(text("?")),
            Line::Message(text("answer")),
            Line::Revised { id: grows.clone(), body: text("better") },
            Line::Withdrawn { id: asked.clone() },
        ];
        assert_eq!(lines(&transcript).await, expected);
        let said = transcript.said_before(&"w".into(), &grows, 9).await.unwrap();
        assert_eq!(said, [Said { author: OPERATOR.into(), ours: false, text: "?".into() }]);
    }

    #[tokio::test]
    async fn a_message_that_only_grew_leaves_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = Transcript::new(Store::open(dir.path()).unwrap(), Clock::system());
        transcript.board.start(&"w".into(), "w.grows".into(), "an");
        transcript.withdraw(&"w.grows".into(), ChatAuthor::Agent).await.unwrap();
        assert!(lines(&transcript).await.is_empty());
        assert!(!transcript.add(&"no id of ours".into(), ChatAuthor::Web, &Line::Message(text("?"))).await.unwrap());
    }
}
