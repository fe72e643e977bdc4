//! The suite that every backend passes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session, TurnStream};
use hitchline::clock::Clock;
use hitchline::domain::agent::{Decision, OptionKind};
use hitchline::domain::ids::RequestId;
use hitchline::domain::session::BackendRef;

use super::peer::{PATIENCE, Peer, asked, choose, hear, prompt, soon, turn};

macro_rules! contract {
    ($($peer:ident: $make:expr;)*) => { $(mod $peer {
        use super::super::peer::Peer;

        async fn make() -> Option<Peer> {
            $make
        }

        contract!(@each
            ids_are_unique, a_turn_says_something_and_ends_once, a_second_prompt_is_busy, a_cancelled_turn_ends_as_cancelled,
            a_decision_is_applied_once, a_rejection_reaches_the_agent, a_cancelled_turn_no_longer_waits, an_ended_session_is_gone,
            an_end_ends_its_turn, a_released_session_can_be_brought_back, a_reader_that_goes_away_frees_the_session,
            a_stopped_backend_starts_nothing, sessions_do_not_mix, a_name_of_somebody_else_is_unknown,
        );
    })* };
    (@each $($name:ident,)*) => { $(
        #[tokio::test]
        async fn $name() {
            if let Some(peer) = make().await {
                super::$name(&peer).await;
            }
        }
    )* };
}

contract! {
    echo: Some(Peer::echo());
    fake: Peer::fake();
    silent: Peer::fake().map(|peer| Peer { wait: "silent", ..peer });
    npm: super::super::npm::peer();
}

async fn ids_are_unique(peer: &Peer) {
    let sessions = join_all((0..peer.crowd).map(|_| peer.start())).await;
    let ids: HashSet<String> = sessions.iter().map(|session| session.backend_ref().0).collect();
    assert_eq!(ids.len(), peer.crowd);
    join_all(sessions.iter().map(|session| session.end(peer.deadline()))).await;
}

async fn a_turn_says_something_and_ends_once(peer: &Peer) {
    let session = peer.start().await;
    for _ in 0..2 {
        let heard = turn(&session, peer.hello, OptionKind::AllowOnce).await;
        assert_eq!(heard.outcome, Outcome::Completed);
        assert!(!heard.text.is_empty());
    }
    assert!(session.is_alive());
    peer.finish(&session).await;
}

async fn a_second_prompt_is_busy(peer: &Peer) {
    let session = peer.start().await;
    let first = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    assert_eq!(soon(session.prompt(prompt(peer.hello))).await.unwrap_err(), BackendError::Busy);
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, first, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    peer.finish(&session).await;
}

async fn a_cancelled_turn_ends_as_cancelled(peer: &Peer) {
    let session = peer.start().await;
    session.cancel().await.expect("fine when nothing runs");
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    session.cancel().await.unwrap();
    session.cancel().await.expect("fine a second time");
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
}

async fn a_decision_is_applied_once(peer: &Peer) {
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(peer.ask))).await.unwrap();
    let request = asked(&mut stream).await;
    assert!(request.options.iter().any(|option| option.kind == OptionKind::RejectOnce));
    let decision = choose(&request, OptionKind::AllowOnce);
    assert_eq!(session.answer(&RequestId::from("another"), decision.clone()).await, Answered::NotWaiting);
    assert_eq!(session.answer(&request.id, decision.clone()).await, Answered::Applied);
    assert_eq!(session.answer(&request.id, decision.clone()).await, Answered::NotWaiting);
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert_eq!(session.answer(&request.id, decision).await, Answered::NotWaiting);
    peer.finish(&session).await;
}

async fn a_rejection_reaches_the_agent(peer: &Peer) {
    let session = peer.start().await;
    let allowed = turn(&session, peer.ask, OptionKind::AllowOnce).await;
    let rejected = turn(&session, peer.ask, OptionKind::RejectOnce).await;
    assert_eq!((allowed.asked.len(), rejected.asked.len()), (1, 1));
    assert_eq!(rejected.outcome, Outcome::Completed);
    assert_ne!(allowed.text, rejected.text);
    peer.finish(&session).await;
}

async fn a_cancelled_turn_no_longer_waits(peer: &Peer) {
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(peer.ask))).await.unwrap();
    let request = asked(&mut stream).await;
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Cancelled);
    assert_eq!(session.answer(&request.id, Decision::Cancelled).await, Answered::NotWaiting);
    peer.finish(&session).await;
}

// holds: S-1, S-3
async fn an_ended_session_is_gone(peer: &Peer) {
    let session = peer.start().await;
    assert!(session.is_alive());
    soon(session.end(peer.deadline())).await.unwrap();
    soon(session.end(peer.deadline())).await.expect("fine a second time");
    assert!(!session.is_alive());
    assert_eq!(session.prompt(prompt(peer.hello)).await.unwrap_err(), BackendError::Ended);
    session.cancel().await.expect("fine when it has ended");
    assert_eq!(peer.restore(&session.backend_ref()).await.unwrap_err(), BackendError::Ended);
}

