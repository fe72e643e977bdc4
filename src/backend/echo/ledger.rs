//! The sessions of this process: those that may be restored, and those that are gone for good.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;

use crate::domain::ids::SessionId;

/// What is known of each session, by its id; an id is never used again.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sessions: HashMap<SessionId, Life>,
    uses: u64,
}

#[derive(Debug)]
enum Life {
    /// It may be prompted or restored.
    Open(Entry),
    /// It never comes back.
    Ended,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: SessionId,
    pub(super) working_dir: PathBuf,
    /// When it was last used, in milliseconds since 1970.
    pub(super) used_ms: i64,
    /// Its place among all uses: the clock is too coarse to tell them apart.
    used: u64,
}

impl Ledger {
    /// A session was started or restored.
    pub(super) fn opened(&mut self, id: SessionId, working_dir: PathBuf, now_ms: i64) {
        self.sessions.insert(id, Life::Open(Entry { id, working_dir, used_ms: now_ms, used: 0 }));
        self.used(id, now_ms);
    }

    /// An open session took a prompt.
    pub(super) fn used(&mut self, id: SessionId, now_ms: i64) {
        if let Some(Life::Open(entry)) = self.sessions.get_mut(&id) {
            self.uses += 1;
            (entry.used_ms, entry.used) = (now_ms, self.uses);
        }
    }

    /// A session is gone for good.
    pub(super) fn ended(&mut self, id: SessionId) {
        self.sessions.insert(id, Life::Ended);
    }

    pub(super) fn is_ended(&self, id: SessionId) -> bool {
        matches!(self.sessions.get(&id), Some(Life::Ended))
    }

    /// The open sessions, the one used last first.
    pub(super) fn newest(&self, limit: usize) -> Vec<Entry> {
        let open = |life: &Life| match life {
            Life::Open(entry) => Some(entry.clone()),
            Life::Ended => None,
        };
        let mut entries: Vec<Entry> = self.sessions.values().filter_map(open).collect();
        entries.sort_by_key(|entry| Reverse(entry.used));
        entries.truncate(limit);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_that_was_used_last_comes_first_and_an_ended_one_not_at_all() {
        let mut ledger = Ledger::default();
        let [one, two, three] = [(); 3].map(|()| SessionId::new());
        for id in [one, two, three] {
            ledger.opened(id, PathBuf::from("/"), 7);
        }
        ledger.used(one, 8);
        ledger.ended(three);
        ledger.used(three, 9);
        let newest = |limit| ledger.newest(limit).iter().map(|entry| (entry.id, entry.used_ms)).collect::<Vec<_>>();
        assert_eq!(newest(9), [(one, 8), (two, 7)]);
        assert_eq!(newest(1), [(one, 8)]);
        assert!(ledger.is_ended(three) && !ledger.is_ended(two));
    }
}
