//! What leads to a reading back, and how it ends.

use std::time::Duration;

use serde_json::json;

use super::house::{ALICE, DM, GENERAL, House};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_was_said_while_nobody_was_there_is_answered_after_the_start() {
    let mut house = House::listening().await;
    let session = house.thread(GENERAL, "first").await;
    house.heard().await;
    house.kill();
    let mention = house.say(ALICE, GENERAL, None, "@hitchline second").await;
    house.say(ALICE, GENERAL, Some(&mention), "third").await;
    house.say(ALICE, GENERAL, Some(&session), "fourth").await;
    let direct = house.say(ALICE, DM, None, "fifth").await;
    let chat = house.say(ALICE, GENERAL, None, "not for us").await;
    house.say(ALICE, GENERAL, Some(&chat), "nor this").await;
    house.hand.advance(MINUTE);
    house.start_and_catch_up().await;
    for (channel, thread, text) in [
        (GENERAL, &mention, "second"),
        (GENERAL, &mention, "third"),
        (GENERAL, &session, "fourth"),
        (DM, &direct, "fifth"),
    ] {
        house.until_answered(channel, thread, text).await;
    }
    assert!(house.said(GENERAL, None).await.is_empty(), "nobody is told anything at the top level");
    assert_eq!(house.texts(GENERAL, Some(&mention)).await, ["second", "third"]);
    assert!(house.said(GENERAL, Some(&chat)).await.is_empty());
}

#[tokio::test]
async fn what_was_said_in_a_thread_before_it_was_followed_is_not_taken_for_a_question() {
    let mut house = House::listening().await;
    let chat = house.say(ALICE, GENERAL, None, "not for us").await;
    house.say(ALICE, GENERAL, Some(&chat), "nor this").await;
    house.say(ALICE, GENERAL, Some(&chat), "@hitchline hello").await;
    house.until_answered(GENERAL, &chat, "hello").await;
    house.heard().await;
    house.kill();
    house.say(ALICE, GENERAL, Some(&chat), "again").await;
    house.start_and_catch_up().await;
    house.until_answered(GENERAL, &chat, "again").await;
    assert_eq!(house.texts(GENERAL, Some(&chat)).await, ["hello", "again"]);
}

#[tokio::test]
async fn without_mentions_a_missed_message_that_opens_a_thread_is_answered_though_the_thread_is_followed_by_now() {
    let mut house = House::listening_to_all().await;
    house.kill();
    let missed = house.say(ALICE, GENERAL, None, "anybody here?").await;
    house.fault(json!({"fault": "http_429", "retry_after": 20, "method": "users.conversations", "times": 1})).await;
    house.start();
    house.until("a connection", async |house| house.connections().await == 1).await;
    house.say(ALICE, GENERAL, Some(&missed), "@hitchline hello?").await;
    house.until_answered(GENERAL, &missed, "hello?").await;
    assert_eq!(house.texts(GENERAL, Some(&missed)).await, ["hello?"], "it is read back only afterwards");
    house.until_answered(GENERAL, &missed, "anybody here?").await;
}

#[tokio::test]
async fn what_was_said_so_late_that_slack_does_not_show_it_yet_is_answered_too() {
    let mut house = House::listening().await;
    let session = house.thread(GENERAL, "first").await;
    house.heard().await;
    house.kill();
    house.behave(&json!({"history_lag_ms": 10_000})).await;
    let direct = house.say(ALICE, DM, None, "second").await;
    house.say(ALICE, GENERAL, Some(&session), "third").await;
    house.start();
    house.at_once("a look at the session", async |house| house.calls("conversations.replies").await > 0).await;
    house.until_answered(DM, &direct, "second").await;
    house.until_answered(GENERAL, &session, "third").await;
}

#[tokio::test]
async fn the_first_start_of_all_reads_nothing_back() {
    let mut house = House::new(&[]).await;
    house.say(ALICE, GENERAL, None, "@hitchline before").await;
    house.start();
    house.heard().await;
    assert_eq!(house.calls("users.conversations").await + house.calls("conversations.history").await, 0);
}

#[tokio::test]
async fn f_01_a_reset_that_lasts_leads_to_a_reading_back() {
    let house = House::listening().await;
    // Long enough to have earned a replacement at once.
    house.pass(Duration::from_secs(40)).await;
    house.fault(json!({"fault": "cut"})).await;
    house.until("a connection", async |house| house.connections().await == 1).await;
    house.pass(Duration::from_secs(10)).await;
    assert_eq!(house.calls("users.conversations").await, 0, "a moment without a connection is no gap");
    house.fault(json!({"fault": "ws_refused", "times": 5})).await;
    house.fault(json!({"fault": "cut"})).await;
    house.at_once("no connection", async |house| house.connections().await == 0).await;
    let missed = house.say(ALICE, DM, None, "missed").await;
    house.until_answered(DM, &missed, "missed").await;
    assert!(house.calls("conversations.history").await > 0, "it was read back, for it does not come again");
    assert_eq!(house.texts(DM, Some(&missed)).await, ["missed"]);
}

