//! A connection and its replacement side by side.

use std::time::Duration;

use serde_json::json;

use crate::bench::Bench;
use crate::logs;
use crate::server::Server;
use crate::subject::{Subject, clock};

// holds: T-5
#[tokio::test]
async fn f_04_a_refresh_opens_the_replacement_before_the_old_one_goes() {
    replaced("refresh", 10_000).await;
}

// holds: T-5
#[tokio::test]
async fn f_05_a_warning_of_one_second_is_time_enough_for_a_replacement() {
    replaced("warning", 1_000).await;
}

/// The server will close the connection after so long, and says so. What is said meanwhile is heard.
async fn replaced(fault: &str, close_ms: i64) {
    let bench = Bench::live().await;
    bench.pass(Duration::from_mins(1)).await;
    let asked = bench.now_ms();
    bench.fault(json!({"fault": fault, "close_ms": close_ms})).await;
    bench.say("in between").await;
    bench.another(1).await;
    bench.sockets(1).await;
    let connections = bench.connections().await;
    let [old, new] = connections.as_slice() else { panic!("{connections:?}") };
    let ms = |of: &serde_json::Value, what: &str| of[what].as_i64().unwrap();
    assert!(ms(new, "opened_ms") <= asked + 500, "at once: {new}");
    assert!(ms(new, "hello_ms") < ms(old, "closed_ms"), "{old} {new}");
    assert!(ms(old, "closed_ms") >= asked + close_ms, "the server ended it, not we: {old}");
    assert!(bench.subject.is_live());
    bench.acked(1).await;
    assert_eq!(bench.subject.inbox.times("in between"), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_machine_that_slept_replaces_a_connection_that_looks_alive() {
    let bench = Bench::live().await;
    bench.pass(Duration::from_mins(1)).await;
    let woke = bench.now_ms();
    bench.subject.wake.send_replace(());
    let new = bench.another(1).await;
    assert!(new["opened_ms"].as_i64().unwrap() <= woke + 500, "at once: {new}");
    bench.sockets(1).await;
    assert!(bench.subject.is_live());
    bench.end().await;
}

// holds: T-1, T-5
#[tokio::test]
async fn what_comes_on_the_old_connection_is_acknowledged_there() {
    let mut server = Server::start().await;
    let (clock, hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let mut old = server.greeted(1).await;
    subject.becomes_live().await;
    old.event("before", "hold it").await;
    old.send(&json!({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "by-hand"}})).await;
    let mut new = server.greeted(2).await;
    new.event("new", "on the new one").await;
    assert_eq!(new.ack().await, "new");
    old.event("late", "on the old one").await;
    assert_eq!(old.ack().await, "late");
    subject.inbox.let_go();
    assert_eq!(old.ack().await, "before");
    // Nobody closes it, so the link does, after a while.
    hand.advance(Duration::from_secs(8));
    new.event("on", "and on").await;
    assert_eq!(new.ack().await, "on");
    hand.advance(Duration::from_secs(8));
    old.ended().await;
    assert!(subject.is_live());
    drop((old, new));
    subject.end().await;
}

// holds: T-4
#[tokio::test]
async fn f_02_silence_without_traffic_is_noticed_and_replaced_beside_the_silent_one() {
    let bench = Bench::live().await;
    bench.pass(Duration::from_mins(1)).await;
    let silent = bench.now_ms();
    bench.fault(json!({"fault": "silence"})).await;
    bench.say("is anybody there?").await;
    let new = bench.another(1).await;
    assert!((8_000..=15_000).contains(&(new["opened_ms"].as_i64().unwrap() - silent)), "{new}");
    assert!(bench.subject.is_live(), "it never was without a connection");
    bench.sockets(1).await;
    let envelopes = bench.acked(1).await;
    assert_eq!(envelopes.last().unwrap()["connection"], new["id"], "{envelopes:?}");
    assert_eq!(bench.subject.inbox.times("is anybody there?"), 1);
    bench.end().await;
}

// holds: T-4
#[tokio::test]
async fn a_quiet_workspace_causes_no_reconnects() {
    let bench = Bench::live().await;
    bench.fault(json!({"fault": "no_ping"})).await;
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(bench.connections().await.len(), 1);
    bench.end().await;
}

// holds: T-6
#[tokio::test]
async fn f_06_too_many_connections_end_ours_before_a_new_one_is_tried_and_whoever_watches_is_told() {
    let bench = Bench::live().await;
    bench.pass(Duration::from_mins(1)).await;
    for round in 1..=4 {
        let asked = bench.now_ms();
        bench.fault(json!({"fault": "too_many"})).await;
        let new = bench.another(round).await;
        let old = &bench.connections().await[round - 1];
        assert!(old["closed_ms"].as_i64().unwrap() <= asked + 1_000, "{old}");
        assert!(new["opened_ms"].as_i64().unwrap() >= asked + 10_000, "no loop: {new}");
        let told = logs::with("more connections of this app than it allows");
        assert!(told.len() == round && told.iter().all(|line| line.contains("WARN")), "{told:?}");
    }
    bench.end().await;
}

// holds: T-4
#[tokio::test]
async fn f_03_a_connection_without_a_greeting_is_given_up() {
    let bench = Bench::with(&[json!({"fault": "no_hello"})]).await;
    let new = bench.another(1).await;
    bench.sockets(1).await;
    let first = &bench.connections().await[0];
    assert_eq!(first["greeted"], false);
    let waited = new["opened_ms"].as_i64().unwrap() - first["opened_ms"].as_i64().unwrap();
    assert!((30_000..=35_000).contains(&waited), "{waited} ms");
    bench.end().await;
}
