//! R2: a kill at every system call that matters, in one scenario: somebody asks, allows what the agent wants to do, and is answered in
//! three messages.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::agent;
use super::checker::Violation;
use super::history::What;
use super::process::eventually;
use super::run::Run;
use super::size::is_long;
use super::subject::{Backend, Life, Subject};

/// What makes a row last, what others get to see, and what goes to the agent; and at how many of them a kill must hit in the scenario,
/// which is about half of what it has.
const CALLS: [(&str, usize); 5] = [("fsync", 10), ("pwrite64", 90), ("sendto", 5), ("writev", 8), ("write", 8)];
/// How many scenarios run side by side: most of one is waiting.
const SIDE_BY_SIDE: usize = 4;
/// Of how many points one is taken in personalities that the matrix only samples.
const SAMPLED: usize = 10;
/// In how many messages the answer comes.
const ANSWERS: usize = 3;
/// How long a scenario may take, if nothing kills it.
const SCENARIO: Duration = Duration::from_secs(20);

#[test]
fn f_34_a_kill_at_any_call_loses_and_doubles_nothing() {
    points(&json!({"client_msg_id": "ignored"}), 1);
}

#[test]
fn f_34_a_kill_at_any_call_where_ids_of_posts_count_loses_and_doubles_nothing() {
    points(&json!({"client_msg_id": "honoured"}), 1);
}

#[test]
fn f_34_a_kill_at_any_call_where_ids_of_posts_are_refused_loses_and_doubles_nothing() {
    points(&json!({"client_msg_id": "rejected"}), 1);
}

#[test]
fn f_34_a_kill_at_some_calls_loses_and_doubles_nothing_whatever_slack_is_like() {
    for personality in [
        json!({"redelivers_offline": "never", "history_lag_ms": 1_000}),
        json!({"redelivers_offline": "never", "retries_clicks": true}),
        json!({"history_lag_ms": 1_000, "retries_clicks": true}),
    ] {
        points(&personality, SAMPLED);
    }
}

/// Goes through every so many calls of each kind, in a long run through all, until the scenario comes to its end without a kill.
fn points(personality: &Value, every: usize) {
    let Some(warm) = warm() else { return };
    let every = if is_long() { 1 } else { every };
    for (call, least) in CALLS {
        let (next, hit, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let some_points = || {
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let nth = 1 + every * next.fetch_add(1, Ordering::Relaxed);
                let (killed, found) = point(&warm, personality, call, nth);
                hit.fetch_add(usize::from(killed), Ordering::Relaxed);
                over.fetch_or(!killed, Ordering::Relaxed);
                wrong.extend((!found.is_empty()).then_some((nth, found)));
            }
            wrong
        };
        let wrong: Vec<(usize, Vec<Violation>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(some_points)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let hit = hit.into_inner();
        println!("{call}: {hit} points, one of {every}, {personality}");
        assert_eq!(wrong, [], "killed at these calls of {call}, {personality}");
        assert!(hit >= (least / every).max(1), "killed at no more than {hit} calls of {call}, {personality}");
    }
}

/// A state directory that is in use already, so that the points are those of the scenario; `None` without the tool.
fn warm() -> Option<Subject> {
    super::program::program("strace")?;
    let run = Run::new(Rng::new(), Backend::Recording);
    let life = run.subject.start();
    life.ready();
    life.stop();
    Some(run.subject)
}

/// One scenario; whether its daemon was killed, and what is wrong in the end.
fn point(warm: &Subject, personality: &Value, call: &str, nth: usize) -> (bool, Vec<Violation>) {
    let mut run = Run::new(Rng::new(), Backend::Recording);
    run.slack.behave(personality);
    run.subject.continue_from(warm);
    let mut life = run.subject.start_doomed(call, nth).unwrap();
    let listens = eventually(SCENARIO, || (life.is_ready() || life.is_over()).then_some(()));
    assert!(listens.is_some(), "{}", life.log());
    run.people.wish(&run.slack, "U0ALICE", ("C0GENERAL", None), "ask parts");
    let killed = play(&mut run, &mut life);
    life.kill();
    if !killed {
        assert_is_whole(&run);
    }
    (killed, run.end())
}

/// What a scenario without a kill has: the agent asked and was allowed, and its answer stands in three messages.
fn assert_is_whole(run: &Run) {
    let heard: Vec<What> = agent::heard(run.subject.path()).into_iter().map(|heard| heard.what).collect();
    assert_eq!(heard, [What::Begin, What::Act, What::End]);
    let shown = run.slack.shown();
    let parts: BTreeSet<&str> =
        shown.iter().filter(|shown| !shown.lines.is_empty()).map(|shown| shown.ts.as_str()).collect();
    assert!(parts.len() >= ANSWERS, "{shown:?}");
}

/// Lets the scenario run; whether its daemon was killed before the end.
fn play(run: &mut Run, life: &mut Life) -> bool {
    let over = eventually(SCENARIO, || {
        run.people.press(&run.slack, None);
        match (life.is_over(), run.is_answered()) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    });
    over.unwrap_or_else(|| panic!("neither killed nor answered; the log:\n{}", life.log()))
}
