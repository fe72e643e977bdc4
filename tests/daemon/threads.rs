//! Which thread is which session, over the wire.

use serde_json::{Value, json};

use super::harness::{Daemon, text, until};

// holds: S-14
#[test]
fn a_session_outlives_its_connections() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline first");
    daemon.wait_for_answer("C0GENERAL", &ts, "first");
    for (word, trouble) in
        [("refreshed", json!({"fault": "refresh", "close_ms": 200})), ("cut", json!({"fault": "cut"}))]
    {
        daemon.fault(&trouble);
        daemon.say("U0ALICE", "C0GENERAL", Some(&ts), word);
        daemon.wait_for_answer("C0GENERAL", &ts, word);
        daemon.say("U0ALICE", "C0GENERAL", Some(&ts), "!status");
        let said = |message: &Value| text(message).starts_with("Session `");
        until("a status", || daemon.replies("C0GENERAL", &ts).last().is_some_and(said));
    }
    let texts: Vec<String> = daemon.replies("C0GENERAL", &ts).iter().map(text).collect();
    let [_, _, before, _, after] = &texts[..] else { panic!("{texts:?}") };
    assert_eq!(before, after, "it is the same session");
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
        daemon.wait_for_answer("C0GENERAL", &root, said);
        threads.push(root);
    }
    for (thread, said) in threads.iter().zip(["once more", "once again"]) {
        daemon.say("U0ALICE", "C0GENERAL", Some(thread), said);
        daemon.wait_for_answer("C0GENERAL", thread, said);
    }
    daemon.command("U0BOB", "C0GENERAL", "new --dir /etc look around");
    let told = daemon.wait(&[("channel", "C0GENERAL"), ("text_contains", "is not a directory under")]);
    assert_eq!(told["ephemeral_to"], "U0BOB");
    assert_eq!(daemon.stop(), 0);
}

// holds: S-8
#[test]
fn what_waits_is_marked_and_may_be_changed_or_taken_back() {
    let daemon = Daemon::start(&[]);
    let (general, alice) = ("C0GENERAL", "U0ALICE");
    let thread = daemon.say(alice, general, None, "@hitchline !sleep 60");
    daemon.wait_for_turn(general, &thread);
    let [second, third] = ["second", "third"].map(|text| daemon.say(alice, general, Some(&thread), text));
    daemon.wait_for_calls("reactions.add", 2);
    daemon.edit(alice, general, &second, "the second, better");
    daemon.delete(alice, general, &third);
    daemon.say(alice, general, Some(&thread), "stop");
    daemon.wait_for_answer(general, &thread, "the second, better");
    daemon.say(alice, general, Some(&thread), "last");
    daemon.wait_for_answer(general, &thread, "last");
    let said: Vec<String> = daemon.replies(general, &thread).iter().map(text).collect();
    assert_eq!(said, ["_Stopped._", "the second, better", "last"]);
    daemon.wait_for_calls("reactions.remove", 2);
    assert_eq!(daemon.stop(), 0);
}
