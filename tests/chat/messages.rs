//! Messages, stops and presses.

use std::collections::BTreeSet;

use serde_json::json;

use super::daemon::{Daemon, bearer};
use super::http::{request, request_and_leave};

// holds: W-1, W-5
#[test]
fn a_message_is_taken_once_and_answered() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    daemon.create();
    for _ in 0..2 {
        let taken = daemon.told("/api/chat/messages", &json!({"text": "hello **you**", "id": "my-own"}), 202);
        assert!(taken["message_id"].as_str().unwrap().ends_with(".my-own"), "{taken}");
    }
    let asked = events.wait("message").data;
    assert_eq!((&asked["author"], &asked["html"]), (&json!("web"), &json!("<p>hello **you**</p>\n")));
    let answer = events.wait("message").data;
    assert_eq!((&answer["author"], &answer["kind"]), (&json!("agent"), &json!("text")));
    assert_eq!(answer["html"], "<p>hello <strong>you</strong></p>\n");
    daemon.say("and more");
    assert_eq!(events.wait("message").data["markdown"], "and more", "the repeat was no message");
    assert_eq!(daemon.stop(), 0);
}

// holds: W-1
#[test]
fn what_is_shown_as_said_is_passed_on_also_when_who_said_it_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(dir.path(), "[sessions]\nmax_per_user = 0\n");
    daemon.create();
    for n in 0..40 {
        let body = json!({"text": format!("message {n}")}).to_string();
        request_and_leave(&daemon.address, "POST /api/chat/messages", &bearer(), &body);
    }
    daemon.say("the last one");
    let mut events = daemon.events();
    let (mut said, mut answered) = (BTreeSet::new(), BTreeSet::new());
    while !answered.contains("the last one") || said != answered {
        let message = events.wait("message").data;
        let text = message["markdown"].as_str().unwrap().to_owned();
        if message["author"] == "web" {
            said.insert(text)
        } else {
            answered.insert(text)
        };
    }
}

// holds: W-3
#[test]
fn what_is_no_message_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    daemon.create();
    for body in
        ["", "{}", r#"{"text":""}"#, r#"{"text":"  \n"}"#, r#"{"text":5}"#, "no JSON", r#"{"text":"x","id":"a b"}"#]
    {
        let refused = request(&daemon.address, "POST /api/chat/messages", &bearer(), body);
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
        assert!(refused.json()["error"].is_string());
    }
    for body in [json!({}), json!({"message_id": "w.1", "press": {"unknown": {}}})] {
        daemon.told("/api/chat/press", &body, 400);
    }
    let stranger = json!({"message_id": "w.1", "press": {"stop": {"turn": "0198f3c27ac07d7e8a1b2c3d4e5f6071"}}});
    daemon.told("/api/chat/press", &stranger, 400);
}

// holds: W-2, S-6
#[test]
fn after_its_end_a_session_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let refused = |path: &str| {
        let refused = daemon.told(path, &json!({"text": "anybody there?"}), 409);
        assert_eq!(refused["session_connected"], json!(false), "{refused}");
        assert!(!daemon.is_connected());
    };
    refused("/api/chat/messages");
    let mut events = daemon.events();
    // By its button, and by its word.
    for ends in [("/api/chat/end", 200), ("/api/chat/messages", 202)] {
        daemon.create();
        daemon.told(ends.0, &json!(if ends.1 == 202 { json!({"text": "end"}) } else { json!({}) }), ends.1);
        events.wait_for("session", |session| {
            session["session_connected"] == false && session.as_object().unwrap().len() == 1
        });
        refused("/api/chat/messages");
    }
    let stop = daemon.told("/api/chat/stop", &json!({}), 409);
    assert_eq!(stop["session_connected"], json!(false));
}

// holds: W-2, S-4
#[test]
fn a_message_to_a_dead_session_is_refused_and_the_next_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    daemon.create();
    daemon.say("!vanish");
    events.answer();
    for _ in 0..2 {
        let refused = daemon.told("/api/chat/messages", &json!({"text": "are you there?"}), 409);
        assert_eq!(refused["session_connected"], json!(false), "{refused}");
        assert!(!daemon.is_connected());
    }
    assert!(events.answer()["markdown"].as_str().unwrap().contains("Session has ended"));
    daemon.create();
    daemon.say("fresh");
    assert_eq!(events.answer()["markdown"], "fresh");
}

// holds: S-5
#[test]
fn a_failure_that_passes_keeps_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    daemon.create();
    daemon.say("!fail transient");
    assert!(events.answer()["markdown"].as_str().unwrap().contains("Your session is kept"));
    daemon.say("again");
    assert_eq!(events.answer()["markdown"], "again");
}

#[test]
fn a_decision_is_pressed_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    daemon.create();
    daemon.say("!ask");
    let card = events.wait_for("message", |message| message["kind"] == "approval").data;
    assert_eq!((&card["state"], &card["detail"]), (&json!("open"), &json!("echo 'nothing is run'")));
    let press = json!({"message_id": card["id"], "press": card["buttons"][0]["press"]});
    daemon.told("/api/chat/press", &press, 202);
    let decided = events.wait("revised").data;
    assert_eq!((&decided["id"], &decided["decided"]["by"]), (&card["id"], &json!("web")));
    assert_eq!(events.answer()["markdown"], "You chose: Allow once");
    daemon.told("/api/chat/press", &press, 202);
    let stale = events.wait_for("message", |message| message["notice"] == true).data;
    assert!(stale["markdown"].as_str().unwrap().contains("settled already"), "{stale}");
}

#[test]
fn a_stop_stops_the_turn_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    daemon.create();
    daemon.say("!sleep 60");
    events.wait_for("status", |status| status["text"] != "");
    daemon.say("waits");
    daemon.told("/api/chat/stop", &json!({}), 202);
    assert_eq!(events.answer()["markdown"], "_Stopped._");
    assert_eq!(events.answer()["markdown"], "waits");
    assert!(daemon.is_connected());
}
