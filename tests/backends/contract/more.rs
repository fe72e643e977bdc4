//! What every backend owes beside the rows.

use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session, TurnStream};
use hitchline::clock::Clock;
use hitchline::domain::agent::{Decision, OptionKind};
use hitchline::domain::ids::RequestId;

use crate::peer::{PATIENCE, Peer, asked, hear, prompt, soon, turn};

pub(super) async fn a_released_session_can_be_brought_back(peer: &Peer) {
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

pub(super) async fn a_reader_that_goes_away_frees_the_session(peer: &Peer) {
    let session = peer.start().await;
    drop(soon(session.prompt(prompt(peer.wait))).await.unwrap());
    let mut undecided = prompt_when_free(&session, peer.ask.unwrap_or(peer.wait)).await;
    let request = match peer.ask {
        Some(_) => asked(&mut undecided).await.id,
        None => RequestId::from("request-1"),
    };
    drop(undecided);
    let stream = prompt_when_free(&session, peer.hello).await;
    assert_eq!(session.answer(&request, Decision::Cancelled).await, Answered::NotWaiting);
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

pub(super) async fn an_option_is_set_and_what_is_not_offered_is_rejected(peer: &Peer) {
    let session = peer.start().await;
    set_every_option(&session).await;
    let rejected = session.set_option("no such option", "x").await;
    assert!(matches!(rejected, Err(BackendError::Rejected(_))), "{rejected:?}");
    for option in session.offers().options {
        let rejected = session.set_option(&option.id, "no such value").await;
        assert!(matches!(rejected, Err(BackendError::Rejected(_))), "{rejected:?}");
        assert!(session.offers().options.contains(&option), "a refused value changed {option:?}");
    }
    let waiting = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    set_every_option(&session).await;
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, waiting, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    let options = session.offers().options;
    soon(session.end(peer.deadline())).await.unwrap();
    for option in options {
        assert_eq!(session.set_option(&option.id, &option.current).await, Err(BackendError::Ended));
    }
    peer.finish(&session).await;
}

pub(super) async fn an_option_can_be_set_again_after_a_restore(peer: &Peer) {
    let session = peer.start().await;
    set_every_option(&session).await;
    let chosen = session.offers().options;
    soon(session.release(peer.deadline())).await.unwrap();
    for option in &chosen {
        let refused = session.set_option(&option.id, &option.current).await;
        assert_eq!(refused.unwrap_err().kind(), Kind::Transient);
    }
    if let Ok(again) = peer.restore(&session.backend_ref()).await {
        for option in &chosen {
            soon(again.set_option(&option.id, &option.current)).await.unwrap();
        }
        assert_eq!(again.offers().options, chosen);
        peer.finish(&again).await;
    }
}

/// Chooses another value of each option that is offered, and sees that it is chosen.
pub(super) async fn set_every_option(session: &Arc<dyn Session>) {
    for option in session.offers().options {
        let other = option.values.iter().find(|choice| choice.value != option.current).expect("there is a choice");
        soon(session.set_option(&option.id, &other.value)).await.unwrap();
        let now = session.offers().options.into_iter().find(|now| now.id == option.id).expect("it is still offered");
        assert_eq!(now.current, other.value, "{option:?}");
    }
}

pub(super) async fn a_list_has_what_is_open_and_not_what_has_ended(peer: &Peer) {
    let (one, two, three) = (peer.start().await, peer.start().await, peer.start().await);
    soon(two.end(peer.deadline())).await.unwrap();
    match peer.list(9).await {
        Ok(listed) => {
            let names: Vec<_> = listed.iter().map(|listed| listed.backend_ref.clone()).collect();
            assert_eq!(names, [three.backend_ref(), one.backend_ref()], "the newest first");
            let dir = peer.dir.path().canonicalize().unwrap();
            assert!(listed.iter().all(|listed| listed.working_dir.as_deref() == Some(&*dir)), "{listed:?}");
            assert!(listed.is_sorted_by_key(|listed| std::cmp::Reverse(listed.updated_ms)), "{listed:?}");
            assert_eq!(peer.list(1).await.unwrap(), listed[..1]);
        }
        Err(error) => assert!(matches!(error, BackendError::Unsupported(_)), "{error:?}"),
    }
    one.end(peer.deadline()).await.unwrap();
    peer.finish(&three).await;
}
