//! Each fault does what it says.

use serde_json::{Value, json};

use crate::client::{Bench, connect};

async fn post(bench: &Bench, text: &str) -> reqwest::Result<reqwest::Response> {
    bench.try_api("chat.postMessage", &json!({"channel": "C0GENERAL", "text": text})).await
}

#[tokio::test]
async fn calls_are_limited_broken_refused_and_slowed() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "http_429", "retry_after": 7})).await;
    let limited = post(&bench, "a").await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    bench.fault(json!({"fault": "http_500", "method": "chat.postMessage"})).await;
    let broken = post(&bench, "b").await.unwrap();
    assert_eq!(broken.status().as_u16(), 500);
    assert!(broken.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    bench.fault(json!({"fault": "api_error", "error": "fatal_error", "channel": "C0GENERAL"})).await;
    assert_eq!(post(&bench, "c").await.unwrap().json::<Value>().await.unwrap()["error"], "fatal_error");
    assert_eq!(bench.get("/sim/messages?channel=C0GENERAL").await, json!({"messages": []}));
    bench.fault(json!({"fault": "slow", "ms": 1})).await;
    assert_eq!(post(&bench, "d").await.unwrap().status().as_u16(), 200);
    let calls = bench.get("/sim/calls").await;
    let statuses: Vec<_> =
        calls["calls"].as_array().unwrap().iter().map(|call| call["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [429, 500, 200, 200]);
}

#[tokio::test]
async fn a_lost_reply_took_effect() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "lost_reply"})).await;
    assert!(post(&bench, "once").await.is_err());
    let found = bench.get("/sim/wait?channel=C0GENERAL&text_is=once").await;
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn faults_can_be_cleared() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "http_500", "rate": 1.0})).await;
    assert_eq!(post(&bench, "a").await.unwrap().status().as_u16(), 500);
    bench.http.delete(bench.url("/sim/faults")).send().await.unwrap();
    assert_eq!(post(&bench, "a").await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn events_are_dropped_doubled_and_delayed() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    bench.fault(json!({"fault": "drop_event"})).await;
    bench.alice("lost").await;
    bench.fault(json!({"fault": "duplicate_event"})).await;
    bench.alice("twice").await;
    let (one, two) = (socket.acked().await, socket.acked().await);
    assert_eq!(one["payload"]["event"]["text"], "twice");
    assert_eq!(one["payload"]["event_id"], two["payload"]["event_id"]);
    assert_ne!(one["envelope_id"], two["envelope_id"]);
    bench.fault(json!({"fault": "delay_event", "ms": 100})).await;
    bench.alice("late").await;
    bench.alice("early").await;
    let texts =
        [socket.acked().await, socket.acked().await].map(|mut envelope| envelope["payload"]["event"]["text"].take());
    assert_eq!(texts, ["early", "late"]);
}

#[tokio::test]
async fn an_event_is_delivered_over_every_socket_and_once_more() {
    let bench = Bench::start().await;
    let mut sockets = [bench.connected().await, bench.connected().await, bench.connected().await];
    bench.fault(json!({"fault": "event_everywhere"})).await;
    bench.alice("everywhere").await;
    for socket in &mut sockets {
        assert_eq!(socket.acked().await["payload"]["event"]["text"], "everywhere");
    }
    let seen = bench.get("/sim/envelopes").await;
    let mut over: Vec<u64> =
        seen["envelopes"].as_array().unwrap().iter().map(|sent| sent["connection"].as_u64().unwrap()).collect();
    assert_eq!(over.len(), 4);
    over.sort_unstable();
    over.dedup();
    assert_eq!(over.len(), 3);
}

#[tokio::test]
async fn disconnects_name_their_reason_and_close_later() {
    let bench = Bench::start().await;
    let cases = [
        (json!({"fault": "refresh", "close_ms": 20}), "refresh_requested"),
        (json!({"fault": "warning", "close_ms": 20}), "warning"),
        (json!({"fault": "too_many"}), "too_many_websockets"),
        (json!({"fault": "link_disabled"}), "link_disabled"),
    ];
    for (fault, reason) in cases {
        let mut socket = bench.connected().await;
        bench.fault(fault).await;
        let frame = socket.json().await;
        assert_eq!((&frame["type"], &frame["reason"]), (&json!("disconnect"), &json!(reason)));
        assert!(frame["debug_info"]["host"].is_string());
        socket.ended().await;
        bench.until("/sim/state", |state| state["connections"] == 0).await;
    }
    let connections = bench.get("/sim/connections").await;
    assert_eq!(connections["connections"][0]["close_reason"], "refresh_requested");
}

