//! Faults in any order, with deliveries in between.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime;

use crate::bench::{Bench, list};

/// How long two greeted connections may stand side by side: the link's overlap, a goodbye, and what the test's clock is coarse.
const TWO: i64 = 15_000 + 1_000 + 2_000;
/// How long three may: a goodbye, and what the test's clock is coarse.
const THREE: i64 = 1_000 + 2_000;

#[derive(Debug, Clone)]
enum Step {
    /// Somebody writes; the word says what becomes of its first delivery.
    Say(&'static str),
    /// Something goes wrong.
    Fault(Value),
    /// Time passes, in milliseconds.
    Pass(u64),
}

fn fault() -> impl Strategy<Value = Value> {
    let open = "apps.connections.open";
    prop_oneof![
        3 => Just(json!({"fault": "cut"})),
        2 => (0u64..15_000).prop_map(|ms| json!({"fault": "refresh", "close_ms": ms})),
        2 => (0u64..15_000).prop_map(|ms| json!({"fault": "warning", "close_ms": ms})),
        1 => Just(json!({"fault": "too_many"})),
        1 => Just(json!({"fault": "link_disabled"})),
        2 => Just(json!({"fault": "silence"})),
        1 => Just(json!({"fault": "no_hello"})),
        1 => Just(json!({"fault": "no_ping"})),
        1 => "\\PC{0,8}".prop_map(|text| json!({"fault": "garbage", "text": text})),
        1 => Just(json!({"fault": "close_before_hello"})),
        1 => Just(json!({"fault": "ws_refused"})),
        2 => Just(json!({"fault": "duplicate_event"})),
        1 => (0u64..5_000).prop_map(|ms| json!({"fault": "delay_event", "ms": ms})),
        1 => (1u64..20).prop_map(move |s| json!({"fault": "http_429", "retry_after": s, "method": open})),
        1 => Just(json!({"fault": "http_500", "method": open})),
        1 => Just(json!({"fault": "lost_reply", "method": open})),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![3 => Just("say"), 1 => Just("refuse"), 1 => Just("crash")].prop_map(Step::Say),
        4 => fault().prop_map(Step::Fault),
        3 => (0u64..30_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    // holds: T-1, T-4, T-5, T-6
    #[test]
    fn every_event_is_acknowledged_and_the_link_ends_connected(script in proptest::collection::vec(step(), 1..12)) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(script))?;
    }
}

async fn play(script: Vec<Step>) -> Result<(), TestCaseError> {
    let bench = Bench::live().await;
    for (number, step) in script.into_iter().enumerate() {
        match step {
            Step::Say(word) => bench.say(&format!("{word} {number}")).await,
            Step::Fault(fault) => bench.fault(fault).await,
            Step::Pass(ms) => bench.pass(Duration::from_millis(ms)).await,
        }
    }
    // The server is well from now on.
    bench.no_more_faults().await;
    bench.well().await;
    bench.say("say the last word").await;
    let envelopes = bench.comes("envelopes", all_acknowledged).await;
    bench.well().await;
    prop_assert_eq!(bench.subject.inbox.times("say the last word"), 1);
    for envelope in &envelopes {
        prop_assert!(envelope["acks"].as_u64() <= Some(1), "acknowledged twice: {}", envelope);
    }
    let connections = bench.connections().await;
    let now = bench.now_ms();
    prop_assert!(longest_together(&connections, 2, now) <= TWO, "{:?}", connections);
    prop_assert!(longest_together(&connections, 3, now) <= THREE, "{:?}", connections);
    bench.end().await;
    Ok(())
}

/// All envelopes, once each event has one that was acknowledged.
fn all_acknowledged(answer: &Value) -> Option<Vec<Value>> {
    let envelopes = list(answer, "envelopes");
    let mut events: BTreeMap<String, bool> = BTreeMap::new();
    for envelope in &envelopes {
        *events.entry(envelope["event_id"].to_string()).or_default() |= envelope["acks"] != 0;
    }
    events.values().all(|acked| *acked).then_some(envelopes)
}

/// For how many milliseconds the same `count` greeted connections were open at once, at most.
fn longest_together(connections: &[Value], count: usize, now: i64) -> i64 {
    let span = |connection: &Value| {
        let from = connection["hello_ms"].as_i64()?;
        Some((from, connection["closed_ms"].as_i64().unwrap_or(now)))
    };
    let mut spans: Vec<_> = connections.iter().filter_map(span).collect();
    spans.sort_unstable();
    // Of those that were open when a connection was greeted, the longest-lived ones stay with it.
    let beside = |(at, (from, until)): (usize, &(i64, i64))| {
        let mut ends: Vec<_> = spans[..at].iter().map(|(_, end)| (*end).min(*until) - from).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(count - 2).copied().unwrap_or(0)
    };
    spans.iter().enumerate().map(beside).max().unwrap_or(0)
}

#[test]
fn time_together_is_counted_for_the_same_connections() {
    let connection = |hello: i64, closed: i64| json!({"hello_ms": hello, "closed_ms": closed});
    let chain = [connection(0, 15), connection(10, 25), connection(20, 40)];
    assert_eq!(longest_together(&chain, 2, 100), 5);
    assert_eq!(longest_together(&chain, 3, 100), 0);
    let crowd = [connection(0, 15), connection(10, 25), json!({"hello_ms": 12}), json!({"opened_ms": 3})];
    assert_eq!(longest_together(&crowd, 2, 100), 13);
    assert_eq!(longest_together(&crowd, 3, 100), 3);
}
