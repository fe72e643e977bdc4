//! The SDKs in their cache folders.

use std::path::{Path, PathBuf};
use std::process::Command;

const BOLT_PYTHON: [&str; 2] = ["slack_bolt==1.30.0", "slack_sdk==3.47.0"];
const BOLT_JS: &str = "@slack/bolt@5.1.0";

/// The Python that has Bolt; `None` when there is no Python to install it with.
pub(crate) fn bolt_python() -> Option<PathBuf> {
    let folder = cache("bolt-python");
    let python = folder.join("bin/python");
    if !folder.join("complete").exists() {
        found("python3")?;
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(BOLT_PYTHON));
        complete(&folder);
    }
    Some(python)
}

/// The folder that has Bolt for JavaScript; `None` when there is no npm to install it with.
pub(crate) fn bolt_js() -> Option<PathBuf> {
    let folder = cache("bolt-js");
    if !folder.join("complete").exists() {
        found("npm")?;
        std::fs::create_dir_all(&folder).unwrap();
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(BOLT_JS));
        complete(&folder);
    }
    Some(folder)
}

fn cache(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(name)
}

/// Marks an installation that came to its end; half of one is made again.
fn complete(folder: &Path) {
    std::fs::write(folder.join("complete"), "").unwrap();
}

fn found(tool: &str) -> Option<()> {
    if Command::new(tool).arg("--version").output().is_ok() {
        return Some(());
    }
    assert!(std::env::var_os("CI").is_none(), "{tool} is needed for this test; install it or unset CI");
    println!("not run: {tool} is missing");
    None
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}
