//! The answer arrives whole and once, whatever becomes of the cosmetic side.

use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::agent::{AgentEvent, Usage};
use hitchline::domain::conversation::Markup;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::Button;
use hitchline::domain::outgoing::Body;
use hitchline::domain::ports::{Render, WriteErrorKind};
use proptest::prelude::*;

use super::puppet::Puppet;
use super::slack::{PART, Plain, Step};
use super::world::World;

const KINDS: [WriteErrorKind; 7] = [
    WriteErrorKind::StreamUnavailable,
    WriteErrorKind::StoppedByUser,
    WriteErrorKind::MessageGone,
    WriteErrorKind::Transient { uncertain: false },
    WriteErrorKind::Transient { uncertain: true },
    WriteErrorKind::Rate { after_ms: 2_000 },
    WriteErrorKind::Auth,
];
const STEPS: [Step; 5] = [Step::Status, Step::Start, Step::Append, Step::Update, Step::Stop];

/// Lets the agent say `pieces`, each with time to be shown, and returns all that it said.
async fn talk(world: &World, session: &Arc<Puppet>, pieces: &[String]) -> String {
    let mut said = String::new();
    for piece in pieces {
        if !session.is_asked() {
            break;
        }
        session.says(piece).await;
        said.push_str(piece);
        world.time_passes().await;
    }
    session.ends(Outcome::Completed);
    said
}

/// Waits, however slow Slack is, until nothing is owed; returns what then stands in the thread.
async fn delivered(world: &World, thread: &Ts) -> String {
    let idle = || world.manager.stats().busy == 0 && format!("{:?}", world.outbox).contains("lanes: 0");
    world.until_after(Duration::from_mins(5), idle).await;
    assert!(world.slack.thread(thread).iter().all(|shown| !shown.streams), "{:#?}", world.slack);
    world.slack.texts(thread).concat()
}

/// Runs a turn of `pieces` in which `faults` happen, and checks the answer.
async fn check(faults: &[(Step, WriteErrorKind)], pieces: &[String]) {
    let world = World::new().await;
    for (step, kind) in faults {
        world.slack.fail(*step, *kind);
    }
    let thread = world.mention("U1", "talk").await;
    let session = world.prompted("talk").await;
    world.time_passes().await;
    let said = talk(&world, &session, pieces).await;
    delivered(&world, &thread).await;
    assert_whole(faults, &said, world.slack.texts(&thread));
    assert_eq!(world.store.last_owed().await.unwrap(), None);
}

/// Checks that `texts` are the messages of `said`, each once; a turn that a person stopped says so at the end.
fn assert_whole(faults: &[(Step, WriteErrorKind)], said: &str, mut texts: Vec<String>) {
    let mut whole = vec![Plain.parts(Markup::Slack, said)];
    if faults.iter().any(|(_, kind)| *kind == WriteErrorKind::StoppedByUser) {
        whole.push(Plain.parts(Markup::Slack, format!("{said}\n\n_Stopped._").trim()));
    }
    // A message that can't be finished where it stands is posted anew, below the others.
    if faults.iter().any(|(step, _)| matches!(step, Step::Update | Step::Stop)) {
        texts.sort();
        for texts in &mut whole {
            texts.sort();
        }
    }
    let lengths = |texts: &[String]| texts.iter().map(String::len).collect::<Vec<_>>();
    assert!(whole.contains(&texts), "{faults:?}: {:?} of {} bytes", lengths(&texts), said.len());
}

fn pieces(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n}:{}.", "x".repeat(length))).collect()
}

#[tokio::test]
async fn a_quick_answer_is_one_message_and_no_more() {
    let world = World::echoing().await;
    let thread = world.mention("U1", "quick").await;
    world.until_thread_is(&thread, &["quick"]).await;
    let cosmetic = STEPS.map(|step| world.slack.count(step));
    assert_eq!((world.slack.count(Step::Post), cosmetic), (1, [0; 5]));
}

#[tokio::test]
async fn what_a_session_has_used_stands_below_an_answer_that_is_whole() {
    let world = World::new().await;
    for (text, outcome, expected) in [
        ("one", Outcome::Completed, "here\n\n_25 % of the agent's memory used (50 of 200 tokens)_"),
        ("two", Outcome::Truncated, "here"),
    ] {
        let thread = world.mention("U1", text).await;
        let session = world.prompted(text).await;
        session.says("here").await;
        for used in [10, 50] {
            session.sends(AgentEvent::Usage(Usage { used, size: 200, cost: None })).await;
        }
        session.ends(outcome);
        let shown = delivered(&world, &thread).await;
        assert!(shown.starts_with(expected), "{shown}");
        assert_eq!(shown.matches("memory used").count(), expected.matches("memory used").count(), "{shown}");
    }
}

#[tokio::test]
async fn a_slow_answer_streams_and_is_finished_once() {
    let world = World::new().await;
    let thread = world.mention("U1", "slow").await;
    let session = world.prompted("slow").await;
    world.time_passes().await;
    assert_eq!(world.slack.count(Step::Status), 1);
    let said = talk(&world, &session, &pieces(5, 3)).await;
    assert_eq!(delivered(&world, &thread).await, said);
    let made = [Step::Start, Step::Append, Step::Stop, Step::Update, Step::Post].map(|step| world.slack.count(step));
    assert_eq!(made, [1, 4, 1, 1, 0]);
}

#[tokio::test]
async fn an_answer_of_many_messages_keeps_its_order() {
    let world = World::new().await;
    let thread = world.mention("U1", "long").await;
    let session = world.prompted("long").await;
    let said = talk(&world, &session, &pieces(12, 700)).await;
    assert_eq!(delivered(&world, &thread).await, said);
    assert_eq!(world.slack.texts(&thread).len(), said.len().div_ceil(PART));
}

