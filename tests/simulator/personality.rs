//! What is not known of Slack: each answer does what it says.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::time::Duration;

use hitchline::clock::{Clock, Hand};
use hitchline::simulator::{ClientMsgId, Config, Personality, RedeliversOffline};
use serde_json::{Value, json};

use crate::client::{Bench, Socket};

const FIRST_RETRY: Duration = Duration::from_secs(3);

/// A simulator whose time stands still.
async fn still(personality: Personality) -> (Bench, Hand) {
    let (clock, hand) = Clock::manual(1_700_000_000_000);
    (Bench::with(Config { clock, personality, ..Config::default() }).await, hand)
}

/// The texts of all events up to one that says `last`, each acknowledged.
async fn heard_until(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        let text = socket.acked().await["payload"]["event"]["text"].as_str().unwrap_or_default().to_owned();
        texts.push(text);
    }
    texts
}

#[tokio::test]
async fn what_holds_is_shown_and_changed() {
    let bench = Bench::start().await;
    let usual = json!({
        "redelivers_offline": "scheduled", "client_msg_id": "ignored", "history_lag_ms": 0, "retries_clicks": false,
        "duplicate_ts_twin_ms": null, "connect_twins": false, "empty_text_redelivery": false,
    });
    assert_eq!(bench.get("/sim/personality").await, usual);
    let holds = bench.sim("personality", json!({"history_lag_ms": 5, "redelivers_offline": "never"})).await;
    assert_eq!((&holds["history_lag_ms"], &holds["redelivers_offline"]), (&json!(5), &json!("never")));
    assert_eq!(bench.get("/sim/personality").await, holds);
    let mood = json!({"history_lag_ms": 6, "mood": "good"});
    let refused = bench.http.post(bench.url("/sim/personality")).json(&mood).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    let why: Value = refused.json().await.unwrap();
    assert!(why["error"].as_str().unwrap().starts_with("unknown field `mood`"), "{why}");
    assert_eq!(bench.get("/sim/personality").await, holds);
}

/// Nobody acknowledges what is said "before", and nobody listens when something is said "offline".
async fn deaf(redelivers_offline: RedeliversOffline) -> (Bench, Hand) {
    let (bench, hand) = still(Personality { redelivers_offline, ..Personality::default() }).await;
    let mut socket = bench.connected().await;
    bench.alice("before").await;
    socket.json().await;
    drop(socket);
    bench.until("/sim/state", |state| state["connections"] == 0).await;
    bench.alice("offline").await;
    (bench, hand)
}

/// What comes before something is said "after": its texts, and the attempt of each.
async fn late(bench: &Bench, socket: &mut Socket) -> Vec<(String, u64)> {
    bench.alice("after").await;
    let mut seen = Vec::new();
    loop {
        let envelope = socket.acked().await;
        let text = envelope["payload"]["event"]["text"].as_str().unwrap().to_owned();
        if text == "after" {
            return seen;
        }
        seen.push((text, envelope["retry_attempt"].as_u64().unwrap()));
    }
}

async fn sent(bench: &Bench, envelopes: usize) {
    bench.until("/sim/envelopes", |seen| seen["envelopes"].as_array().unwrap().len() == envelopes).await;
}

#[tokio::test]
async fn offline_events_keep_to_their_schedule() {
    let (bench, hand) = deaf(RedeliversOffline::Scheduled).await;
    hand.advance(FIRST_RETRY);
    sent(&bench, 4).await;
    let mut socket = bench.connected().await;
    hand.advance(Duration::from_mins(1));
    sent(&bench, 6).await;
    let seen = late(&bench, &mut socket).await;
    assert_eq!(seen, [("before".to_owned(), 2), ("offline".to_owned(), 2)]);
}

#[tokio::test]
async fn offline_events_use_up_their_schedule() {
    let (bench, hand) = deaf(RedeliversOffline::Scheduled).await;
    for (seconds, envelopes) in [(3, 4), (60, 6), (300, 8)] {
        hand.advance(Duration::from_secs(seconds));
        sent(&bench, envelopes).await;
    }
    let mut socket = bench.connected().await;
    assert_eq!(late(&bench, &mut socket).await, []);
}

#[tokio::test]
async fn offline_events_wait_for_the_next_socket() {
    let (bench, hand) = deaf(RedeliversOffline::Kept).await;
    hand.advance(Duration::from_hours(1));
    let mut socket = bench.connected().await;
    sent(&bench, 3).await;
    let seen = late(&bench, &mut socket).await;
    assert_eq!(seen, [("before".to_owned(), 1), ("offline".to_owned(), 0)]);
}

#[tokio::test]
async fn offline_events_are_gone() {
    let (bench, hand) = deaf(RedeliversOffline::Never).await;
    let mut socket = bench.connected().await;
    hand.advance(Duration::from_hours(1));
    assert_eq!(late(&bench, &mut socket).await, []);
}

#[tokio::test]
async fn messages_are_read_late() {
    let (bench, hand) = still(Personality { history_lag_ms: 1_000, ..Personality::default() }).await;
    let root = bench.alice("root").await;
    let history = async || bench.api("conversations.history", json!({"channel": "C0GENERAL"})).await["messages"].take();
    let replies = async || bench.api("conversations.replies", json!({"channel": "C0GENERAL", "ts": root})).await;
    assert_eq!(history().await, json!([]));
    assert_eq!(replies().await["error"], "thread_not_found");
    hand.advance(Duration::from_millis(999));
    let posted = bench.api("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x", "thread_ts": root})).await;
    assert_eq!(history().await, json!([]));
    hand.advance(Duration::from_millis(1));
    assert_eq!(history().await[0]["text"], "root");
    assert_eq!(replies().await["messages"].as_array().unwrap().len(), 1);
    let edit = json!({"channel": "C0GENERAL", "ts": posted["ts"], "text": "y"});
    assert_eq!(bench.api("chat.update", edit).await["ok"], true, "only reading lags");
    hand.advance(Duration::from_secs(1));
    assert_eq!(replies().await["messages"][1]["text"], "y");
}

