//! A program in a terminal and everything that descends from it, by what the kernel tells in `/proc`.
//!
//! tmux itself ends a session with a hang-up alone, which a child may ignore, or never get: one in a session of its own.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;

use crate::backend::handle::Handle;
use crate::backend::proc::{self, Stat};
use crate::backend::stray;

/// A process, told from a later one with the same number by the moment of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    /// Its number.
    pub(super) id: i32,
    /// When it started, in clock ticks since the machine did (`proc_pid_stat(5)`, field 22).
    pub(super) started: u64,
}

impl Process {
    /// The process that has this number now; nothing when there is none, or it is dead and only waits for its parent.
    pub(super) fn with_id(id: i32) -> Option<Self> {
        let stat = Stat::of(id).filter(|stat| !stat.is_dead)?;
        Some(Self { id, started: stat.started })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        Self::with_id(self.id) == Some(self)
    }

    /// Sends a signal to it and to nobody else.
    pub(super) fn signal(self, signal: Signal) {
        // Looked at only when it is held: the handle stays with one process, whoever has the number later.
        if let Some(process) = Handle::open(self.id)
            && self.is_alive()
        {
            process.signal(signal);
        }
    }
}

/// All that live of the program `root` and of its descendants: its children and theirs, everybody in a session that one of them leads,
/// and whoever bears `mark`; the server of their terminal, `except`, is not among them. Reads all of `/proc`.
pub(super) fn members(root: Option<Process>, mark: &str, except: Option<i32>) -> Vec<Process> {
    let all: BTreeMap<i32, Stat> = proc::all().collect();
    let root = root.filter(|root| all.get(&root.id).is_some_and(|stat| stat.started == root.started));
    let first = root.map(|root| root.id).into_iter().chain(stray::marked(mark)).filter(|id| Some(*id) != except);
    let living = |id: i32| all.get(&id).filter(|stat| !stat.is_dead).map(|stat| Process { id, started: stat.started });
    descend(first.collect(), &all, except).into_iter().filter_map(living).collect()
}

/// `found`, and everybody who descends from them or is in their sessions.
fn descend(mut found: BTreeSet<i32>, all: &BTreeMap<i32, Stat>, except: Option<i32>) -> BTreeSet<i32> {
    loop {
        let belongs = |(id, stat): &(&i32, &Stat)| {
            Some(**id) != except
                && !found.contains(id)
                && (found.contains(&stat.parent) || found.contains(&stat.session))
        };
        let more: Vec<i32> = all.iter().filter(belongs).map(|(id, _)| *id).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn stat(parent: i32, session: i32) -> Stat {
        Stat { parent, session, started: 0, is_dead: false }
    }

    #[test]
    fn a_family_is_children_and_sessions_and_not_the_server_of_the_terminal() {
        // 1 is the system's, 5 the server, 10 the program; 12 was left by its parent, 14 leads a session of its own.
        let all = BTreeMap::from([
            (1, stat(0, 1)),
            (5, stat(1, 5)),
            (10, stat(5, 10)),
            (11, stat(10, 10)),
            (12, stat(1, 10)),
            (13, stat(12, 10)),
            (14, stat(11, 14)),
            (15, stat(1, 14)),
            (20, stat(1, 20)),
            (21, stat(5, 21)),
        ]);
        assert_eq!(descend([10].into(), &all, Some(5)), [10, 11, 12, 13, 14, 15].into());
        // Found by its mark alone, after all before it have gone.
        assert_eq!(descend([14].into(), &all, Some(5)), [14, 15].into());
        assert_eq!(descend([].into(), &all, Some(5)), [].into());
        assert!(!descend([1].into(), &all, Some(10)).contains(&10));
    }

    #[test]
    fn a_signal_goes_to_the_very_process() {
        let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let process = Process::with_id(i32::try_from(child.id()).unwrap()).unwrap();
        let earlier = Process { started: process.started - 1, ..process };
        assert!(process.is_alive() && !earlier.is_alive());
        earlier.signal(Signal::KILL);
        assert!(process.is_alive(), "another was meant");
        process.signal(Signal::KILL);
        assert!(!child.wait().unwrap().success());
        assert!(!process.is_alive());
    }
}
