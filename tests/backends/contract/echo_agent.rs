//! What only the echo agent does.

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::{AgentEvent, OptionKind};

use crate::peer::{Peer, prompt, turn};

#[tokio::test]
async fn echo_answers_as_was_chosen_and_knows_a_command() {
    let peer = Peer::echo();
    let session = peer.start().await;
    assert_eq!(session.offers().commands[0].name, "reverse");
    assert_eq!(turn(&session, "/reverse abc", OptionKind::AllowOnce).await.text, "cba");
    session.set_option("model", "shout").await.unwrap();
    for (text, expected) in [("hello", "HELLO"), ("!ask", "YOU CHOSE: ALLOW ONCE")] {
        assert_eq!(turn(&session, text, OptionKind::AllowOnce).await.text, expected);
    }
    session.set_option("mode", "plan").await.unwrap();
    let heard = turn(&session, "hello", OptionKind::AllowOnce).await;
    assert!(matches!(heard.events[0], AgentEvent::Plan(_)), "{:?}", heard.events);
    assert_eq!(heard.text, "HELLO");
}

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
