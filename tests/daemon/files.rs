//! Files from a person to the agent, and nothing of them left when the session ends.

use std::path::Path;

use serde_json::{Value, json};

use super::harness::until;
use super::program::program;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";
const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");

/// U0ALICE mentions us with a file; returns the thread.
fn bring(place: &Place, name: &str, content: &Value, text: &str) -> String {
    let brought = place.slack.post(&format!("/sim/files?user=U0ALICE&name={name}"), content);
    let text = format!("@hitchline {text}");
    let message = json!({"user": "U0ALICE", "channel": CHANNEL, "text": text, "files": [brought["id"]]});
    place.slack.post("/sim/messages", &message)["ts"].as_str().unwrap().to_owned()
}

// holds: K-2
#[test]
fn what_a_person_attaches_reaches_the_agent_and_goes_with_its_session() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    let thread = bring(&place, "notes.json", &json!({"some": "notes"}), "");
    place.wait_for(&thread, "Files: notes.json");
    let sessions = place.sessions();
    let files = Path::new(&place.dir).join("state/files").join(sessions[0]["id"].as_str().unwrap());
    let turn = std::fs::read_dir(&files).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(turn.join("1-notes.json")).unwrap(), r#"{"some":"notes"}"#);
    let downloads = place.slack.calls("files.download");
    assert_eq!((&downloads[0]["args"]["authorized"], downloads.len()), (&json!(true), 1));

    place.slack.say("U0ALICE", CHANNEL, Some(&thread), "!end");
    until("the files to go", || !files.exists());
    assert_eq!(daemon.stop(), 0);
}

// holds: K-2
#[test]
fn an_agent_gets_a_picture_and_a_text_as_what_it_can_take() {
    let Some(python) = program("python3") else { return };
    // What is offered, what is brought, and how that comes: in the prompt itself where the agent takes it so.
    let cases = [
        ("image", "a.png", json!("image"), ["data", "ImRvdHMi"]),
        ("context", "a.png", json!("resource_link"), ["name", "a.png"]),
        ("context", "a.json", json!("resource"), ["mimeType", "application/json"]),
        ("none", "a.json", json!("resource_link"), ["name", "a.json"]),
    ];
    for (offered, name, kind, [key, value]) in cases {
        let place = Place::new();
        let log = format!("{}/received", place.dir);
        let agent = [python.to_str().unwrap(), AGENT, "--caps", offered, "--log", &log];
        let daemon = place.slack.daemon_with(&place.dir, &agent, "1s");
        let thread = bring(&place, name, &json!("dots"), "look");
        place.wait_for(&thread, "you said: look");
        let received = std::fs::read_to_string(&log).unwrap();
        let messages = received.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let prompt = messages.into_iter().find(|message| message["method"] == "session/prompt").unwrap();
        let block = &prompt["params"]["prompt"][1];
        assert_eq!(block["type"], kind, "{block}");
        let told = if kind == "resource" { &block["resource"] } else { block };
        assert_eq!(told[key], value, "{block}");
        assert!(told["uri"].as_str().is_some_and(|uri| uri.ends_with(&format!("/1-{name}"))), "{block}");
        assert_eq!(daemon.stop(), 0);
    }
}
