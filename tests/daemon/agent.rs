//! The main job with an agent that somebody else wrote.

use crate::example_agent;
use crate::harness::{Slack, text, works_in};

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
