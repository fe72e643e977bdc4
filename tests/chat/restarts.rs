//! What a restart leaves as it was.

use serde_json::json;

use super::daemon::Daemon;

// holds: W-4, M-3, S-14
#[test]
fn after_a_restart_the_session_that_was_used_last_is_connected_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = Daemon::start(dir.path());
    let mut events = first.events();
    let kept = first.create();
    first.say("before");
    let before = events.wait_for("message", |message| message["author"] == "agent");
    let ended = first.create();
    first.told("/api/chat/end", &json!({}), 200);
    assert_eq!(first.stop(), 0);
    let second = Daemon::start(dir.path());
    let shown = second.get("/api/chat/session").json();
    assert_eq!((&shown["session_connected"], &shown["session_id"]), (&json!(true), &json!(kept)));
    second.told(&format!("/api/chat/sessions/{ended}/resume"), &json!({}), 409);
    let resumed = second.told(&format!("/api/chat/sessions/{kept}/resume"), &json!({}), 200);
    assert_eq!(resumed["session_id"], json!(kept));
    second.say("after");
    let mut all = second.events();
    assert_eq!(all.answer()["markdown"], "before", "what was said is kept");
    let mut since = second.events_since(before.id.as_deref().unwrap());
    assert_eq!(since.answer()["markdown"], "after");
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_answer_that_a_kill_cut_off_is_told_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = Daemon::start(dir.path());
    let mut events = first.events();
    first.create();
    first.say("!stream 200");
    events.wait("growing");
    first.signal(rustix::process::Signal::KILL);
    drop(first);
    let second = Daemon::start(dir.path());
    let mut events = second.events();
    assert!(events.answer()["markdown"].as_str().unwrap().contains("was interrupted"));
    second.say("go on");
    assert_eq!(events.answer()["markdown"], "go on");
    assert_eq!(second.stop(), 0);
}
