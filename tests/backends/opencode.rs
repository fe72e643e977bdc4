//! Agents behind an opencode server: the real one.

use std::sync::Arc;

use hitchline::backend::Outcome;
use hitchline::backend::config::{self, Config};
use hitchline::backend::error::{BackendError, Kind};
use hitchline::domain::agent::{AgentEvent, OptionKind, Progress};
use hitchline::secret::SecretString;

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
