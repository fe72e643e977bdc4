//! R1: kills at random moments, under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::checker::Violation;
use super::run::Run;
use super::seed::seed;
use super::size::sized;
use super::subject::{Backend, Life};

/// How often a daemon is killed before everything is checked.
const KILLS: usize = 50;
/// How many runs there are with the agent that writes down what it is asked.
const RUNS: usize = 20;
/// How many with the daemon's own echo. It keeps no log, so that they say nothing of prompts: they are about another way through the daemon.
const ECHO_RUNS: usize = 2;
/// How many runs go side by side: most of one is waiting, much of it for what Slack may be asked in a minute.
const SIDE_BY_SIDE: usize = 4;
/// How late at the most Slack lists what was posted, in milliseconds.
const LAG_MS: u64 = 3_000;
/// How many conversations are open from the beginning.
const CONVERSATIONS: usize = 20;
/// After how many kills the disk is compared with what was acknowledged.
const LOOK: usize = 10;

// holds: S-8
#[test]
fn f_34_random_kills_of_a_daemon_with_agents_lose_and_double_nothing() {
    random_kills(Backend::Recording, sized(RUNS));
}

#[test]
fn f_34_random_kills_of_a_daemon_that_echoes_lose_and_double_nothing() {
    random_kills(Backend::Echo, sized(ECHO_RUNS).max(1));
}

fn random_kills(backend: Backend, runs: usize) {
    let mut rng = Rng::with_seed(seed());
    let seeds: Vec<u64> = (0..runs).map(|_| rng.u64(..)).collect();
    let next = AtomicUsize::new(0);
    let some_runs = || {
        let more = || seeds.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(more).flat_map(|seed| one_run(*seed, backend)).collect::<Vec<_>>()
    };
    let found: Vec<Violation> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(some_runs)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let count = |is: fn(&Violation) -> bool| found.iter().filter(|violation| is(violation)).count();
    let lost = count(|violation| {
        matches!(violation, Violation::Lost { .. } | Violation::Unanswered(_) | Violation::Missing { .. })
    });
    let prompts = count(|violation| matches!(violation, Violation::Prompted { .. }));
    let finals = count(|violation| matches!(violation, Violation::Doubled { .. }));
    println!("{} kills: {lost} lost, {prompts} double prompts, {finals} double finals", KILLS * runs);
    assert_eq!(found, []);
}

fn one_run(seed: u64, backend: Backend) -> Vec<Violation> {
    let mut rng = Rng::with_seed(seed);
    let personality = personality(&mut rng);
    let mut run = Run::new(rng.fork(), backend);
    run.slack.behave(&personality);
    // Shown where something is found, or where it never comes to rest.
    println!("run {seed}: {personality}");
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
    println!("run {seed} found {found:?}");
    found
}

/// What Slack is like, of all that is not known.
fn personality(rng: &mut Rng) -> Value {
    let mut one_of = |modes: &[&'static str]| modes[rng.usize(..modes.len())];
    let offline = one_of(&["kept", "scheduled", "never"]);
    let ids = one_of(&["ignored", "honoured", "rejected"]);
    json!({
        "redelivers_offline": offline, "client_msg_id": ids, "history_lag_ms": rng.u64(..=LAG_MS), "retries_clicks": rng.bool(),
    })
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
