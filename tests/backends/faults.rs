//! Agents that crash, hang, flood, or write nonsense.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hitchline::backend::error::BackendError;
use hitchline::backend::{Outcome, TurnEvent};
use hitchline::clock::Clock;
use hitchline::domain::agent::{AgentEvent, OptionKind};

use super::peer::{MEMORY, Peer, prompt, resident_mib, runs, soon, turn, until};

#[tokio::test]
async fn f_49_a_crash_ends_the_turn_with_its_last_words_and_the_session_can_be_brought_back() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let heard = turn(&session, "crash", OptionKind::AllowOnce).await;
    assert_eq!(heard.text, "last words");
    let stderr = "something broke, token xoxb-…".to_owned();
    assert_eq!(heard.outcome, Outcome::Failed(BackendError::Crashed { exit: "exit code 3".to_owned(), stderr }));
    assert!(!session.is_alive());
    assert!(matches!(session.prompt(prompt("hello")).await, Err(BackendError::Crashed { .. })));
    soon(session.release(peer.deadline())).await.unwrap();
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&again).await;
}

#[tokio::test]
async fn f_49_a_crash_between_turns_is_noticed_and_the_session_can_be_brought_back() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    assert_eq!(turn(&session, "crash-after", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    until("the crash is noticed", || !session.is_alive()).await;
    let crashed = BackendError::Crashed { exit: "exit code 5".to_owned(), stderr: String::new() };
    assert_eq!(session.prompt(prompt("hello")).await.unwrap_err(), crashed);
    assert_eq!(session.set_option("llm", "large").await.unwrap_err(), crashed);
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&again).await;
}

/// Signals of which agents die: a fault of their own, and the system's when memory runs out; with their numbers.
const DEATHS: [(&str, u8); 2] = [("SEGV", 11), ("KILL", 9)];

