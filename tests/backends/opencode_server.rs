//! The real opencode, from the npm registry, with a model that is none.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::json;
use tempfile::TempDir;

use super::package::Package;
use super::program::program;

const PACKAGE: Package =
    Package { folder: "opencode", spec: "opencode-ai@1.18.33", holds: "node_modules/opencode-linux-x64/bin/opencode" };

/// A server that runs; it and its model end when it is dropped.
pub(super) struct Opencode {
    pub(super) url: String,
    /// The server's process; taking it away kills it, and the model goes on.
    pub(super) server: Option<Kept>,
    _model: Kept,
    /// All that it writes is in here.
    home: TempDir,
}

/// The password that its server wants.
pub(super) const PASSWORD: &str = "a password of tests";

impl Opencode {
    /// The server that other tests use right now, or else a new one: it takes seconds and much memory. Without Node or Python there is none.
    pub(super) fn shared() -> Option<Arc<Self>> {
        static RUNNING: Mutex<Weak<Opencode>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *running = Arc::downgrade(&server);
        Some(server)
    }

    /// A server of one's own.
    pub(super) fn start() -> Option<Self> {
        let python = program("python3")?;
        PACKAGE.installed()?;
        let home = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_llm.py");
        let mut model = Kept::spawn(Command::new("sh").args(KEEPER).arg(python).arg(script));
        let model_url = format!("http://127.0.0.1:{}/v1", model.line("port: "));
        configure(home.path(), &model_url);
        let mut server = Self { url: String::new(), server: None, _model: model, home };
        server.revive();
        Some(server)
    }

    /// Starts the server, at an address of its own, with all that it had on disk.
    pub(super) fn revive(&mut self) {
        let binary = PACKAGE.installed().expect("it ran before");
        let mut server = Kept::spawn(
            Command::new("sh")
                .args(KEEPER)
                .arg(binary)
                .args(["serve", "--port", "0", "--hostname", "127.0.0.1"])
                .env("HOME", self.home.path())
                .env("OPENCODE_SERVER_PASSWORD", PASSWORD)
                .current_dir(self.home.path()),
        );
        self.url = server.line("opencode server listening on ");
        self.server = Some(server);
    }
}

fn configure(home: &Path, model_url: &str) {
    let folder = home.join(".config/opencode");
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({
        "autoupdate": false,
        "enabled_providers": ["mock"],
        "model": "mock/mock-1",
        "small_model": "mock/mock-1",
        "permission": {"bash": "ask", "edit": "ask"},
        "provider": {"mock": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": model_url, "apiKey": "x"},
            "models": {"mock-1": {}, "mock-2": {"limit": {"context": 100_000, "output": 1_000}}},
        }},
    });
    std::fs::write(folder.join("opencode.json"), config.to_string()).unwrap();
}

/// Runs a program until its own input ends, which it also does when the tests die.
const KEEPER: [&str; 2] = ["-c", r#""$0" "$@" </dev/null & read -r _; kill -KILL $!"#];

/// A process that ends with us.
pub(super) struct Kept {
    keeper: Child,
    lines: Box<dyn Iterator<Item = std::io::Result<String>> + Send + Sync>,
}

impl Kept {
    fn spawn(command: &mut Command) -> Self {
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        Self { keeper, lines: Box::new(lines) }
    }

    /// Waits for a line that begins so; returns the rest of it.
    fn line(&mut self, start: &str) -> String {
        let rest = |line: std::io::Result<String>| line.unwrap().strip_prefix(start).map(ToOwned::to_owned);
        self.lines.find_map(rest).unwrap_or_else(|| panic!("it ended before it said `{start}`"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let told = self.keeper.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        drop(told);
        let _reaped = self.keeper.wait();
    }
}
