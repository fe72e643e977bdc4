//! Commands and their buttons, as Slack shows them.

use serde_json::Value;

use super::harness::{Daemon, text};

const GENERAL: &str = "C0GENERAL";
const ALICE: &str = "U0ALICE";

/// The id that people type, from what is said about a session.
fn id_in(said: &Value) -> String {
    let said = text(said);
    let id = said.split('`').nth(1).unwrap_or_else(|| panic!("no id in {said:?}"));
    assert_eq!(id.len(), 8, "{said}");
    id.to_owned()
}

// holds: M-5, M-6, K-1
#[test]
fn a_session_breaks_out_into_a_channel_and_comes_back() {
    let daemon = Daemon::start(&[]);
    let thread = daemon.say(ALICE, GENERAL, None, "@hitchline plan the party");
    daemon.wait_for_answer(GENERAL, &thread, "plan the party");
    daemon.say(ALICE, GENERAL, Some(&thread), "!breakout Party planning");
    let told = daemon.wait(&[("channel", GENERAL), ("thread_ts", &thread), ("text_contains", "goes on in <#")]);
    let (id, told) = (id_in(&told), text(&told));
    let channel = told.split("<#").nth(1).and_then(|rest| rest.split('>').next()).expect("a channel").to_owned();
    let made = daemon.calls("conversations.create");
    assert_eq!((made[0]["args"]["name"].as_str(), made.len()), (Some("party-planning"), 1));
    assert_eq!(daemon.calls("conversations.invite")[0]["args"]["users"], ALICE);
    daemon.wait(&[("channel", &channel), ("text_contains", "goes on in this channel")]);

    let asked = daemon.say(ALICE, &channel, None, "who brings the cake?");
    daemon.wait_for_answer(&channel, &asked, "who brings the cake?");
    daemon.command(ALICE, &channel, "status");
    let status = daemon.wait(&[("channel", &channel), ("text_contains", "idle, 0 message(s) waiting")]);
    assert_eq!((id_in(&status), status["ephemeral_to"].as_str()), (id.clone(), Some(ALICE)));

    daemon.say(ALICE, GENERAL, Some(&thread), &format!("@hitchline connect {id}"));
    daemon.wait(&[("channel", GENERAL), ("thread_ts", &thread), ("text_contains", "goes on here")]);
    daemon.wait(&[("channel", &channel), ("text_contains", "brings it back here")]);
    daemon.say(ALICE, GENERAL, Some(&thread), "and the candles?");
    daemon.wait_for_answer(GENERAL, &thread, "and the candles?");
    assert_eq!(daemon.stop(), 0);
}

// holds: K-4, K-5, M-6
#[test]
fn a_session_is_chosen_from_a_list_and_its_model_from_a_menu() {
    let daemon = Daemon::start(&[]);
    let old = daemon.say(ALICE, GENERAL, None, "@hitchline hello");
    daemon.wait_for_answer(GENERAL, &old, "hello");
    daemon.command(ALICE, GENERAL, "list");
    let list = daemon.wait(&[("channel", GENERAL), ("text_contains", "Your sessions in this channel")]);
    assert_eq!(list["ephemeral_to"], ALICE);
    daemon.press(ALICE, GENERAL, list["ts"].as_str().unwrap(), "hitchline.connect");
    let here = daemon.wait(&[("channel", GENERAL), ("text_contains", "goes on here")]);
    let thread = here["thread_ts"].as_str().expect("a thread of its own").to_owned();
    daemon.wait(&[("channel", GENERAL), ("thread_ts", &old), ("text_contains", "brings it back here")]);

    daemon.say(ALICE, GENERAL, Some(&thread), "model");
    let menu = daemon.wait(&[("channel", GENERAL), ("thread_ts", &thread), ("text_contains", "Choose another")]);
    assert_eq!(menu["ephemeral_to"], ALICE);
    daemon.press(ALICE, GENERAL, menu["ts"].as_str().unwrap(), "hitchline.option");
    daemon.wait(&[("channel", GENERAL), ("thread_ts", &thread), ("text_contains", "Model: Shout from now on")]);
    daemon.say(ALICE, GENERAL, Some(&thread), "quietly");
    daemon.wait_for_answer(GENERAL, &thread, "QUIETLY");
    daemon.say(ALICE, GENERAL, Some(&thread), "!reverse it");
    daemon.wait_for_answer(GENERAL, &thread, "TI");
    assert_eq!(daemon.stop(), 0);
}
