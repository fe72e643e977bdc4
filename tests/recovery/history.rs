//! What was seen from outside during a run.

use std::collections::{BTreeMap, BTreeSet};

use super::marks::Line;

/// A place in which people and the bot talk: a channel, and the root of a thread in it. A direct message is answered where it stands,
/// in a thread of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) channel: String,
    pub(crate) thread: String,
}

/// A message that the bot has to answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) number: u32,
    pub(crate) place: Place,
    pub(crate) ts: String,
}

/// A delivery of a message to the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) event: String,
    /// The message.
    pub(crate) ts: String,
    /// In milliseconds since the Unix epoch.
    pub(crate) acked_ms: Option<i64>,
}

/// What an agent wrote down before it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its process.
    pub(crate) pid: u32,
    /// In milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    pub(crate) what: What,
    /// Which message it is about.
    pub(crate) number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A prompt came.
    Begin,
    /// Something was said or asked.
    Act,
    /// Its turn is over.
    End,
}

/// A message of the bot as it stands there in the end.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) place: Place,
    pub(crate) ts: String,
    /// What it says of answers.
    pub(crate) lines: Vec<Line>,
    /// Whether it is an answer that still grows.
    pub(crate) growing: bool,
    /// The message that it answers, where its metadata says so.
    pub(crate) answers: Option<String>,
    /// Whether it says that something was given up, and where to look at it.
    pub(crate) gives_up: bool,
}

/// A whole run, once everything has come to rest.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// In the order in which they were written.
    pub(crate) asked: Vec<Asked>,
    pub(crate) delivered: Vec<Delivered>,
    /// The keys that the inbox knows.
    pub(crate) stored: BTreeSet<String>,
    /// Messages that the store says were given up, with a reason.
    pub(crate) given_up: BTreeSet<u32>,
    /// In the order in which it was written down; nothing when the agent keeps no log.
    pub(crate) heard: Vec<Heard>,
    pub(crate) shown: Vec<Shown>,
    /// How often a person asked for a message's turn again.
    pub(crate) again: BTreeMap<u32, usize>,
    /// Processes that outlived their daemon.
    pub(crate) left: Vec<u32>,
}
