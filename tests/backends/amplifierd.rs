//! Agents behind an amplifierd server, over a server of ours that behaves as the real one was recorded.

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

// === What the fault rows ask ===

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
    pair.server.answer("/transcript", StatusCode::INTERNAL_SERVER_ERROR);
    let heard = pair.turn(&session, "cut").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("one two three", Outcome::Completed));
    assert_eq!(pair.server.asked("/transcript"), 2);
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
    pair.server.answer("/execute/stream", (StatusCode::ACCEPTED, Json(json!({"correlation_id": "x"}))));
    let stream = session.prompt(prompt("hello")).await.unwrap();
    until("it was accepted", || pair.server.asked("/execute/stream") == 1).await;
    let turning = until("its record is read", || {
        hand.advance(Duration::from_secs(1));
        pair.server.asked(&format!("GET /sessions/{id}/transcript")) == 1
    });
    let (heard, ()) = tokio::join!(finish(stream, &session), turning);
    assert!(
        matches!(&heard.outcome, Outcome::Failed(BackendError::Transient(said)) if said.contains("did not begin")),
        "{heard:?}"
    );
    pair.finish(&session).await;
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
