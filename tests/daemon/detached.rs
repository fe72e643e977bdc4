//! Agents in tmux over the ends of their daemon: those that outlive it, and those that don't.

use rustix::process::Signal;

use super::harness::{Running, text, until, works_in};
use super::program::program;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";
const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/line_agent.py");

/// A daemon whose agents are programs in tmux; without its tools, none.
fn daemon(place: &Place, on_shutdown: &str) -> Option<Running> {
    program("tmux")?;
    let python = program("python3")?;
    let sections = format!(
        "[sessions]\nbackend = \"repl\"\n[shutdown]\nturn_grace = \"1s\"\n[backends.repl]\nkind = \"tmux\"\n\
         working_dir = \"{}\"\ncommand = [{python:?}, \"{AGENT}\"]\ndone = \"^> ?$\"\non_shutdown = \"{on_shutdown}\"\n",
        place.dir
    );
    Some(place.slack.listening(&place.dir, "", &sections))
}

fn say(place: &Place, thread: &str, text: &str) {
    place.slack.say("U0ALICE", CHANNEL, Some(thread), text);
}

/// How often this was said in a thread.
fn times(place: &Place, thread: &str, part: &str) -> usize {
    place.slack.replies(CHANNEL, thread).iter().filter(|message| text(message).contains(part)).count()
}

/// The command to attach to the only session, once its agent runs.
fn attach(place: &Place) -> String {
    let command = || {
        let id = place.sessions()[0]["id"].as_str().unwrap().to_owned();
        Some(place.json(&["sessions", "show", &id])["attach"].as_str()?.to_owned())
    };
    until("the session can be attached to", || command().is_some());
    command().unwrap()
}

// holds: P-6
#[test]
fn an_agent_that_may_outlive_its_daemon_goes_on_after_a_stop_and_a_kill() {
    let place = Place::new();
    let Some(first) = daemon(&place, "detach") else { return };
    let thread = place.begin("hold seven");
    place.wait_for(&thread, "I will");
    let command = attach(&place);
    let agents = first.agents(&place.dir);
    let run_on = || agents.iter().all(|id| works_in(*id, &place.dir));
    assert!(agents.len() >= 2, "{agents:?}");
    assert_eq!(first.stop(), 0);
    assert!(run_on(), "{agents:?}");

    // Taken up without being asked, in the very program.
    let second = daemon(&place, "detach").unwrap();
    assert_eq!(attach(&place), command);
    say(&place, &thread, "held");
    place.wait_for(&thread, "it was seven");
    second.kill();
    assert!(run_on(), "{agents:?}");

    let third = daemon(&place, "detach").unwrap();
    say(&place, &thread, "held");
    until("it goes on", || times(&place, &thread, "it was seven") == 2);
    say(&place, &thread, "end");
    place.wait_for(&thread, "has ended");
    until("an end is an end", || !agents.iter().any(|id| works_in(*id, &place.dir)));
    assert_eq!(third.stop(), 0);
}

// holds: P-6
#[test]
fn an_agent_that_may_not_outlive_its_daemon_is_ended_with_it() {
    let place = Place::new();
    let Some(first) = daemon(&place, "end") else { return };
    let thread = place.begin("children");
    until("it has answered", || !place.slack.replies(CHANNEL, &thread).is_empty());
    let agents = first.agents(&place.dir);
    assert!(agents.len() >= 6, "{agents:?}");
    let (code, log) = first.end(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    assert!(!agents.iter().any(|id| works_in(*id, &place.dir)), "{agents:?}");

    let second = daemon(&place, "detach").unwrap();
    let thread = place.begin("hold seven");
    place.wait_for(&thread, "I will");
    let agents = second.agents(&place.dir);
    second.kill();
    assert!(agents.iter().all(|id| works_in(*id, &place.dir)), "or this tests nothing");
    // What may not outlive us any more is swept, although it is recorded.
    let third = daemon(&place, "end").unwrap();
    until("all are gone", || !agents.iter().any(|id| works_in(*id, &place.dir)));
    assert_eq!(third.stop(), 0);
}
