//! The built binary, away for a while.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Slack, until};
use super::process::eventually;
use super::program::program;

const ALICE: &str = "U0ALICE";
const GENERAL: &str = "C0GENERAL";
const DM: &str = "D0ALICE";

/// A daemon that has heard everything so far, with a session in a thread.
fn heard(slack: &Slack, dir: &str) -> (super::harness::Running, String) {
    let daemon = slack.daemon(dir);
    let session = slack.say(ALICE, GENERAL, None, "@hitchline first");
    slack.wait_for_answer(GENERAL, &session, "first");
    let database = format!("{dir}/state/hitchline.db");
    until("the note of what was heard, and of the answer", || {
        let store = rusqlite::Connection::open(&database).unwrap();
        let sql = "SELECT EXISTS (SELECT 1 FROM moment) AND NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending')";
        store.query_row(sql, [], |row| row.get::<_, bool>(0)).unwrap()
    });
    (daemon, session)
}

#[test]
fn what_was_said_to_a_daemon_that_was_killed_is_answered_when_it_is_back() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let (daemon, session) = heard(&slack, dir);
    daemon.kill();
    // As if Slack did not deliver it again.
    slack.fault(&json!({"fault": "drop_event", "rate": 1.0}));
    let mention = slack.say(ALICE, GENERAL, None, "@hitchline second");
    slack.say(ALICE, GENERAL, Some(&session), "third");
    let direct = slack.say(ALICE, DM, None, "fourth");
    slack.clear_faults();
    let daemon = slack.daemon(dir);
    slack.wait_for_answer(GENERAL, &mention, "second");
    slack.wait_for_answer(GENERAL, &session, "third");
    slack.wait_for_answer(DM, &direct, "fourth");
    assert_eq!(slack.replies(GENERAL, &session).len(), 2);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_35_a_process_that_stood_still_reads_back_what_it_missed() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let (daemon, session) = heard(&slack, dir);
    daemon.signal(Signal::STOP);
    let delivered = slack.say(ALICE, GENERAL, Some(&session), "delivered meanwhile");
    slack.fault(&json!({"fault": "drop_event", "rate": 1.0}));
    let missed = slack.say(ALICE, DM, None, "missed meanwhile");
    slack.clear_faults();
    // The time for which it stands still is the fault itself.
    assert!(eventually(Duration::from_secs(8), || None::<()>).is_none());
    daemon.signal(Signal::CONT);
    slack.wait_for_answer(DM, &missed, "missed meanwhile");
    slack.wait_for_answer(GENERAL, &session, "delivered meanwhile");
    assert_eq!(slack.replies(GENERAL, &session).len(), 2, "{delivered} was answered once");
    assert_eq!(slack.replies(DM, &missed).len(), 1);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_35_however_long_a_process_stands_still_its_agents_are_asked_once() {
    let Some(python) = program("python3") else { return };
    std::thread::scope(|scope| {
        for seconds in [1, 8, 30] {
            let python = &python;
            scope.spawn(move || stand_still(python.to_str().unwrap(), Duration::from_secs(seconds)));
        }
    });
}

/// What an agent was asked before, and while, its daemon stood still for so long: by the agent's own log each thing once.
fn stand_still(python: &str, time: Duration) {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let log = dir.join("agent.log");
    let dir = dir.to_str().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
    let slack = Slack::start();
    let daemon = slack.daemon_with(dir, &[python, script, "--log", log.to_str().unwrap()], "1s");
    let answered = |channel: &str, thread: &str, text: &str| {
        let said = format!("you said: {text}");
        slack.wait(&[("channel", channel), ("thread_ts", thread), ("user", "U0BOT"), ("text_contains", &said)]);
    };
    let session = slack.say(ALICE, GENERAL, None, "@hitchline first");
    answered(GENERAL, &session, "first");
    let running = slack.say(ALICE, GENERAL, None, "@hitchline wait");
    slack.wait(&[("channel", GENERAL), ("thread_ts", &running), ("user", "U0BOT"), ("text_contains", "waiting")]);
    daemon.signal(Signal::STOP);
    slack.say(ALICE, GENERAL, Some(&session), "second");
    let mention = slack.say(ALICE, GENERAL, None, "@hitchline third");
    let direct = slack.say(ALICE, DM, None, "fourth");
    // The time for which it stands still is the fault itself.
    assert!(eventually(time, || None::<()>).is_none());
    daemon.signal(Signal::CONT);
    for (channel, thread, text) in
        [(GENERAL, &session, "second"), (GENERAL, &mention, "third"), (DM, &direct, "fourth")]
    {
        answered(channel, thread, text);
    }
    slack.say(ALICE, GENERAL, Some(&running), "stop");
    slack.wait(&[("channel", GENERAL), ("thread_ts", &running), ("text_contains", "Stopped")]);
    let fence = slack.say(ALICE, GENERAL, None, "@hitchline fence");
    answered(GENERAL, &fence, "fence");
    assert_eq!(daemon.stop(), 0);
    let asked = asked(&std::fs::read_to_string(&log).unwrap());
    assert_eq!(asked, ["fence", "first", "fourth", "second", "third", "wait"], "after {time:?}");
}

/// What an agent was asked, by its log, sorted.
fn asked(log: &str) -> Vec<String> {
    let messages = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let prompts = messages.filter(|message| message["method"] == "session/prompt");
    let mut texts: Vec<String> =
        prompts.map(|prompt| prompt["params"]["prompt"][0]["text"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[test]
fn a_stop_in_the_middle_of_a_reading_back_is_at_once_and_the_next_start_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let (daemon, _session) = heard(&slack, dir);
    daemon.kill();
    slack.fault(&json!({"fault": "drop_event", "rate": 1.0}));
    let direct = slack.say(ALICE, DM, None, "second");
    slack.clear_faults();
    slack.fault(&json!({"fault": "slow", "ms": 60_000, "method": "conversations.history"}));
    let daemon = slack.daemon(dir);
    until("a call on its way", || !slack.calls("conversations.history").is_empty());
    let (code, log) = daemon.end_within(Signal::TERM, Duration::from_secs(8));
    assert_eq!(code, 0, "{log}");
    let daemon = slack.daemon(dir);
    slack.wait_for_answer(DM, &direct, "second");
    assert_eq!(daemon.stop(), 0);
}
