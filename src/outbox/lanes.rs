//! What is on its way in each conversation, and what comes next there. Nothing here waits.
//!
//! A lane begins in memory. It *spills* when that would take too much, or when its first row fails for now: from then on its rows are
//! in the store alone, and are read back one by one. It lasts until the store has nothing more for it; the next one begins in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Delivery;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::OwedId;
use crate::domain::outgoing::{Op, Owed};

/// How many bytes of rows all lanes hold together; a lane that would need more spills.
pub(super) const IN_MEMORY: usize = 16 << 20;
/// What a row takes besides its text, in bytes, roughly.
const ROW: usize = 512;

/// The lanes that are open, by conversation.
#[derive(Default)]
pub(super) struct Lanes {
    open: HashMap<ConversationKey, Lane>,
    /// The bytes of all rows in memory.
    held: usize,
    /// Whether an earlier process may have left rows that no lane has taken up yet; a lane that is opened meanwhile begins in the store.
    backlog: bool,
    /// After an unclean end: up to this place an earlier process may have posted the first row of each conversation, and no more than
    /// that, because the next one is not begun before the end of this one is on disk.
    suspect: Option<i64>,
    /// Younger than any row that a lane which is gone has read back. A row may be read back and delivered between its commit and its
    /// sending; whether it was, only the store knows then.
    read_back: Option<OwedId>,
}

/// A conversation in which something is owed.
#[derive(Default)]
struct Lane {
    /// What is in memory; it comes first.
    rows: VecDeque<Item>,
    /// What is known of the others, once the lane has spilled.
    stored: Option<Stored>,
    /// What its first row waits for, between two attempts.
    rest: Option<Rest>,
    /// Whether a row of it has left it.
    moved: bool,
    /// Whether its first row may be in Slack although the store does not know.
    in_doubt: bool,
}

/// What is known of the part of a lane that is in the store alone.
#[derive(Clone, Copy)]
enum Stored {
    /// There may be something.
    More,
    /// It has been looked for, or is just being looked for.
    Looked,
}

/// What a row waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Its next attempt.
    Until(Instant),
    /// A token that Slack takes.
    Token,
}

/// A row in its lane.
pub(super) struct Item {
    pub(super) owed: Arc<Owed>,
    pub(super) delivery: Arc<Delivery>,
}

/// What a lane does next.
pub(super) enum Next {
    /// Deliver this row.
    Row(Arc<Owed>),
    /// Look in the store for a row.
    Stored,
}

/// What became of rows that were put into a lane.
pub(super) struct Pushed {
    /// Whether a lane was opened for them, which wants a task then.
    pub(super) opened: bool,
    /// Those that stay in the store alone. Whoever waits for them is to be told outside of the lock.
    pub(super) kept: VecDeque<Item>,
}

impl Lanes {
    /// An earlier process left rows. After an unclean end with their last place, for some of them may be in Slack.
    pub(super) fn begin_recovery(&mut self, suspect: Option<i64>) {
        self.backlog = true;
        self.suspect = suspect;
    }

    /// Whether an earlier process may have posted the row at `pos`, which is the next one of `conversation`.
    pub(super) fn is_suspect(&self, conversation: &ConversationKey, pos: i64) -> bool {
        let first = self.open.get(conversation).is_some_and(|lane| !lane.moved);
        first && self.suspect.is_some_and(|last| pos <= last)
    }

    /// Notes whether the first row of `conversation` may be in Slack although the store does not know.
    pub(super) fn doubt(&mut self, conversation: &ConversationKey, in_doubt: bool) {
        if let Some(lane) = self.open.get_mut(conversation) {
            lane.in_doubt = in_doubt;
        }
    }

    /// Whether the store knows of everything that is in Slack.
    pub(super) fn at_rest(&self) -> bool {
        let unseen = self.backlog && self.suspect.is_some();
        !unseen && self.open.values().all(|lane| !lane.in_doubt)
    }

    /// Each conversation with rows of an earlier process has a lane, or had one.
    pub(super) fn end_recovery(&mut self) {
        self.backlog = false;
    }

    /// How many lanes read their rows back, those that wait for another attempt not counted: they hold none.
    pub(super) fn reading_back(&self) -> usize {
        self.open.values().filter(|lane| lane.stored.is_some() && lane.rest.is_none()).count()
    }

