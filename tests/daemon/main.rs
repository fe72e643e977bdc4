//! The built binary with the built-in Slack: the main job, as a person would see it.

#[cfg(test)]
mod agent;
#[cfg(test)]
#[path = "../backends/amplifierd_server.rs"]
#[expect(dead_code, reason = "what goes wrong with it is told by the tests of the backends")]
mod amplifierd_server;
mod api;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod catch_up;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod detached;
#[cfg(test)]
mod disk;
#[cfg(test)]
#[path = "../tools/example_agent.rs"]
mod example_agent;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fresh_state;
mod harness;
#[cfg(test)]
mod http_agents;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod mounts;
#[cfg(test)]
#[path = "../backends/opencode_server.rs"]
mod opencode_server;
#[cfg(test)]
#[path = "../tools/npm.rs"]
mod package;
#[cfg(test)]
mod posts;
#[path = "../tools/process.rs"]
mod process;
#[cfg(test)]
#[path = "../tools/program.rs"]
mod program;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod start;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod trouble;

use std::time::Duration;

use harness::{Daemon, text};
use rustix::process::Signal;
use serde_json::json;

// holds: C-5, S-8, K-3
#[test]
fn a_mention_is_answered_in_its_thread_while_the_agent_speaks() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !stream 30");
    let answer = daemon.wait(&[
        ("channel", "C0GENERAL"),
        ("thread_ts", &ts),
        ("user", "U0BOT"),
        ("text_contains", "30"),
        ("final", "true"),
    ]);
    let shown: Vec<&str> =
        answer["versions"].as_array().unwrap().iter().filter_map(|version| version["text"].as_str()).collect();
    let mut distinct = shown.clone();
    distinct.dedup();
    assert!(distinct.len() >= 3, "it grew: {distinct:?}");
    assert_eq!(daemon.replies("C0GENERAL", &ts).len(), 1, "the final text stands there once");

    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "and without a mention");
    let second = daemon.wait(&[
        ("channel", "C0GENERAL"),
        ("thread_ts", &ts),
        ("user", "U0BOT"),
        ("text_is", "and without a mention"),
    ]);
    assert_eq!(second["versions"].as_array().unwrap().len(), 1, "a quick answer is one plain message");

    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "end");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_contains", "has ended")]);
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "anybody there?");
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "@hitchline once more");
    daemon.wait_for_answer("C0GENERAL", &ts, "once more");
    let texts: Vec<String> = daemon.replies("C0GENERAL", &ts).iter().map(text).collect();
    assert!(!texts.contains(&"anybody there?".to_owned()), "an ended session answers nobody: {texts:?}");
    assert_eq!(daemon.stop(), 0);
}

// holds: P-1, P-2, C-3
#[test]
fn a_stop_lets_the_running_turn_finish() {
    let daemon = Daemon::start(&[("HITCHLINE__STORE__DIR", "keep")]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !sleep 2");
    daemon.wait_for_turn("C0GENERAL", &ts);
    daemon.signal(Signal::TERM);
    let answered = daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("user", "U0BOT"), ("final", "true")]);
    assert!(!text(&answered).contains("restarting"), "{answered}");
    let (code, log) = daemon.ended();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("http client closed"), "{log}");
}

