//! What goes wrong between us and an amplifierd server.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use hitchline::backend::error::BackendError;
use hitchline::backend::{Outcome, TurnEvent};
use hitchline::domain::agent::AgentEvent;
use serde_json::json;

use super::{Pair, finish, problem, prompt, soon, until};

#[tokio::test]
async fn f_58_a_stream_that_is_cut_is_joined_again_and_nothing_is_said_twice() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let heard = pair.turn(&session, "cut").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("one two three", Outcome::Completed));
    assert_eq!(pair.server.asked("/execute/stream"), 1, "what was accepted is not sent again");
    assert_eq!(pair.turn(&session, "hello").await.text, "echo: hello");
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_58_a_record_that_can_not_be_read_is_asked_for_again() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    // Before the prompt, and when its stream breaks.
    for _ in 0..2 {
        pair.server.answer("/transcript", StatusCode::INTERNAL_SERVER_ERROR);
    }
    let heard = pair.turn(&session, "cut").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("one two three", Outcome::Completed));
    assert_eq!(pair.server.asked("/transcript"), 3);
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_58_a_turn_that_is_lost_with_its_server_says_so_and_the_session_goes_on() {
    let mut pair = Pair::new().await;
    let session = pair.start().await;
    let stream = session.prompt(prompt("wait")).await.unwrap();
    let id = session.backend_ref().0;
    until("it runs", || pair.server.status(&id) == Some("executing")).await;
    pair.server.down().await;
    pair.server.up().await;
    let outcome = finish(stream, &session).await.outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains("restarted")),
        "{outcome:?}"
    );
    assert_eq!(pair.turn(&session, "hello").await.text, "echo: hello");
    assert_eq!(pair.server.asked("/resume"), 1);
    pair.finish(&session).await;
}

#[tokio::test]
async fn an_event_that_is_too_long_is_read_from_the_record() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let heard = pair.turn(&session, "long").await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert_eq!(
        (heard.text.len(), heard.text.starts_with("before x"), heard.text.ends_with("x after")),
        ((2 << 20) + 13, true, true)
    );
    let longest = heard.events.iter().map(|event| match event {
        AgentEvent::Text { delta, .. } => delta.len(),
        _ => 0,
    });
    assert!(longest.max().unwrap() <= 16 * 1024, "a reader that stalls holds little");
    pair.finish(&session).await;
}

// holds: S-2, S-10
#[tokio::test]
async fn f_59_a_session_that_the_server_has_put_away_is_resumed_once() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    pair.server.put_all_away();
    assert_eq!(pair.turn(&session, "again").await.text, "echo: again");
    assert_eq!((pair.server.asked("/resume"), pair.server.asked("/execute/stream")), (1, 3));
    pair.server.forget_all();
    assert_eq!(pair.turn(&session, "gone").await.outcome, Outcome::Failed(BackendError::Unknown));
    assert_eq!((pair.server.asked("/resume"), pair.server.asked("/execute/stream")), (2, 4));
    assert_eq!(pair.restore(&session.backend_ref()).await.unwrap_err(), BackendError::Unknown);
    pair.finish(&session).await;
}

