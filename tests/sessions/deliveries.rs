//! One thing that a person did, however often and in whichever form Slack delivers it: one turn.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::Inbound;
use hitchline::domain::ports::Receipt;
use hitchline::slack::events::{Decoded, Identity, decode};
use hitchline::slack::wire::{Frame, read};
use serde_json::{Value, json};

use super::people::{CHANNEL, HOME};
use super::world::World;

/// As Slack says when it delivers again.
const AGAIN: [Duration; 3] = [Duration::ZERO, Duration::from_mins(1), Duration::from_mins(5)];
/// How far apart twins have been seen.
const APART: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_mins(1)];

/// A message event in Slack's own words.
fn message(ts: &str, more: &Value) -> Value {
    let mut event = json!({
        "type": "message", "channel": CHANNEL, "channel_type": "channel", "user": "U1", "ts": ts, "event_ts": ts,
        "text": "<@UBOT> once", "client_msg_id": "gesture", "team": HOME,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// What a delivery of an event is for us; nothing, when it is passed over.
fn delivery(event_id: &str, team: &str, event: &Value) -> Option<Inbound> {
    let payload = json!({"team_id": team, "event_id": event_id, "event": event});
    let frame = json!({"envelope_id": "e", "type": "events_api", "payload": payload});
    let Frame::Envelope(envelope) = read(&frame.to_string()) else { panic!("no envelope: {frame}") };
    let me = Identity { team: HOME.into(), user: "UBOT".into(), bot: Some("BBOT".into()) };
    match decode(&envelope, &me) {
        Decoded::Inbound(inbound) => Some(*inbound),
        Decoded::Ignored(_) => None,
    }
}

impl World {
    async fn delivered(&self, event_id: &str, event: &Value) -> Receipt {
        self.deliver(delivery(event_id, HOME, event).expect("it is for us")).await
    }

    /// Waits for the one answer to the message `ts`.
    async fn answered_once(&self, ts: &str) {
        self.until_thread_is(&Ts::from(ts), &["once"]).await;
        self.rest().await;
        assert_eq!(self.agents.count("prompt"), 1);
    }
}

// holds: T-2
#[tokio::test]
async fn f_15_an_event_that_slack_delivers_again_is_known_also_after_a_restart() {
    let mut world = World::echoing().await;
    let event = message("1000.000001", &json!({}));
    assert_eq!(world.delivered("Ev1", &event).await, Receipt::Stored);
    world.answered_once("1000.000001").await;
    for (attempt, later) in (1..).zip(AGAIN) {
        world.hand.advance(later);
        if attempt == AGAIN.len() {
            world = world.after_power_cut().await;
        }
        assert_eq!(world.delivered("Ev1", &event).await, Receipt::Duplicate, "attempt {attempt}");
    }
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 0, "the new process has asked nobody");
}

// holds: T-2
#[tokio::test]
async fn f_16_the_twin_events_of_a_mention_are_one_whichever_comes_first() {
    let plain = message("1000.000001", &json!({}));
    let mention = message("1000.000001", &json!({"type": "app_mention", "channel_type": null}));
    for apart in APART {
        for [first, second] in [[&plain, &mention], [&mention, &plain]] {
            let world = World::echoing().await;
            assert_eq!(world.delivered("Ev1", first).await, Receipt::Stored);
            world.settle().await;
            world.hand.advance(apart);
            assert_eq!(world.delivered("Ev2", second).await, Receipt::Duplicate);
            world.answered_once("1000.000001").await;
        }
    }
}

// holds: T-2
#[tokio::test]
async fn f_17_a_phantom_of_the_same_gesture_under_another_time_stamp_is_none() {
    let world = World::echoing().await;
    assert_eq!(world.delivered("Ev1", &message("1000.000001", &json!({}))).await, Receipt::Stored);
    for (seconds, number) in [(39, 2), (3_600, 3), (23 * 3_600 - 39, 4)] {
        world.hand.advance(Duration::from_secs(seconds));
        let phantom = message(&format!("1000.00000{number}"), &json!({}));
        assert_eq!(world.delivered(&format!("Ev{number}"), &phantom).await, Receipt::Duplicate);
    }
    world.answered_once("1000.000001").await;
    // Another person's client may make the same id.
    let others = message("1000.000009", &json!({"user": "U2"}));
    assert_eq!(world.delivered("Ev9", &others).await, Receipt::Stored);
    world.until_thread_is(&"1000.000009".into(), &["once"]).await;
}

// holds: T-2
#[tokio::test]
async fn f_18_a_shared_channels_event_that_comes_from_both_workspaces_is_one() {
    let world = World::echoing().await;
    let event = message("1000.000001", &json!({"user_team": HOME, "source_team": HOME}));
    let ours = delivery("Ev1", HOME, &event).unwrap();
    let theirs = delivery("Ev2", "T2", &message("1000.000001", &json!({"team": "T2", "user_team": HOME}))).unwrap();
    assert_eq!(world.deliver(ours).await, Receipt::Stored);
    assert_eq!(world.deliver(theirs).await, Receipt::Duplicate);
    world.answered_once("1000.000001").await;
}

// holds: T-2
#[tokio::test]
async fn f_19_a_delivery_with_an_empty_text_neither_takes_the_text_away_nor_its_place() {
    let full = message("1000.000001", &json!({}));
    let empty = message("1000.000001", &json!({"text": ""}));
    let world = World::echoing().await;
    assert_eq!(world.delivered("Ev1", &full).await, Receipt::Stored);
    if let Some(empty) = delivery("Ev1", HOME, &empty) {
        assert_eq!(world.deliver(empty).await, Receipt::Duplicate);
    }
    world.answered_once("1000.000001").await;
    // The other way round: what says nothing must not be what its full form is a duplicate of.
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    let reply = |text: &str| message("1000.000100", &json!({"text": text, "thread_ts": thread}));
    if let Some(empty) = delivery("Ev2", HOME, &reply("")) {
        world.deliver(empty).await;
    }
    assert_eq!(world.delivered("Ev2", &reply("second")).await, Receipt::Stored);
    session.ends(Outcome::Completed);
    world.prompted("second").await.ends(Outcome::Completed);
    world.rest().await;
    // Also where nobody has asked the store yet whether the thread has a session.
    let after = world.after_power_cut().await;
    let reply =
        |text: &str| message("1000.000101", &json!({"text": text, "thread_ts": thread, "client_msg_id": "other"}));
    if let Some(empty) = delivery("Ev3", HOME, &reply("")) {
        after.deliver(empty).await;
    }
    assert_eq!(after.delivered("Ev3", &reply("third")).await, Receipt::Stored);
    after.prompted("third").await.ends(Outcome::Completed);
    after.rest().await;
}
