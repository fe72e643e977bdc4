//! Agents behind an amplifierd server, over a server of ours that behaves as the real one was recorded.

mod faults;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use hitchline::backend::config::{self, Config};
use hitchline::backend::error::{BackendError, Kind, Phase};
use hitchline::backend::{Outcome, Session, TurnEvent, TurnStream};
use hitchline::clock::{Clock, Hand};
use hitchline::domain::agent::{AgentEvent, Attachment, OptionKind, Progress};
use hitchline::secret::SecretString;
use serde_json::json;

use super::amplifierd_server::{Amplifierd, problem};
use super::peer::{Heard, Peer, Reach, hear, prompt, soon, turn, until};
use super::server::Server;

/// A backend over a server of its own, with a proxy before it.
pub(super) async fn peer() -> Peer {
    let server = Server::amplifierd().await;
    let config = config::Amplifierd { url: server.proxy.url(), ..config::Amplifierd::default() };
    let peer = Peer::of(&Config::Amplifierd(config));
    Peer { ask: None, silent: "wait", crowd: 100, reach: Reach::Server(Arc::new(server)), ..peer }
}

/// A backend and its server, which the test commands.
struct Pair {
    peer: Peer,
    server: Amplifierd,
}

impl Pair {
    async fn new() -> Self {
        Self::at(Clock::system(), |_| {}).await
    }

    /// The same with a clock that the test turns.
    async fn manual() -> (Self, Hand) {
        let (clock, hand) = Clock::manual(0);
        (Self::at(clock, |_| {}).await, hand)
    }

    async fn at(clock: Clock, adjust: impl FnOnce(&mut config::Amplifierd)) -> Self {
        let server = Amplifierd::start().await;
        let mut config = config::Amplifierd { url: server.url(), ..config::Amplifierd::default() };
        adjust(&mut config);
        Self { peer: Peer::at(clock, &Config::Amplifierd(config)), server }
    }

    async fn turn(&self, session: &Arc<dyn Session>, text: &str) -> Heard {
        turn(session, text, OptionKind::AllowOnce).await
    }
}

impl Deref for Pair {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Pair {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

async fn finish(stream: TurnStream, session: &Arc<dyn Session>) -> Heard {
    hear(session, stream, OptionKind::AllowOnce).await
}

#[tokio::test]
async fn a_turn_asks_what_was_recorded_and_in_that_order() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let heard = pair.turn(&session, "hello").await;
    assert_eq!((heard.text.as_str(), &heard.events[0]), ("echo: hello", &AgentEvent::Thought("hmm".to_owned())));
    pair.finish(&session).await;
    let expected = [
        "GET /ready",
        "POST /sessions",
        "GET /sessions/ID/transcript",
        // The events first, so that none is missed.
        "GET /events",
        "POST /sessions/ID/execute/stream",
        "DELETE /sessions/ID",
    ];
    assert_eq!((pair.server.lines(), pair.server.live()), (expected.map(ToOwned::to_owned).to_vec(), 0));
}

#[tokio::test]
async fn tools_show_how_far_they_are() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let heard = pair.turn(&session, "tool").await;
    let of_tool = |event: &AgentEvent| match event {
        AgentEvent::Tool(call) => call.status,
        _ => None,
    };
    let tools: Vec<Progress> = heard.events.iter().filter_map(of_tool).collect();
    assert_eq!((tools, heard.outcome), (vec![Progress::Running, Progress::Done], Outcome::Completed));
    pair.finish(&session).await;
}

#[tokio::test]
async fn a_failed_turn_says_why_and_the_next_one_works() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    for (text, kind) in
        [("rate", "RateLimitError: rate limited"), ("boom", "RuntimeError: kaboom"), ("empty", "without an answer")]
    {
        let outcome = pair.turn(&session, text).await.outcome;
        assert!(
            matches!(&outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains(kind)),
            "{outcome:?}"
        );
    }
    assert_eq!(pair.turn(&session, "auth").await.outcome, Outcome::Failed(BackendError::Auth("bad key".to_owned())));
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    pair.finish(&session).await;
}

#[tokio::test]
async fn a_cancelled_session_is_made_anew_before_its_next_prompt_and_not_sooner() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("it runs", || pair.server.status(&session.backend_ref().0) == Some("executing")).await;
    session.cancel().await.unwrap();
    assert_eq!(finish(stream, &session).await.outcome, Outcome::Cancelled);
    assert_eq!(pair.server.asked("/resume"), 0);
    let heard = pair.turn(&session, "hello").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("echo: hello", Outcome::Completed));
    assert_eq!(pair.server.asked("/resume"), 1);
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_51_a_turn_that_ignores_its_cancellation_speaks_into_no_other() {
    let (pair, hand) = Pair::manual().await;
    let session = pair.start().await;
    let id = session.backend_ref().0;
    let stream = session.prompt(prompt("deaf")).await.unwrap();
    until("it runs", || pair.server.status(&id) == Some("executing")).await;
    session.cancel().await.unwrap();
    until("the server knows", || pair.server.asked("/cancel") > 0).await;
    let turning = until("it is left to itself", || {
        hand.advance(Duration::from_secs(1));
        pair.scope.running() == 0
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert_eq!((heard.text.as_str(), heard.outcome), ("", Outcome::Cancelled));
    // The next prompt waits until the server is done with the one before.
    let next = session.prompt(prompt("hello")).await.unwrap();
    until("it looks whether the turn still runs", || {
        hand.advance(Duration::from_millis(100));
        pair.server.asked(&format!("GET /sessions/{id}")) > 1
    })
    .await;
    assert_eq!(pair.server.asked("/execute/stream"), 1);
    pair.server.go_on();
    let turning = until("it is handed over", || {
        hand.advance(Duration::from_millis(100));
        pair.server.asked("/execute/stream") == 2
    });
    let (heard, ()) = tokio::join!(finish(next, &session), turning);
    assert_eq!((heard.text.as_str(), heard.outcome), ("echo: hello", Outcome::Completed));
    pair.finish(&session).await;
}

#[tokio::test]
async fn late_events_of_an_earlier_turn_are_not_part_of_the_next() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let id = session.backend_ref().0;
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("it runs", || pair.server.status(&id) == Some("executing")).await;
    let late = json!(format!("prompt_{id}_1"));
    pair.server.send(&id, &late, "content_block:end", &json!({"block": {"type": "text", "text": "late"}}));
    pair.server.send(&id, &late, "prompt:complete", &json!({"status": "success"}));
    session.cancel().await.unwrap();
    let heard = finish(stream, &session).await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("", Outcome::Cancelled));
    pair.finish(&session).await;
}

