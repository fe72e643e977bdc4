//! What is on its way to Slack when the daemon is killed is there once in the end.

use serde_json::{Value, json};

use super::harness::{Daemon, Slack, text, until};
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";

/// Asks for something more in a thread, so that everything that was owed before stands above the answer.
fn fence(slack: &Slack, thread: &str) {
    slack.say("U0ALICE", CHANNEL, Some(thread), "fence");
    slack.wait_for_answer(CHANNEL, thread, "fence");
}

/// Waits until messages of ours have been looked for so often, by what their metadata says, and no more.
fn wait_for_looks(slack: &Slack, times: usize) {
    let looks = || {
        let calls = slack.calls("conversations.replies");
        calls.iter().filter(|call| call["args"]["include_all_metadata"] == "true").count()
    };
    until("the looks", || looks() >= times);
    assert_eq!(looks(), times);
}

#[test]
fn f_28_a_post_that_was_taken_as_the_daemon_was_killed_stands_there_once() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(dir);
    slack.fault(&json!({"fault": "slow", "ms": 600_000, "method": "chat.postMessage"}));
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline hello");
    slack.wait_for_answer(CHANNEL, &ts, "hello");
    daemon.kill();
    let daemon = slack.daemon(dir);
    fence(&slack, &ts);
    let texts: Vec<String> = slack.replies(CHANNEL, &ts).iter().map(text).collect();
    assert_eq!(texts, ["hello", "fence"]);
    wait_for_looks(&slack, 1);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn an_answer_says_which_message_it_answers_however_it_came() {
    let daemon = Daemon::start(&[]);
    let streamed = daemon.say("U0ALICE", CHANNEL, None, "@hitchline !stream 30");
    daemon.wait_for_calls("chat.update", 1);
    let posted = daemon.say("U0ALICE", CHANNEL, Some(&streamed), "hello");
    daemon.wait_for_answer(CHANNEL, &streamed, "hello");
    let asked = daemon.say("U0ALICE", CHANNEL, Some(&streamed), "!status");
    daemon.wait_for_calls("chat.postMessage", 2);
    let answered = |method: &str| daemon.calls(method)[0]["args"]["metadata"]["event_payload"]["answers"].clone();
    assert_eq!((answered("chat.update"), answered("chat.postMessage")), (json!(streamed), json!(posted)));
    let command = &daemon.calls("chat.postMessage")[1]["args"]["metadata"]["event_payload"]["answers"];
    assert_eq!(*command, asked);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn an_answer_that_never_left_the_killed_daemon_arrives() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(dir);
    slack.fault(
        &json!({"fault": "api_error", "error": "service_unavailable", "method": "chat.postMessage", "rate": 1.0}),
    );
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline hello");
    daemon.wait_for_log("waits for another attempt");
    daemon.kill();
    slack.clear_faults();
    let daemon = slack.daemon(dir);
    slack.wait_for_answer(CHANNEL, &ts, "hello");
    fence(&slack, &ts);
    let texts: Vec<String> = slack.replies(CHANNEL, &ts).iter().map(text).collect();
    assert_eq!(texts, ["hello", "fence"]);
    wait_for_looks(&slack, 2);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_streamed_answer_that_was_being_finished_as_the_daemon_was_killed_is_one_message() {
    for method in ["chat.stopStream", "chat.update"] {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().to_str().unwrap();
        let slack = Slack::start();
        let daemon = slack.daemon(dir);
        slack.fault(&json!({"fault": "slow", "ms": 600_000, "method": method}));
        let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline !stream 30");
        slack.wait_for_calls(method, 1);
        daemon.kill();
        let daemon = slack.daemon(dir);
        fence(&slack, &ts);
        let texts: Vec<String> = slack.replies(CHANNEL, &ts).iter().map(text).collect();
        assert!(texts.len() == 2 && texts[0].ends_with("30"), "{method}: {texts:?}");
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn f_24_where_the_bot_can_say_nothing_any_more_the_session_ends_and_everybody_who_waits_is_told() {
    for (method, code) in [("conversations.archive", "is_archived"), ("conversations.leave", "not_in_channel")] {
        let place = Place::new();
        let daemon = place.slack.daemon(&place.dir);
        let ts = place.slack.say("U0ALICE", CHANNEL, None, "@hitchline !sleep 60");
        place.slack.wait_for_turn(CHANNEL, &ts);
        place.slack.say("U0BOB", CHANNEL, Some(&ts), "this waits");
        until("a message that waits", || place.sessions().iter().any(|session| session["waiting"] == 1));
        let answers = place.slack.say("U0ALICE", CHANNEL, None, "@hitchline !sleep 3");
        place.slack.wait_for_turn(CHANNEL, &answers);
        place.slack.call(method, &json!({"channel": CHANNEL}));
        daemon.wait_for_log("its channel is closed to us");
        until("the session's end", || place.sessions().is_empty());
        for (person, part) in [("U0ALICE", code), ("U0BOB", "I did not pass on what you wrote last")] {
            let told = |call: &Value| {
                let text = call["args"]["text"].as_str().unwrap_or_default();
                call["args"]["channel"] == person && text.contains(part)
            };
            until("the notice", || place.slack.calls("chat.postMessage").iter().any(told));
        }
        let letters = place.json(&["dlq", "list"]);
        let letters = letters.as_array().unwrap();
        assert!(letters.iter().any(|letter| letter["reason"].as_str().unwrap().contains(code)), "{letters:?}");
        let waited = letters.iter().find(|letter| letter["kind"] == "message").unwrap();
        assert_eq!((&waited["author"], &waited["reason"]), (&json!("U0BOB"), &json!("its channel is closed to us")));
        if method == "conversations.leave" {
            place.slack.call("conversations.join", &json!({"channel": CHANNEL}));
            assert_eq!(place.ask(&["dlq", "retry", waited["id"].as_str().unwrap()]).0, 0);
            place.slack.wait_for_answer(CHANNEL, &ts, "this waits");
        }
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn f_24_a_refusal_that_slack_does_not_confirm_ends_no_session() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    place.slack.fault(&json!({"fault": "api_error", "error": "not_in_channel", "method": "chat.postMessage"}));
    let ts = place.slack.say("U0ALICE", CHANNEL, None, "@hitchline hello");
    daemon.wait_for_log("its sessions stay");
    assert_eq!(place.sessions().len(), 1);
    place.slack.say("U0ALICE", CHANNEL, Some(&ts), "again");
    place.slack.wait_for_answer(CHANNEL, &ts, "again");
    assert_eq!(daemon.stop(), 0);
}
