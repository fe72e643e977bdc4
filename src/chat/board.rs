//! What is shown of running turns: status lines, messages that grow, marks. Held in memory, for it ends with its turn.
//!
//! Nobody is sent anything from here. Whoever watches is told that something has changed, and looks at what there is: who is slow
//! misses steps in between, and never the newest one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::transcript;
use crate::domain::ids::Ts;

/// Beyond so many conversations those at rest are forgotten.
const CONVERSATIONS: usize = 1_000;

/// The shown side of every conversation on the page.
#[derive(Debug, Default)]
pub(super) struct Board {
    conversations: Mutex<HashMap<Ts, View>>,
    changed: watch::Sender<()>,
}

/// One conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The place of the newest line of its transcript that was added since it is known here.
    pub(super) newest: Option<i64>,
    /// What the agent does; empty for nothing.
    pub(super) status: String,
    /// The messages that grow, oldest first.
    pub(super) growing: Vec<Growing>,
    /// The messages that wait for their turn.
    pub(super) waiting: BTreeSet<String>,
}

/// A message that grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Growing {
    /// Its id, which stays its own when it is complete.
    pub(super) id: Ts,
    /// What it says so far, as Markdown.
    pub(super) markdown: String,
}

impl View {
    /// Whether a turn is seen to run.
    pub(super) fn is_busy(&self) -> bool {
        !self.status.is_empty() || !self.growing.is_empty()
    }

    fn is_at_rest(&self) -> bool {
        !self.is_busy() && self.waiting.is_empty()
    }
}

impl Board {
    /// Is told of every change, of whichever conversation.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What there is of a conversation now.
    pub(super) fn look(&self, thread: &Ts) -> View {
        self.lock().get(thread).cloned().unwrap_or_default()
    }

    /// A line was added to a transcript. One that the agent or we have said takes the place of the status line.
    pub(super) fn added(&self, thread: &Ts, pos: i64, answers: bool) {
        self.change(thread, |view| {
            view.newest = view.newest.max(Some(pos));
            if answers {
                view.status.clear();
            }
        });
    }

    pub(super) fn status(&self, thread: &Ts, text: &str) {
        self.change(thread, |view| text.clone_into(&mut view.status));
    }

    pub(super) fn start(&self, thread: &Ts, id: Ts, markdown: &str) {
        self.change(thread, |view| view.growing.push(Growing { id, markdown: markdown.to_owned() }));
    }

    /// Adds to a message that grows. Returns whether it is there.
    pub(super) fn append(&self, id: &Ts, markdown: &str) -> bool {
        let mut found = false;
        self.change_message(id, |view| {
            if let Some(growing) = view.growing.iter_mut().find(|growing| growing.id == *id) {
                growing.markdown.push_str(markdown);
                found = true;
            }
        });
        found
    }

    /// A message does not grow any more. Returns whether it did.
    pub(super) fn forget(&self, id: &Ts) -> bool {
        let mut found = false;
        self.change_message(id, |view| {
            let before = view.growing.len();
            view.growing.retain(|growing| growing.id != *id);
            found = view.growing.len() < before;
        });
        found
    }

    /// A message waits for its turn, or does so no more.
    pub(super) fn waits(&self, id: &Ts, waits: bool) {
        self.change_message(id, |view| {
            let id = id.as_str();
            if waits {
                view.waiting.insert(id.to_owned())
            } else {
                view.waiting.remove(id)
            };
        });
    }

    fn change_message(&self, id: &Ts, change: impl FnOnce(&mut View)) {
        if let Some(thread) = transcript::thread_of(id) {
            self.change(&thread, change);
        }
    }

    fn change(&self, thread: &Ts, change: impl FnOnce(&mut View)) {
        let mut conversations = self.lock();
        if conversations.len() >= CONVERSATIONS && !conversations.contains_key(thread) {
            conversations.retain(|_, view| !view.is_at_rest());
        }
        change(conversations.entry(thread.clone()).or_default());
        drop(conversations);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ts, View>> {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_grows_until_it_is_forgotten_and_an_answer_clears_the_status() {
        let (board, thread, id) = (Board::default(), Ts::from("w"), Ts::from("w.1"));
        let mut watch = board.watch();
        board.status(&thread, "is thinking…");
        board.start(&thread, id.clone(), "one");
        assert!(board.append(&id, " two") && !board.append(&"w.2".into(), "three"));
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        let view = board.look(&thread);
        assert_eq!((view.status.as_str(), view.growing[0].markdown.as_str()), ("is thinking…", "one two"));
        board.added(&thread, 7, false);
        assert_eq!(board.look(&thread).status, "is thinking…", "a person's message is no answer");
        board.added(&thread, 8, true);
        assert!(board.forget(&id) && !board.forget(&id));
        assert_eq!(board.look(&thread), View { newest: Some(8), ..View::default() });
    }

    #[test]
    fn conversations_at_rest_are_forgotten_when_there_are_too_many() {
        let board = Board::default();
        board.waits(&"busy.1".into(), true);
        for n in 0..CONVERSATIONS * 2 {
            board.added(&format!("w{n}").into(), 1, true);
        }
        assert!(board.lock().len() <= CONVERSATIONS);
        assert_eq!(board.look(&"busy".into()).waiting.len(), 1);
    }
}
