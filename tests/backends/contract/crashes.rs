//! Rows 14 and 15: agents that die, and sessions that are brought back.

use std::process::Command;
use std::sync::Arc;

use hitchline::backend::config::{Config, TmuxOnShutdown};
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session};
use hitchline::domain::agent::OptionKind;

use super::cancels::until_it_runs;
use super::{Cannot, Kept, KeptBut, Verdict};
use crate::peer::{Peer, Reach, asked, choose, hear, prompt, soon, turn, until};
use crate::server::Server;

pub(super) async fn row_14_a_crash_is_told_and_survived(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => {
            let session = peer.start().await;
            let heard = turn(&session, "!fail crash", OptionKind::AllowOnce).await;
            assert!(is_crash(&heard.outcome), "{:?}", heard.outcome);
            goes_on(peer, &session).await;
            Kept
        }
        Reach::Streams => {
            in_a_turn(peer).await;
            between_turns(peer).await
        }
        Reach::Screen => {
            let session = peer.start().await;
            let heard = turn(&session, "die", OptionKind::AllowOnce).await;
            let Outcome::Failed(BackendError::Crashed { stderr, .. }) = heard.outcome else { panic!("{heard:?}") };
            assert!(stderr.ends_with("my key is xoxb-…\nthese are my last words"), "{stderr}");
            goes_on(peer, &session).await;
            in_a_turn(peer).await;
            between_turns(peer).await
        }
        Reach::Server(server) if server.is_opencode() => {
            let Some(mortal) = crate::opencode::mortal().await else { panic!("its server ran a moment ago") };
            of_a_server(&mortal, mortal.server().unwrap()).await
        }
        Reach::Server(server) => of_a_server(peer, server).await,
    }
}

fn is_crash(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(BackendError::Crashed { .. }))
}

/// Kills all that runs for a peer, as a machine that is short of memory does.
fn kill(peer: &Peer) {
    for id in peer.processes() {
        drop(Command::new("kill").args(["-KILL", &id]).stderr(std::process::Stdio::null()).status());
    }
}

async fn in_a_turn(peer: &Peer) {
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(peer.ask.unwrap_or(peer.wait)))).await.unwrap();
    let request = match peer.ask {
        Some(_) => Some(asked(&mut stream).await),
        None => None,
    };
    kill(peer);
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert!(is_crash(&heard.outcome), "{:?}", heard.outcome);
    if let Some(request) = request {
        let decision = choose(&request, OptionKind::AllowOnce);
        assert_eq!(session.answer(&request.id, decision).await, Answered::NotWaiting);
    }
    until("the crash is noticed", || !session.is_alive()).await;
    goes_on(peer, &session).await;
}

async fn between_turns(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    kill(peer);
    until("the crash is noticed", || !session.is_alive()).await;
    let error = session.prompt(prompt(peer.hello)).await.unwrap_err();
    assert!(matches!(error, BackendError::Crashed { .. }), "{error:?}");
    let is_back = goes_on(peer, &session).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
    if is_back { Kept } else { KeptBut("the next prompt goes on in a new session, which Hitchline says") }
}

/// After a crash the session is brought back, or another one starts; says which.
async fn goes_on(peer: &Peer, session: &Arc<dyn Session>) -> bool {
    soon(session.release(peer.deadline())).await.unwrap();
    let restored = peer.restore(&session.backend_ref()).await;
    let is_back = restored.is_ok();
    let next = match restored {
        Ok(again) => again,
        Err(BackendError::Unsupported(_)) => peer.start().await,
        Err(error) => panic!("it can't be brought back: {error:?}"),
    };
    assert_eq!(turn(&next, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    soon(next.end(peer.deadline())).await.unwrap();
    is_back
}

/// A server is killed in the middle of a turn, and between two.
async fn of_a_server(peer: &Peer, server: &Server) -> Verdict {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    until_it_runs(peer).await;
    server.kill().await;
    server.revive().await;
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    let Outcome::Failed(error) = &heard.outcome else { panic!("{:?}", heard.outcome) };
    assert_eq!(error.kind(), Kind::Transient, "{error:?}");
    assert!(session.is_alive());
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    assert_eq!(server.proxy.asked(server.lines.submit), 2, "what was lost is not sent again");
    server.kill().await;
    server.revive().await;
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
    KeptBut("its server's end is told as a failure that passes: the last words are the server's")
}

pub(super) async fn row_15_a_session_is_brought_back_without_repeating(peer: &Peer) -> Verdict {
    let detaching = match &peer.config {
        Config::Tmux(config) => {
            let mut config = config.clone();
            config.on_shutdown = TmuxOnShutdown::Detach;
            Some(peer.configured(&Config::Tmux(config)))
        }
        _ => None,
    };
    let first = detaching.as_ref().unwrap_or(peer);
    let session = first.start().await;
    let earlier = turn(&session, "hello there", OptionKind::AllowOnce).await;
    soon(session.detach(first.deadline())).await.unwrap();
    soon(first.backend.shutdown(first.deadline())).await;
    soon(first.scope.wait()).await;
    let second = first.again();
    let again = match second.restore(&session.backend_ref()).await {
        Ok(again) => again,
        Err(error) => {
            assert!(matches!(error, BackendError::Unsupported(_)), "{error:?}");
            return Cannot("it can't load a session of before: a new one begins, which Hitchline says");
        }
    };
    assert_eq!(again.backend_ref(), session.backend_ref());
    let heard = turn(&again, "and now", OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert!(heard.text.contains("and now") && !heard.text.contains("hello there"), "{}", heard.text);
    assert_eq!(heard.events.len().max(8), earlier.events.len().max(8), "what was before is said again");
    second.finish(&again).await;
    assert_eq!(first.processes(), [""; 0]);
    match peer.reach {
        Reach::Inside => KeptBut("it has no history"),
        Reach::Screen => KeptBut("only what was left running, with `on_shutdown = \"detach\"`"),
        Reach::Streams | Reach::Server(_) => Kept,
    }
}
