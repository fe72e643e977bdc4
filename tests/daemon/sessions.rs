//! Sessions as their people and their operator live with them: over restarts, crashes, limits, and at the end of the day.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::{Running, Slack, text, until, with_config, working_in, works_in};
use super::program::program;

const CHANNEL: &str = "C0GENERAL";
const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");

/// A simulator and a state directory.
pub(crate) struct Place {
    pub(crate) slack: Slack,
    _state: tempfile::TempDir,
    pub(crate) dir: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        Self { slack: Slack::start(), _state: state, dir }
    }

    /// Runs a command that asks the daemon; its exit code, and what it printed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_hitchline"))
            .args(arguments)
            .args(["--config", &format!("{}/hitchline.toml", self.dir)])
            .env_clear()
            .env("HOME", &self.dir)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8(said).unwrap())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.ask(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{said}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    pub(crate) fn sessions(&self) -> Vec<Value> {
        self.json(&["sessions", "list"]).as_array().unwrap().clone()
    }

    fn agent(&self, more: &[&str]) -> Option<Running> {
        let python = program("python3")?;
        let agent = [&[python.to_str().unwrap(), AGENT], more].concat();
        Some(self.slack.daemon_with(&self.dir, &agent, "1s"))
    }

    pub(crate) fn begin(&self, text: &str) -> String {
        self.slack.say("U0ALICE", CHANNEL, None, &format!("@hitchline {text}"))
    }

    fn reply(&self, thread: &str, text: &str) {
        self.slack.say("U0ALICE", CHANNEL, Some(thread), text);
    }

    pub(crate) fn wait_for(&self, thread: &str, part: &str) {
        let told = || self.slack.replies(CHANNEL, thread).iter().any(|message| text(message).contains(part));
        until(&format!("`{part}` in a thread"), told);
    }
}

impl Drop for Place {
    /// Of agents that may outlive their daemon none outlives a test, also when it fails.
    fn drop(&mut self) {
        for id in working_in(&self.dir) {
            // One that has gone meanwhile needs no more.
            let _ = kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL);
        }
    }
}

// holds: P-7, S-7
#[test]
fn an_operator_sees_the_sessions_and_ends_one() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    let (first, second) = (place.begin("first"), place.begin("!sleep 60"));
    place.slack.wait_for_answer(CHANNEL, &first, "first");
    place.slack.wait_for_turn(CHANNEL, &second);
    place.reply(&second, "and then this");
    until("a message that waits", || place.sessions().iter().any(|session| session["waiting"] == 1));

    let sessions = place.sessions();
    let state_of = |thread: &str| {
        let ours = |session: &&Value| session["conversation"].as_str().unwrap().ends_with(thread);
        sessions.iter().find(ours).map(|session| session["state"].as_str().unwrap().to_owned())
    };
    assert_eq!((state_of(&first).as_deref(), state_of(&second).as_deref()), (Some("idle"), Some("working")));
    let pool = place.json(&["status"])["pool"].clone();
    assert_eq!(
        (&pool["mapped"], &pool["total"], &pool["active"], &pool["closed"]),
        (&2.into(), &2.into(), &2.into(), &false.into())
    );
    let (code, shown) = place.ask(&["status"]);
    assert!(code == 0 && shown.contains(": ready, 1 connection(s)"), "{shown}");

    let id = sessions.iter().find(|session| session["state"] == "working").unwrap()["id"].as_str().unwrap();
    let (code, shown) = place.ask(&["sessions", "show", &id[..8]]);
    assert!(code == 0 && shown.contains(id) && shown.contains("!sleep 60"), "{shown}");
    let (code, shown) = place.ask(&["sessions", "end", &id[..8]]);
    assert!(code == 0 && shown.contains("1 message(s) waited"), "{shown}");
    place.wait_for(&second, "Stopped");
    place.wait_for(&second, "The session has ended. The message that was waiting has not been passed on");
    assert_eq!(place.sessions().len(), 1);
    let (code, shown) = place.ask(&["sessions", "show", &id[..8]]);
    assert!(code == 0 && shown.contains("ended"), "{shown}");
    let (code, shown) = place.ask(&["sessions", "end", "ffff0000"]);
    assert!(code == 1 && shown.contains("no session's id begins with"), "{shown}");
    let (code, _) = place.ask(&["sessions", "end", "x"]);
    assert_eq!(code, 64);
    assert_eq!(daemon.stop(), 0);
    let (code, shown) = place.ask(&["sessions", "list"]);
    assert!(code == 1 && shown.contains("no daemon listens"), "{shown}");
}

// holds: M-3, S-6, S-10, S-14, P-8
#[test]
fn a_restart_in_the_middle_of_three_conversations_loses_none() {
    let place = Place::new();
    let Some(daemon) = place.agent(&[]) else { return };
    let threads = ["remembers", "works", "has ended"].map(|text| place.begin(text));
    for thread in &threads {
        place.wait_for(thread, "before: 0");
    }
    let before = place.sessions();
    place.reply(&threads[1], "wait");
    until("a turn", || place.sessions().iter().any(|session| session["state"] == "working"));
    place.reply(&threads[1], "this waits");
    until("a message that waits", || place.sessions().iter().any(|session| session["waiting"] == 1));
    place.reply(&threads[2], "end");
    place.wait_for(&threads[2], "The session has ended");
    assert_eq!(daemon.stop(), 0);
    place.wait_for(&threads[1], "restarting");

    let daemon = place.agent(&[]).unwrap();
    place.wait_for(&threads[1], "you said: this waits; before: ");
    place.reply(&threads[0], "still there?");
    place.wait_for(&threads[0], "you said: still there?; before: ");
    place.reply(&threads[2], "anybody?");
    let after = place.sessions();
    assert_eq!(after.len(), 2);
    let kept = |name: &str| {
        let of = |sessions: &[Value], id: &Value| {
            sessions.iter().find(|session| session["id"] == *id).unwrap()[name].clone()
        };
        after.iter().all(|session| of(&before, &session["id"]) == session[name])
    };
    for name in ["conversation", "agent", "agent_session", "working_dir", "description", "creator", "created"] {
        assert!(kept(name), "{name}: {before:#?} {after:#?}");
    }
    assert_eq!(place.slack.replies(CHANNEL, &threads[2]).len(), 2, "an ended one answers nobody");
    assert_eq!(daemon.stop(), 0);
}

