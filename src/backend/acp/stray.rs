//! Processes that an agent left behind outside its group, found by the mark in their environment.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// The variable that marks every process of one agent.
pub(super) const MARK: &str = "HITCHLINE_AGENT_ID";

/// How often we look at the most, and the pause between two looks: together a second, in which what was killed can die.
const LOOKS: usize = 500;
const PAUSE: Duration = Duration::from_millis(2);
/// How many looks in a row must find nobody: a process that is just starting its program shows no environment for a moment.
const EMPTY: usize = 3;

/// Kills every process that has `name` with this value in its environment, except this one, and waits until they are dead. Returns how
/// many it found. Blocks, mostly for a few milliseconds; without `/proc` it finds nobody.
pub(super) fn kill(name: &str, value: &str) -> usize {
    let variable = format!("{name}={value}");
    let mut killed = HashSet::new();
    let mut empty = 0;
    for _ in 0..LOOKS {
        let strays = find(&variable);
        empty = if strays.is_empty() { empty + 1 } else { 0 };
        if empty == EMPTY {
            break;
        }
        for id in strays {
            kill_one(id, &variable);
            killed.insert(id);
        }
        std::thread::sleep(PAUSE);
    }
    killed.len()
}

fn find(variable: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // An agent that restarts its daemon hands its own mark to it.
    let own = i32::try_from(std::process::id()).ok();
    ids.filter(|id| Some(*id) != own && is_marked(*id, variable)).collect()
}

/// Whether a process has the variable. The environment of one that is dead already is empty.
fn is_marked(id: i32, variable: &str) -> bool {
    let environment = std::fs::read(Path::new("/proc").join(id.to_string()).join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

#[cfg(target_os = "linux")]
fn kill_one(id: i32, variable: &str) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(process) = Pid::from_raw(id).and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) else { return };
    // Looked at again through a handle that stays with it: the number may have changed hands meanwhile.
    if is_marked(id, variable) {
        // It fails only when the process is gone.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

#[cfg(not(target_os = "linux"))]
fn kill_one(_id: i32, _variable: &str) {}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_who_is_marked_is_killed() {
        let start =
            |mark: &str| Command::new("sleep").arg("1000").env(MARK, mark).stdin(Stdio::null()).spawn().unwrap();
        let (mut marked, mut other) = (start("one"), start("another"));
        let variable = format!("{MARK}=one");
        // A child has the environment of its parent until it runs its program.
        while !is_marked(i32::try_from(marked.id()).unwrap(), &variable) {
            std::thread::yield_now();
        }
        assert_eq!(kill(MARK, "one"), 1);
        assert!(!marked.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