    /// How many lanes are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// About how many bytes are in memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Puts `rows`, which are committed, behind what is owed to `conversation`.
    pub(super) fn push(&mut self, conversation: &ConversationKey, rows: VecDeque<Item>) -> Pushed {
        let opened = !self.is_open(conversation);
        let fits = self.held + size(&rows) <= IN_MEMORY;
        let unread = self.read_back.is_none_or(|read| rows.iter().all(|item| item.owed.id.is_later_than(read)));
        let in_doubt = self.backlog && self.suspect.is_some();
        let lane = self.open.entry(conversation.clone()).or_insert_with(|| Lane { in_doubt, ..Lane::default() });
        let mut kept = VecDeque::new();
        if lane.stored.is_none() && (self.backlog || !fits || !unread) {
            // The first one may be on its way already.
            kept = lane.spill(1);
            self.held -= size(&kept);
        }
        if let Some(stored) = &mut lane.stored {
            *stored = Stored::More;
            kept.extend(rows);
        } else {
            self.held += size(&rows);
            lane.rows.extend(rows);
        }
        Pushed { opened, kept }
    }

    /// Something was made pending again in the store. Returns whether a lane was opened for it, which wants a task then.
    pub(super) fn take_up(&mut self, conversation: &ConversationKey) -> Pushed {
        let opened = !self.is_open(conversation);
        let lane = self.open.entry(conversation.clone()).or_default();
        // The first one may be on its way already.
        let kept = lane.spill(1);
        lane.stored = Some(Stored::More);
        self.held -= size(&kept);
        Pushed { opened, kept }
    }

    /// Takes all rows of `conversation` out of the memory; they are read back from the store. Whoever waits for them is to be told
    /// outside of the lock.
    pub(super) fn spill(&mut self, conversation: &ConversationKey) -> VecDeque<Item> {
        let spilled = self.open.get_mut(conversation).map_or_else(VecDeque::new, |lane| lane.spill(0));
        self.held -= size(&spilled);
        spilled
    }

    /// Whether a lane is open for `conversation`.
    pub(super) fn is_open(&self, conversation: &ConversationKey) -> bool {
        self.open.contains_key(conversation)
    }

    /// Whether nothing is owed to `conversation`, neither here nor in the backlog.
    pub(super) fn is_settled(&self, conversation: &ConversationKey) -> bool {
        !self.backlog && !self.is_open(conversation)
    }

    /// Notes what the first row of `conversation` waits for.
    pub(super) fn rest(&mut self, conversation: &ConversationKey, rest: Option<Rest>) {
        if let Some(lane) = self.open.get_mut(conversation) {
            lane.rest = rest;
        }
    }

    /// Whether nothing is tried until `deadline`: no lane is open, or each of them waits longer than that.
    pub(super) fn rest_beyond(&self, deadline: Instant) -> bool {
        self.open.values().all(|lane| match lane.rest {
            None => false,
            Some(Rest::Until(next)) => next > deadline,
            // It is not counted on.
            Some(Rest::Token) => true,
        })
    }

    /// What the lane of `conversation` does next. Without anything the lane is gone, in the same moment: a row that comes later opens
    /// a new one.
    pub(super) fn next(&mut self, conversation: &ConversationKey) -> Option<Next> {
        let lane = self.open.get_mut(conversation)?;
        if let Some(item) = lane.rows.front() {
            return Some(Next::Row(item.owed.clone()));
        }
        match &mut lane.stored {
            Some(stored @ Stored::More) => {
                // Before the look, so that what is sent during it is looked for again.
                *stored = Stored::Looked;
                return Some(Next::Stored);
            }
            Some(Stored::Looked) => self.read_back = Some(OwedId::new()),
            None => {}
        }
        self.open.remove(conversation);
        None
    }

    /// The first row of `conversation` is settled. Returns it, unless it was in the store alone; whoever waits for it is to be told outside
    /// of the lock.
    pub(super) fn pop(&mut self, conversation: &ConversationKey) -> Option<Item> {
        let lane = self.open.get_mut(conversation)?;
        lane.moved = true;
        let Some(item) = lane.rows.pop_front() else {
            lane.stored = Some(Stored::More);
            return None;
        };
        self.held -= item.size();
        Some(item)
    }
}

impl Lane {
    /// Goes on in the store behind the first `stay` rows in memory. Returns the others.
    fn spill(&mut self, stay: usize) -> VecDeque<Item> {
        self.stored.get_or_insert(Stored::More);
        self.rows.split_off(stay.min(self.rows.len()))
    }
}

impl Item {
    /// About how many bytes it takes.
    fn size(&self) -> usize {
        let text = match &self.owed.op {
            Op::Post(body) | Op::Finish { body, .. } | Op::Revise { body, .. } => body.size(),
            Op::Delete { .. } => 0,
        };
        ROW + text
    }
}

fn size(rows: &VecDeque<Item>) -> usize {
    rows.iter().map(Item::size).sum()
}
