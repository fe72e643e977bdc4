//! Frames that are not as they should be.

use std::time::Duration;

use hitchline::slack::LinkState;
use hitchline::slack::wire::{LONGEST_FRAME, LONGEST_READ};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;

use crate::server::{Server, Socket};
use crate::subject::{SOON, Subject, clock};

async fn connected() -> (Server, Socket, Subject) {
    let mut server = Server::start().await;
    let (clock, _hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let socket = server.greeted(1).await;
    subject.becomes_live().await;
    (server, socket, subject)
}

// holds: T-7
#[tokio::test]
async fn f_13_odd_frames_are_passed_over_and_acknowledged_when_they_have_an_id() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let (_server, mut socket, subject) = connected().await;
    socket.binary(b"\x00\xff{\"type\": \"events_api\"}").await;
    for odd in ["", "UNAUTHENTICATED: cache_error", "{", "null", "[]", "{\"type\": 7}", "{\"type\": \"events_api\"}"] {
        socket.text(odd).await;
    }
    socket.send(&json!({"envelope_id": "e1", "type": "news_of_tomorrow", "payload": {}})).await;
    assert_eq!(socket.ack().await, "e1");
    socket.text(r#"{"envelope_id": "e2", "type": "events_api", "payload": {"#).await;
    assert_eq!(socket.ack().await, "e2");
    socket.send(&json!({"envelope_id": "e3", "type": "events_api", "payload": {"event": null}})).await;
    assert_eq!(socket.ack().await, "e3");
    socket.event("e4", "still here").await;
    assert_eq!(socket.ack().await, "e4");
    assert_eq!(subject.inbox.times("still here"), 1);
    let counted = recorder.handle().render();
    assert!(counted.contains("hitchline_events_ignored_total{reason=\"binary\"} 1\n"), "{counted}");
    drop(socket);
    subject.end().await;
}

// holds: T-7
#[tokio::test]
async fn f_13_a_frame_too_long_to_be_read_is_acknowledged_and_not_delivered_and_its_connection_kept() {
    let (_server, mut socket, subject) = connected().await;
    // The second one is nearly as long as what costs the connection.
    for (id, length) in [("long", LONGEST_READ), ("longest", LONGEST_FRAME - 1_000)] {
        let text = "x".repeat(length);
        socket.event(id, &text).await;
        assert_eq!(socket.ack().await, id);
        assert_eq!(subject.inbox.times(&text), 0);
    }
    socket.event("short", "still here").await;
    assert_eq!(socket.ack().await, "short");
    assert_eq!(subject.inbox.times("still here"), 1);
    drop(socket);
    subject.end().await;
}

// holds: T-7
#[tokio::test]
async fn a_frame_too_long_to_be_taken_costs_the_connection_and_no_more() {
    let (mut server, mut socket, mut subject) = connected().await;
    let _broken_off = socket.flood("x".repeat(LONGEST_FRAME + 1)).await;
    subject.becomes(|state| *state == LinkState::Connecting).await;
    let mut next = server.greeted(1).await;
    next.event("e1", "still here").await;
    assert_eq!(next.ack().await, "e1");
    drop((socket, next));
    subject.end().await;
}

// holds: T-6
#[tokio::test]
async fn a_goodbye_is_the_end_even_when_the_line_stays_open() {
    let (mut server, mut socket, subject) = connected().await;
    socket.goodbye().await;
    let mut next = server.greeted(1).await;
    socket.ended().await;
    next.event("e1", "still here").await;
    assert_eq!(next.ack().await, "e1");
    drop(next);
    subject.end().await;
}

// holds: T-1
#[tokio::test]
async fn a_server_that_takes_no_acknowledgements_is_given_up() {
    let mut server = Server::start().await;
    let (clock, hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let mut socket = server.greeted(1).await;
    subject.becomes_live().await;
    // The acknowledgements pile up on the way, as long as their ids, until nothing moves any more.
    let id = "1".repeat(10_000);
    let flood = async { while socket.flood(json!({"envelope_id": id, "type": "news"}).to_string()).await {} };
    let time = async {
        loop {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            hand.advance(Duration::from_millis(100));
        }
    };
    let ended = async {
        tokio::select! { () = flood => {}, () = time => {} }
    };
    tokio::time::timeout(SOON, ended).await.expect("the connection is broken off");
    subject.end().await;
}
