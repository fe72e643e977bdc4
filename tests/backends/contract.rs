//! The suite that every backend passes.
//!
//! What is asked of a backend, and which tests hold it: those without a module run here over every backend, those of `acp` and `faults`
//! over our own agent, `unit` are beside the code, `sessions` are of the room above, for which a backend only reports.
//!
//! |  # | asked                                   | held by                                                                           |
//! |---:|-----------------------------------------|-----------------------------------------------------------------------------------|
//! |  1 | unique ids, 20 starts at once           | `sessions_that_start_at_once_are_independent`                                     |
//! |  2 | a start that hangs leaves nothing       | `acp::f_63_…`, `acp::a_start_that_is_dropped…`                                    |
//! |  3 | a prompt is answered and ends once      | `a_turn_says_something_and_ends_once`                                             |
//! |  4 | order; unknown updates are ignored      | `acp::events_keep_their_order_and_meaning`, `faults::f_54_…`                      |
//! |  5 | a second prompt is busy                 | `a_second_prompt_is_busy`                                                         |
//! |  6 | sessions don't mix                      | `sessions_do_not_mix`, `faults::f_54_…`                                           |
//! |  7 | a cancel, twice, idle, and a turn after | `a_cancelled_turn_ends_as_cancelled`                                              |
//! |  8 | a cancel that is ignored                | `faults::f_51_…`                                                                  |
//! |  9 | decisions, by kind, once; ids as sent   | `a_decision_is_applied_once`, `a_rejection_reaches_the_agent`,                    |
//! |    |                                         | `a_cancelled_turn_no_longer_waits`, `acp::a_request_…`; expiry: `sessions`        |
//! | 10 | unknown requests are answered           | `acp::a_request_that_we_do_not_know_is_answered`                                  |
//! | 11 | ended: idempotent, no I/O, not listed   | `an_ended_session_is_gone`, `acp::nothing_is_sent_after_an_end`,                  |
//! |    |                                         | `a_list_has_what_is_open…`; over a restart of the daemon: `sessions`              |
//! | 12 | an end during a turn, by its deadline   | `an_end_ends_its_turn`, `faults::an_end_keeps_its_deadline…`                      |
//! | 13 | no process is left                      | `faults::f_51_…`, `faults::children_die_with…`, `faults::…is_dropped…`            |
//! | 14 | crashes, also between turns             | `faults::f_49_…`, `faults::a_crash_…`                                             |
//! | 15 | restored without repeating              | `acp::a_session_is_brought_back…`, `a_released_session…`; what is lost: `sessions` |
//! | 16 | who says "unknown session", and how     | `a_name_of_somebody_else_is_unknown`, `amplifierd…f_59_…`, unit `acp::classify`,  |
//! |    |                                         | `http::failure`                                                                   |
//! | 17 | failures that keep the session          | `acp::an_error_of_a_prompt…`, `amplifierd…f_58_…`, `…f_59_…`, `…f_61_…`,          |
//! |    |                                         | `opencode::a_model_that_fails…`, unit `acp::classify`, `http::failure`            |
//! | 18 | no second POST                          | `amplifierd…a_prompt_that_may_have_arrived…`, `…f_58_…`, unit `http::delivery`    |
//! | 19 | sign-in is not permanent, and no secret | `acp::a_missing_sign_in…`, unit `acp::classify`, `acp::process`                   |
//! | 20 | silence and endless turns               | `sessions`; the `silent` peer passes all of this without a word during a turn     |
//! | 21 | garbage, long and half lines, stderr    | `faults::f_54_…`, `…a_long_line…`, `…a_flood…`                                    |
//! | 22 | a reader that stalls                    | `faults::f_53_…`, `acp::updates_between_turns…`, unit `acp::gate`                 |
//! | 23 | a shutdown, twice; nothing starts after | `a_stopped_backend_does_nothing`; draining: `sessions`                            |
//! | 24 | another version                         | `acp::another_version_is_refused`                                                 |
//! | 25 | any order of all that                   | `interleavings`                                                                   |
//! |  + | options, commands                       | `an_option_…`, `acp::what_…`, `acp::an_option_…`, unit `acp::offers`              |
//! |  + | a process that several sessions share   | all of this over the `shared` peer, and `shared::…`                               |
//! |  + | what agents really said                 | `replays`                                                                         |
//! |  + | the list                                | `a_list_has_…`, `acp::a_list_is_…`, `acp::an_agent_that_has_no_list…`             |
//! |  + | 2, 8, 13 to 15 for a terminal           | `tmux::…never_ready…`, `…ignores_its_key…`, `…no_descendant…`, `…dies…`, `…left_running…` |

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session, TurnStream};
use hitchline::clock::Clock;
use hitchline::domain::agent::{AgentEvent, Decision, OptionKind};
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
            sessions_that_start_at_once_are_independent, a_turn_says_something_and_ends_once, a_second_prompt_is_busy,
            a_cancelled_turn_ends_as_cancelled, a_decision_is_applied_once, a_rejection_reaches_the_agent,
            a_cancelled_turn_no_longer_waits, an_ended_session_is_gone, an_end_ends_its_turn,
            a_released_session_can_be_brought_back, a_reader_that_goes_away_frees_the_session,
            a_stopped_backend_does_nothing, an_option_is_set_and_what_is_not_offered_is_rejected,
            an_option_can_be_set_again_after_a_restore, a_list_has_what_is_open_and_not_what_has_ended,
            sessions_do_not_mix, a_name_of_somebody_else_is_unknown,
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
    shared: Peer::fake_as(&[], |config| config.process = hitchline::backend::config::Process::Shared);
    npm: super::super::npm::peer();
    amplifierd: Some(super::super::amplifierd::peer().await);
    opencode: super::super::opencode::peer();
    tmux: Peer::tmux();
}

