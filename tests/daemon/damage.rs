//! A damaged store: what is restored, what is refused, and what a person may then decide.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Running, Slack};

/// Stops a daemon in order; returns its log.
fn stopped(daemon: Running) -> String {
    let (code, log) = daemon.end(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    log
}

fn errors(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("ERROR")).collect()
}

// holds: M-4
#[test]
fn a_damaged_store_is_restored_or_refused_and_never_empty_by_itself() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let database = state.path().join("state/hitchline.db");
    let slack = Slack::start();

    let daemon = slack.daemon(dir);
    let thread = slack.say("U0ALICE", "C0GENERAL", None, "@hitchline one");
    slack.wait_for_answer("C0GENERAL", &thread, "one");
    assert!(errors(&stopped(daemon)).is_empty());

    fs::write(&database, "this was a database").unwrap();
    let daemon = slack.daemon(dir);
    slack.say("U0ALICE", "C0GENERAL", Some(&thread), "two");
    slack.wait_for_answer("C0GENERAL", &thread, "two");
    let log = stopped(daemon);
    let restored = "what happened since";
    assert!(matches!(errors(&log)[..], [error] if error.contains(restored) && error.contains("hitchline.db.damaged-")));

    fs::remove_dir_all(state.path().join("state/snapshots")).unwrap();
    fs::write(&database, "this was a database").unwrap();
    let (code, log) = slack.refused(dir, "[access]", "[access]");
    let said = log.trim_end().lines().last().unwrap_or_default();
    let sentence = format!("hitchline: {} is damaged (", database.display());
    assert_eq!(code, 78, "{log}");
    assert!(said.starts_with(&sentence) && said.contains("`hitchline run --fresh-store`"), "{said}");
    assert_eq!(fs::read_to_string(&database).unwrap(), "this was a database");

    let log = stopped(slack.daemon_or_fresh(dir));
    assert!(matches!(errors(&log)[..], [error] if error.contains("begun with an empty one")), "{log}");
    let log = stopped(slack.daemon_or_fresh(dir));
    assert!(errors(&log).is_empty() && log.contains("--fresh-store does nothing"), "{log}");
}
