//! R1: kills at random moments, under load.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::checker::Violation;
use super::run::Run;
use super::size::{seed, sized};
use super::subject::{Backend, Life};

/// How often a daemon is killed before everything is checked.
const KILLS: usize = 50;
/// How many runs each backend has, and how many of them go side by side: much of one is waiting.
const RUNS: usize = 10;
const SIDE_BY_SIDE: usize = 2;
/// How many conversations are open from the beginning.
const CONVERSATIONS: usize = 20;
/// After how many kills the disk is compared with what was acknowledged.
const LOOK: usize = 10;

// holds: S-8
#[test]
fn f_34_random_kills_of_a_daemon_with_agents_lose_and_double_nothing() {
    random_kills(Backend::Recording);
}

#[test]
fn f_34_random_kills_of_a_daemon_that_echoes_lose_and_double_nothing() {
    random_kills(Backend::Echo);
}

fn random_kills(backend: Backend) {
    let mut rng = Rng::with_seed(seed());
    // What nobody hears waits for the next daemon, or is read back by it.
    let offline = ["kept", "scheduled"].into_iter().cycle();
    let runs: Vec<(Rng, &str)> = offline.take(sized(RUNS)).map(|offline| (rng.fork(), offline)).collect();
    let mut found = Vec::new();
    for some in runs.chunks(SIDE_BY_SIDE) {
        std::thread::scope(|scope| {
            let begin = |(rng, offline): &(Rng, &'static str)| {
                let (rng, offline) = (rng.clone(), *offline);
                scope.spawn(move || one_run(rng, backend, offline))
            };
            let threads: Vec<_> = some.iter().map(begin).collect();
            found.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
        });
    }
    let count = |is: fn(&Violation) -> bool| found.iter().filter(|violation| is(violation)).count();
    let lost = count(|violation| {
        matches!(violation, Violation::Lost { .. } | Violation::Unanswered(_) | Violation::Missing { .. })
    });
    let prompts = count(|violation| matches!(violation, Violation::Prompted { .. }));
    let finals = count(|violation| matches!(violation, Violation::Doubled { .. }));
    println!("{} kills: {lost} lost, {prompts} double prompts, {finals} double finals", KILLS * sized(RUNS));
    assert_eq!(found, []);
}

fn one_run(mut rng: Rng, backend: Backend, offline: &str) -> Vec<Violation> {
    let mut run = Run::new(rng.fork(), backend);
    run.slack.behave(&json!({"redelivers_offline": offline}));
    run.begin(CONVERSATIONS).kill();
    let mut found = Vec::new();
    for kill in 1..=KILLS {
        let life = run.subject.start();
        live(&mut run, &life, &mut rng);
        life.kill();
        if kill % LOOK == 0 {
            found.extend(run.lost_now());
        }
    }
    found.extend(run.end());
    found
}

/// Lets a daemon work for a moment under load, or not even come up.
fn live(run: &mut Run, life: &Life, rng: &mut Rng) {
    if rng.u32(..4) == 0 {
        run.people.act(&run.slack, &run.subject);
        life.ready_within(Duration::from_millis(rng.u64(..150)));
        return;
    }
    life.ready();
    trouble(run, rng);
    for _ in 0..rng.u32(1..5) {
        run.people.act(&run.slack, &run.subject);
    }
    // The moment of the kill is what is drawn here; nothing is waited for.
    std::thread::park_timeout(Duration::from_millis(rng.u64(5..80)));
}

/// Lets Slack be as it is on a bad day.
fn trouble(run: &Run, rng: &mut Rng) {
    let fault = match rng.u32(..8) {
        0 => json!({"fault": "refresh", "close_ms": 50}),
        1 => json!({"fault": "duplicate_event", "times": 3}),
        2 => json!({"fault": "lost_reply", "method": "chat.postMessage"}),
        3 => json!({"fault": "http_429", "retry_after": 1, "method": "chat.postMessage"}),
        4 => json!({"fault": "delay_event", "ms": 40, "times": 2}),
        _ => return,
    };
    run.slack.fault(&fault);
}
