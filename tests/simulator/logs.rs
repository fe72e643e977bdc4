//! What a checker of a long run asks for: everything, in order, a part at a time.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use serde_json::{Value, json};

use crate::client::Bench;

fn numbers(part: &Value) -> Vec<u64> {
    part.as_array().unwrap().iter().map(|record| record["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn envelopes_and_acknowledgements_are_read_in_parts() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    for text in ["one", "two", "three"] {
        bench.alice(text).await;
    }
    let envelopes = [socket.acked().await, socket.json().await, socket.acked().await];
    bench.until("/sim/acks", |seen| seen["acks"].as_array().unwrap().len() == 2).await;
    assert_eq!(numbers(&bench.get("/sim/envelopes?after=1").await["envelopes"]), [2, 3]);
    assert_eq!(numbers(&bench.get("/sim/envelopes?after=1&limit=1").await["envelopes"]), [2]);
    let acks = bench.get("/sim/acks?after=1&limit=9").await["acks"].take();
    assert_eq!(numbers(&acks), [2]);
    assert_eq!(acks[0]["envelope_id"], envelopes[2]["envelope_id"]);
    assert_eq!(acks[0]["event_id"], envelopes[2]["payload"]["event_id"]);
    assert!(acks[0]["at_ms"].is_number());
}

#[tokio::test]
async fn calls_are_read_in_parts() {
    let bench = Bench::start().await;
    for method in ["auth.test", "team.info", "auth.test", "auth.test"] {
        bench.api(method, json!({})).await;
    }
    assert_eq!(numbers(&bench.get("/sim/calls?after=1&limit=2").await["calls"]), [2, 3]);
    assert_eq!(numbers(&bench.get("/sim/calls?after=1&limit=2&method=auth.test").await["calls"]), [3, 4]);
}

#[tokio::test]
async fn all_messages_of_a_channel_are_read_in_parts() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    for (user, text) in [("U0BOB", "reply"), ("U0BOB", "last")] {
        let said = json!({"user": user, "channel": "C0GENERAL", "thread_ts": root, "text": text});
        bench.sim("messages", said).await;
    }
    bench.api("chat.postEphemeral", json!({"channel": "C0GENERAL", "user": "U0BOB", "text": "only you"})).await;
    let texts = |part: &Value| -> Vec<String> {
        let messages = part["messages"].as_array().unwrap();
        messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    };
    let all = "/sim/messages?channel=C0GENERAL&all=true";
    assert_eq!(texts(&bench.get(all).await), ["root", "reply", "last", "only you"]);
    assert_eq!(texts(&bench.get(&format!("{all}&after={root}&limit=2")).await), ["reply", "last"]);
}

#[tokio::test]
async fn killed_clients_leave_nothing_behind() {
    let bench = Bench::start().await;
    for _ in 0..40 {
        let (one, two) = (bench.connected().await, bench.connected().await);
        bench.alice("are you there?").await;
        one.kill();
        two.kill();
    }
    bench.until("/sim/state", |state| state["connections"] == 0).await;
    let connections = bench.get("/sim/connections").await;
    let closed = connections["connections"].as_array().unwrap().iter().filter(|one| one["closed_ms"].is_number());
    assert_eq!(closed.count(), 80);
    let mut socket = bench.connected().await;
    bench.alice("and you?").await;
    while socket.acked().await["payload"]["event"]["text"] != "and you?" {}
}
