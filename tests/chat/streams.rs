//! Events: as they come, and after a cut.

use serde_json::json;

use super::daemon::Daemon;

// holds: W-4
#[test]
fn an_answer_grows_and_ends_as_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    assert_eq!(events.wait("session").data, json!({"session_connected": false}));
    daemon.create();
    daemon.say("!stream 40");
    let grows = [events.wait("growing").data, events.wait("growing").data];
    assert_eq!(grows[0]["id"], grows[1]["id"]);
    let length = |growing: &serde_json::Value| growing["markdown"].as_str().unwrap().len();
    assert!(length(&grows[0]) < length(&grows[1]), "{grows:?}");
    // Somebody who comes in the middle sees what there is.
    let mut later = daemon.events();
    let caught_up = later.wait("growing").data;
    assert_eq!(caught_up["id"], grows[0]["id"]);
    assert!(length(&caught_up) >= length(&grows[1]));
    for events in [&mut events, &mut later] {
        let answer = events.answer();
        assert_eq!(answer["id"], grows[0]["id"], "it keeps its place");
        assert!(answer["markdown"].as_str().unwrap().ends_with("40"), "{answer}");
    }
    assert_eq!(daemon.stop(), 0);
}

// holds: W-4
#[test]
fn who_was_cut_off_is_told_what_happened_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    daemon.create();
    let mut events = daemon.events();
    daemon.say("!ask");
    let card = events.wait_for("message", |message| message["kind"] == "approval");
    drop(events);
    daemon.told(
        "/api/chat/press",
        &json!({"message_id": card.data["id"], "press": card.data["buttons"][1]["press"]}),
        202,
    );
    daemon.say("meanwhile");
    let mut whole = daemon.events();
    whole.wait_for("message", |message| message["author"] == "agent" && message["markdown"] == "meanwhile");
    let mut events = daemon.events_since(card.id.as_deref().unwrap());
    let told: Vec<_> = std::iter::from_fn(|| events.next()).filter(|event| event.id.is_some()).take(4).collect();
    let names: Vec<&str> = told.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "revised").count(), 1, "{told:?}");
    assert_eq!(told[3].data["markdown"], "meanwhile", "{told:?}");
    assert!(told.iter().all(|event| event.id != card.id), "nothing is told twice");
    // An id of another conversation means nothing here.
    let mut other = daemon.events_since("other.999999");
    assert_eq!(other.wait("message").data["markdown"], "!ask");
    // Neither does a place that is not reached yet, which a restored store has forgotten.
    let (thread, _) = card.id.as_deref().unwrap().split_once('.').unwrap();
    let mut ahead = daemon.events_since(&format!("{thread}.999999"));
    assert_eq!(ahead.wait("message").data["markdown"], "!ask");
}

// holds: W-4
#[test]
fn each_stream_begins_with_what_runs_now() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    daemon.create();
    let mut events = daemon.events();
    assert_eq!(events.wait("status").data, json!({"text": ""}));
    daemon.say("!sleep 60");
    events.wait_for("status", |status| status["text"] != "");
    daemon.say("waits");
    let waits = events.wait_for("message", |message| message["markdown"] == "waits");
    events.wait_for("waiting", |waiting| waiting["ids"] != json!([]));
    daemon.told("/api/chat/stop", &json!({}), 202);
    events.wait_for("message", |message| message["author"] == "agent" && message["markdown"] == "waits");
    daemon
        .wait_until("nothing runs", |daemon| daemon.get("/api/chat/sessions").json()["sessions"][0]["doing"] == "idle");
    let mut again = daemon.events_since(waits.id.as_deref().unwrap());
    assert_eq!(again.wait("status").data, json!({"text": ""}), "who saw it work sees that it does so no more");
    assert_eq!(again.wait("waiting").data, json!({"ids": []}));
}

#[test]
fn a_long_transcript_is_told_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(dir.path(), "[sessions]\nmax_per_user = 0\n");
    daemon.create();
    let mut live = daemon.events();
    for n in 0..60 {
        daemon.say(&format!("line {n}"));
    }
    let last = |message: &serde_json::Value| message["author"] == "agent" && message["markdown"] == "line 59";
    live.wait_for("message", last);
    let mut events = daemon.events();
    let mut answers = Vec::new();
    while answers.len() < 60 {
        answers.push(events.answer()["markdown"].as_str().unwrap().to_owned());
    }
    assert!((0..60).map(|n| format!("line {n}")).eq(answers));
}
