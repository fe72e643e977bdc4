//! The SDKs in their cache folders.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::package::Package;
use crate::program::program;

const BOLT_PYTHON: [&str; 2] = ["slack_bolt==1.30.0", "slack_sdk==3.47.0"];
const BOLT_JS: Package =
    Package { folder: "bolt-js", spec: "@slack/bolt@5.1.0", holds: "node_modules/@slack/bolt/package.json" };

/// The Python that has Bolt; `None` when there is no Python to install it with.
pub(crate) fn bolt_python() -> Option<PathBuf> {
    let system = program("python3")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/bolt-python");
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if !complete.exists() {
        run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(BOLT_PYTHON));
        // Half an installation is made again.
        std::fs::write(complete, "").unwrap();
    }
    Some(python)
}

/// The folder that has Bolt for JavaScript; `None` when there is no npm to install it with.
pub(crate) fn bolt_js() -> Option<PathBuf> {
    let installed = BOLT_JS.installed()?;
    installed.ancestors().nth(4).map(Path::to_path_buf)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}
