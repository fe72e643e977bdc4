//! Rows 11 to 13: the end of a session, and what is left then.

use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::error::{BackendError, Kind, Phase};
use hitchline::backend::{Outcome, Session};
use hitchline::domain::agent::OptionKind;
use tokio_util::sync::CancellationToken;

use super::{Cannot, Kept, KeptBut, Verdict};
use crate::peer::{Peer, Reach, hear, prompt, runs, soon, turn, until};
use crate::proxy::Instead;

// holds: S-1, S-3
pub(super) async fn row_11_what_has_ended_stays_ended(peer: &Peer) -> Verdict {
    let log = peer.dir.path().join("log");
    let logged = matches!(peer.reach, Reach::Streams).then(|| peer.meddled(&["--log", log.to_str().unwrap()]));
    let peer = logged.as_ref().unwrap_or(peer);
    // All that its agents, or their server, have heard so far.
    let heard = || match peer.server() {
        Some(server) => server.proxy.asked(""),
        None => std::fs::read(&log).unwrap_or_default().len(),
    };
    let (session, other) = (peer.start().await, peer.start().await);
    assert!(session.is_alive());
    soon(session.end(peer.deadline())).await.unwrap();
    let before = heard();
    ended(peer, &session).await;
    assert_eq!((heard(), session.is_alive()), (before, false), "somebody was asked about a session that had ended");
    assert!(other.is_alive());
    match peer.list(9).await {
        Ok(listed) => assert_eq!(listed.len(), 1, "{listed:?}"),
        Err(error) => assert!(matches!(error, BackendError::Unsupported(_)), "{error:?}"),
    }
    // What its agent does not know, or not any more, is ended too.
    if let Some(server) = peer.server() {
        server.forget(peer, &other.backend_ref()).await;
    } else {
        for id in peer.processes() {
            drop(std::process::Command::new("kill").args(["-KILL", &id]).status());
        }
    }
    soon(other.end(peer.deadline())).await.expect("fine when there is none");
    ended(peer, &other).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
    in_a_later_run(peer).await
}

/// Whatever is done to a session that has ended.
async fn ended(peer: &Peer, session: &Arc<dyn Session>) {
    assert_eq!(session.prompt(prompt(peer.hello)).await.unwrap_err(), BackendError::Ended);
    session.cancel().await.expect("fine when it has ended");
    soon(session.end(peer.deadline())).await.expect("fine a second time");
    soon(session.release(peer.deadline())).await.expect("fine when it has ended");
    assert_eq!(peer.restore(&session.backend_ref()).await.unwrap_err(), BackendError::Ended);
}

/// In a later run the agent's own word counts, and the record that Hitchline keeps beside it.
async fn in_a_later_run(peer: &Peer) -> Verdict {
    let first = peer.again();
    let session = first.start().await;
    first.finish(&session).await;
    let second = first.again();
    let verdict = match second.restore(&session.backend_ref()).await {
        Ok(revived) => {
            soon(revived.end(second.deadline())).await.unwrap();
            KeptBut(
                "the agent itself would bring an ended session back; in a later run Hitchline's own record forbids it",
            )
        }
        Err(error) => {
            let refused = error.kind() == Kind::Permanent || matches!(error, BackendError::Unsupported(_));
            assert!(refused, "{error:?}");
            Kept
        }
    };
    soon(second.backend.shutdown(second.deadline())).await;
    soon(second.scope.wait()).await;
    verdict
}

pub(super) async fn row_12_an_end_ends_its_turn(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    let deadline = peer.deadline();
    let (ended, heard) = tokio::join!(session.end(deadline), hear(&session, stream, OptionKind::AllowOnce));
    ended.unwrap();
    assert!(peer.clock.now() < deadline);
    assert!(matches!(heard.outcome, Outcome::Cancelled | Outcome::Failed(BackendError::Ended)), "{:?}", heard.outcome);
    whatever_happens(peer).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
    Kept
}

/// The same with an agent that hears nothing: by the deadline, or very little later.
async fn whatever_happens(peer: &Peer) {
    let deaf = matches!(peer.reach, Reach::Streams)
        .then(|| peer.meddled(&["--stubborn", "--children", "--until", "session/cancel"]));
    let peer = deaf.as_ref().unwrap_or(peer);
    let session = peer.start().await;
    let is_screen = matches!(peer.reach, Reach::Screen);
    let stream = soon(session.prompt(prompt(if is_screen { "deaf" } else { peer.wait }))).await.unwrap();
    match &peer.reach {
        Reach::Inside | Reach::Streams => {}
        Reach::Screen => until("it is deaf", || peer.dir.path().join("deaf").exists()).await,
        Reach::Server(server) => {
            super::cancels::until_it_runs(peer).await;
            let never = CancellationToken::new();
            for line in [server.lines.cancel, &session.backend_ref().0].repeat(9) {
                server.proxy.next(line.to_owned().leak(), Instead::Hold(never.clone()));
            }
        }
    }
    let deadline = peer.clock.now() + Duration::from_secs(2);
    let (ended, heard) = tokio::join!(session.end(deadline), hear(&session, stream, OptionKind::AllowOnce));
    assert!(peer.clock.now() < deadline + Duration::from_secs(5), "it ended too late");
    assert_eq!(heard.outcome, Outcome::Cancelled);
    match peer.reach {
        // Whether its server has heard of it is not known, which its caller is told.
        Reach::Server(_) => assert!(matches!(ended, Err(BackendError::Timeout { phase: Phase::End, .. })), "{ended:?}"),
        Reach::Inside | Reach::Streams | Reach::Screen => ended.unwrap(),
    }
    assert_eq!(session.prompt(prompt(peer.hello)).await.unwrap_err(), BackendError::Ended);
    until("all of it is gone", || peer.processes().is_empty()).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
}

pub(super) async fn row_13_no_process_is_left(peer: &Peer) -> Verdict {
    let bad = match peer.reach {
        Reach::Inside | Reach::Server(_) => {
            let session = peer.start().await;
            let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
            super::cancels::until_it_runs(peer).await;
            assert_eq!(peer.processes(), [""; 0]);
            session.cancel().await.unwrap();
            drop(stream);
            peer.finish(&session).await;
            let is_server = peer.server().is_some();
            return Cannot(if is_server { "its processes are its server's" } else { "it has no processes" });
        }
        Reach::Streams => Some(peer.meddled(&["--stubborn", "--children"])),
        Reach::Screen => None,
    };
    let peer = bad.as_ref().unwrap_or(peer);
    for is_stopped in [false, true] {
        let session = peer.start().await;
        let mut all = peer.processes();
        if matches!(peer.reach, Reach::Screen) {
            let told = turn(&session, "children", OptionKind::AllowOnce).await.text;
            all.extend(told.split_whitespace().map(ToOwned::to_owned));
        }
        assert!(all.len() > 4 && all.iter().all(|id| runs(id)), "{all:?}");
        let before = peer.clock.now();
        if is_stopped {
            soon(peer.backend.shutdown(peer.deadline())).await;
        } else {
            soon(session.end(peer.deadline())).await.unwrap();
        }
        assert!(peer.clock.now() - before < Duration::from_secs(8));
        until("all of it is gone", || !all.iter().any(|id| runs(id))).await;
        assert_eq!(peer.processes(), [""; 0]);
    }
    soon(peer.scope.wait()).await;
    Kept
}
