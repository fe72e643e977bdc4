//! What is on its way in each conversation, and what comes next there. Nothing here waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Delivery;
use crate::domain::conversation::ConversationKey;
use crate::domain::outgoing::Owed;
use crate::store::Stretch;

/// The lanes that are open, by conversation.
#[derive(Default)]
pub(super) struct Lanes {
    open: HashMap<ConversationKey, Lane>,
    /// Where rows of an earlier process may be that no lane has taken up yet; a lane that is opened meanwhile begins there.
    backlog: Option<Stretch>,
}

/// A conversation in which something is owed.
struct Lane {
    /// Where rows of an earlier process are, read one by one; they come first.
    earlier: Option<Stretch>,
    /// What this process owes.
    rows: VecDeque<Item>,
    /// What its first row waits for, between two attempts.
    rest: Option<Rest>,
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
    /// Look for a row of an earlier process.
    Earlier(Stretch),
    /// Deliver this row.
    Row(Arc<Owed>),
}

impl Lanes {
    /// Notes where an earlier process left rows.
    pub(super) fn begin_recovery(&mut self, backlog: Stretch) {
        self.backlog = Some(backlog);
    }

    /// Each conversation with rows of an earlier process has a lane, or had one.
    pub(super) fn end_recovery(&mut self) {
        self.backlog = None;
    }

    /// How many lanes still deliver what an earlier process left.
    pub(super) fn recovering(&self) -> usize {
        self.open.values().filter(|lane| lane.earlier.is_some()).count()
    }

    /// How many lanes are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Puts `rows` behind what is owed to `conversation`. Returns whether a lane was opened for them, which wants a task then.
    pub(super) fn push(&mut self, conversation: &ConversationKey, rows: VecDeque<Item>) -> bool {
        if let Some(lane) = self.open.get_mut(conversation) {
            lane.rows.extend(rows);
            return false;
        }
        self.open.insert(conversation.clone(), Lane { earlier: self.backlog, rows, rest: None });
        true
    }

    /// Whether a lane is open for `conversation`.
    pub(super) fn is_open(&self, conversation: &ConversationKey) -> bool {
        self.open.contains_key(conversation)
    }

    /// Whether nothing is owed to `conversation`, neither here nor in the backlog.
    pub(super) fn is_settled(&self, conversation: &ConversationKey) -> bool {
        self.backlog.is_none() && !self.is_open(conversation)
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
        let lane = self.open.get(conversation)?;
        let row = || lane.rows.front().map(|item| Next::Row(item.owed.clone()));
        let next = lane.earlier.map(Next::Earlier).or_else(row);
        if next.is_none() {
            self.open.remove(conversation);
        }
        next
    }

    /// Notes where the rest of what an earlier process left is.
    pub(super) fn passed(&mut self, conversation: &ConversationKey, rest: Option<Stretch>) {
        if let Some(lane) = self.open.get_mut(conversation) {
            lane.earlier = rest;
        }
    }

    /// Takes the first row out of its lane. Whoever waits for it is to be told outside of the lock.
    pub(super) fn pop(&mut self, conversation: &ConversationKey) -> Option<Item> {
        self.open.get_mut(conversation)?.rows.pop_front()
    }
}
