//! The simulator's world ends with its process, and so does the state of a daemon for which nobody named a directory.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Running, exit_code, simulated};

/// Where a daemon says that its state is.
fn state_of(daemon: &Running) -> PathBuf {
    let log = daemon.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let dirs: Vec<Value> = lines.filter_map(|line| line.get("dir").cloned()).collect();
    let [Value::String(dir)] = &dirs[..] else { panic!("it is said once: {log}") };
    PathBuf::from(dir)
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn each_run_has_a_state_of_its_own_and_takes_it_away() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let (first, second) = (simulated(home), simulated(home));
    let (dir, other) = (state_of(&first), state_of(&second));
    assert!(dir != other && dir.starts_with(home), "{dir:?} {other:?}");
    let named = ("HITCHLINE__STORE__DIR", dir.to_str().unwrap());
    assert_eq!(exit_code(&["healthcheck", "--simulator", "--ready"], &[named]), 0);
    let unnamed = || exit_code(&["healthcheck", "--simulator", "--ready"], &[("HOME", home)]);
    assert_eq!(unnamed(), 1, "which one is meant can't be known");
    assert_eq!(first.stop(), 0);
    assert!(!dir.exists() && other.exists());
    assert_eq!(unnamed(), 0, "the one that is left is meant");
    assert_eq!(second.stop(), 0);
    assert!(!other.exists());
}

#[test]
fn what_a_killed_run_left_is_taken_away_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let (alive, killed) = (simulated(home), simulated(home));
    let (kept, left) = (state_of(&alive), state_of(&killed));
    killed.kill();
    assert!(left.exists());
    let next = simulated(home);
    let mut expected = [kept.clone(), state_of(&next)];
    let mut found = directories(kept.parent().unwrap());
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "that of the living one is not touched");
    for daemon in [alive, next] {
        let (code, log) = daemon.end(Signal::TERM);
        assert_eq!(code, 0, "{log}");
    }
}
