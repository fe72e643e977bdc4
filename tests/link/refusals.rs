//! When Slack says no, and when somebody else is there.

use std::time::Duration;

use hitchline::slack::LinkState;
use serde_json::json;
use tokio::net::TcpListener;

use crate::bench::Bench;
use crate::logs;
use crate::server::Server;
use crate::subject::{Subject, clock};

const OPEN: &str = "apps.connections.open";
/// The warning about connections that are not ours.
const OTHERS: &str = "another process gets a share of the messages";

fn reason(state: &LinkState) -> &str {
    match state {
        LinkState::Halted { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn is_halted(state: &LinkState) -> bool {
    matches!(state, LinkState::Halted { .. })
}

// holds: T-5
#[tokio::test]
async fn f_07_a_link_that_is_switched_off_says_what_to_do_and_looks_again_slowly() {
    let mut bench = Bench::live().await;
    bench.fault(json!({"fault": "link_disabled"})).await;
    let status = bench.subject.becomes(is_halted).await;
    assert!(reason(&status.state).contains("Socket Mode"), "{status:?}");
    assert_eq!(status.auth_refused, None);
    bench.sockets(0).await;
    bench.another(1).await;
    bench.subject.becomes_live().await;
    let attempts = bench.attempts().await;
    assert!(attempts.len() == 2 && attempts[1] - attempts[0] >= 300_000, "{attempts:?}");
    bench.end().await;
}

// holds: T-6
#[tokio::test]
async fn a_refused_token_is_named_and_tried_again_slowly() {
    for error in ["invalid_auth", "missing_scope"] {
        refused(error).await;
    }
}

async fn refused(error: &str) {
    let fault = json!({"fault": "api_error", "error": error, "method": OPEN});
    let mut bench = Bench::with(&[fault]).await;
    let status = bench.subject.becomes(is_halted).await;
    assert!(reason(&status.state).contains("slack.app_token"), "{status:?}");
    assert_eq!(status.auth_refused.as_deref(), Some(error));
    bench.another(0).await;
    bench.subject.becomes_live().await;
    assert_eq!(bench.subject.status.borrow().auth_refused, None);
    let attempts = bench.attempts().await;
    assert!(attempts.len() == 2 && attempts[1] - attempts[0] >= 300_000, "{attempts:?}");
    bench.end().await;
}

// holds: T-6
#[tokio::test]
async fn slacks_own_word_about_waiting_is_kept() {
    let fault = json!({"fault": "http_429", "retry_after": 90, "method": OPEN});
    let bench = Bench::with(&[fault]).await;
    bench.another(0).await;
    let attempts = bench.attempts().await;
    assert!(attempts.len() == 2 && (90_000..=95_000).contains(&(attempts[1] - attempts[0])), "{attempts:?}");
    bench.end().await;
}

// holds: T-6
#[tokio::test]
async fn f_08_a_server_that_is_broken_is_tried_until_it_is_well() {
    let bench = Bench::with(&[
        json!({"fault": "http_500", "method": OPEN}),
        json!({"fault": "lost_reply", "method": OPEN}),
        json!({"fault": "api_error", "error": "fatal_error", "method": OPEN}),
        json!({"fault": "ws_refused"}),
        json!({"fault": "close_before_hello"}),
    ])
    .await;
    bench.comes("connections", |all| (all["connections"].get(1)?["greeted"] == true).then_some(())).await;
    assert_eq!(bench.attempts().await.len(), 6);
    bench.end().await;
}

// holds: T-4
#[tokio::test]
async fn somebody_elses_connection_is_warned_of_and_our_own_is_not() {
    let mut server = Server::start().await;
    let (clock, hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let mut first = server.greeted(1).await;
    subject.becomes_live().await;
    hand.advance(Duration::from_secs(5));
    first.send(&json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    let mut second = server.greeted(2).await;
    second.event("e1", "hello").await;
    assert_eq!(second.ack().await, "e1");
    assert_eq!(logs::with(OTHERS), [""; 0], "both are ours");
    hand.advance(Duration::from_secs(5));
    second.send(&json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    let mut third = server.greeted(9).await;
    third.event("e2", "hello").await;
    assert_eq!(third.ack().await, "e2");
    assert_eq!(logs::with(OTHERS).len(), 1);
    drop((first, second, third));
    subject.end().await;
}

// holds: T-4
#[tokio::test]
async fn a_connection_that_is_being_opened_is_one_of_ours() {
    let mut server = Server::start().await;
    let (clock, _hand) = clock();
    let mut first = Subject::start(&server.base(), clock.clone());
    let mut socket = server.socket().await;
    // The second one's request for an address has been sent, and is never answered.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = first.beside(&format!("http://{}", slow.local_addr().unwrap()), clock);
    let _asking = slow.accept().await.unwrap();
    socket.greet(2).await;
    first.becomes_live().await;
    assert_eq!(logs::with(OTHERS), [""; 0]);
    drop(socket);
    second.close();
    first.end().await;
    second.end().await;
}

// holds: T-6
#[tokio::test]
async fn a_failed_attempt_is_one_line_with_its_cause_and_what_comes_next() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (clock, hand) = clock();
    let subject = Subject::start(&format!("http://{nobody}"), clock);
    for attempts in 1..=2 {
        subject.wait_for_log("could not be opened", attempts).await;
        hand.advance(Duration::from_secs(2));
    }
    for line in logs::with("could not be opened") {
        assert!(line.contains("Connection refused (os error 111)") && line.contains("next_attempt_ms="), "{line}");
        assert!(!line.contains(&nobody.to_string()), "no address: {line}");
    }
    assert_eq!(logs::with("is gone"), [""; 0], "none was there");
    subject.end().await;
}

// holds: T-4
#[tokio::test]
async fn an_attempt_that_nobody_answers_is_a_failed_one() {
    let mut server = Server::start().await;
    let (clock, hand) = clock();
    let subject = Subject::start(&server.base(), clock);
    let socket = server.socket().await;
    hand.advance(Duration::from_secs(31));
    subject.wait_for_log("could not be opened", 1).await;
    assert_eq!(logs::with("is gone"), [""; 0], "it was never greeted");
    drop(socket);
    subject.end().await;
}
