//! The main job with an agent that somebody else wrote.

use rustix::process::Signal;

use crate::example_agent;
use crate::harness::{Running, Slack, of_run, run_of, text, until, works_in};
use crate::program::program;

const CHANNEL: &str = "C0GENERAL";

// holds: S-8, P-2
#[test]
fn an_agent_from_the_registry_asks_is_answered_and_leaves_nothing_behind() {
    let Some(script) = example_agent::script() else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon_with(dir, &["node", script.to_str().unwrap()], "1s");

    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline change the configuration");
    let card = slack.wait_for_buttons(CHANNEL, &ts);
    assert_eq!(slack.buttons(CHANNEL, &ts, &card), ["Allow this change", "Skip this change"]);
    slack.click("U0ALICE", CHANNEL, &card, 0);
    let changed = "Perfect! I've successfully updated the configuration. The changes have been applied.";
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", changed), ("final", "true")]);
    let said: Vec<String> = slack.replies(CHANNEL, &ts).iter().map(text).collect();
    let times = |what: &str| said.iter().filter(|text| text.contains(what)).count();
    assert_eq!((times("I'll help you with that."), times("Now I understand"), times(changed)), (1, 1, 1), "{said:#?}");
    assert!(slack.buttons(CHANNEL, &ts, &card).is_empty(), "a decided card has no buttons");

    // A second conversation waits for its decision when the stop comes.
    let other = slack.say("U0BOB", CHANNEL, None, "@hitchline and another one");
    slack.wait_for_buttons(CHANNEL, &other);
    let agents = daemon.agents(dir);
    assert_eq!(agents.len(), 2, "one process for each session: {agents:?}");
    assert_eq!(daemon.stop(), 0);
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &other), ("text_contains", "restarting")]);
    assert!(!agents.iter().any(|id| works_in(*id, dir)), "an agent outlived its daemon: {agents:?}");
}

// holds: P-6
#[test]
fn what_a_killed_daemon_leaves_behind_is_gone_after_its_next_start() {
    let Some(python) = program("python3") else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
    let agent = [python.to_str().unwrap(), script, "--stubborn"];
    let slack = Slack::start();
    let daemon = slack.daemon_with(dir, &agent, "1s");
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline children");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("user", "U0BOT"), ("final", "true")]);
    let agents = daemon.agents(dir);
    assert!(agents.len() >= 3, "an agent and its children: {agents:?}");
    let run = run_of(agents[0]).expect("an agent knows to which run it belongs");
    daemon.kill();
    let left = of_run(&run);
    assert!(left.len() >= 2, "{left:?} of {agents:?} outlive the daemon, or this tests nothing");
    let daemon = slack.daemon_with(dir, &agent, "1s");
    until("all of the earlier run are gone", || of_run(&run).is_empty());
    assert!(!agents.iter().any(|id| works_in(*id, dir)));
    assert_eq!(daemon.stop(), 0);
}

// holds: P-1, P-6
#[test]
fn the_third_signal_ends_everything_at_once() {
    let Some(python) = program("python3") else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
    let slack = Slack::start();
    let daemon = slack.daemon_with(dir, &[python.to_str().unwrap(), script, "--stubborn"], "8s");
    let family = slack.say("U0ALICE", CHANNEL, None, "@hitchline children");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &family), ("user", "U0BOT"), ("final", "true")]);
    // It hears of no cancellation.
    let deaf = slack.say("U0ALICE", CHANNEL, None, "@hitchline deaf");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &deaf), ("user", "U0BOT")]);
    let agents = daemon.agents(dir);
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("Draining");
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("A second signal");
    let (code, log) = daemon.end(Signal::TERM);
    assert_eq!(code, 143, "{log}");
    assert!(
        agents.len() >= 5 && !agents.iter().any(|id| works_in(*id, dir)),
        "an agent outlived its daemon: {agents:?}"
    );
}

/// A daemon whose agents are our own, with more lines in `[sessions]`.
fn with_sessions(slack: &Slack, dir: &str, lines: &str) -> Option<Running> {
    let python = program("python3")?;
    let agent = [python.to_str().unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py")];
    let sections = format!(
        "[sessions]\nbackend = \"agent\"\n{lines}\n[backends.agent]\nkind = \"acp\"\nworking_dir = \"{dir}\"\ncommand = {agent:?}\n"
    );
    Some(slack.changed(dir, "[http]", &format!("{sections}[http]")))
}

// holds: S-5
#[test]
fn f_50_noise_beside_its_protocol_is_no_sign_of_an_agents_life() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let slack = Slack::start();
    let Some(daemon) = with_sessions(&slack, dir.to_str().unwrap(), "inactivity_timeout = \"2s\"") else { return };
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline noise");
    let told = "did not say anything within 2 s";
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("user", "U0BOT"), ("text_contains", told)]);
    let lines = || std::fs::read_to_string(dir.join("noise")).unwrap_or_default().parse::<u32>().unwrap_or(0);
    until("the agent was heard on its stderr all the time", || lines() > 20);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_53_while_one_agent_floods_its_output_another_conversation_is_answered() {
    const CHUNKS: u32 = 1_000_000;
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let slack = Slack::start();
    let Some(daemon) = with_sessions(&slack, dir.to_str().unwrap(), "") else { return };
    let written = || std::fs::read_to_string(dir.join("written")).unwrap_or_default().parse::<u32>().unwrap_or(0);
    slack.say("U0ALICE", CHANNEL, None, &format!("@hitchline flood-ask {CHUNKS}"));
    until("the flood has begun", || written() > 0);
    let ts = slack.say("U0BOB", CHANNEL, None, "@hitchline hello");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("user", "U0BOT"), ("text_contains", "you said: hello")]);
    let so_far = written();
    assert!(so_far < CHUNKS - 100, "it was over before: {so_far}");
    until("it goes on", || written() > so_far);
    assert_eq!(daemon.stop(), 0);
}
