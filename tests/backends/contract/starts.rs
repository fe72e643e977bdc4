//! Rows 1 and 2: sessions that start.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use hitchline::backend::error::{BackendError, Phase};
use hitchline::backend::{Outcome, Session, StartSpec};
use hitchline::domain::agent::OptionKind;
use tokio_util::sync::CancellationToken;

use super::{Cannot, Kept, Verdict};
use crate::peer::{Peer, Reach, runs, soon, turn, until};
use crate::proxy::Instead;
use crate::server::Server;

// holds: S-13
pub(super) async fn row_01_twenty_starts_at_once_are_independent(peer: &Peer) -> Verdict {
    let sessions = join_all((0..20).map(|_| peer.start())).await;
    let ids: HashSet<String> = sessions.iter().map(|session| session.backend_ref().0).collect();
    assert_eq!(ids.len(), 20);
    let (changed, others) = sessions.split_first().unwrap();
    let before = others[0].offers();
    super::more::set_every_option(changed).await;
    soon(changed.end(peer.deadline())).await.unwrap();
    assert!(others.iter().all(|session| session.is_alive() && session.offers().options == before.options));
    assert_eq!(turn(&others[0], peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    soon(join_all(others.iter().map(|session| session.end(peer.deadline())))).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
    Kept
}

// holds: S-11
pub(super) async fn row_02_a_start_that_hangs_leaves_nothing(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => {
            let (peer, _hand) = peer.by_hand();
            let at_once = StartSpec { deadline: peer.clock.now(), ..peer.spec() };
            let started = peer.backend.start(at_once).now_or_never().expect("nobody is waited for");
            peer.finish(&started.unwrap()).await;
            Cannot("it is a part of Hitchline and starts at once")
        }
        Reach::Streams => {
            for method in ["initialize", "session/new"] {
                of_a_process(&peer.meddled(&["--children", "--until", method])).await;
            }
            Kept
        }
        Reach::Screen => {
            of_a_process(&Peer::tmux_as(&["--silent"], |_| {}).unwrap()).await;
            Kept
        }
        Reach::Server(server) => {
            of_a_server(peer, server).await;
            Kept
        }
    }
}

/// A start that nobody answers, up to its deadline and then given up sooner.
async fn of_a_process(peer: &Peer) {
    let deadline = peer.clock.now() + Duration::from_secs(2);
    let all_run = async {
        until("it has been started", || !peer.processes().is_empty()).await;
        peer.processes()
    };
    let start = peer.backend.start(StartSpec { deadline, ..peer.spec() });
    let (started, error) = soon(async { tokio::join!(all_run, start) }).await;
    assert!(matches!(error.unwrap_err(), BackendError::Timeout { phase: Phase::Create, .. }));
    // What is dead but not reaped has a directory there too.
    assert!(!started.iter().any(|id| runs(id)), "some of {started:?} are left");
    assert_eq!(peer.processes(), [""; 0]);
    let mut given_up = peer.backend.start(peer.spec());
    tokio::select! {
        started = &mut given_up => panic!("nobody answers: {started:?}"),
        () = until("it has been started", || !peer.processes().is_empty()) => {}
    }
    drop(given_up);
    until("nothing is left", || peer.processes().is_empty()).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
}

async fn of_a_server(peer: &Peer, server: &Arc<Server>) {
    let (peer, hand) = peer.by_hand();
    let (proxy, never) = (&server.proxy, CancellationToken::new());
    let start = async |go_on: &CancellationToken| -> Result<Arc<dyn Session>, BackendError> {
        proxy.next(server.lines.create, Instead::Hold(go_on.clone()));
        let start =
            peer.backend.start(StartSpec { deadline: peer.clock.now() + Duration::from_secs(20), ..peer.spec() });
        let late = async {
            until("it is asked", || proxy.held() == 1).await;
            hand.advance(Duration::from_secs(21));
        };
        soon(async { tokio::join!(start, late) }).await.0
    };
    let late = BackendError::Timeout { phase: Phase::Create, after: Duration::from_secs(20) };
    assert_eq!(start(&never).await.unwrap_err(), late);
    until("nobody waits for the answer any more", || {
        hand.advance(Duration::from_secs(1));
        proxy.held() == 0
    })
    .await;
    soon(peer.scope.wait()).await;
    // What comes late is given back.
    let go_on = CancellationToken::new();
    assert_eq!(start(&go_on).await.unwrap_err(), late);
    go_on.cancel();
    until("it is given back", || proxy.asked("DELETE ") == 1).await;
    let next = peer.start().await;
    peer.finish(&next).await;
}
