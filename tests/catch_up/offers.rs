//! What is too old to be simply answered.

use std::time::Duration;

use serde_json::json;

use super::house::{ALICE, DM, GENERAL, House};

const HOUR: Duration = Duration::from_hours(1);

/// A daemon with a session in a thread was away, while `count` messages were said in each place of `GENERAL`, three hours ago.
async fn away(count: usize) -> (House, String) {
    let mut house = House::listening().await;
    let session = house.thread(GENERAL, "first").await;
    house.heard().await;
    house.kill();
    house.hand.advance(HOUR);
    for number in 0..count {
        house.say(ALICE, GENERAL, None, &format!("@hitchline top {number}")).await;
        house.say(ALICE, GENERAL, Some(&session), &format!("reply {number}")).await;
    }
    house.hand.advance(3 * HOUR);
    house.start_and_catch_up().await;
    (house, session)
}

#[tokio::test]
async fn each_place_is_asked_once_and_a_press_answers_all_of_it() {
    let (house, session) = away(3).await;
    house
        .until("both notes", async |house| {
            house.said(GENERAL, None).await.len() == 1 && house.said(GENERAL, Some(&session)).await.len() == 2
        })
        .await;
    let note = &house.said(GENERAL, None).await[0];
    let text = note["text"].as_str().unwrap();
    assert!(text.starts_with("3 messages came while I was away (the oldest 3 h ago)."), "{text}");
    let ts = note["ts"].as_str().unwrap().to_owned();
    house.press("U0BOB", GENERAL, &ts, 0).await;
    house.until("three answers", async |house| answered(house).await == 3).await;
    house
        .until("the note without buttons", async |house| {
            house.said(GENERAL, None).await[0]["text"].as_str().unwrap().contains("I am answering them now")
        })
        .await;
    assert_eq!(house.texts(GENERAL, Some(&session)).await.len(), 2, "the thread has an offer of its own");
    let note = house.said(GENERAL, Some(&session)).await[1]["ts"].as_str().unwrap().to_owned();
    house.press(ALICE, GENERAL, &note, 0).await;
    house.until_answered(GENERAL, &session, "reply 2").await;
    let texts = house.texts(GENERAL, Some(&session)).await;
    assert_eq!(texts[2..], ["reply 0", "reply 1", "reply 2"], "in the order in which they were said");
}

/// How many mentions at the top level have their answer.
async fn answered(house: &House) -> usize {
    let mut answered = 0;
    for mention in house.all(GENERAL, None).await {
        let (Some(text), Some(ts)) = (mention["text"].as_str(), mention["ts"].as_str()) else { continue };
        if let Some(text) = text.strip_prefix("<@U0BOT> top") {
            answered +=
                house.texts(GENERAL, Some(ts)).await.iter().filter(|said| **said == format!("top{text}")).count();
        }
    }
    answered
}

#[tokio::test]
async fn what_people_leave_stays_unanswered_whoever_presses_then() {
    let (house, session) = away(2).await;
    house.until("a note", async |house| house.said(GENERAL, Some(&session)).await.len() == 2).await;
    let note = house.said(GENERAL, Some(&session)).await[1]["ts"].as_str().unwrap().to_owned();
    house.press(ALICE, GENERAL, &note, 1).await;
    house
        .until("the word for it", async |house| {
            house.texts(GENERAL, Some(&session)).await[1].contains("They are left as they are")
        })
        .await;
    assert_eq!(house.texts(GENERAL, Some(&session)).await.len(), 2);
    assert_eq!(house.count("SELECT count(*) FROM inbox WHERE state = 'expired'"), 2);
    assert_eq!(house.count("SELECT count(*) FROM inbox WHERE state = 'offered'"), 2, "those of the channel");
}

#[tokio::test]
async fn an_offer_survives_a_restart_and_is_not_made_twice() {
    let (mut house, session) = away(2).await;
    house.until("a note", async |house| house.said(GENERAL, Some(&session)).await.len() == 2).await;
    house.heard().await;
    house.kill();
    house.start_and_catch_up().await;
    let note = house.said(GENERAL, Some(&session)).await[1]["ts"].as_str().unwrap().to_owned();
    house.press(ALICE, GENERAL, &note, 0).await;
    house.until_answered(GENERAL, &session, "reply 1").await;
    assert_eq!(house.texts(GENERAL, Some(&session)).await.len(), 4);
    assert_eq!(house.said(GENERAL, None).await.len(), 1);
}

#[tokio::test]
async fn a_place_that_could_not_be_read_to_its_end_is_read_again_from_where_it_began() {
    let mut house = House::listening().await;
    house.heard().await;
    house.kill();
    let top = house.say(ALICE, GENERAL, None, "@hitchline top").await;
    house.say(ALICE, GENERAL, Some(&top), "@hitchline reply").await;
    house.hand.advance(HOUR);
    house
        .fault(json!({"fault": "api_error", "error": "fatal_error", "method": "conversations.replies", "times": 6}))
        .await;
    house.start_and_catch_up().await;
    assert_eq!(house.count("SELECT count(*) FROM inbox WHERE state = 'offered'"), 2);
    house.until("a note of each", async |house| !house.said(GENERAL, None).await.is_empty()).await;
    let untold = "SELECT count(*) FROM inbox WHERE offer IS NOT NULL AND offer NOT IN (SELECT id FROM outbox)";
    assert_eq!(house.count(untold), 0);
}

#[tokio::test]
async fn f_83_five_thousand_old_messages_are_one_note() {
    let mut house = House::listening().await;
    house.heard().await;
    house.kill();
    house.hand.advance(HOUR);
    for number in 0..5_000 {
        house.say(ALICE, DM, None, &format!("old {number}")).await;
    }
    house.hand.advance(30 * HOUR);
    for number in 0..50 {
        house.say(ALICE, DM, None, &format!("older {number}")).await;
    }
    house.hand.advance(HOUR);
    house.start_and_catch_up().await;
    house.until("a note", async |house| !house.said(DM, None).await.is_empty()).await;
    let said = house.texts(DM, None).await;
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("50 messages came while I was away (the oldest 1 h ago). 5000 more are too old"),
        "{}",
        said[0]
    );
    assert_eq!(house.calls("chat.postMessage").await, 1);
}