// holds: P-1
#[test]
fn a_second_signal_cancels_every_turn() {
    let daemon = Daemon::start(&[("HITCHLINE__HTTP__TOKEN", "operators-only")]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !sleep 60");
    daemon.wait_for_turn("C0GENERAL", &ts);
    daemon.signal(Signal::INT);
    daemon.wait_for_log("Draining");
    let (_, measured) = daemon.ask("/metrics", "operators-only");
    for line in ["hitchline_draining 1", "hitchline_conversations_busy 1", "hitchline_sockets_live 1"] {
        assert!(measured.contains(line), "{line}:\n{measured}");
    }
    daemon.signal(Signal::INT);
    let (code, log) = daemon.ended_within(Duration::from_secs(3));
    assert_eq!(code, 0, "{log}");
}

#[test]
fn a_turn_that_outlasts_the_grace_is_cancelled_and_its_person_told() {
    let daemon = Daemon::start(&[("HITCHLINE__SHUTDOWN__TURN_GRACE", "1s"), ("HITCHLINE__SHUTDOWN__TOTAL", "5s")]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !sleep 60");
    daemon.wait_for_turn("C0GENERAL", &ts);
    daemon.signal(Signal::TERM);
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_contains", "restarting")]);
    assert_eq!(daemon.ended().0, 0);
}

#[test]
fn a_decision_is_asked_for_with_buttons_and_taken_once() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !ask");
    let card = daemon.wait_for_buttons("C0GENERAL", &ts);
    // Somebody else may not decide.
    daemon.click("U0BOB", "C0GENERAL", &card, 0);
    daemon.wait(&[("channel", "C0GENERAL"), ("text_contains", "Only the person who asked")]);
    daemon.click("U0ALICE", "C0GENERAL", &card, 0);
    daemon.wait(&[
        ("channel", "C0GENERAL"),
        ("thread_ts", &ts),
        ("text_is", "You chose: Allow once"),
        ("final", "true"),
        ("user", "U0BOT"),
    ]);
    assert!(daemon.buttons("C0GENERAL", &ts, &card).is_empty(), "a decided card has no buttons");
    assert_eq!(daemon.stop(), 0);
}

// holds: T-2, T-3
#[test]
fn a_message_is_answered_once_however_often_it_comes() {
    let daemon = Daemon::start(&[]);
    daemon.fault(&json!({"fault": "duplicate_event", "times": 4}));
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline once");
    daemon.wait_for_answer("C0GENERAL", &ts, "once");
    let other = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline fence");
    daemon.wait_for_answer("C0GENERAL", &other, "fence");
    assert_eq!(daemon.replies("C0GENERAL", &ts).len(), 1);
    assert_eq!(daemon.stop(), 0);
}

// holds: M-3, S-6
#[test]
fn a_restart_keeps_mappings_and_ended_stays_ended() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = harness::Slack::start();
    let first = slack.daemon(dir);
    let kept = slack.say("U0ALICE", "C0GENERAL", None, "@hitchline one");
    slack.wait_for_answer("C0GENERAL", &kept, "one");
    let ended = slack.say("U0ALICE", "C0GENERAL", None, "@hitchline two");
    slack.wait_for_answer("C0GENERAL", &ended, "two");
    slack.say("U0ALICE", "C0GENERAL", Some(&ended), "end");
    slack.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ended), ("text_contains", "has ended")]);
    assert_eq!(first.stop(), 0);
    let second = slack.daemon(dir);
    slack.say("U0ALICE", "C0GENERAL", Some(&ended), "still there?");
    slack.say("U0ALICE", "C0GENERAL", Some(&kept), "go on");
    slack.wait_for_answer("C0GENERAL", &kept, "go on");
    let texts: Vec<String> = slack.replies("C0GENERAL", &ended).iter().map(text).collect();
    assert!(!texts.contains(&"still there?".to_owned()), "{texts:?}");
    assert_eq!(second.stop(), 0);
}

// holds: S-4
#[test]
fn a_session_that_vanished_is_reported_and_frees_its_thread() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !vanish");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("user", "U0BOT")]);
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "are you there?");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_contains", "Session has ended")]);
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "@hitchline fresh");
    daemon.wait_for_answer("C0GENERAL", &ts, "fresh");
    assert_eq!(daemon.stop(), 0);
}

// holds: S-5
#[test]
fn a_transient_failure_keeps_the_session() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !fail transient");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_contains", "Your session is kept")]);
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "again");
    daemon.wait_for_answer("C0GENERAL", &ts, "again");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn who_is_not_listed_gets_no_answer_but_is_told_once() {
    let daemon = Daemon::start(&[("HITCHLINE__ACCESS__USERS", "U0ALICE")]);
    daemon.say("U0BOB", "C0GENERAL", None, "@hitchline let me in");
    let told = daemon.wait(&[("channel", "C0GENERAL"), ("text_contains", "access.users")]);
    assert_eq!(told["ephemeral_to"], "U0BOB");
    daemon.say("U0BOB", "C0GENERAL", None, "@hitchline please");
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline fence");
    daemon.wait_for_answer("C0GENERAL", &ts, "fence");
    daemon.wait_for_calls("chat.postMessage", 1);
    daemon.wait_for_calls("chat.postEphemeral", 1);
    assert_eq!(daemon.stop(), 0);
}

// holds: M-2, K-3
#[test]
fn new_starts_a_session_with_its_first_prompt() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline new --agent echo say this");
    daemon.wait_for_answer("C0GENERAL", &ts, "say this");
    let other = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline new");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &other), ("text_contains", "is ready")]);
    daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "still me");
    daemon.wait_for_answer("C0GENERAL", &ts, "still me");
    let wrong = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline new --agent nobody");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &wrong), ("text_contains", "there is no agent")]);
    assert_eq!(daemon.stop(), 0);
}
