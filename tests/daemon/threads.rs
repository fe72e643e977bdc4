//! Which thread is which session, over the wire.

use serde_json::json;

use super::harness::{Daemon, text};

// holds: S-14
#[test]
fn a_session_outlives_its_connections() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline first");
    daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_is", "first")]);
    let mut sessions = Vec::new();
    for trouble in [json!({"fault": "refresh", "close_ms": 200}), json!({"fault": "cut"})] {
        let before = daemon.replies("C0GENERAL", &ts).len();
        daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "!status");
        super::harness::until("a status", || daemon.replies("C0GENERAL", &ts).len() > before);
        sessions.push(text(daemon.replies("C0GENERAL", &ts).last().unwrap()));
        daemon.fault(&trouble);
        let word = format!("after {}", trouble["fault"]);
        daemon.say("U0ALICE", "C0GENERAL", Some(&ts), &word);
        daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &ts), ("text_is", &word)]);
    }
    assert!(sessions[0].contains("Session `") && sessions[0] == sessions[1], "{sessions:?}");
    assert_eq!(daemon.stop(), 0);
}

// holds: K-4, M-2
#[test]
fn a_slash_command_opens_threads_each_with_a_session_of_its_own() {
    let daemon = Daemon::start(&[]);
    let mut threads = Vec::new();
    for said in ["the first", "the second"] {
        daemon.command("U0ALICE", "C0GENERAL", &format!("new {said}"));
        let root = daemon.wait(&[("channel", "C0GENERAL"), ("text_is", &format!("<@U0ALICE>: {said}"))]);
        let root = root["ts"].as_str().unwrap().to_owned();
        daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", &root), ("text_is", said)]);
        threads.push(root);
    }
    for (thread, said) in threads.iter().zip(["once more", "once again"]) {
        daemon.say("U0ALICE", "C0GENERAL", Some(thread), said);
        daemon.wait(&[("channel", "C0GENERAL"), ("thread_ts", thread), ("text_is", said)]);
    }
    daemon.command("U0BOB", "C0GENERAL", "new --dir /etc look around");
    let told = daemon.wait(&[("channel", "C0GENERAL"), ("text_contains", "is not a directory under")]);
    assert_eq!(told["ephemeral_to"], "U0BOB");
    assert_eq!(daemon.stop(), 0);
}
