//! Socket Mode: hello, envelopes, acknowledgements, redelivery.

use std::time::Duration;

use hitchline::simulator::Config;
use serde_json::json;

use crate::client::{Bench, connect};

#[tokio::test]
async fn hello_has_all_fields() {
    let bench = Bench::start().await;
    let mut first = bench.socket().await;
    let hello = first.json().await;
    assert_eq!((&hello["type"], &hello["num_connections"]), (&json!("hello"), &json!(1)));
    assert_eq!(hello["connection_info"]["app_id"], "A0SIM");
    assert!(hello["debug_info"]["host"].is_string() && hello["debug_info"]["build_number"].is_number());
    assert_eq!(hello["debug_info"]["approximate_connection_time"], 18_060);
    assert_eq!(bench.socket().await.json().await["num_connections"], 2);
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let bench = Bench::start().await;
    let url = bench.ticket().await;
    let _socket = connect(&url).await.unwrap();
    let refused = connect(&url).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}

#[tokio::test]
async fn the_eleventh_socket_is_one_too_many() {
    let bench = Bench::start().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(bench.connected().await);
    }
    let mut eleventh = bench.connected().await;
    assert_eq!(eleventh.json().await["reason"], "too_many_websockets");
    eleventh.ended().await;
    assert_eq!(bench.get("/sim/connections").await["max_live"], 11);
}

#[tokio::test]
async fn an_event_is_delivered_and_its_acks_are_counted() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let ts = bench.alice("good morning").await;
    let envelope = socket.acked().await;
    assert_eq!((&envelope["type"], &envelope["accepts_response_payload"]), (&json!("events_api"), &json!(false)));
    let event = &envelope["payload"]["event"];
    assert_eq!(
        (&event["text"], &event["ts"], &event["channel_type"]),
        (&json!("good morning"), &json!(ts), &json!("channel"))
    );
    let acked = bench.until("/sim/envelopes", |seen| seen["envelopes"][0]["acks"] == 1).await;
    let record = &acked["envelopes"][0];
    assert_eq!((&record["event_id"], &record["connection"]), (&envelope["payload"]["event_id"], &json!(0)));
    assert!(record["acked_ms"].as_i64() >= record["sent_ms"].as_i64());
}

#[tokio::test]
async fn an_event_without_ack_comes_again_in_a_new_envelope() {
    let redelivery = vec![Duration::from_millis(50), Duration::from_millis(50)];
    let bench = Bench::with(Config { redelivery, ..Config::default() }).await;
    let mut socket = bench.connected().await;
    bench.alice("anyone?").await;
    let first = socket.json().await;
    let second = socket.json().await;
    let third = socket.acked().await;
    assert_eq!(
        [&first, &second, &third].map(|envelope| envelope["retry_attempt"].as_u64()),
        [Some(0), Some(1), Some(2)]
    );
    assert_eq!(first["payload"]["event_id"], third["payload"]["event_id"]);
    assert_ne!(first["envelope_id"], second["envelope_id"]);
    assert_eq!(third["retry_reason"], "timeout");
}

#[tokio::test]
async fn an_event_goes_to_one_socket_only() {
    let bench = Bench::start().await;
    let (mut one, mut two) = (bench.connected().await, bench.connected().await);
    for _ in 0..20 {
        bench.alice("tick").await;
    }
    let mut seen = 0;
    while seen < 20 {
        tokio::select! {
            _ = one.json() => seen += 1,
            _ = two.json() => seen += 1,
        }
    }
    let records = bench.get("/sim/envelopes").await;
    assert_eq!(records["envelopes"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn the_server_pings() {
    let bench = Bench::with(Config { ping_every: Duration::from_millis(20), ..Config::default() }).await;
    let mut socket = bench.connected().await;
    let ping = socket.frame().await.unwrap();
    assert!(ping.is_ping() && ping.into_data().starts_with(b"Ping from "));
}

#[tokio::test]
async fn stopping_closes_the_sockets_in_order() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let address = bench.simulator.address();
    let ((), ()) = tokio::join!(bench.simulator.stop(), socket.ended());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn dropping_it_ends_it() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let address = bench.simulator.address();
    drop(bench.simulator);
    socket.ended().await;
    let refused = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(crate::client::SOON, refused).await.expect("the listener is gone");
}