#[tokio::test]
async fn f_49_an_agent_that_a_signal_kills_before_in_or_after_a_turn_is_a_crash_that_says_so() {
    let Some(peer) = Peer::fake() else { return };
    for (name, number) in DEATHS {
        let died = |error: &BackendError| matches!(error, BackendError::Crashed { exit, .. } if *exit == format!("signal {number}"));
        let stillborn = Peer::fake_with(&["--die", name]).unwrap();
        let error = stillborn.try_start().await.unwrap_err();
        assert!(died(&error), "{error:?}");
        soon(stillborn.scope.wait()).await;

        let session = peer.start().await;
        let heard = turn(&session, &format!("die {name}"), OptionKind::AllowOnce).await;
        assert_eq!(heard.text, "last words");
        assert!(matches!(&heard.outcome, Outcome::Failed(error) if died(error)), "{:?}", heard.outcome);
        assert!(!session.is_alive());

        let again = peer.restore(&session.backend_ref()).await.unwrap();
        let heard = turn(&again, &format!("die-after {name}"), OptionKind::AllowOnce).await;
        assert_eq!(heard.outcome, Outcome::Completed);
        until("the death is noticed", || !again.is_alive()).await;
        let error = again.prompt(prompt("hello")).await.unwrap_err();
        assert!(died(&error), "{error:?}");
        let alive = peer.restore(&again.backend_ref()).await.unwrap();
        assert_eq!(turn(&alive, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
        soon(alive.end(peer.deadline())).await.unwrap();
    }
    soon(peer.backend.shutdown(peer.deadline())).await;
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn an_agent_that_crashes_again_and_again_is_left_alone_for_a_minute_and_others_are_not() {
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = Peer::fake_at(clock.clone(), &["--exit", "7"]) else { return };
    for _ in 0..5 {
        let error = peer.try_start().await.unwrap_err();
        assert!(matches!(error, BackendError::Crashed { .. }), "{error:?}");
        hand.advance(Duration::from_secs(8));
    }
    let refused = BackendError::CrashLoop {
        crashes: 5,
        again_in: Duration::from_secs(52),
        exit: "exit code 7".to_owned(),
        stderr: "it would not start".to_owned(),
    };
    assert_eq!(peer.try_start().await.unwrap_err(), refused);
    let other = Peer::fake_at(clock, &[]).unwrap();
    let session = other.start().await;
    other.finish(&session).await;
    hand.advance(Duration::from_secs(52));
    let error = peer.try_start().await.unwrap_err();
    assert!(matches!(error, BackendError::Crashed { .. }), "{error:?}");
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn after_a_crash_the_next_start_waits_for_a_moment() {
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = Peer::fake_at(clock, &[]) else { return };
    let session = peer.start().await;
    assert_ne!(turn(&session, "crash", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    let earlier = session.backend_ref();
    let mut again = Box::pin(peer.backend.restore(&earlier, peer.spec()));
    assert!(futures_util::poll!(again.as_mut()).is_pending());
    assert_eq!(peer.processes(), Vec::<String>::new());
    hand.advance(Duration::from_secs(1));
    let again = soon(again).await.unwrap();
    peer.finish(&again).await;
}

#[tokio::test]
async fn a_session_whose_turn_was_ended_by_force_can_be_brought_back() {
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = Peer::fake_at(clock, &[]) else { return };
    let session = peer.start().await;
    let mut stream = session.prompt(prompt("deaf-held")).await.unwrap();
    let Some(TurnEvent::Agent(AgentEvent::Text { delta, .. })) = soon(stream.next()).await else { panic!("no text") };
    let (agent, holder) = delta.split_once(' ').unwrap();
    // Nobody reads, so that it is cancelled.
    drop(stream);
    until("the agent is killed", || {
        let killed = !runs(agent);
        if !killed {
            hand.advance(Duration::from_secs(1));
        }
        killed
    })
    .await;
    // Somebody still holds its stderr, which we go on reading for a moment: not all of it is gone yet.
    assert!(!session.is_alive());
    let mut release = Box::pin(session.release(peer.deadline()));
    assert!(futures_util::poll!(release.as_mut()).is_pending());
    assert!(Command::new("kill").arg(holder).status().unwrap().success());
    soon(release).await.unwrap();
    let again = peer.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(turn(&again, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&again).await;
}

#[tokio::test]
async fn f_51_a_stubborn_agent_is_killed_with_its_children_by_the_deadline() {
    let Some(peer) = Peer::fake_with(&["--stubborn"]) else { return };
    let session = peer.start().await;
    let children = turn(&session, "children", OptionKind::AllowOnce).await.text;
    let children: Vec<&str> = children.split(' ').collect();
    assert_eq!(children.len(), 3);
    assert!(children.iter().all(|child| runs(child)));
    let deadline = peer.clock.now() + Duration::from_secs(2);
    soon(session.end(deadline)).await.unwrap();
    assert!(peer.clock.now() < deadline + Duration::from_secs(1));
    until("the children are gone", || !children.iter().any(|child| runs(child))).await;
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn f_52_daemons_of_an_agent_are_killed_and_reaped() {
    hitchline::backend::adopt_orphans();
    for is_dropped in [false, true] {
        let Some(peer) = Peer::fake_with(&["--stubborn"]) else { return };
        let session = peer.start().await;
        let daemons = turn(&session, "daemons", OptionKind::AllowOnce).await.text;
        let daemons: Vec<&str> = daemons.split(' ').collect();
        assert!(daemons.len() == 2 && daemons.iter().all(|daemon| runs(daemon)), "{daemons:?}");
        if is_dropped {
            drop(session);
        } else {
            soon(session.end(peer.deadline())).await.unwrap();
        }
        soon(peer.scope.wait()).await;
        // Not even a corpse is left.
        let left = || daemons.iter().any(|daemon| Path::new("/proc").join(daemon).exists());
        until("the daemons are gone", || !left()).await;
    }
}

#[tokio::test]
async fn children_die_with_an_agent_that_exits_when_it_is_let_go() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let children = turn(&session, "children", OptionKind::AllowOnce).await.text;
    peer.finish(&session).await;
    until("the children are gone", || !children.split(' ').any(runs)).await;
}

#[tokio::test]
async fn f_52_children_do_not_outlive_an_agent_that_crashes() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let heard = turn(&session, "crash-parent", OptionKind::AllowOnce).await;
    assert!(matches!(heard.outcome, Outcome::Failed(BackendError::Crashed { .. })), "{:?}", heard.outcome);
    let children: Vec<&str> = heard.text.split(' ').collect();
    assert_eq!(children.len(), 3);
    until("the children are gone", || !children.iter().any(|child| runs(child))).await;
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_session_that_is_dropped_leaves_no_process() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let children = turn(&session, "children", OptionKind::AllowOnce).await.text;
    drop(session);
    soon(peer.scope.wait()).await;
    until("the children are gone", || !children.split(' ').any(runs)).await;
}

#[tokio::test]
async fn f_54_nonsense_on_the_output_is_skipped() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let heard = turn(&session, "garbage", OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("still here", Outcome::Completed));
    assert_eq!(heard.events.len(), 1);
    peer.finish(&session).await;
}

#[tokio::test]
async fn f_54_a_prompt_that_is_answered_twice_has_ended_once() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    for text in ["answer-twice", "hello", "answer-twice", "hello"] {
        assert_eq!(turn(&session, text, OptionKind::AllowOnce).await.outcome, Outcome::Completed, "{text}");
    }
    peer.finish(&session).await;
}

#[tokio::test]
async fn f_54_half_a_character_costs_neither_the_turn_nor_a_request() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    // More than may be inside at once.
    let texts = format!("texts [{}]", vec![r#""\ud83d""#; 200].join(","));
    let heard = turn(&session, &texts, OptionKind::AllowOnce).await;
    assert_eq!((heard.text, heard.outcome), ("\u{fffd}".repeat(200), Outcome::Completed));
    let offer = r#"ask-offering [{"optionId": "a", "name": "Yes \ud83d", "kind": "allow_once"}]"#;
    let heard = turn(&session, offer, OptionKind::AllowOnce).await;
    assert_eq!((heard.asked[0].options[0].label.as_str(), heard.outcome), ("Yes \u{fffd}", Outcome::Completed));
    peer.finish(&session).await;
}

#[tokio::test]
async fn f_54_an_answer_that_is_not_clear_fails_the_turn_and_the_session_goes_on() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let heard = turn(&session, "answer-unclear", OptionKind::AllowOnce).await;
    assert!(matches!(&heard.outcome, Outcome::Failed(BackendError::Transient(_))), "{:?}", heard.outcome);
    assert_eq!(turn(&session, "hello", OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_line_of_a_hundred_mebibytes_ends_the_agent_and_is_not_held() {
    let _alone = MEMORY.lock().await;
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let before = resident_mib();
    let heard = turn(&session, &format!("long {}", 100 << 20), OptionKind::AllowOnce).await;
    let after = resident_mib();
    assert!(matches!(&heard.outcome, Outcome::Failed(BackendError::Protocol(_))), "{:?}", heard.outcome);
    assert!(after < before + 64, "{before} MiB became {after} MiB");
    peer.finish(&session).await;
}