// holds: S-13
async fn sessions_that_start_at_once_are_independent(peer: &Peer) {
    let sessions = join_all((0..peer.crowd).map(|_| peer.start())).await;
    let ids: HashSet<String> = sessions.iter().map(|session| session.backend_ref().0).collect();
    assert_eq!(ids.len(), peer.crowd);
    let (changed, others) = sessions.split_first().unwrap();
    let before = others[0].offers();
    set_every_option(changed).await;
    soon(changed.end(peer.deadline())).await.unwrap();
    assert!(others.iter().all(|session| session.is_alive() && session.offers().options == before.options));
    assert_eq!(turn(&others[0], peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    join_all(others.iter().map(|session| session.end(peer.deadline()))).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
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
    let Some(ask) = peer.ask else { return never_asks(peer).await };
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(ask))).await.unwrap();
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

/// An agent that asks nobody waits for no decision, whatever it is told.
async fn never_asks(peer: &Peer) {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    assert_eq!(session.answer(&RequestId::from("request-1"), Decision::Cancelled).await, Answered::NotWaiting);
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!((heard.asked, heard.outcome), (vec![], Outcome::Cancelled));
    peer.finish(&session).await;
}

async fn a_rejection_reaches_the_agent(peer: &Peer) {
    let Some(ask) = peer.ask else { return never_asks(peer).await };
    let session = peer.start().await;
    let allowed = turn(&session, ask, OptionKind::AllowOnce).await;
    let rejected = turn(&session, ask, OptionKind::RejectOnce).await;
    assert_eq!((allowed.asked.len(), rejected.asked.len()), (1, 1));
    assert_eq!(rejected.outcome, Outcome::Completed);
    assert_ne!(allowed.text, rejected.text);
    peer.finish(&session).await;
}

async fn a_cancelled_turn_no_longer_waits(peer: &Peer) {
    let Some(ask) = peer.ask else { return never_asks(peer).await };
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(ask))).await.unwrap();
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

async fn a_stopped_backend_does_nothing(peer: &Peer) {
    let session = peer.start().await;
    peer.finish(&session).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.backend.shutdown(peer.deadline())).await;
    assert_eq!(peer.try_start().await.unwrap_err(), BackendError::ShuttingDown);
    assert_eq!(peer.list(1).await.unwrap_err(), BackendError::ShuttingDown);
}

async fn an_option_is_set_and_what_is_not_offered_is_rejected(peer: &Peer) {
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

async fn an_option_can_be_set_again_after_a_restore(peer: &Peer) {
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
async fn set_every_option(session: &Arc<dyn Session>) {
    for option in session.offers().options {
        let other = option.values.iter().find(|choice| choice.value != option.current).expect("there is a choice");
        soon(session.set_option(&option.id, &other.value)).await.unwrap();
        let now = session.offers().options.into_iter().find(|now| now.id == option.id).expect("it is still offered");
        assert_eq!(now.current, other.value, "{option:?}");
    }
}

async fn a_list_has_what_is_open_and_not_what_has_ended(peer: &Peer) {
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

// === What only the echo agent does ===

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