#[tokio::test]
async fn f_23_events_that_slack_left_out_are_read_back() {
    let house = House::listening().await;
    house.fault(json!({"fault": "drop_event", "times": 1})).await;
    let dropped = house.say(ALICE, DM, None, "one too many").await;
    house.pass(Duration::from_secs(90)).await;
    assert_eq!(house.calls("conversations.history").await, 0);
    house
        .inject(&json!({"frame": {"envelope_id": "e-1", "type": "events_api", "payload": {
            "type": "app_rate_limited", "team_id": "T0SIM", "minute_rate_limited": house.now_ms() / 1_000, "api_app_id": "A0"
        }}}))
        .await;
    house.pass(Duration::from_secs(50)).await;
    assert_eq!(house.calls("conversations.history").await, 0, "more may be left out in this minute");
    house.until_answered(DM, &dropped, "one too many").await;
}

#[tokio::test]
async fn f_36_a_machine_that_slept_reconnects_and_reads_back() {
    let house = House::listening().await;
    house.pass(Duration::from_secs(40)).await;
    // To the daemon its connection looks alive, and nothing comes on it any more.
    house.fault(json!({"fault": "silence"})).await;
    house.hand.suspend(Duration::from_hours(1));
    let missed = house.say(ALICE, DM, None, "good morning").await;
    let answered = async |house: &House| house.texts(DM, Some(&missed)).await == ["good morning"];
    house.within(Duration::from_secs(30), "an answer", answered).await;
    assert!(house.calls("conversations.history").await > 0);
}

#[tokio::test]
async fn places_that_can_t_be_read_are_no_obstacle_to_others() {
    let mut house = House::listening().await;
    house.heard().await;
    house.kill();
    let mention = house.say(ALICE, GENERAL, None, "@hitchline hello").await;
    house.fault(json!({"fault": "api_error", "error": "fatal_error", "method": "conversations.history", "channel": DM, "times": 3})).await;
    house.fault(json!({"fault": "api_error", "error": "missing_scope", "method": "conversations.history", "channel": "D0BOB"})).await;
    house
        .fault(
            json!({"fault": "http_429", "retry_after": 30, "method": "conversations.history", "channel": "C0RANDOM"}),
        )
        .await;
    house.start_and_catch_up().await;
    house.until_answered(GENERAL, &mention, "hello").await;
}

#[tokio::test]
async fn after_a_restore_what_slack_shows_as_answered_is_not_answered_again() {
    let mut house = House::listening().await;
    let session = house.thread(GENERAL, "first").await;
    house.until("a snapshot", async |house| house.has_snapshot()).await;
    let direct = house.say(ALICE, DM, None, "second").await;
    house.until_answered(DM, &direct, "second").await;
    house.say(ALICE, GENERAL, Some(&session), "third").await;
    house.until_answered(GENERAL, &session, "third").await;
    house.kill();
    house.lose_store();
    house.say(ALICE, GENERAL, Some(&session), "fourth").await;
    house.start_and_catch_up().await;
    house.until_answered(GENERAL, &session, "fourth").await;
    assert_eq!(house.texts(GENERAL, Some(&session)).await, ["first", "third", "fourth"]);
    assert_eq!(house.texts(DM, Some(&direct)).await, ["second"]);
    assert_eq!(house.count("SELECT count(*) FROM moment WHERE name = 'restored'"), 0);
}

#[tokio::test]
async fn after_a_restore_a_message_whose_turn_was_interrupted_is_offered() {
    let mut house = House::listening().await;
    let session = house.thread(GENERAL, "first").await;
    house.until("a snapshot", async |house| house.has_snapshot()).await;
    house.say(ALICE, GENERAL, Some(&session), "!sleep 3600").await;
    let reached = "SELECT count(*) FROM turn WHERE outcome IS NULL AND reached = 1";
    house.until("a turn", async |house| house.count(reached) == 1).await;
    house.kill();
    house.start();
    let asked = async |house: &House| house.texts(GENERAL, Some(&session)).await.len() == 2;
    house.until("the question what is to become of it", asked).await;
    house.kill();
    house.lose_store();
    house.start_and_catch_up().await;
    let offered = "SELECT count(*) FROM inbox WHERE state = 'offered'";
    assert_eq!((house.count(offered), house.count(reached)), (1, 0), "neither passed over nor begun again");
    let texts = house.texts(GENERAL, Some(&session)).await;
    assert!(texts.len() == 3 && texts[2].contains("while I was away"), "{texts:?}");
}