#[tokio::test]
async fn a_message_that_is_deleted_while_it_grows_leaves_the_rest_in_order() {
    let world = World::new().await;
    world.slack.fail(Step::Start, WriteErrorKind::StreamUnavailable);
    let thread = world.mention("U1", "talk").await;
    let session = world.prompted("talk").await;
    world.slack.fail(Step::Update, WriteErrorKind::MessageGone);
    let said = talk(&world, &session, &pieces(6, 600)).await;
    assert_eq!(delivered(&world, &thread).await.len(), said.len());
    assert!(world.slack.texts(&thread) == Plain.parts(Markup::Slack, &said), "{:?}", world.slack);
}

#[tokio::test]
async fn the_answer_arrives_whole_and_once_whatever_fails_once() {
    for step in STEPS {
        for kind in KINDS {
            check(&[(step, kind)], &pieces(4, 5)).await;
        }
    }
}

#[tokio::test]
async fn a_message_whose_making_was_not_answered_is_found_again() {
    let lost = WriteErrorKind::Transient { uncertain: true };
    check(&[(Step::Start, lost)], &pieces(4, 5)).await;
    check(&[(Step::Start, WriteErrorKind::StreamUnavailable), (Step::Post, lost)], &pieces(4, 5)).await;
    // The first piece of the answer itself.
    check(&[(Step::Start, lost), (Step::Post, lost)], &pieces(40, 90)).await;
}

#[tokio::test]
async fn a_message_that_never_left_is_not_looked_for() {
    let world = World::new().await;
    world.slack.fail(Step::Post, WriteErrorKind::Rate { after_ms: 60_000 });
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    session.says("one").await;
    session.ends(Outcome::Completed);
    world.until("the first answer waits", || world.slack.count(Step::Post) == 1).await;
    world.reply("U1", &thread, "second").await;
    let session = world.prompted("second").await;
    talk(&world, &session, &pieces(3, 5)).await;
    let idle = || world.manager.stats().busy == 0;
    world.until_after(Duration::from_mins(5), idle).await;
    delivered(&world, &thread).await;
    assert_eq!(world.slack.texts(&thread), ["one".to_owned(), pieces(3, 5).concat()]);
    assert_eq!([Step::Start, Step::Look].map(|step| world.slack.count(step)), [0, 0]);
}

#[tokio::test]
async fn only_what_stands_below_the_question_is_looked_for_and_more_than_once() {
    let lost = WriteErrorKind::Transient { uncertain: true };
    let world = World::new().await;
    let thread = world.mention("U1", "talk").await;
    let session = world.prompted("talk").await;
    world.slack.grown_before(&thread);
    world.slack.fail(Step::Start, lost);
    world.slack.fail(Step::Look, WriteErrorKind::Transient { uncertain: false });
    talk(&world, &session, &pieces(3, 5)).await;
    let told = || world.slack.texts(&thread).contains(&pieces(3, 5).concat());
    world.until_after(Duration::from_secs(9), told).await;
    assert_eq!(world.slack.texts(&thread), ["older".to_owned(), pieces(3, 5).concat()]);
    assert_eq!([Step::Post, Step::Look].map(|step| world.slack.count(step)), [0, 2]);
}

#[tokio::test]
async fn the_answer_arrives_whole_and_once_whatever_keeps_failing() {
    for kind in KINDS {
        for steps in [&STEPS[1..2], &STEPS[2..3], &STEPS[1..3]] {
            let faults: Vec<(Step, WriteErrorKind)> = steps.iter().flat_map(|step| [(*step, kind); 5]).collect();
            check(&faults, &pieces(8, 5)).await;
        }
    }
}

#[tokio::test]
async fn the_word_that_a_turn_was_stopped_may_fall_between_two_messages() {
    // 2,990 bytes and twelve more: the last message is the note's last two.
    let pieces = [990, 1_000, 1_000].map(|length| "z".repeat(length));
    check(&[(Step::Append, WriteErrorKind::StoppedByUser)], &pieces).await;
    check(&[(Step::Stop, WriteErrorKind::StoppedByUser)], &pieces).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_answer_arrives_whole_and_once_in_any_trouble(
        faults in proptest::collection::vec((0..STEPS.len(), 0..KINDS.len()), 0..6),
        lengths in proptest::collection::vec(1usize..900, 1..8),
    ) {
        let faults: Vec<_> = faults.into_iter().map(|(step, kind)| (STEPS[step], KINDS[kind])).collect();
        let pieces: Vec<String> = lengths.iter().enumerate().map(|(n, length)| format!("{n}:{}.", "y".repeat(*length))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&faults, &pieces));
    }
}

// holds: S-8, K-5
#[tokio::test]
async fn an_answer_that_grows_by_edits_bears_a_stop_button_until_it_is_whole() {
    let world = World::new().await;
    world.slack.fail(Step::Start, WriteErrorKind::StreamUnavailable);
    let thread = world.mention("U1", "talk").await;
    let session = world.prompted("talk").await;
    for piece in pieces(3, 5) {
        session.says(&piece).await;
        world.time_passes().await;
    }
    let grown = world.slack.everything();
    let Body::List(list) = &grown.last().unwrap().body else { panic!("{grown:?}") };
    let stop = list.rows[0].button.as_ref().unwrap();
    assert!(matches!(stop.button, Button::Stop { .. }) && stop.label == "Stop", "{stop:?}");
    session.ends(Outcome::Completed);
    world.rest().await;
    let whole = world.slack.everything();
    assert!(matches!(&whole.last().unwrap().body, Body::Text(text) if *text == pieces(3, 5).concat()), "{whole:?}");
    assert_eq!(world.slack.texts(&thread).len(), 1);
}
