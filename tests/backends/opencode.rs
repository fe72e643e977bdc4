//! Agents behind an opencode server: the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hitchline::backend::Outcome;
use hitchline::backend::config::{self, Config};
use hitchline::backend::error::{BackendError, Kind};
use hitchline::domain::agent::{AgentEvent, OptionKind, Progress};
use hitchline::secret::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::opencode_server::PASSWORD;
use super::peer::{Peer, Reach, soon, turn};
use super::server::Server;

/// A backend over a server that tests share, with a proxy before it.
pub(super) async fn peer() -> Option<Peer> {
    Some(peer_with(Server::opencode().await?, PASSWORD))
}

/// A backend over a server that can be killed.
pub(super) async fn mortal() -> Option<Peer> {
    Some(peer_with(Server::own_opencode().await?, PASSWORD))
}

fn peer_with(server: Server, password: &str) -> Peer {
    let config = config::Opencode {
        url: server.proxy.url(),
        password: Some(SecretString::from(password).into()),
        ..config::Opencode::default()
    };
    let peer = Peer::of(&Config::Opencode(config));
    Peer { wait: "SLOW", silent: "SILENT", ask: Some("TOOL"), crowd: 8, reach: Reach::Server(Arc::new(server)), ..peer }
}

#[tokio::test]
async fn a_tool_runs_when_it_is_allowed_and_not_when_it_is_rejected() {
    let Some(peer) = peer().await else { return };
    let session = peer.start().await;
    let made = peer.dir.path().join("made_by_tool");
    for (kind, runs) in [(OptionKind::RejectOnce, false), (OptionKind::AllowOnce, true)] {
        let heard = turn(&session, "TOOL please", kind).await;
        let request = &heard.asked[0];
        assert_eq!((request.title.as_str(), request.detail.as_deref()), ("bash", Some("touch made_by_tool")));
        let ended = heard.events.iter().rev().find_map(|event| match event {
            AgentEvent::Tool(call) => call.status,
            _ => None,
        });
        assert_eq!(ended, Some(if runs { Progress::Done } else { Progress::Failed }));
        assert_eq!((made.exists(), heard.outcome), (runs, Outcome::Completed));
    }
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_model_that_fails_ends_the_turn_and_not_the_session() {
    let Some(peer) = peer().await else { return };
    let session = peer.start().await;
    for (text, is_auth) in [("FAIL401", true), ("FAIL400", false)] {
        let outcome = turn(&session, text, OptionKind::AllowOnce).await.outcome;
        let Outcome::Failed(error) = &outcome else { panic!("{text}: {outcome:?}") };
        assert_eq!((error.kind(), matches!(error, BackendError::Auth(_))), (Kind::Transient, is_auth), "{error:?}");
    }
    assert_eq!(turn(&session, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_turn_goes_on_after_the_server_has_shortened_its_history() {
    let Some(peer) = peer().await else { return };
    let session = peer.start().await;
    session.set_option("model", "mock/mock-2").await.unwrap();
    let heard = turn(&session, "FULL", OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert!(heard.events.contains(&AgentEvent::Compacting), "{:?}", heard.events);
    // To each of the server's own prompts the model says something, too: that its history has a summary is not part of the answer.
    let said: Vec<&str> = heard.text.split("You said: ").skip(1).collect();
    assert!(matches!(said[..], ["FULL", next] if next.contains("clarification")), "{said:?}");
    peer.finish(&session).await;
}

#[tokio::test]
async fn f_58_a_turn_that_ends_while_its_record_is_read_is_whole() {
    let server = Recorded::start().await;
    let config = config::Opencode { url: server.url.clone(), ..config::Opencode::default() };
    let peer = Peer::of(&Config::Opencode(config));
    let session = peer.start().await;
    let heard = turn(&session, "hello", OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("Hello you.", Outcome::Completed));
    peer.finish(&session).await;
}

// holds: S-2
#[tokio::test]
async fn f_59_what_was_deleted_is_unknown_and_a_released_session_is_not() {
    let Some(peer) = peer().await else { return };
    let (session, other) = (peer.start().await, peer.start().await);
    soon(session.release(peer.deadline())).await.unwrap();
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    // Another client of the same server deletes it.
    let another = peer.again();
    let seen = another.restore(&again.backend_ref()).await.unwrap();
    another.finish(&seen).await;
    let outcome = turn(&again, "hello", OptionKind::AllowOnce).await.outcome;
    assert_eq!(outcome, Outcome::Failed(BackendError::Unknown));
    soon(again.end(peer.deadline())).await.expect("what is gone is at its end");
    peer.finish(&other).await;
}

#[tokio::test]
async fn the_model_and_the_mode_can_be_chosen() {
    let Some(peer) = peer().await else { return };
    let session = peer.start().await;
    let options = session.offers().options;
    let values = |id: &str| {
        let option = options.iter().find(|option| option.id == id).expect("it is offered");
        (option.current.clone(), option.values.iter().map(|value| value.value.clone()).collect::<Vec<_>>())
    };
    assert_eq!(values("model"), ("mock/mock-1".to_owned(), vec!["mock/mock-1".to_owned(), "mock/mock-2".to_owned()]));
    let (mode, modes) = values("mode");
    assert_eq!((mode.as_str(), modes.contains(&"plan".to_owned())), ("build", true));
    session.set_option("mode", "plan").await.unwrap();
    session.set_option("model", "mock/mock-2").await.unwrap();
    assert_eq!(turn(&session, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    let current = |id: &str| again.offers().options.into_iter().find(|option| option.id == id).unwrap().current;
    assert_eq!((current("model"), current("mode")), ("mock/mock-2".to_owned(), "plan".to_owned()));
    peer.finish(&session).await;
}

/// A server that answers as opencode was recorded to, of which every stream of events breaks at once; its only turn ends with the first look
/// at its record, after that is answered.
struct Recorded {
    url: String,
    _tasks: JoinSet<()>,
}

impl Recorded {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let looks = Arc::new(AtomicUsize::new(0));
        let app = axum::Router::new().fallback(async move |request: Request| answer(&request, &looks));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, _tasks: tasks }
    }
}

fn answer(request: &Request, looks: &AtomicUsize) -> Response {
    let looked = || looks.fetch_add(1, Ordering::Relaxed) > 0;
    let answer = match request.uri().path() {
        "/event" => return ([(header::CONTENT_TYPE, "text/event-stream")], ": nothing\n\n").into_response(),
        "/session" => json!({"id": "ses_1"}),
        "/session/status" if looked() => json!({}),
        "/session/status" => json!({"ses_1": {"type": "busy"}}),
        // Before its first prompt.
        "/session/ses_1/message" if request.uri().query().is_some_and(|query| query.contains("limit=1&")) => json!([]),
        "/session/ses_1/message" => {
            let text = if looked() { "Hello you." } else { "Hello" };
            messages(text, text == "Hello you.")
        }
        "/permission" | "/question" => json!([]),
        _ => Value::Null,
    };
    Json(answer).into_response()
}

fn messages(text: &str, is_complete: bool) -> Value {
    let part = |id: &str, text: &str| json!([{"id": id, "type": "text", "text": text}]);
    let time = if is_complete { json!({"completed": 1}) } else { json!({}) };
    json!([
        {"info": {"id": "msg_1", "role": "user"}, "parts": part("prt_1", "hello")},
        {"info": {"id": "msg_2", "role": "assistant", "parentID": "msg_1", "time": time}, "parts": part("prt_2", text)},
    ])
}
