//! A daemon with the simulator, and a person who has its token.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of a test fails the test that called it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::http::{Answer, Events, request};

/// How long the daemon may take between two of its first lines.
const DEADLINE: Duration = Duration::from_secs(30);
/// The operator's token.
pub(crate) const TOKEN: &str = "operators-only";

/// What stands in every configuration.
const CONFIG: &str = "[http]\ntoken = \"operators-only\"\n[backends.echo]\nkind = \"echo\"\n";

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
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
        daemon.line("ready");
        daemon
    }

    /// A daemon that is started so, whatever becomes of it.
    pub(crate) fn run(dir: &Path, arguments: &[&str], config: &str) -> Self {
        let file = dir.join("hitchline.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hitchline"))
            .args(["run", "--config", file.to_str().unwrap()])
            .args(arguments)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("HOME", dir)
            .env("HITCHLINE__STORE__DIR", dir.join("state"))
            .env("HITCHLINE__HTTP__LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| send.send(line).is_ok()));
        let log = Arc::new(Mutex::new(String::new()));
        let (written, err) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        let mut daemon = Self { child, lines, log, address: String::new(), simulator: String::new() };
        if arguments.contains(&"--simulator") {
            daemon.simulator = daemon.line("simulator: http://");
        }
        daemon.address = daemon.line("http: http://");
        daemon
    }

    fn line(&self, start: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no line `{start}`\n{}", self.log()));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it in order; returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code().unwrap_or(-1)
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
        for _ in 0..DEADLINE.as_millis() / 10 {
            if holds(self) {
                return;
            }
            // A short park between looks: this waits for a condition, not for time to pass.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        panic!("it never came that {what}");
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.get("/api/chat/session").json()["session_connected"] == true
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            println!("the log:\n{}", self.log());
        }
    }
}

pub(crate) fn bearer() -> Vec<String> {
    vec![format!("Authorization: Bearer {TOKEN}")]
}
