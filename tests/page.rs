//! The pages, the simulator's and the web chat's, in a real browser, with the built daemon behind them.
//!
//! `tests/page/` holds the scripts that drive the browser and pins what they need from npm; this file fetches that, starts the daemon
//! and runs a script. It needs Node with npm, and Chromium (`CHROMIUM` names it where it is not in `PATH`).

#![expect(clippy::expect_used, reason = "a test fails by panicking, here in its own functions too")]

#[path = "tools/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use program::program;

/// How long the daemon may take between two of its first lines on standard output.
const LINE_DEADLINE: Duration = Duration::from_secs(30);

/// Files of `tests/page/` that make up the scripts.
const SCRIPT: [&str; 4] = ["package.json", "package-lock.json", "chat.mjs", "web_chat.mjs"];

#[test]
fn people_can_use_the_page_with_mouse_and_keyboard() {
    let Some(browser) = Browser::found() else { return };
    let daemon = Daemon::start();
    browser.drive("chat.mjs", &[&daemon.page]);
}

// holds: W-1, W-2, W-4, W-5
#[test]
fn the_operator_can_use_the_web_chat() {
    let Some(browser) = Browser::found() else { return };
    let daemon = Daemon::start();
    let token = daemon.store.path().join("http.token");
    browser.drive("web_chat.mjs", &[&daemon.web_chat, &token.to_string_lossy()]);
}

/// What drives a browser.
struct Browser {
    node: PathBuf,
    chromium: PathBuf,
    folder: &'static Path,
}

impl Browser {
    /// `None`, and noted, where something that it needs is not installed.
    fn found() -> Option<Self> {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let (node, npm) = (program("node")?, program("npm")?);
        let chromium = std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| program("chromium"))?;
        Some(Self { node, chromium, folder: FOLDER.get_or_init(|| installed_script(&npm)) })
    }

    /// Runs a script, which gets these arguments and a folder for screenshots.
    fn drive(&self, script: &str, arguments: &[&str]) {
        let mut command = Command::new(&self.node);
        command.arg(script).args(arguments).arg(self.folder.join("screenshots"));
        let output = command.env("CHROMIUM", &self.chromium).current_dir(self.folder).output().expect("node starts");
        assert!(output.status.success(), "{}", told(&output));
    }
}

#[test]
fn the_page_s_pure_modules_hold() {
    let Some(node) = program("node") else { return };
    let mut command = Command::new(node);
    command.arg("--test").args(pure_tests());
    let output = command.output().expect("node starts");
    assert!(output.status.success(), "{}", told(&output));
}

/// The running daemon; it is killed and waited for when this is dropped.
struct Daemon {
    child: Child,
    /// Address of the simulator's page.
    page: String,
    /// Address of the web chat.
    web_chat: String,
    /// Its files, gone when this is dropped.
    store: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let store = tempfile::tempdir().expect("a temporary folder can be made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_hitchline"))
            .args(["run", "--simulator", "--simulator-listen", "127.0.0.1:0"])
            .env("HITCHLINE__STORE__DIR", store.path())
            .env("HITCHLINE__HTTP__LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built binary starts");
        let lines = lines_of(&mut child);
        let mut daemon = Self { child, page: String::new(), web_chat: String::new(), store };
        let address = wait_for(&lines, |line| line.strip_prefix("simulator: ").map(str::to_owned));
        daemon.page = address.unwrap_or_else(|| panic!("the daemon did not print `simulator: ADDRESS`"));
        let address = wait_for(&lines, |line| line.strip_prefix("http: ").map(|address| format!("{address}/chat")));
        daemon.web_chat = address.unwrap_or_else(|| panic!("the daemon did not print `http: ADDRESS`"));
        assert!(wait_for(&lines, |line| (line == "ready").then_some(())).is_some(), "the daemon did not print `ready`");
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Standard output line by line, read to its end so that the daemon never stands before a full pipe.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().expect("standard output is a pipe");
    let (send, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            drop(send.send(line));
        }
    });
    lines
}

/// What `wanted` makes of the first line that it wants; `None` when the daemon ends or is silent for too long before that.
fn wait_for<T>(lines: &Receiver<String>, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
    loop {
        match lines.recv_timeout(LINE_DEADLINE) {
            Ok(line) => {
                if let Some(found) = wanted(&line) {
                    return Some(found);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The folder with the script and its packages, brought up to date when the lock file has changed.
fn installed_script(npm: &Path) -> PathBuf {
    let source = root().join("tests/page");
    let folder = root().join(".cache/page");
    fs::create_dir_all(&folder).expect("the cache folder can be made");
    let is_current = folder.join("node_modules").is_dir() && same(&source, &folder, "package-lock.json");
    for file in SCRIPT {
        fs::copy(source.join(file), folder.join(file)).expect("the script can be copied");
    }
    if !is_current {
        let install =
            Command::new(npm).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder).output();
        let output = install.expect("npm starts");
        assert!(output.status.success(), "npm could not fetch the test's packages:\n{}", told(&output));
    }
    folder
}

fn same(left: &Path, right: &Path, file: &str) -> bool {
    matches!((fs::read(left.join(file)), fs::read(right.join(file))), (Ok(left), Ok(right)) if left == right)
}

fn pure_tests() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("tests/page")).expect("the folder of the page's tests is there");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let tests: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    assert!(!tests.is_empty(), "tests/page/ holds no *.test.mjs");
    tests
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
