//! Processes that an agent left behind outside its group, found by the mark in their environment: never by a name, an age, or a number
//! from before, which by now may be somebody else's.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use super::environment::RUN_ID;
use super::handle::Handle;
use super::proc::{self, Stat};

/// The variable that marks every process of one agent.
pub(super) const MARK: &str = "HITCHLINE_AGENT_ID";

/// How often we look at the most, and the pause between two looks: together a second, in which what was killed can die.
const LOOKS: usize = 500;
const PAUSE: Duration = Duration::from_millis(2);
/// How many looks in a row must find nobody: a process that is just starting its program shows no environment for a moment.
const EMPTY: usize = 3;

/// Kills every process that has `name` with this value in its environment, except this one, and waits until they are dead. Returns those
/// that it killed. Blocks, mostly for a few milliseconds; without `/proc` it finds nobody.
pub(super) fn kill(name: &str, value: &str) -> Vec<Handle> {
    kill_except(name, value, &BTreeSet::new()).0
}

/// What a search for strays came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many processes were killed.
    pub killed: usize,
    /// Whether some were left running on purpose.
    pub spared: bool,
}

/// Kills what an earlier run of the daemon left behind, wherever it is, except for the agents with these marks.
pub(super) fn sweep(run_id: &str, spared: &BTreeSet<String>) -> Swept {
    let (killed, spared) = kill_except(RUN_ID, run_id, spared);
    Swept { killed: killed.len(), spared }
}

/// The same as [`kill`], except for the agents with these marks; also says whether there are such.
fn kill_except(name: &str, value: &str, spared: &BTreeSet<String>) -> (Vec<Handle>, bool) {
    let variable = format!("{name}={value}");
    let mut killed = HashMap::new();
    let mut empty = 0;
    let mut is_any_spared = false;
    for _ in 0..LOOKS {
        let (kept, strays): (Vec<i32>, Vec<i32>) = find(&variable).into_iter().partition(|id| is_spared(*id, spared));
        is_any_spared = !kept.is_empty();
        empty = if strays.is_empty() { empty + 1 } else { 0 };
        if empty == EMPTY {
            break;
        }
        killed.extend(strays.into_iter().filter_map(|id| Some((id, kill_one(id, &variable)?))));
        std::thread::sleep(PAUSE);
    }
    (killed.into_values().collect(), is_any_spared)
}

/// The processes, except this one, that have [`MARK`] with this value in their environment.
pub(super) fn marked(mark: &str) -> Vec<i32> {
    find(&format!("{MARK}={mark}"))
}

/// Waits until nothing is left of processes that were killed: those that had become our children are reaped. Blocks, a second at the most.
pub(super) fn bury(mut killed: Vec<Handle>) {
    for _ in 0..LOOKS {
        killed.retain(|process| !process.is_gone());
        if killed.is_empty() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    tracing::debug!(processes = killed.len(), "Processes that were killed are not gone yet");
}

/// What descends from a process now, also outside its group, and without its mark.
pub(super) fn descendants(root: i32) -> Vec<Handle> {
    let mut children: HashMap<i32, Vec<(i32, u64)>> = HashMap::new();
    for (id, stat) in proc::all() {
        children.entry(stat.parent).or_default().push((id, stat.started));
    }
    let (mut open, mut found) = (vec![root], Vec::new());
    while let Some(parent) = open.pop() {
        for (id, started) in children.remove(&parent).unwrap_or_default() {
            open.push(id);
            // The number may have changed hands since it was listed; from here on the handle stays with one process.
            let same = || Stat::of(id).is_some_and(|stat| stat.started == started);
            found.extend(Handle::open(id).filter(|_| same()));
        }
    }
    found
}

fn find(variable: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // An agent that restarts its daemon hands its own mark to it.
    let own = i32::try_from(std::process::id()).ok();
    ids.filter(|id| Some(*id) != own && is_marked(*id, variable)).collect()
}

/// Whether a process has the variable.
fn is_marked(id: i32, variable: &str) -> bool {
    environment(id).split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

/// Whether a process belongs to an agent that is left alone.
fn is_spared(id: i32, spared: &BTreeSet<String>) -> bool {
    let mark = |entry: &[u8]| std::str::from_utf8(entry).ok()?.strip_prefix(MARK)?.strip_prefix('=').map(str::to_owned);
    !spared.is_empty() && environment(id).split(|byte| *byte == 0).filter_map(mark).any(|mark| spared.contains(&mark))
}

/// The environment with which a process was started. That of one that is dead already is empty.
fn environment(id: i32) -> Vec<u8> {
    std::fs::read(Path::new("/proc").join(id.to_string()).join("environ")).unwrap_or_default()
}

/// Kills a process if it has the variable; returns it if it did.
fn kill_one(id: i32, variable: &str) -> Option<Handle> {
    let process = Handle::open(id)?;
    // Looked at only now: since it was found the number may have changed hands, and from here on the handle stays with one process.
    // Should the number change hands once more, that process is dead, and the signal goes to nobody.
    (is_marked(id, variable) && process.kill()).then_some(process)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that carries `mark`, and its number.
    fn marked(mark: &str) -> (Child, i32) {
        let child = Command::new("sleep").arg("1000").env(MARK, mark).stdin(Stdio::null()).spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        // A child has the environment of its parent until it runs its program.
        while !is_marked(id, &format!("{MARK}={mark}")) {
            std::thread::yield_now();
        }
        (child, id)
    }

    #[test]
    fn a_number_that_changed_hands_since_it_was_found_is_let_alone() {
        let (mut heir, id) = marked("of the heir");
        assert!(kill_one(id, &format!("{MARK}=of the dead")).is_none());
        assert!(heir.try_wait().unwrap().is_none());
        assert!(kill_one(id, &format!("{MARK}=of the heir")).is_some());
        assert!(!heir.wait().unwrap().success());
        assert!(kill_one(id, &format!("{MARK}=of the heir")).is_none(), "it is gone");
    }

    #[test]
    fn who_is_spared_is_left_running() {
        let run = "a run of this test";
        let start = |mark: &str| {
            let mut command = Command::new("sleep");
            command.arg("1000").env(RUN_ID, run).env(MARK, mark).stdin(Stdio::null());
            let child = command.spawn().unwrap();
            while !is_marked(i32::try_from(child.id()).unwrap(), &format!("{MARK}={mark}")) {
                std::thread::yield_now();
            }
            child
        };
        let (mut kept, mut other) = (start("hl-kept"), start("hl-other"));
        let spared = BTreeSet::from(["hl-kept".to_owned()]);
        assert_eq!(sweep(run, &spared), Swept { killed: 1, spared: true });
        assert!(!other.wait().unwrap().success());
        assert!(kept.try_wait().unwrap().is_none());
        assert_eq!(sweep(run, &BTreeSet::new()), Swept { killed: 1, spared: false });
        assert!(!kept.wait().unwrap().success());
    }

    #[test]
    fn only_who_is_marked_is_killed() {
        let ((mut marked, _), (mut other, _)) = (marked("one"), marked("another"));
        assert_eq!(kill(MARK, "one").len(), 1);
        assert!(!marked.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