#[tokio::test]
async fn a_disconnect_with_no_socket_strikes_the_next_one() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "refresh", "close_ms": 0})).await;
    let mut socket = bench.connected().await;
    assert_eq!(socket.json().await["reason"], "refresh_requested");
}

#[tokio::test]
async fn sockets_are_cut_and_silenced() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    bench.fault(json!({"fault": "cut"})).await;
    socket.ended().await;
    bench.until("/sim/state", |state| state["connections"] == 0).await;
    let mut silent = bench.connected().await;
    bench.fault(json!({"fault": "silence"})).await;
    bench.alice("anybody there?").await;
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(100), silent.frame()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(bench.get("/sim/state").await["connections"], 1);
    drop(silent);
    bench.until("/sim/state", |state| state["connections"] == 0).await;
}

#[tokio::test]
async fn sockets_are_refused_closed_early_and_left_without_hello() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "ws_refused"})).await;
    let refused = connect(&bench.ticket().await).await.unwrap_err();
    assert!(refused.to_string().contains("500"), "{refused}");
    bench.fault(json!({"fault": "close_before_hello"})).await;
    assert!(bench.socket().await.frame().await.is_none());
    bench.fault(json!({"fault": "no_hello"})).await;
    let mut mute = bench.socket().await;
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(100), mute.frame()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let connections = bench.get("/sim/connections").await;
    assert_eq!(connections["connections"][1]["greeted"], false);
}

#[tokio::test]
async fn garbage_and_injected_frames_arrive_as_they_are() {
    let bench = Bench::start().await;
    bench.fault(json!({"fault": "garbage", "text": ""})).await;
    let mut socket = bench.socket().await;
    assert_eq!(socket.text().await, "");
    assert_eq!(socket.json().await["type"], "hello");
    bench.sim("inject", json!({"frame": "UNAUTHENTICATED: cache_error"})).await;
    assert_eq!(socket.text().await, "UNAUTHENTICATED: cache_error");
    bench.sim("inject", json!({"frame": {"envelope_id": "e1", "type": "news"}})).await;
    assert_eq!(socket.json().await["envelope_id"], "e1");
    let injected = bench.sim("inject", json!({"event": {"type": "tokens_revoked"}})).await;
    let envelope = socket.acked().await;
    assert_eq!(envelope["envelope_id"], injected["envelope_id"]);
    assert_eq!(envelope["payload"]["event"]["type"], "tokens_revoked");
}

#[tokio::test]
async fn streams_are_unsupported_expired_and_stopped() {
    let bench = Bench::start().await;
    let root = bench.sim("messages", json!({"user": "U0BOB", "channel": "D0BOB", "text": "go"})).await["ts"].clone();
    let to = json!({"channel": "D0BOB", "thread_ts": root});
    bench.fault(json!({"fault": "stream_unsupported"})).await;
    assert_eq!(bench.api("chat.startStream", to.clone()).await["error"], "channel_type_not_supported");
    let expired = bench.api("chat.startStream", to.clone()).await["ts"].clone();
    bench.fault(json!({"fault": "stream_expired"})).await;
    let append = |ts: &Value| json!({"channel": "D0BOB", "ts": ts, "markdown_text": "x"});
    assert_eq!(bench.api("chat.appendStream", append(&expired)).await["error"], "message_not_in_streaming_state");
    let stopped = bench.api("chat.startStream", to).await["ts"].clone();
    bench.fault(json!({"fault": "stopped_by_user"})).await;
    for _ in 0..2 {
        assert_eq!(bench.api("chat.appendStream", append(&stopped)).await["error"], "stopped_by_user");
    }
}

#[tokio::test]
async fn a_socket_without_pings_stays_open() {
    let config =
        hitchline::simulator::Config { ping_every: std::time::Duration::from_millis(10), ..Default::default() };
    let bench = Bench::with(config).await;
    let mut socket = bench.connected().await;
    bench.fault(json!({"fault": "no_ping"})).await;
    // Pings that were on their way already may still come.
    let quiet =
        async { while tokio::time::timeout(std::time::Duration::from_millis(200), socket.frame()).await.is_ok() {} };
    tokio::time::timeout(crate::client::SOON, quiet).await.unwrap();
    bench.alice("still there?").await;
    assert_eq!(socket.acked().await["payload"]["event"]["text"], "still there?");
}