// holds: S-10
#[test]
fn two_messages_that_race_for_a_lost_session_bring_it_back_once() {
    let place = Place::new();
    let Some(daemon) = place.agent(&[]) else { return };
    let thread = place.begin("hello");
    place.wait_for(&thread, "before: 0");
    assert_eq!(daemon.stop(), 0);
    let log = format!("{}/received", place.dir);
    let daemon = place.agent(&["--log", &log]).unwrap();
    place.reply(&thread, "one");
    place.reply(&thread, "two");
    for text in ["one", "two"] {
        place.wait_for(&thread, &format!("you said: {text}"));
    }
    let received = std::fs::read_to_string(&log).unwrap();
    let times = |method: &str| received.lines().filter(|line| line.contains(&format!("\"{method}\""))).count();
    assert_eq!((times("initialize"), times("session/resume"), times("session/prompt")), (1, 1, 2), "{received}");
    assert_eq!(daemon.stop(), 0);
}

// holds: S-13
#[test]
fn twenty_sessions_that_begin_at_once_are_twenty() {
    let place = Place::new();
    let Some(daemon) = place.agent(&[]) else { return };
    let threads: Vec<String> = (0..20).map(|n| place.begin(&format!("number {n}"))).collect();
    for (n, thread) in threads.iter().enumerate() {
        place.wait_for(thread, &format!("you said: number {n}; before: 0"));
    }
    let mut agents: Vec<Value> = place.sessions().iter().map(|session| session["agent_session"].clone()).collect();
    agents.sort_by_key(Value::to_string);
    agents.dedup();
    assert_eq!((agents.len(), daemon.agents(&place.dir).len()), (20, 20));
    assert_eq!(daemon.stop(), 0);
}

// holds: S-11, S-5
#[test]
fn an_agent_that_never_makes_its_session_leaves_nothing_behind() {
    let place = Place::new();
    let Some(daemon) = place.agent(&["--silent", "session/new"]) else { return };
    drop(daemon);
    let config = format!("{}/hitchline.toml", place.dir);
    let text = std::fs::read_to_string(&config).unwrap().replace("[sessions]", "[sessions]\ncreate_timeout = \"1s\"");
    let daemon = with_config(&place.dir, &text);
    let thread = place.begin("hello");
    place.wait_for(&thread, "did not start within 1 s");
    until("no agent", || daemon.agents(&place.dir).is_empty());
    assert_eq!(place.json(&["status"])["pool"]["total"], 0);
    assert_eq!(daemon.stop(), 0);
}

// holds: S-4, S-9
#[test]
fn a_zombie_frees_its_slot() {
    let place = Place::new();
    let daemon = place.slack.changed(&place.dir, "[access]", "[sessions]\nmax_per_user = 1\n[access]");
    let zombie = place.begin("!vanish");
    until("an answer", || !place.slack.replies(CHANNEL, &zombie).is_empty());
    let refused = place.begin("another");
    place.wait_for(&refused, "you have 1 already");
    place.reply(&zombie, "hello?");
    place.wait_for(&zombie, "Session has ended. Start a new one");
    let next = place.begin("a new one");
    place.slack.wait_for_answer(CHANNEL, &next, "a new one");
    assert_eq!(place.sessions().len(), 1);
    let log = daemon.end(Signal::TERM).1;
    assert!(log.lines().any(|line| line.contains("session.id") && line.contains(&zombie)), "{log}");
}

// holds: P-5, P-3, P-6
#[test]
fn a_hundred_sessions_of_which_some_are_stubborn_are_gone_in_ten_seconds() {
    let place = Place::new();
    let Some(mut daemon) = place.agent(&[]) else { return };
    drop(daemon);
    let config = format!("{}/hitchline.toml", place.dir);
    let text = std::fs::read_to_string(&config).unwrap().replace("[sessions]", "[sessions]\nmax_per_user = 0");
    daemon = with_config(&place.dir, &text);
    let threads: Vec<String> = (0..100).map(|n| place.begin(if n < 15 { "stubborn" } else { "hello" })).collect();
    for thread in &threads {
        until("an answer", || !place.slack.replies(CHANNEL, thread).is_empty());
    }
    let agents = daemon.agents(&place.dir);
    assert_eq!(agents.len(), 100);
    let (code, log) = daemon.end_within(Signal::TERM, Duration::from_secs(10));
    assert_eq!(code, 0, "{log}");
    let left: Vec<&u32> = agents.iter().filter(|id| works_in(**id, &place.dir)).collect();
    assert!(left.is_empty(), "{left:?} outlived the daemon\n{log}");
}
