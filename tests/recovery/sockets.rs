//! R7, the half with real connections: each event comes over all of them at once, and with another team's context as well; each message is
//! prompted once. How much worse the events themselves can get is in `tests/sessions/storms.rs`.

use fastrand::Rng;
use serde_json::json;

use super::process::{DEADLINE, eventually};
use super::run::Run;
use super::seed::seed;
use super::size::sized;
use super::subject::Backend;

/// How many connections the daemon holds.
const SOCKETS: usize = 3;
/// How many conversations there are, and how many messages in all.
const CONVERSATIONS: usize = 20;
const MESSAGES: usize = 400;

// holds: S-8, T-4
#[test]
fn what_comes_over_three_connections_at_once_is_prompted_once() {
    let mut run = Run::new(Rng::with_seed(seed()), Backend::Recording);
    run.subject.hold_sockets(SOCKETS);
    run.slack.behave(&json!({"connect_twins": true}));
    let life = run.subject.start();
    life.ready();
    let connected = eventually(DEADLINE, || (run.slack.connections() == SOCKETS).then_some(()));
    assert!(connected.is_some(), "{}", life.log());
    run.slack.fault(&json!({"fault": "event_everywhere", "rate": 1.0}));
    let mut threads: Vec<String> = Vec::new();
    for number in 0..sized(MESSAGES) {
        if number == CONVERSATIONS {
            run.answered(&life);
        }
        let thread = threads.get(number % CONVERSATIONS).cloned();
        let asked = run.people.wish(&run.slack, "U0ALICE", ("C0GENERAL", thread.as_deref()), "");
        threads.extend(thread.is_none().then_some(asked.ts));
    }
    run.answered(&life);
    life.kill();
    let came = run.slack.connections_of();
    let not_everywhere: Vec<_> = run.people.asked.iter().filter(|asked| came[&asked.ts] < SOCKETS).collect();
    assert!(not_everywhere.is_empty(), "{not_everywhere:?}");
    assert_eq!(run.end(), []);
}
