//! What an operator can say of a decision later.

use super::harness::until;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";

#[test]
fn an_operator_sees_who_decided_what_and_no_command() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    assert_eq!(place.ask(&["audit", "list"]), (0, "no question has been settled\n".to_owned()));
    let thread = place.begin("!ask");
    let card = place.slack.wait_for_buttons(CHANNEL, &thread);
    place.slack.click("U0ALICE", CHANNEL, &card, 0);
    until("no buttons", || place.slack.buttons(CHANNEL, &thread, &card).is_empty());
    let listed = place.json(&["audit", "list"]);
    let entry = &listed[0];
    assert_eq!((listed.as_array().unwrap().len(), &entry["outcome"]), (1, &"decided".into()), "{listed}");
    assert_eq!((&entry["decider"], &entry["requester"]), (&"U0ALICE".into(), &"U0ALICE".into()));
    assert_eq!(entry["session"], place.sessions()[0]["id"]);
    assert_eq!(entry["command_sha256"].as_str().unwrap().len(), 64);
    assert!(entry["conversation"].as_str().unwrap().ends_with(&thread));
    let (code, shown) = place.ask(&["audit", "list"]);
    assert!(code == 0 && shown.lines().count() == 2 && shown.contains("decided  U0ALICE"), "{shown}");
    assert_eq!(daemon.stop(), 0);
}
