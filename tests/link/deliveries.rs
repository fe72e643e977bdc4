//! Commit first, then acknowledge; and each event for itself.

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::logs;
use crate::server::Server;
use crate::subject::{Subject, clock};

fn acks(envelopes: &[Value]) -> Vec<u64> {
    envelopes.iter().map(|envelope| envelope["acks"].as_u64().unwrap()).collect()
}

// holds: T-1
#[tokio::test]
async fn what_is_not_stored_is_not_acknowledged_and_comes_again() {
    let bench = Bench::live().await;
    bench.say("refuse me").await;
    let envelopes = bench.acked(1).await;
    assert_eq!(acks(&envelopes), [0, 1]);
    assert_eq!(envelopes[0]["event_id"], envelopes[1]["event_id"]);
    assert_eq!(bench.subject.inbox.times("refuse me"), 2);
    bench.end().await;
}

// holds: T-8
#[tokio::test]
async fn a_crash_in_one_events_handling_is_logged_and_stops_no_other() {
    let bench = Bench::live().await;
    bench.say("crash here").await;
    bench.say("and go on").await;
    let envelopes = bench.acked(2).await;
    assert_eq!(acks(&envelopes), [0, 1, 1]);
    assert_eq!(envelopes[0]["event_id"], envelopes[2]["event_id"]);
    assert_eq!(bench.connections().await.len(), 1, "the connection is the same");
    let lines = logs::with("its handling crashed");
    assert_eq!(lines.len(), 1);
    assert!(["U0ALICE", "D0ALICE", "thread"].iter().all(|what| lines[0].contains(what)), "{lines:?}");
    assert!(logs::with("crash here").is_empty(), "what people write is not logged");
    bench.end().await;
}

// holds: T-1
#[tokio::test]
async fn an_acknowledgement_waits_for_its_own_commit_only() {
    let bench = Bench::live().await;
    bench.say("hold this").await;
    bench.say("and that").await;
    let one_acked = |all: &Value| (all["envelopes"][1]["acks"] == 1).then(|| all["envelopes"][0]["acks"].clone());
    assert_eq!(bench.settles("envelopes", one_acked).await, 0);
    bench.subject.inbox.let_go();
    bench.settles("envelopes", |all| (all["envelopes"][0]["acks"] == 1).then_some(())).await;
    bench.end().await;
}

// holds: T-1
#[tokio::test]
async fn a_duplicate_is_acknowledged_like_the_first_one() {
    let bench = Bench::live().await;
    bench.fault(json!({"fault": "duplicate_event"})).await;
    bench.say("twice").await;
    assert_eq!(acks(&bench.acked(2).await), [1, 1]);
    bench.end().await;
}

// holds: T-1
#[tokio::test]
async fn what_is_under_way_at_the_end_is_still_acknowledged() {
    let mut server = Server::start().await;
    let (clock, _hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let mut socket = server.greeted(1).await;
    subject.becomes_live().await;
    socket.event("e1", "hold the door").await;
    socket.event("e2", "next").await;
    assert_eq!(socket.ack().await, "e2");
    subject.close();
    subject.inbox.let_go();
    assert_eq!(socket.ack().await, "e1");
    socket.ended().await;
    // The server has said goodbye, too, and leaves the line open all the same: that is enough.
    subject.end().await;
}