async fn an_end_ends_its_turn(peer: &Peer) {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    let deadline = peer.deadline();
    let (ended, heard) = tokio::join!(session.end(deadline), hear(&session, stream, OptionKind::AllowOnce));
    ended.unwrap();
    assert!(peer.clock.now() < deadline);
    assert!(matches!(heard.outcome, Outcome::Cancelled | Outcome::Failed(BackendError::Ended)), "{:?}", heard.outcome);
    soon(peer.backend.shutdown(deadline)).await;
    soon(peer.scope.wait()).await;
}

async fn a_released_session_can_be_brought_back(peer: &Peer) {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    let deadline = peer.deadline();
    let (released, heard) = tokio::join!(session.release(deadline), hear(&session, stream, OptionKind::AllowOnce));
    released.unwrap();
    assert_eq!(heard.outcome, Outcome::Cancelled);
    soon(session.release(peer.deadline())).await.expect("fine a second time");
    assert!(!session.is_alive());
    assert_eq!(session.prompt(prompt(peer.hello)).await.unwrap_err().kind(), Kind::Transient);
    match peer.restore(&session.backend_ref()).await {
        Ok(again) => {
            assert_eq!(turn(&again, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
            again.end(peer.deadline()).await.unwrap();
            session.end(peer.deadline()).await.expect("fine after a release");
        }
        Err(error) => assert!(matches!(error, BackendError::Unsupported(_)), "{error:?}"),
    }
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
}

async fn a_stopped_backend_starts_nothing(peer: &Peer) {
    let session = peer.start().await;
    peer.finish(&session).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    assert_eq!(peer.try_start().await.unwrap_err(), BackendError::ShuttingDown);
}

async fn sessions_do_not_mix(peer: &Peer) {
    let (one, two) = tokio::join!(peer.start(), peer.start());
    let waiting = soon(one.prompt(prompt(peer.wait))).await.unwrap();
    let heard = turn(&two, peer.hello, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    one.cancel().await.unwrap();
    let other = hear(&one, waiting, OptionKind::AllowOnce).await;
    assert_eq!(other.outcome, Outcome::Cancelled);
    assert!(!other.text.contains(&heard.text));
    two.end(peer.deadline()).await.unwrap();
    peer.finish(&one).await;
}

// holds: S-2
async fn a_name_of_somebody_else_is_unknown(peer: &Peer) {
    let error = peer.restore(&BackendRef("lost-1".to_owned())).await.unwrap_err();
    assert!(matches!(error, BackendError::Unknown | BackendError::Unsupported(_)), "{error:?}");
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
}

async fn a_reader_that_goes_away_frees_the_session(peer: &Peer) {
    let session = peer.start().await;
    drop(soon(session.prompt(prompt(peer.wait))).await.unwrap());
    let mut undecided = prompt_when_free(&session, peer.ask).await;
    let request = asked(&mut undecided).await;
    drop(undecided);
    let stream = prompt_when_free(&session, peer.hello).await;
    assert_eq!(session.answer(&request.id, Decision::Cancelled).await, Answered::NotWaiting);
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
}

/// Starts a turn as soon as the one before is over.
async fn prompt_when_free(session: &Arc<dyn Session>, text: &str) -> TurnStream {
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    loop {
        match session.prompt(prompt(text)).await {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error, BackendError::Busy),
        }
        assert!(clock.now() < deadline, "the session is busy for ever");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

// === What only the echo agent does ===

#[tokio::test]
async fn echo_repeats_what_it_is_told_without_a_task() {
    let peer = Peer::echo();
    let session = peer.start().await;
    let heard = turn(&session, "say <this> & that", OptionKind::AllowOnce).await;
    assert_eq!(heard.text, "say <this> & that");
    assert_eq!(peer.scope.running(), 0);
}

#[tokio::test]
async fn echo_says_what_was_chosen() {
    let peer = Peer::echo();
    let session = peer.start().await;
    let cases = [
        (OptionKind::AllowOnce, "You chose: Allow once"),
        (OptionKind::AllowAlways, "You chose: Allow always"),
        (OptionKind::RejectOnce, "You chose: Reject"),
    ];
    for (kind, expected) in cases {
        assert_eq!(turn(&session, "!ask", kind).await.text, expected);
    }
}

#[tokio::test]
async fn echo_streams_its_chunks_and_fails_as_asked() {
    let peer = Peer::echo();
    let session = peer.start().await;
    let heard = turn(&session, "!stream 4", OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.events.len()), ("1 2 3 4 ", 4));
    assert!(matches!(
        turn(&session, "!fail transient", OptionKind::AllowOnce).await.outcome,
        Outcome::Failed(BackendError::Transient(_))
    ));
    assert!(session.is_alive());
}

#[tokio::test]
async fn an_echo_session_that_crashed_can_be_brought_back_and_one_that_vanished_can_not() {
    let peer = Peer::echo();
    let session = peer.start().await;
    let heard = turn(&session, "!fail crash", OptionKind::AllowOnce).await;
    assert!(matches!(heard.outcome, Outcome::Failed(BackendError::Crashed { .. })));
    assert!(!session.is_alive());
    session.release(peer.deadline()).await.unwrap();
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "!vanish", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    assert_eq!(again.prompt(prompt("hello")).await.unwrap_err(), BackendError::Ended);
    assert_eq!(peer.restore(&again.backend_ref()).await.unwrap_err(), BackendError::Ended);
}