// holds: S-2, S-5
#[tokio::test]
async fn f_59_a_session_that_is_put_away_again_while_its_prompt_waits_is_not_gone() {
    let (pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    let gone = || problem(StatusCode::NOT_FOUND, "session-not-found", "not here");
    pair.server.answer("/execute/stream", gone());
    pair.server.answer("/execute/stream", problem(StatusCode::CONFLICT, "execution-in-progress", "busy"));
    pair.server.answer("/execute/stream", gone());
    let stream = session.prompt(prompt("hello")).await.unwrap();
    let turning = until("it was tried to the end", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked("/execute/stream") >= 3
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!((heard.text.as_str(), heard.outcome), ("echo: hello", Outcome::Completed));
    assert_eq!((pair.server.asked("/resume"), pair.server.asked("/execute/stream")), (2, 4));
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_60_a_busy_server_is_asked_again_and_the_person_is_told_once() {
    let (pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    for _ in 0..3 {
        pair.server.answer("/execute/stream", problem(StatusCode::CONFLICT, "execution-in-progress", "busy"));
    }
    let stream = session.prompt(prompt("hello")).await.unwrap();
    let turning = until("it was asked again", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked("/execute/stream") == 4
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!(
        (heard.text.as_str(), heard.outcome, notices(&heard.events).len()),
        ("echo: hello", Outcome::Completed, 1)
    );
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_61_a_server_that_is_down_for_ten_minutes_is_waited_for() {
    let (mut pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    pair.server.down().await;
    let mut stream = session.prompt(prompt("hello again")).await.unwrap();
    let first = soon(stream.next()).await;
    assert!(
        matches!(&first, Some(TurnEvent::Agent(AgentEvent::Notice(said))) if said.contains("can't be reached")),
        "{first:?}"
    );
    assert_eq!(session.prompt(prompt("later")).await.unwrap_err(), BackendError::Busy, "nobody overtakes it");
    let mut waited = 0;
    while waited < 600 {
        hand.advance(Duration::from_secs(31));
        waited += 31;
        // Each attempt shows that it is still waited for.
        let event = soon(stream.next()).await;
        assert!(matches!(event, Some(TurnEvent::Agent(AgentEvent::Tool(_)))), "{event:?}");
    }
    pair.server.up().await;
    let turning = until("it is handed over", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked("/execute/stream") >= 2
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!((heard.text.as_str(), heard.outcome), ("echo: hello again", Outcome::Completed));
    assert_eq!(notices(&heard.events), [""; 0], "one notice is enough");
    assert_eq!(pair.server.asked("/resume"), 1, "its restart put the session away");
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_61_a_server_that_is_down_behind_a_proxy_is_waited_for() {
    let (pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    pair.server.answer("GET /events", StatusCode::BAD_GATEWAY);
    pair.server.answer("GET /events", StatusCode::GATEWAY_TIMEOUT);
    let stream = session.prompt(prompt("hello")).await.unwrap();
    let turning = until("it is handed over", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked("/execute/stream") == 1 || pair.scope.running() == 0
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!((heard.text.as_str(), heard.outcome), ("echo: hello", Outcome::Completed));
    assert_eq!(pair.server.asked("GET /events"), 3);
    pair.finish(&session).await;
}

fn notices(events: &[AgentEvent]) -> Vec<&str> {
    let notices = events.iter().filter_map(|event| match event {
        AgentEvent::Notice(text) => Some(text.as_str()),
        _ => None,
    });
    notices.collect()
}

#[tokio::test]
async fn a_prompt_that_may_have_arrived_is_not_sent_again() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    // The answer breaks off: a body that is shorter than it was said to be.
    let broken =
        axum::body::Body::from_stream(futures_util::stream::iter([Err::<&str, _>(std::io::Error::other("cut"))]));
    pair.server.answer("/execute/stream", (StatusCode::ACCEPTED, broken));
    let outcome = pair.turn(&session, "hello").await.outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains("broke")),
        "{outcome:?}"
    );
    assert_eq!(pair.server.asked("/execute/stream"), 1);
    // What may run is seen to before the next prompt.
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    assert_eq!((pair.server.asked("/resume"), pair.server.asked("/execute/stream")), (1, 2));
    pair.finish(&session).await;
}

#[tokio::test]
async fn a_prompt_that_is_accepted_and_not_begun_fails() {
    let (pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    let id = session.backend_ref().0;
    assert_eq!(pair.turn(&session, "hello").await.text, "echo: hello", "an earlier prompt reads the same");
    pair.server.answer("/execute/stream", (StatusCode::ACCEPTED, Json(json!({"correlation_id": "x"}))));
    let stream = session.prompt(prompt("hello")).await.unwrap();
    until("it was accepted", || pair.server.asked("/execute/stream") == 2).await;
    let turning = until("its record is read", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked(&format!("GET /sessions/{id}/transcript")) == 3
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!(heard.text, "", "the earlier answer is not given twice");
    assert!(
        matches!(&heard.outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains("did not begin")),
        "{heard:?}"
    );
    pair.finish(&session).await;
}
