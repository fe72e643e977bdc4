//! Agents behind a server, over the built binary.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::amplifierd_server::Amplifierd;
use crate::harness::{Slack, text, until};
use crate::opencode_server::{Opencode, PASSWORD};
use crate::sessions::Place;

const CHANNEL: &str = "C0GENERAL";

// holds: C-1, C-3, S-14
#[test]
fn an_agent_behind_a_server_answers_before_and_after_a_restart_and_the_client_is_given_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Amplifierd::start());
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let url = server.url();
    let environment = [
        ("HITCHLINE__SESSIONS__BACKEND", "agent"),
        ("HITCHLINE__BACKENDS__AGENT__KIND", "amplifierd"),
        ("HITCHLINE__BACKENDS__AGENT__URL", &url),
        ("HITCHLINE__BACKENDS__AGENT__WORKING_DIR", dir),
    ];
    let slack = Slack::start();
    let daemon = slack.daemon_in(dir, &environment);
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline hello there");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "echo: hello there"), ("final", "true")]);
    let (code, log) = daemon.end(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("http client closed") && !log.contains("http client closed while"), "{log}");
    assert_eq!(server.live(), 0, "its session is put away");

    let daemon = slack.daemon_in(dir, &environment);
    slack.say("U0ALICE", CHANNEL, Some(&ts), "and again");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "echo: and again"), ("final", "true")]);
    assert_eq!((server.asked("POST /sessions"), server.asked("/resume")), (1, 1), "it is the same session");
    slack.say("U0ALICE", CHANNEL, Some(&ts), "end");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "has ended")]);
    assert_eq!(daemon.stop(), 0);
}

/// What stands on a card, as people read it.
fn card(slack: &Slack, thread: &str, ts: &str) -> Value {
    slack.replies(CHANNEL, thread).into_iter().find(|message| message["ts"] == ts).expect("the card is gone")
}

/// Waits for a card with buttons that is not `before`.
fn next_card(slack: &Slack, thread: &str, before: &str) -> String {
    let mut found = None;
    until("another card", || {
        let mut cards = slack.replies(CHANNEL, thread).into_iter().filter(|message| message["ts"] != before);
        found = cards.find(|message| message["blocks"].to_string().contains("\"button\""));
        found.is_some()
    });
    found.unwrap()["ts"].as_str().unwrap().to_owned()
}

/// The value of a card's first button.
fn value_of(card: &Value) -> Value {
    let block = card["blocks"].as_array().unwrap().iter().find(|block| block["type"] == "actions");
    block.expect("it has buttons")["elements"][0]["value"].clone()
}

// holds: S-8
#[test]
fn what_an_opencode_server_asks_is_decided_by_buttons_and_each_press_counts_once() {
    let Some(server) = Opencode::shared() else { return };
    let place = Place::new();
    let (slack, dir) = (&place.slack, &place.dir);
    let made = std::path::Path::new(dir).join("made_by_tool");
    let environment = [
        ("HITCHLINE__SESSIONS__BACKEND", "agent"),
        ("HITCHLINE__BACKENDS__AGENT__KIND", "opencode"),
        ("HITCHLINE__BACKENDS__AGENT__URL", &server.url),
        ("HITCHLINE__BACKENDS__AGENT__PASSWORD", PASSWORD),
        ("HITCHLINE__BACKENDS__AGENT__WORKING_DIR", dir),
    ];
    let daemon = slack.daemon_in(dir, &environment);
    let thread = place.begin("TOOL please");
    let first = slack.wait_for_buttons(CHANNEL, &thread);
    assert_eq!(slack.buttons(CHANNEL, &thread, &first), ["Allow once", "Always allow: touch *", "Reject"]);
    let shown = card(slack, &thread, &first);
    assert!(shown["blocks"].to_string().contains("touch made_by_tool"), "the exact command: {shown:#}");
    let value = value_of(&shown);

    slack.click("U0BOB", CHANNEL, &first, 0);
    slack.wait(&[("channel", CHANNEL), ("text_contains", "Only the person who asked")]);
    assert!(!made.exists(), "somebody else's press has no effect");
    slack.click("U0ALICE", CHANNEL, &first, 0);
    let answer = [("channel", CHANNEL), ("thread_ts", &thread), ("user", "U0BOT"), ("text_contains", "You said: TOOL")];
    slack.wait(&[&answer[..], &[("final", "true")]].concat());
    assert!(made.exists(), "it was allowed");
    let decided = card(slack, &thread, &first)["blocks"].to_string();
    assert!(decided.contains("<@U0ALICE> chose: Allow once") && !decided.contains("\"button\""), "{decided}");

    // A late press of the first card's button decides nothing about the second request.
    std::fs::remove_file(&made).unwrap();
    slack.say("U0ALICE", CHANNEL, Some(&thread), "TOOL again");
    let second = next_card(slack, &thread, &first);
    let late = json!({"user": "U0ALICE", "channel": CHANNEL, "ts": second, "action_id": "hitchline.approval.0", "value": value});
    slack.post("/sim/click", &late);
    slack.wait(&[("channel", CHANNEL), ("text_contains", "settled already")]);
    assert_eq!(slack.buttons(CHANNEL, &thread, &second).len(), 3, "it still waits");
    slack.click("U0ALICE", CHANNEL, &second, 2);
    until("the rejection is shown", || {
        card(slack, &thread, &second)["blocks"].to_string().contains("<@U0ALICE> chose: Reject")
    });
    slack.say("U0ALICE", CHANNEL, Some(&thread), "hello");
    slack.wait(&[
        ("channel", CHANNEL),
        ("thread_ts", &thread),
        ("text_contains", "You said: hello"),
        ("final", "true"),
    ]);
    assert!(!made.exists(), "it was rejected");
    let said: Vec<String> = slack.replies(CHANNEL, &thread).iter().map(text).collect();
    assert_eq!(said.iter().filter(|text| text.contains("You said: TOOL please")).count(), 1, "{said:#?}");
    let audit = place.json(&["audit", "list"]);
    let outcomes: Vec<&Value> = audit.as_array().unwrap().iter().map(|entry| &entry["outcome"]).collect();
    assert_eq!(outcomes, ["decided", "decided"], "{audit:#}");
    assert_eq!(daemon.stop(), 0);
}
