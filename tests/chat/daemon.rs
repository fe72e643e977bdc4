//! A daemon with the simulator, and a person who has its token.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::http::{Answer, Events, request};
use super::process::{DEADLINE, Process, eventually};

/// The operator's token.
pub(crate) const TOKEN: &str = "operators-only";

/// What stands in every configuration.
const CONFIG: &str = "[http]\ntoken = \"operators-only\"\n[backends.echo]\nkind = \"echo\"\n";

/// A running daemon.
pub(crate) struct Daemon {
    process: Process,
    pub(crate) address: String,
    /// The simulator's, where there is one.
    simulator: String,
}

impl Daemon {
    /// A daemon with its state in `dir`, ready.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::with(dir, "")
    }

    /// The same with more sections in its configuration.
    pub(crate) fn with(dir: &Path, sections: &str) -> Self {
        let daemon =
            Self::run(dir, &["--simulator", "--simulator-listen", "127.0.0.1:0"], &format!("{CONFIG}{sections}"));
        daemon.process.line("ready");
        daemon
    }

    /// A daemon that is started so, whatever becomes of it.
    pub(crate) fn run(dir: &Path, arguments: &[&str], config: &str) -> Self {
        let file = dir.join("hitchline.toml");
        std::fs::write(&file, config).unwrap();
        let run = ["run", "--config", file.to_str().unwrap()];
        let state = dir.join("state");
        let environment = [
            ("HOME", dir.to_str().unwrap()),
            ("HITCHLINE__STORE__DIR", state.to_str().unwrap()),
            ("HITCHLINE__HTTP__LISTEN", "127.0.0.1:0"),
        ];
        let process = Process::start(&[&run, arguments].concat(), &environment);
        let mut daemon = Self { process, address: String::new(), simulator: String::new() };
        if arguments.contains(&"--simulator") {
            daemon.simulator = daemon.process.line("simulator: http://");
        }
        daemon.address = daemon.process.line("http: http://");
        daemon
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops it in order; returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.process.ended(DEADLINE).0
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(&self.address, &format!("GET {path}"), &bearer(), "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        request(&self.address, &format!("POST {path}"), &bearer(), &body.to_string())
    }

    /// What is answered with this status.
    pub(crate) fn told(&self, path: &str, body: &Value, status: u16) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) fn create(&self) -> String {
        let created = self.told("/api/chat/session", &json!({}), 201);
        created["session_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn say(&self, text: &str) {
        self.told("/api/chat/messages", &json!({"text": text}), 202);
    }

    /// Writes something in a channel of Slack.
    pub(crate) fn say_in_slack(&self, user: &str, text: &str) {
        let message = json!({"user": user, "channel": "C0GENERAL", "text": text}).to_string();
        let json = ["Content-Type: application/json".to_owned()];
        let posted = request(&self.simulator, "POST /sim/messages", &json, &message);
        assert_eq!(posted.status, 200, "{posted:?}");
    }

    pub(crate) fn events(&self) -> Events {
        Events::open(&self.address, &bearer()).unwrap()
    }

    /// The events that came after one of them.
    pub(crate) fn events_since(&self, id: &str) -> Events {
        let mut headers = bearer();
        headers.push(format!("Last-Event-ID: {id}"));
        Events::open(&self.address, &headers).unwrap()
    }

    /// Asks again and again until it is so.
    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        assert!(eventually(DEADLINE, || holds(self).then_some(())).is_some(), "it never came that {what}");
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.get("/api/chat/session").json()["session_connected"] == true
    }
}

pub(crate) fn bearer() -> Vec<String> {
    vec![format!("Authorization: Bearer {TOKEN}")]
}
