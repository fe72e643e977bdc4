//! Rows 7, 8 and 20: turns that are stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use futures_util::FutureExt as _;
use hitchline::backend::{Outcome, Session, TurnStream};
use hitchline::clock::{Clock, Hand};
use hitchline::domain::agent::OptionKind;
use serde_json::json;

use super::{Cannot, Kept, Verdict};
use crate::peer::{Heard, Peer, Reach, hear, prompt, soon, turn, until};

/// How long a turn may go on after it was cancelled.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn row_07_a_cancelled_turn_ends_as_cancelled(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    session.cancel().await.expect("fine when nothing runs");
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    until_it_runs(peer).await;
    let before = peer.clock.now();
    session.cancel().await.unwrap();
    session.cancel().await.expect("fine a second time");
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    assert!(peer.clock.now() - before < GRACE);
    session.cancel().await.expect("fine when nothing runs any more");
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    // Before it has begun.
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
    Kept
}

/// Waits until a server has the prompt; elsewhere it is on its way already.
pub(super) async fn until_it_runs(peer: &Peer) {
    if let Some(server) = peer.server() {
        until("the prompt is taken", || server.proxy.answered(server.lines.submit) > 0).await;
    }
}

pub(super) async fn row_08_a_cancel_that_is_ignored_ends_the_turn(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => {
            let (peer, _hand) = peer.by_hand();
            let session = peer.start().await;
            let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
            session.cancel().await.unwrap();
            // No time passes.
            assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
            peer.finish(&session).await;
            Cannot("it is a part of Hitchline and can't be made to ignore anything")
        }
        Reach::Streams => {
            let (peer, hand) = peer.meddled(&["--until", "session/cancel"]).by_hand();
            let session = peer.start().await;
            let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
            session.cancel().await.unwrap();
            assert_eq!(until_grace_is_over(&hand, &session, stream).await.outcome, Outcome::Cancelled);
            soon(session.release(peer.deadline())).await.unwrap();
            let next = peer.start().await;
            peer.finish(&next).await;
            assert_eq!(peer.processes(), [""; 0]);
            Kept
        }
        Reach::Server(server) => {
            let (peer, hand) = peer.by_hand();
            let session = peer.start().await;
            // It says that it will, each time it is told, and goes on.
            (0..20).for_each(|_| server.proxy.answer(server.lines.cancel, Json(json!({"state": "graceful"}))));
            let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
            until_it_runs(&peer).await;
            session.cancel().await.unwrap();
            until("it was told", || server.proxy.asked(server.lines.cancel) > 0).await;
            assert_eq!(until_grace_is_over(&hand, &session, stream).await.outcome, Outcome::Cancelled);
            assert!(session.is_alive());
            soon(session.end(peer.deadline())).await.unwrap();
            soon(peer.backend.shutdown(peer.deadline())).await;
            Kept
        }
        Reach::Screen => {
            let session = peer.start().await;
            let stream = session.prompt(prompt("deaf")).await.unwrap();
            // Whoever is deaf has to be so before it is told to stop.
            until("it is deaf", || peer.dir.path().join("deaf").exists()).await;
            let before = peer.clock.now();
            session.cancel().await.unwrap();
            assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
            let took = peer.clock.now() - before;
            assert!(took >= GRACE && took < GRACE + Duration::from_secs(3), "{took:?}");
            assert!(!session.is_alive());
            assert_eq!(peer.processes(), [""; 0]);
            peer.finish(&session).await;
            Kept
        }
    }
}

/// Reads a cancelled turn while time passes, which it needs all of, and not much more.
async fn until_grace_is_over(hand: &Hand, session: &Arc<dyn Session>, stream: TurnStream) -> Heard {
    let mut passed = Duration::ZERO;
    let mut heard = Box::pin(hear(session, stream, OptionKind::AllowOnce));
    loop {
        if let Some(heard) = (&mut heard).now_or_never() {
            assert!(passed >= GRACE, "it ended after {passed:?} by itself");
            return heard;
        }
        if passed < GRACE + Duration::from_secs(5) {
            hand.advance(Duration::from_millis(250));
            passed += Duration::from_millis(250);
        }
        Clock::system().sleep(Duration::from_millis(20)).await;
    }
}

/// How long a caller waits for an agent that says nothing, and how long for a turn as a whole, are the caller's: see `sessions`.
pub(super) async fn row_20_a_silent_turn_can_be_ended(peer: &Peer) -> Verdict {
    let is_example = peer.is_example();
    let mute = is_example.then(|| peer.meddled(&["--until", "session/prompt"]));
    let peer = mute.as_ref().unwrap_or(peer);
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(peer.silent))).await.unwrap();
    until_it_runs(peer).await;
    let silence = peer.clock.timeout(Duration::from_millis(300), stream.next()).await;
    assert!(silence.is_err(), "it says {silence:?}");
    let before = peer.clock.now();
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    assert!(peer.clock.now() - before < GRACE + Duration::from_secs(3));
    // One whose agent is mute has lost it.
    if !is_example {
        assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    }
    peer.finish(&session).await;
    Kept
}
