//! Files from a person to the agent, and nothing of them left when the session ends.

use std::path::Path;

use serde_json::json;

use super::harness::until;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";

// holds: K-2
#[test]
fn what_a_person_attaches_reaches_the_agent_and_goes_with_its_session() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    let brought = place.slack.post("/sim/files?user=U0ALICE&name=notes.json", &json!({"some": "notes"}));
    let message = json!({"user": "U0ALICE", "channel": CHANNEL, "text": "@hitchline", "files": [brought["id"]]});
    let thread = place.slack.post("/sim/messages", &message)["ts"].as_str().unwrap().to_owned();
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
