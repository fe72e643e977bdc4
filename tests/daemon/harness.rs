//! A simulator and daemons on free ports, and everything a test waits for with a deadline.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails the test that called it")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::api::Api;
use super::process::{DEADLINE, Process, binary, eventually};

/// A simulator in a process of its own, which outlives the daemons that connect to it.
pub(crate) struct Slack {
    api: Api,
    _process: Process,
}

impl Slack {
    pub(crate) fn start() -> Self {
        let process = Process::start(&["simulator", "--listen", "127.0.0.1:0"], &[]);
        let base = process.line("simulator: http://");
        Self { api: Api(base), _process: process }
    }

    /// A daemon connected to it, with its state in `dir`.
    pub(crate) fn daemon(&self, dir: &str) -> Running {
        self.start_daemon(dir, "")
    }

    /// The same, with variables in its environment.
    pub(crate) fn daemon_in(&self, dir: &str, environment: &[(&str, &str)]) -> Running {
        let config = self.configure(dir, "");
        let process = Process::start(&["run", "--config", &config], environment);
        process.line("ready");
        Running { process }
    }

    /// A daemon whose log nobody reads.
    pub(crate) fn unread(&self, dir: &str, sections: &str) -> Running {
        let config = self.configure(dir, sections);
        let process = Process::spawn_unread(binary().args(["run", "--config", &config]), &[]);
        process.line("ready");
        Running { process }
    }

    /// Writes the configuration; returns its path.
    fn configure(&self, dir: &str, sections: &str) -> String {
        let config = format!("{dir}/hitchline.toml");
        std::fs::write(&config, self.config(dir) + sections).unwrap();
        config
    }

    /// The same, which may begin with an empty store.
    pub(crate) fn daemon_or_fresh(&self, dir: &str) -> Running {
        let config = std::path::Path::new(dir).join("hitchline.toml");
        std::fs::write(&config, self.config(dir)).unwrap();
        let process = Process::start(&["run", "--fresh-store", "--config", config.to_str().unwrap()], &[]);
        process.line("ready");
        Running { process }
    }

    /// A daemon with these sections in its configuration.
    pub(crate) fn start_daemon(&self, dir: &str, sections: &str) -> Running {
        let config = self.configure(dir, sections);
        let process = Process::start(&["run", "--config", &config], &[]);
        process.line("ready");
        Running { process }
    }

    /// A daemon that is not to come up, with one line of its configuration changed; its exit code and its log.
    pub(crate) fn refused(&self, dir: &str, line: &str, changed: &str) -> (i32, String) {
        let mut process = self.process(dir, line, changed);
        let ended = process.ended(DEADLINE);
        assert!(process.lines.try_iter().all(|line| line != "ready"), "it was ready before it gave up");
        ended
    }

    /// The configuration of a daemon whose bot token Slack refuses; its path.
    pub(crate) fn configure_refused(&self, dir: &str) -> String {
        let config = format!("{dir}/hitchline.toml");
        std::fs::write(&config, self.config(dir).replace("xoxb-simulator", "xoxb-somebody-else")).unwrap();
        config
    }

    /// A daemon with one line of its configuration changed.
    pub(crate) fn changed(&self, dir: &str, line: &str, changed: &str) -> Running {
        let process = self.process(dir, line, changed);
        process.line("ready");
        Running { process }
    }

    /// A daemon that can't reach Slack.
    pub(crate) fn lonely(&self, dir: &str) -> Running {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        self.unready(dir, &self.api.0, &nobody.to_string())
    }

    /// A daemon with one line of its configuration changed, which keeps trying.
    pub(crate) fn unready(&self, dir: &str, line: &str, changed: &str) -> Running {
        Running { process: self.process(dir, line, changed) }
    }

    fn process(&self, dir: &str, line: &str, changed: &str) -> Process {
        let config = std::path::Path::new(dir).join("hitchline.toml");
        let text = self.config(dir);
        assert!(text.contains(line), "{line} is not in {text}");
        std::fs::write(&config, text.replace(line, changed)).unwrap();
        Process::start(&["run", "--config", config.to_str().unwrap()], &[])
    }

