//! A backend under test, and how its turns are read.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hitchline::backend::config::{Acp, Config, Echo, Tmux};
use hitchline::backend::error::BackendError;
use hitchline::backend::{
    Backend, BackendParts, ListQuery, Listed, Outcome, Session, StartSpec, TurnEvent, TurnStream, build, kill_leftovers,
};
use hitchline::clock::{Clock, Hand};
use hitchline::domain::access::{Admitted, Gate, Rules};
use hitchline::domain::agent::{AgentEvent, Decision, OptionKind, PermissionRequest, Prompt};
use hitchline::domain::ids::{SessionId, TurnId};
use hitchline::domain::inbound::{Author, ChannelKind};
use hitchline::domain::session::BackendRef;
use hitchline::http_client::{self, Owner};
use hitchline::scope::Scope;
use tempfile::TempDir;

use super::program::program;
use super::server::Server;

/// How long anything may take here; nothing waits for it when all is well.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// A backend, and the prompts that make its agent do something.
pub(super) struct Peer {
    pub(super) backend: Arc<dyn Backend>,
    /// As what it is configured.
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) scope: Scope,
    /// What its agents' processes carry as `HITCHLINE_RUN_ID`; no other peer has it.
    pub(super) run_id: RunId,
    /// Its working directory.
    pub(super) dir: Arc<TempDir>,
    /// Answered with some text.
    pub(super) hello: &'static str,
    /// Runs until it is cancelled.
    pub(super) wait: &'static str,
    /// Asks for a decision; nothing for an agent that never does.
    pub(super) ask: Option<&'static str>,
    /// Runs until it is cancelled, and says nothing.
    pub(super) silent: &'static str,
    /// How many sessions have a turn at the same time.
    pub(super) crowd: usize,
    /// How its agents are reached.
    pub(super) reach: Reach,
}

/// How agents are reached; by this it is known what can be done to them.
#[derive(Clone)]
pub(super) enum Reach {
    /// They are in this process.
    Inside,
    /// Over the standard streams of processes of their own.
    Streams,
    /// Over HTTP.
    Server(Arc<Server>),
    /// On the screen of a terminal.
    Screen,
}

/// A run of the daemon. When it is dropped nothing of its agents is left, also when their test failed.
pub(super) struct RunId(String);

impl Drop for RunId {
    fn drop(&mut self) {
        kill_leftovers(&self.0, &BTreeSet::new());
    }
}

impl Deref for RunId {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Peer {
    pub(super) fn of(config: &Config) -> Self {
        Self::at(Clock::system(), config)
    }

    pub(super) fn at(clock: Clock, config: &Config) -> Self {
        Self::in_dir(Arc::new(tempfile::tempdir().unwrap()), clock, config)
    }

    /// The same in a later run of the daemon, with the same state.
    pub(super) fn again(&self) -> Self {
        self.with(self.clock.clone(), &self.config)
    }

    /// The same on a clock that the test turns.
    pub(super) fn by_hand(&self) -> (Self, Hand) {
        let (clock, hand) = Clock::manual(0);
        (self.with(clock, &self.config), hand)
    }

    /// The same, configured otherwise.
    pub(super) fn configured(&self, config: &Config) -> Self {
        self.with(self.clock.clone(), config)
    }

    fn with(&self, clock: Clock, config: &Config) -> Self {
        let Self { hello, wait, ask, silent, crowd, ref reach, .. } = *self;
        Self { hello, wait, ask, silent, crowd, reach: reach.clone(), ..Self::in_dir(self.dir.clone(), clock, config) }
    }

    /// The same with somebody in between who interferes in what is said over the streams; see `meddler.py`.
    pub(super) fn meddled(&self, arguments: &[&str]) -> Self {
        let Config::Acp(config) = &self.config else { panic!("it has no streams") };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/meddler.py");
        let python = program("python3").unwrap().to_string_lossy().into_owned();
        let words = [&[&python, script], arguments, &["--"]].concat();
        let command = words.into_iter().map(ToOwned::to_owned).chain(config.command.iter().cloned()).collect();
        self.configured(&Config::Acp(Acp { command, ..config.clone() }))
    }

    /// Whether it is the example agent, which always does the same.
    pub(super) fn is_example(&self) -> bool {
        matches!(&self.config, Config::Acp(config) if config.command.last().is_some_and(|last| last.ends_with("/agent.js")))
    }

