//! Sessions that share a process.

use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::FutureExt as _;
use hitchline::backend::config::{Acp, Process};
use hitchline::backend::error::BackendError;
use hitchline::backend::{Outcome, TurnEvent};
use hitchline::clock::Clock;
use hitchline::domain::agent::{AgentEvent, OptionKind};

use super::peer::{Peer, asked, choose, hear, prompt, soon, turn, until};

/// Our own agent, started with `arguments`, for two sessions in each process.
fn pairs(clock: Clock, arguments: &[&str]) -> Option<Peer> {
    Peer::fake_for(clock, arguments, |config: &mut Acp| {
        config.process = Process::Shared;
        config.max_sessions_per_process = NonZeroU16::new(2);
    })
}

#[tokio::test]
async fn sessions_fill_a_process_before_another_is_started_and_the_last_one_ends_it() {
    let Some(peer) = pairs(Clock::system(), &[]) else { return };
    let (first, second, third) = (peer.start().await, peer.start().await, peer.start().await);
    assert_eq!(peer.processes().len(), 2);
    soon(first.end(peer.deadline())).await.unwrap();
    soon(first.end(peer.deadline())).await.unwrap();
    assert!(!first.is_alive() && second.is_alive());
    assert_eq!(turn(&second, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    let fourth = peer.start().await;
    assert_eq!(peer.processes().len(), 2, "a place was free");
    soon(second.release(peer.deadline())).await.unwrap();
    soon(fourth.end(peer.deadline())).await.unwrap();
    assert_eq!(peer.processes().len(), 1);
    let again = peer.restore(&second.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "hello", OptionKind::AllowOnce).await.text, "you said: hello; before: 1");
    drop((again, third));
    soon(peer.scope.wait()).await;
    assert_eq!(peer.processes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_crash_ends_every_turn_in_its_process_with_an_error_of_its_own_and_none_elsewhere() {
    let Some(peer) = pairs(Clock::system(), &[]) else { return };
    let (first, second, elsewhere) = (peer.start().await, peer.start().await, peer.start().await);
    let mut waiting = soon(first.prompt(prompt("wait"))).await.unwrap();
    assert!(matches!(soon(waiting.next()).await, Some(TurnEvent::Agent(AgentEvent::Text { .. }))));
    let crashed = turn(&second, "crash", OptionKind::AllowOnce).await.outcome;
    assert!(matches!(&crashed, Outcome::Failed(BackendError::Crashed { .. })), "{crashed:?}");
    assert_eq!(hear(&first, waiting, OptionKind::AllowOnce).await.outcome, crashed);
    assert!(!first.is_alive() && !second.is_alive());
    assert_eq!(turn(&elsewhere, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    for session in [first, second] {
        soon(session.release(peer.deadline())).await.unwrap();
    }
    peer.finish(&elsewhere).await;
}

#[tokio::test]
async fn what_is_asked_and_said_stays_with_its_session() {
    let Some(peer) = pairs(Clock::system(), &[]) else { return };
    let (first, second) = (peer.start().await, peer.start().await);
    assert_eq!(peer.processes().len(), 1);
    let mut ours = soon(first.prompt(prompt("ask"))).await.unwrap();
    let mut theirs = soon(second.prompt(prompt("ask"))).await.unwrap();
    let (our, their) = (asked(&mut ours).await, asked(&mut theirs).await);
    first.answer(&our.id, choose(&our, OptionKind::AllowOnce)).await;
    second.answer(&their.id, choose(&their, OptionKind::RejectOnce)).await;
    assert!(hear(&first, ours, OptionKind::AllowOnce).await.text.contains("\"yes\""));
    assert!(hear(&second, theirs, OptionKind::AllowOnce).await.text.contains("\"cancel\""));
    turn(&first, "announce one", OptionKind::AllowOnce).await;
    let commands = |session: &std::sync::Arc<dyn hitchline::backend::Session>| {
        session.offers().commands.into_iter().map(|command| command.name).collect::<Vec<_>>()
    };
    assert_eq!((commands(&first), commands(&second)), (vec!["one".to_owned()], vec!["web".to_owned()]));
    soon(first.end(peer.deadline())).await.unwrap();
    peer.finish(&second).await;
}

#[tokio::test]
async fn an_agent_that_can_not_close_a_session_is_not_shared() {
    let Some(peer) = pairs(Clock::system(), &["--caps", "load"]) else { return };
    let error = peer.try_start().await.unwrap_err();
    assert!(matches!(&error, BackendError::Unsupported(what) if what.contains("per-session")), "{error}");
    assert_eq!(peer.processes(), Vec::<String>::new());
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn a_turn_that_ignores_its_cancellation_is_closed_and_costs_the_others_nothing() {
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = pairs(clock, &[]) else { return };
    let (deaf, other) = (peer.start().await, peer.start().await);
    let mut stream = soon(deaf.prompt(prompt("deaf"))).await.unwrap();
    assert!(matches!(soon(stream.next()).await, Some(TurnEvent::Agent(AgentEvent::Text { .. }))));
    deaf.cancel().await.unwrap();
    let mut heard = Box::pin(hear(&deaf, stream, OptionKind::AllowOnce));
    until("the turn is over", || {
        hand.advance(Duration::from_secs(1));
        heard.as_mut().now_or_never().is_some()
    })
    .await;
    drop(heard);
    assert!(!deaf.is_alive() && other.is_alive());
    assert_eq!(turn(&other, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    soon(deaf.release(peer.deadline())).await.unwrap();
    peer.finish(&other).await;
}

#[tokio::test]
async fn f_63_a_session_that_comes_too_late_is_closed_and_the_next_gets_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let Some(peer) = pairs(Clock::system(), &["--log", log.to_str().unwrap()]) else { return };
    let said = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().matches(what).count();
    let first = peer.start().await;
    let hold = peer.dir.path().join("hold");
    std::fs::write(&hold, "").unwrap();
    let mut late = Box::pin(peer.backend.start(peer.spec()));
    tokio::select! {
        _ = &mut late => panic!("it is held"),
        () = until("it is asked for", || said("session/new") == 2) => {}
    }
    drop(late);
    std::fs::remove_file(&hold).unwrap();
    until("it is closed", || said("session/close") == 1).await;
    assert_eq!(turn(&first, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    let next = peer.start().await;
    assert_eq!(peer.processes().len(), 2, "a process that was too slow gets no further session");
    soon(first.end(peer.deadline())).await.unwrap();
    peer.finish(&next).await;
}

#[tokio::test]
async fn f_63_sessions_that_never_come_do_not_keep_a_process_alive() {
    for is_dropped in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let Some(peer) = pairs(Clock::system(), &["--log", log.to_str().unwrap()]) else { return };
        let asked = || std::fs::read_to_string(&log).unwrap_or_default().matches("session/new").count();
        let first = peer.start().await;
        std::fs::write(peer.dir.path().join("hold"), "").unwrap();
        let mut never = Box::pin(peer.backend.start(peer.spec()));
        tokio::select! {
            _ = &mut never => panic!("it is held"),
            () = until("it is asked for", || asked() == 2) => {}
        }
        drop(never);
        assert_eq!(turn(&first, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
        if is_dropped {
            drop(first);
        } else {
            soon(first.end(peer.deadline())).await.unwrap();
        }
        until("the process is gone", || peer.processes().is_empty()).await;
        soon(peer.scope.wait()).await;
    }
}