    /// A daemon whose agents are `agent`, a program with its arguments; it has one grace for its turns.
    pub(crate) fn daemon_with(&self, dir: &str, agent: &[&str], grace: &str) -> Running {
        let sections = format!(
            "[sessions]\nbackend = \"agent\"\n[shutdown]\nturn_grace = \"{grace}\"\n\
             [backends.agent]\nkind = \"acp\"\nworking_dir = \"{dir}\"\ncommand = {agent:?}\n"
        );
        self.start_daemon(dir, &sections)
    }

    /// The same, with tools for its agents; it logs all that it has to say. `http`: more lines for the listener.
    pub(crate) fn daemon_with_tools(&self, dir: &str, agent: &[&str], http: &str) -> Running {
        let sections = format!(
            "[log]\nlevel = \"trace\"\n[sessions]\nbackend = \"agent\"\n\
             [backends.agent]\nkind = \"acp\"\nworking_dir = \"{dir}\"\ncommand = {agent:?}\n"
        );
        self.listening(dir, http, &sections)
    }

    /// A daemon with a listener for its operators, the web chat and its agents' tools. `http`: more lines for that.
    pub(crate) fn listening(&self, dir: &str, http: &str, sections: &str) -> Running {
        let listen = format!("listen = \"127.0.0.1:0\"\n{http}");
        with_config(dir, &(self.config(dir).replace("listen = \"\"", &listen) + sections))
    }

    fn config(&self, dir: &str) -> String {
        let base = &self.api.0;
        format!(
            "[slack]\napi_url = \"http://{base}/api/\"\nbot_token = \"xoxb-simulator\"\napp_token = \"xapp-simulator\"\npacing = \"off\"\n\
             [access]\nusers = [\"*\"]\n[store]\ndir = \"{dir}/state\"\n[http]\nlisten = \"\"\n"
        )
    }
}

impl std::ops::Deref for Slack {
    type Target = Api;
    fn deref(&self) -> &Api {
        &self.api
    }
}

/// A daemon beside a simulator of its own process.
pub(crate) struct Running {
    process: Process,
}

impl Running {
    /// Stops it in order; returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.process.signal(Signal::TERM);
        self.process.ended(DEADLINE).0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends the signal that ends it; returns its exit code and its log.
    pub(crate) fn end(mut self, signal: Signal) -> (i32, String) {
        self.process.signal(signal);
        self.process.ended(DEADLINE)
    }

    /// The same, when that must not take longer than `within`.
    pub(crate) fn end_within(mut self, signal: Signal, within: Duration) -> (i32, String) {
        self.process.signal(signal);
        self.process.ended(within)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Closes the pipe in which it writes a log that nobody reads.
    pub(crate) fn close_log(&mut self) {
        drop(self.process.child.stderr.take());
    }

    /// Waits for the end of one whose log nobody reads; its exit code.
    pub(crate) fn ended_unread(&mut self) -> i32 {
        let ended = eventually(DEADLINE, || self.process.child.try_wait().unwrap());
        ended.expect("it waits for who reads its log").code().unwrap_or(-1)
    }

    /// Waits for its end; its exit code and its log.
    pub(crate) fn ended(&mut self) -> (i32, String) {
        self.process.ended(DEADLINE)
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let seen = eventually(DEADLINE, || self.process.log().contains(text).then_some(()));
        assert!(seen.is_some(), "never logged: {text}");
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Kills it, as a machine that runs out of memory would.
    pub(crate) fn kill(mut self) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.process.ended(DEADLINE).0, -1, "it was killed");
    }

    /// Ids of the agents' processes: those that work in its directory, itself excepted.
    pub(crate) fn agents(&self, dir: &str) -> Vec<u32> {
        let mut ids = working_in(dir);
        ids.retain(|id| *id != self.process.child.id());
        ids
    }
}

/// Whether the daemon with its state below `dir` would take a message now, and why not.
pub(crate) fn readiness(dir: &str) -> (bool, String) {
    ask_control(dir, "/readyz")
}