    /// Its server, where it has one.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.reach {
            Reach::Server(server) => Some(server),
            Reach::Inside | Reach::Streams | Reach::Screen => None,
        }
    }

    fn in_dir(dir: Arc<TempDir>, clock: Clock, config: &Config) -> Self {
        let scope = Scope::new();
        let run_id = RunId(SessionId::new().to_string());
        let parts = BackendParts {
            clock: clock.clone(),
            scope: scope.clone(),
            http: Owner::build(&http_client::Config::default(), true).unwrap().lend(),
            environment: Arc::new(std::env::vars().collect()),
            run_id: run_id.0.clone(),
            state_dir: dir.path().join("state"),
        };
        let backend = build("peer", config, &parts);
        let reach = match config {
            Config::Echo(_) => Reach::Inside,
            Config::Tmux(_) => Reach::Screen,
            // Whoever has a server says so.
            Config::Acp(_) | Config::Amplifierd(_) | Config::Opencode(_) => Reach::Streams,
        };
        let (config, hello, wait, silent, ask) = (config.clone(), "hello", "wait", "silent", Some("ask"));
        Self { backend, config, clock, scope, run_id, dir, hello, wait, ask, silent, crowd: 20, reach }
    }

    pub(super) fn echo() -> Self {
        Self::echo_at(Clock::system())
    }

    /// The echo backend, on a clock that the test turns.
    pub(super) fn echo_at(clock: Clock) -> Self {
        let peer = Self::at(clock, &Config::Echo(Echo::default()));
        Self { wait: "!sleep 1000", silent: "!sleep 1000", ask: Some("!ask"), crowd: 100, ..peer }
    }

    pub(super) fn fake() -> Option<Self> {
        Self::fake_with(&[])
    }

    /// Our own agent, started with `arguments`; without Python, none.
    pub(super) fn fake_with(arguments: &[&str]) -> Option<Self> {
        Self::fake_as(arguments, |_| {})
    }

    pub(super) fn fake_as(arguments: &[&str], adjust: impl FnOnce(&mut Acp)) -> Option<Self> {
        Self::fake_for(Clock::system(), arguments, adjust)
    }

    /// Our own agent, adjusted, on a clock that the test may turn.
    pub(super) fn fake_for(clock: Clock, arguments: &[&str], adjust: impl FnOnce(&mut Acp)) -> Option<Self> {
        let mut config = Self::fake_config(arguments)?;
        adjust(&mut config);
        Some(Self::at(clock, &Config::Acp(config)))
    }

    /// Our own agent, on a clock that the test turns.
    pub(super) fn fake_at(clock: Clock, arguments: &[&str]) -> Option<Self> {
        Some(Self::at(clock, &Config::Acp(Self::fake_config(arguments)?)))
    }

    fn fake_config(arguments: &[&str]) -> Option<Acp> {
        let python = program("python3")?.to_string_lossy().into_owned();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
        let mut command = vec![python, script.to_owned()];
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Some(Acp { command, ..Acp::default() })
    }

    pub(super) fn tmux() -> Option<Self> {
        Self::tmux_as(&[], |_| {})
    }

    /// Our own program in a terminal, started with `arguments`; without tmux or Python, none.
    pub(super) fn tmux_as(arguments: &[&str], adjust: impl FnOnce(&mut Tmux)) -> Option<Self> {
        program("tmux")?;
        let python = program("python3")?.to_string_lossy().into_owned();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/line_agent.py");
        let mut command = vec![python, script.to_owned()];
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut config = Tmux { command, done: Some("^> ?$".to_owned()), ..Tmux::default() };
        adjust(&mut config);
        Some(Self { ask: None, silent: "wait", crowd: 8, ..Self::of(&Config::Tmux(config)) })
    }

    /// The processes of its agents, also those that are in another group; not those that are dead.
    pub(super) fn processes(&self) -> Vec<String> {
        let variable = format!("HITCHLINE_RUN_ID={}", self.run_id.0);
        let is_ours = |id: &String| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_ours).collect()
    }

    pub(super) fn spec(&self) -> StartSpec {
        let working_dir = self.dir.path().canonicalize().unwrap();
        StartSpec { session: SessionId::new(), working_dir, deadline: self.clock.now() + PATIENCE, tools: None }
    }

    pub(super) async fn start(&self) -> Arc<dyn Session> {
        self.try_start().await.unwrap()
    }

    pub(super) async fn try_start(&self) -> Result<Arc<dyn Session>, BackendError> {
        soon(self.backend.start(self.spec())).await
    }

    pub(super) async fn restore(&self, session: &BackendRef) -> Result<Arc<dyn Session>, BackendError> {
        soon(self.backend.restore(session, self.spec())).await
    }

    /// The sessions that the agent knows, `limit` at the most.
    pub(super) async fn list(&self, limit: usize) -> Result<Vec<Listed>, BackendError> {
        let working_dir = self.dir.path().canonicalize().unwrap();
        let query = ListQuery { limit, working_dir, deadline: self.clock.now() + PATIENCE };
        soon(self.backend.list(query)).await
    }

    /// Some time from now, by which a session must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.clock.now() + Duration::from_secs(8)
    }

    /// Ends a session and waits until nothing of this peer runs any more.
    pub(super) async fn finish(&self, session: &Arc<dyn Session>) {
        soon(session.end(self.deadline())).await.unwrap();
        soon(self.backend.shutdown(self.deadline())).await;
        soon(self.scope.wait()).await;
    }
}

