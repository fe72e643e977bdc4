//! R1: kills at random moments, under load.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::run::Run;
use super::size::{long, seed};
use super::subject::{Backend, Life};

/// How often a daemon is killed before everything is checked.
const KILLS: usize = 50;
/// How many runs each backend has.
const RUNS: usize = 10;
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
    for run in 0..long(RUNS) {
        let found = one_run(rng.fork(), backend);
        assert_eq!(found, [], "run {run}");
    }
}

fn one_run(mut rng: Rng, backend: Backend) -> Vec<super::checker::Violation> {
    let mut run = Run::new(rng.fork(), backend);
    // What nobody hears waits for the next daemon; otherwise the last one would wait for Slack's schedule.
    run.slack.behave(&json!({"redelivers_offline": "kept"}));
    run.begin(CONVERSATIONS).kill();
    for kill in 1..=KILLS {
        let life = run.subject.start();
        live(&mut run, &life, &mut rng);
        life.kill();
        if kill % LOOK == 0 {
            assert_eq!(run.lost_now(), [], "after kill {kill}");
        }
    }
    run.end()
}

/// Lets a daemon work for a moment under load, or not even come up.
fn live(run: &mut Run, life: &Life, rng: &mut Rng) {
    if rng.u32(..4) == 0 {
        run.people.act(&run.slack);
        life.ready_within(Duration::from_millis(rng.u64(..150)));
        return;
    }
    life.ready();
    trouble(run, rng);
    for _ in 0..rng.u32(1..5) {
        run.people.act(&run.slack);
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