/// Whether a path of its control socket is answered well, and what.
pub(crate) fn ask_control(dir: &str, path: &str) -> (bool, String) {
    // It may not have got that far yet.
    let Ok(mut stream) = UnixStream::connect(format!("{dir}/state/ctl.sock")) else { return (false, String::new()) };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.starts_with("HTTP/1.1 200"), answer)
}

/// `hitchline run --simulator` for somebody at `home`, without any configuration.
pub(crate) fn simulated(home: &str) -> Running {
    let process = Process::start(&["run", "--simulator"], &[("HOME", home), ("HITCHLINE__LOG__FORMAT", "json")]);
    process.line("ready");
    Running { process }
}

/// A daemon with this configuration, and its state in `dir`.
pub(crate) fn with_config(dir: &str, text: &str) -> Running {
    let config = std::path::Path::new(dir).join("hitchline.toml");
    std::fs::write(&config, text).unwrap();
    let process = Process::start(&["run", "--config", config.to_str().unwrap()], &[]);
    process.line("ready");
    Running { process }
}

/// The exit code of a command.
pub(crate) fn exit_code(arguments: &[&str], environment: &[(&str, &str)]) -> i32 {
    Process::start(arguments, environment).ended(DEADLINE).0
}

/// `hitchline run --simulator`, with its state in a directory of the test.
pub(crate) struct Daemon {
    process: Mutex<Process>,
    api: Api,
    /// The operator's listener.
    http: Api,
    _state: tempfile::TempDir,
}

impl Daemon {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("state");
        let mut all = environment.to_vec();
        all.retain(|(name, _)| *name != "HITCHLINE__STORE__DIR");
        all.push(("HITCHLINE__STORE__DIR", dir.to_str().unwrap()));
        let process = Process::start(&["run", "--simulator", "--simulator-listen", "127.0.0.1:0"], &all);
        let base = process.line("simulator: http://");
        let http = Api(process.line("http: http://"));
        process.line("ready");
        Self { process: Mutex::new(process), api: Api(base), http, _state: state }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.lock().unwrap().signal(signal);
    }

    /// Stops it in order; returns its exit code.
    pub(crate) fn stop(self) -> i32 {
        self.signal(Signal::TERM);
        self.ended().0
    }

    pub(crate) fn ended(&self) -> (i32, String) {
        self.ended_within(DEADLINE)
    }

    pub(crate) fn ended_within(&self, within: Duration) -> (i32, String) {
        self.process.lock().unwrap().ended(within)
    }

    /// The answer's head and body of the operator's listener.
    pub(crate) fn ask(&self, path: &str, token: &str) -> (String, String) {
        self.http.exchange(&format!("GET {path}"), &format!("Authorization: Bearer {token}\r\n"), "")
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let seen = eventually(DEADLINE, || self.process.lock().unwrap().log().contains(text).then_some(()));
        assert!(seen.is_some(), "never logged: {text}");
    }
}

impl std::ops::Deref for Daemon {
    type Target = Api;
    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The run of the daemon to which a process belongs, from its environment.
pub(crate) fn run_of(id: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let run = variables.find_map(|variable| variable.strip_prefix(b"HITCHLINE_RUN_ID="))?;
    String::from_utf8(run.to_vec()).ok()
}

/// Every process on this machine that belongs to a run.
pub(crate) fn of_run(run: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| run_of(*id).as_deref() == Some(run)).collect()
}

/// Every process on this machine with this working directory.
pub(crate) fn working_in(dir: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| works_in(*id, dir)).collect()
}

/// Whether a process has this working directory.
pub(crate) fn works_in(id: u32, dir: &str) -> bool {
    std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == std::path::Path::new(dir))
}

/// What a message says.
pub(crate) fn text(message: &Value) -> String {
    message["text"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a condition holds, for so long at the most.
pub(crate) fn until_within(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(eventually(within, || condition().then_some(())).is_some(), "it did not happen in time: {what}");
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    assert!(eventually(DEADLINE, || condition().then_some(())).is_some(), "it never happened: {what}");
}