/// Held by tests that need, or measure, much memory.
pub(super) static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The memory that this process holds.
pub(super) fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Fails instead of hanging.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    Clock::system().timeout(PATIENCE, future).await.expect("it took too long")
}

pub(super) fn prompt(text: &str) -> Prompt {
    Prompt::new(TurnId::new(), &somebody(), text.to_owned())
}

fn somebody() -> Admitted {
    let gate = Gate::new(Rules { users: vec!["*".to_owned()], ..Rules::default() }, "T1".into());
    let author = Author { user: "U1".into(), team: None, bot: None };
    gate.admit(&author, &"D1".into(), ChannelKind::Direct).unwrap()
}

/// All of a turn.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) events: Vec<AgentEvent>,
    pub(super) asked: Vec<PermissionRequest>,
    pub(super) outcome: Outcome,
}

/// Runs a turn, answering requests with the first option of this kind.
pub(super) async fn turn(session: &Arc<dyn Session>, text: &str, kind: OptionKind) -> Heard {
    let stream = soon(session.prompt(prompt(text))).await.unwrap();
    hear(session, stream, kind).await
}

/// Reads a turn to its end, answering requests with the first option of this kind.
pub(super) async fn hear(session: &Arc<dyn Session>, mut stream: TurnStream, kind: OptionKind) -> Heard {
    let (mut text, mut events, mut asked, mut outcome) = (String::new(), Vec::new(), Vec::new(), None);
    while let Some(event) = soon(stream.next()).await {
        match event {
            TurnEvent::End(end) => {
                assert!(outcome.is_none(), "a turn ended twice");
                outcome = Some(end);
            }
            TurnEvent::Agent(event) => {
                assert!(outcome.is_none(), "an event came after the end");
                match &event {
                    AgentEvent::Text { delta, .. } => text.push_str(delta),
                    AgentEvent::Permission(request) => {
                        session.answer(&request.id, choose(request, kind)).await;
                        asked.push(request.clone());
                    }
                    _ => {}
                }
                events.push(event);
            }
        }
    }
    Heard { text, events, asked, outcome: outcome.expect("a turn did not end") }
}

pub(super) fn choose(request: &PermissionRequest, kind: OptionKind) -> Decision {
    let option = request.options.iter().find(|option| option.kind == kind).expect("no such option");
    Decision::Selected { option: option.id.clone() }
}

/// The next event, which must be a request for a decision; text before it is skipped.
pub(super) async fn asked(stream: &mut TurnStream) -> PermissionRequest {
    loop {
        match soon(stream.next()).await {
            Some(TurnEvent::Agent(AgentEvent::Permission(request))) => return request,
            Some(TurnEvent::Agent(_)) => {}
            other => panic!("it did not ask: {other:?}"),
        }
    }
}

/// Waits until `condition` holds.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    while !condition() {
        assert!(clock.now() < deadline, "it never happened: {what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process with this id runs; one that is dead and waits for its parent does not.
pub(super) fn runs(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}