// holds: K-2
#[tokio::test]
async fn what_came_with_a_prompt_is_named_below_it() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let file = Attachment { name: "notes.txt".to_owned(), mime: None, path: "/files/1-notes.txt".into() };
    let stream = soon(session.prompt(prompt("look").with_files(vec![file]))).await.unwrap();
    let heard = finish(stream, &session).await;
    assert_eq!(heard.text, "echo: look\n[attached file notes.txt: /files/1-notes.txt]");
    pair.finish(&session).await;
}

#[tokio::test]
async fn a_session_that_an_earlier_run_left_cancelled_says_so_once() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("it runs", || pair.server.status(&session.backend_ref().0) == Some("executing")).await;
    session.cancel().await.unwrap();
    assert_eq!(finish(stream, &session).await.outcome, Outcome::Cancelled);
    // That run was killed before the next prompt.
    let next_run = pair.again();
    let again = next_run.restore(&session.backend_ref()).await.unwrap();
    let outcome = pair.turn(&again, "hello").await.outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains("nobody here had asked")),
        "{outcome:?}"
    );
    assert_eq!(pair.turn(&again, "hello").await.text, "echo: hello");
    next_run.finish(&again).await;
}

// === Starting, stopping, and who we are ===

#[tokio::test]
async fn a_server_that_is_not_ready_is_waited_for_as_long_as_it_says() {
    let (pair, hand) = Pair::manual().await;
    let loading = || {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5")], Json(json!({"detail": "Bundles are still loading."})))
    };
    pair.server.answer("/ready", Json(json!({"ready": false})));
    pair.server.answer("POST /sessions", loading());
    let starting = pair.try_start();
    let turning = async {
        until("it was asked", || {
            hand.advance(Duration::from_millis(100));
            pair.server.asked("POST /sessions") == 1
        })
        .await;
        let asked = pair.peer.clock.now();
        until("it was asked again", || {
            hand.advance(Duration::from_millis(100));
            pair.server.asked("POST /sessions") == 2
        })
        .await;
        assert!(pair.peer.clock.now() - asked >= Duration::from_secs(5));
    };
    let (session, ()) = tokio::join!(starting, turning);
    pair.finish(&session.unwrap()).await;
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let pair = Pair::at(Clock::system(), |config| config.bundle = Some("other".to_owned())).await;
    let error = pair.try_start().await.unwrap_err();
    assert!(matches!(&error, BackendError::Transient(said) if said.contains("no such bundle")), "{error:?}");
    let pair = Pair::at(Clock::system(), |config| config.bundle = Some("mini".to_owned())).await;
    let session = pair.start().await;
    pair.finish(&session).await;
    let (mut pair, hand) = Pair::manual().await;
    pair.server.down().await;
    let starting = pair.try_start();
    let turning = async {
        for _ in 0..120 {
            hand.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    let (started, ()) = tokio::join!(starting, turning);
    let error = started.unwrap_err();
    let late = matches!(&error, BackendError::Timeout { phase: Phase::Create, .. });
    assert!(late || matches!(&error, BackendError::Transient(said) if said.contains("can't be reached")), "{error:?}");
}

// holds: C-1
#[tokio::test]
async fn the_key_is_sent_with_everything_and_a_wrong_one_ends_no_session() {
    let key = |key: &str| Some(SecretString::from(key).into());
    let pair = Pair::at(Clock::system(), |config| config.api_key = key("right")).await;
    pair.server.want_key("right");
    let session = pair.start().await;
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    pair.server.want_key("another");
    let Outcome::Failed(error) = pair.turn(&session, "hello").await.outcome else { panic!("it was let in") };
    assert_eq!((error.kind(), error.to_string().contains("right")), (Kind::Transient, false));
    assert!(matches!(error, BackendError::Auth(_)), "{error:?}");
    pair.server.want_key("right");
    assert_eq!(pair.turn(&session, "hello").await.outcome, Outcome::Completed);
    pair.finish(&session).await;
}

#[tokio::test]
async fn f_53_a_reader_that_stalls_holds_the_server_back_and_misses_nothing() {
    let pair = Pair::new().await;
    let session = pair.start().await;
    let mut stream = session.prompt(prompt("many")).await.unwrap();
    let first = soon(stream.next()).await;
    let id = session.backend_ref().0;
    until("the server is done", || pair.server.status(&id) == Some("idle")).await;
    let heard = finish(stream, &session).await;
    let Some(TurnEvent::Agent(AgentEvent::Text { delta, .. })) = first else { panic!("{first:?}") };
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(format!("{delta}{}", heard.text).split_whitespace().collect::<Vec<_>>(), expected);
    pair.finish(&session).await;
}
