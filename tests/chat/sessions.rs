//! Sessions: create, list, resume, end.

use serde_json::json;

use super::daemon::Daemon;

// holds: W-1
#[test]
fn a_session_is_created_shown_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    assert_eq!(daemon.get("/api/chat/session").json(), json!({"session_connected": false}));
    let created = daemon.told("/api/chat/session", &json!({"agent": "echo", "description": "to try it"}), 201);
    assert_eq!((&created["session_connected"], &created["agent"]), (&json!(true), &json!("echo")));
    assert_eq!(created["working_dir"], json!(dir.path()));
    assert_eq!(daemon.get("/api/chat/session").json(), created);
    for _ in 0..2 {
        assert_eq!(daemon.told("/api/chat/end", &json!({}), 200), json!({"session_connected": false}), "twice is fine");
        assert!(!daemon.is_connected());
    }
    assert_eq!(daemon.stop(), 0);
}

// holds: W-3
#[test]
fn what_can_not_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let sections = "[sessions]\nmax_per_user = 1\n[backends.broken]\nkind = \"acp\"\ncommand = [\"false\"]\n";
    let daemon = Daemon::with(dir.path(), sections);
    let cases = [
        (json!({"agent": "nobody"}), 400, "there is no agent `nobody`"),
        (json!({"dir": "/etc"}), 400, "is not a directory under"),
        (json!({"colour": "red"}), 400, "unknown field `colour`"),
        (json!("echo"), 400, "JSON"),
        (json!({"agent": "broken"}), 503, "ended"),
    ];
    for (wanted, status, why) in cases {
        let refused = daemon.told("/api/chat/session", &wanted, status);
        assert!(refused["error"].as_str().unwrap().contains(why), "{wanted}: {refused}");
        assert!(!daemon.is_connected(), "{wanted}");
    }
    daemon.wait_until("the log says so", |daemon| daemon.log().contains("could not be brought up"));
    daemon.create();
    let refused = daemon.told("/api/chat/session", &json!({}), 409);
    assert!(refused["error"].as_str().unwrap().contains("sessions.max_per_user"), "{refused}");
    assert!(daemon.is_connected(), "the one that is there stays");
}

// holds: W-4, S-7
#[test]
fn a_second_session_sets_the_first_aside_and_it_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut events = daemon.events();
    let first = daemon.create();
    daemon.say("to the first");
    assert_eq!(events.answer()["markdown"], "to the first");
    daemon.say("!sleep 1");
    let second = daemon.create();
    assert_ne!(first, second);
    let ids = || {
        let sessions = daemon.get("/api/chat/sessions").json()["sessions"].as_array().unwrap().clone();
        let listed = sessions.iter().map(|session| (session["session_id"].clone(), session["connected"] == true));
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by_key(|(_, connected)| *connected);
        listed
    };
    assert_eq!(ids(), [(json!(first), false), (json!(second), true)]);
    // Its beginning suffices.
    let resumed = daemon.told(&format!("/api/chat/sessions/{}/resume", &first[..8]), &json!({}), 200);
    assert_eq!((&resumed["session_id"], &resumed["session_connected"]), (&json!(first), &json!(true)));
    let mut events = daemon.events();
    let texts = ["to the first", "slept 1 s"]
        .map(|said| events.wait_for("message", |m| m["author"] == "agent" && m["markdown"] == said));
    assert_eq!(texts[1].data["author"], "agent", "its turn went on while it was set aside");
    assert_eq!(
        daemon.told(&format!("/api/chat/sessions/{second}/resume"), &json!({}), 200)["session_id"],
        json!(second)
    );
    daemon.told("/api/chat/end", &json!({}), 200);
    assert_eq!(ids(), [(json!(first), false)], "an ended one is in no list");
    let refused = daemon.told(&format!("/api/chat/sessions/{second}/resume"), &json!({}), 409);
    assert_eq!(refused["session_connected"], json!(false), "an ended one never comes back");
    for unknown in ["0123456789abcdef0123456789abcdef", "nothing"] {
        daemon.told(&format!("/api/chat/sessions/{unknown}/resume"), &json!({}), 404);
    }
}

// holds: W-2
#[test]
fn a_session_that_was_moved_to_slack_is_connected_no_more_and_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(dir.path(), "[access]\nadmins = [\"U0ALICE\"]\n");
    let mut events = daemon.events();
    let moved = daemon.create();
    daemon.say("before");
    events.answer();
    daemon.say_in_slack("U0ALICE", &format!("@hitchline connect {moved}"));
    daemon.wait_until("the session is moved", |daemon| !daemon.is_connected());
    daemon.told("/api/chat/messages", &json!({"text": "anybody there?"}), 409);
    assert_eq!(daemon.told("/api/chat/end", &json!({}), 200), json!({"session_connected": false}));
    daemon.told(&format!("/api/chat/sessions/{moved}/resume"), &json!({}), 404);
    let state = daemon.get(&format!("/sessions/{moved}")).json()["state"].clone();
    assert!(["idle", "asleep"].contains(&state.as_str().unwrap()), "{state}");
}
