//! Row 23: the daemon stops. That running turns may finish first, and the numbers, are the room's above.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::{BackendError, Kind};
use hitchline::domain::agent::OptionKind;

use super::{Kept, Verdict};
use crate::peer::{Peer, hear, prompt, soon};

pub(super) async fn row_23_a_stop_keeps_its_deadline(peer: &Peer) -> Verdict {
    let (running, idle) = (peer.start().await, peer.start().await);
    let stream = soon(running.prompt(prompt(peer.wait))).await.unwrap();
    super::cancels::until_it_runs(peer).await;
    let deadline = peer.deadline();
    let stop = async {
        peer.backend.shutdown(deadline).await;
        peer.backend.shutdown(deadline).await;
    };
    let ((), heard) = soon(async { tokio::join!(stop, hear(&running, stream, OptionKind::AllowOnce)) }).await;
    assert!(peer.clock.now() < deadline + Duration::from_secs(1));
    let over = match &heard.outcome {
        Outcome::Cancelled => true,
        Outcome::Failed(error) => error.kind() == Kind::Transient,
        _ => false,
    };
    assert!(over, "{:?}", heard.outcome);
    for session in [&running, &idle] {
        let refused = session.prompt(prompt(peer.hello)).await.unwrap_err();
        assert_eq!(refused, BackendError::ShuttingDown);
        session.cancel().await.expect("fine when nothing runs");
    }
    assert_eq!(peer.try_start().await.unwrap_err(), BackendError::ShuttingDown);
    assert_eq!(peer.restore(&idle.backend_ref()).await.unwrap_err(), BackendError::ShuttingDown);
    assert_eq!(peer.list(1).await.unwrap_err(), BackendError::ShuttingDown);
    assert_eq!(peer.processes(), [""; 0]);
    for session in [running, idle] {
        soon(session.release(peer.deadline())).await.unwrap();
    }
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
    Kept
}
