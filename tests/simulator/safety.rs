//! Who may talk to it.

use hitchline::simulator::{Config, StartError, start};
use serde_json::json;

use crate::client::Bench;

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let config = Config { listen: "0.0.0.0:0".parse().unwrap(), ..Config::default() };
    let refused = start(config).await.unwrap_err();
    assert!(matches!(refused, StartError::NotLoopback(_)));
    assert!(refused.to_string().contains("127.0.0.1"), "{refused}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let bench = Bench::start().await;
    let taken = start(Config { listen: bench.simulator.address(), ..Config::default() }).await.unwrap_err();
    assert!(taken.to_string().contains(&bench.simulator.address().to_string()), "{taken}");
}

#[tokio::test]
async fn foreign_pages_can_neither_read_nor_write() {
    let bench = Bench::start().await;
    let body = json!({"user": "U0ALICE", "channel": "C0GENERAL", "text": "x"});
    let foreign = bench.http.post(bench.url("/sim/messages")).json(&body).header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status().as_u16(), 403);
    for path in ["/", "/sim/state"] {
        let rebound = bench.http.get(bench.url(path)).header("host", "evil.example");
        assert_eq!(rebound.send().await.unwrap().status().as_u16(), 403, "{path}");
        assert_eq!(bench.http.get(bench.url(path)).send().await.unwrap().status().as_u16(), 200, "{path}");
    }
    let untouched = bench.get("/sim/messages?channel=C0GENERAL").await;
    assert_eq!(untouched, json!({"messages": []}));
}

#[tokio::test]
async fn a_bad_request_is_explained_in_json() {
    let bench = Bench::start().await;
    let missing = bench.http.post(bench.url("/sim/messages")).json(&json!({"user": "U0ALICE"})).send().await.unwrap();
    assert_eq!(missing.status().as_u16(), 422);
    let body: serde_json::Value = missing.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("channel"), "{body}");
}