#[tokio::test]
async fn a_client_msg_id_is_ignored_honoured_or_rejected() {
    let cases = [
        (ClientMsgId::Ignored, 2, Value::Null),
        (ClientMsgId::Honoured, 1, Value::Null),
        (ClientMsgId::Rejected, 0, json!("invalid_arg_name")),
    ];
    for (client_msg_id, messages, error) in cases {
        let (bench, hand) = still(Personality { client_msg_id, ..Personality::default() }).await;
        let post = json!({"channel": "C0GENERAL", "text": "x", "client_msg_id": "k"});
        for _ in 0..2 {
            assert_eq!(bench.api("chat.postMessage", post.clone()).await["error"], error, "{client_msg_id:?}");
        }
        let count = async || bench.get("/sim/messages?channel=C0GENERAL").await["messages"].as_array().unwrap().len();
        assert_eq!(count().await, messages, "{client_msg_id:?}");
        hand.advance(Duration::from_mins(10));
        bench.api("chat.postMessage", post).await;
        let again = usize::from(client_msg_id != ClientMsgId::Rejected);
        assert_eq!(count().await, messages + again, "an id is honoured for 10 minutes: {client_msg_id:?}");
    }
}

#[tokio::test]
async fn a_click_without_ack_comes_again_or_not() {
    for retries_clicks in [false, true] {
        let (bench, hand) = still(Personality { retries_clicks, ..Personality::default() }).await;
        let mut socket = bench.connected().await;
        let command = json!({"user": "U0ALICE", "channel": "C0GENERAL", "command": "/hitch", "text": "list"});
        let request = bench.http.post(bench.url("/sim/command")).json(&command).send();
        let answered = async {
            let first = socket.json().await;
            hand.advance(FIRST_RETRY);
            bench.alice("after").await;
            let next = socket.json().await;
            (first, next)
        };
        let (response, (first, next)) = tokio::join!(request, answered);
        let acked = response.unwrap().json::<Value>().await.unwrap()["acked"].take();
        assert_eq!((acked, &first["type"]), (json!(false), &json!("slash_commands")));
        assert_eq!(first.get("retry_attempt"), None);
        if retries_clicks {
            assert_eq!((&next["type"], &next["retry_attempt"]), (&json!("slash_commands"), &json!(1)));
            assert_eq!(next["payload"], first["payload"]);
            assert_ne!(next["envelope_id"], first["envelope_id"]);
        } else {
            assert_eq!(next["payload"]["event"]["text"], "after");
        }
    }
}

#[tokio::test]
async fn a_phantom_follows_what_a_person_wrote() {
    let personality = Personality { duplicate_ts_twin_ms: Some(39_000), ..Personality::default() };
    let (bench, hand) = still(personality).await;
    let mut socket = bench.connected().await;
    bench.alice("once").await;
    bench.api("chat.postMessage", json!({"channel": "C0GENERAL", "text": "the bot's own"})).await;
    let mut first = socket.acked().await["payload"]["event"].take();
    assert_eq!(socket.acked().await["payload"]["event"]["text"], "the bot's own");
    bench.until("/sim/acks", |seen| seen["acks"].as_array().unwrap().len() == 2).await;
    hand.advance(Duration::from_secs(39));
    let twin = socket.acked().await["payload"]["event"].take();
    assert_ne!(twin["ts"], first["ts"]);
    for ts in ["ts", "event_ts"] {
        first[ts] = twin["ts"].clone();
    }
    assert_eq!(twin, first);
    bench.alice("after").await;
    assert_eq!(heard_until(&mut socket, "after").await, ["after"], "what the bot wrote has no twin");
    let shown = bench.get("/sim/messages?channel=C0GENERAL").await;
    assert_eq!(shown["messages"].as_array().unwrap().len(), 3, "no message stands behind the twin");
}

#[tokio::test]
async fn an_event_comes_in_the_contexts_of_two_teams() {
    let (bench, _hand) = still(Personality { connect_twins: true, ..Personality::default() }).await;
    let mut socket = bench.connected().await;
    bench.alice("hello").await;
    let twins = [socket.acked().await["payload"].take(), socket.acked().await["payload"].take()];
    assert_eq!(twins.each_ref().map(|payload| payload["context_team_id"].as_str()), [Some("T0SIM"), Some("T0OTHER")]);
    assert_ne!(twins[0]["event_id"], twins[1]["event_id"]);
    assert_eq!(twins[0]["event"], twins[1]["event"]);
}

#[tokio::test]
async fn an_event_that_comes_again_has_lost_its_text() {
    let (bench, hand) = still(Personality { empty_text_redelivery: true, ..Personality::default() }).await;
    let mut socket = bench.connected().await;
    bench.alice("hello").await;
    let first = socket.json().await["payload"].take();
    hand.advance(FIRST_RETRY);
    let again = socket.acked().await["payload"].take();
    assert_eq!((&first["event"]["text"], &again["event"]["text"]), (&json!("hello"), &json!("")));
    assert_eq!((&first["event_id"], &first["event"]["ts"]), (&again["event_id"], &again["event"]["ts"]));
}
