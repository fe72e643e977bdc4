//! The example agent of the protocol's own TypeScript library, installed from the registry into a cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use hitchline::backend::config::{Acp, Config};

use super::peer::{Peer, not_run, tool};

/// The newest version with examples in it.
const PACKAGE: &str = "@agentclientprotocol/sdk@1.9.0";
const AGENT: &str = "node_modules/@agentclientprotocol/sdk/dist/examples/agent.js";

/// A backend over the example agent; without Node or the package, none.
pub(super) async fn peer() -> Option<Peer> {
    let node = tool("node")?;
    let npm = tool("npm")?;
    let installed = tokio::task::spawn_blocking(move || install(&npm)).await.unwrap();
    let agent = installed.map_err(|why| not_run(&why)).ok()?;
    let command = vec![node, agent.to_string_lossy().into_owned()];
    let peer = Peer::of(&Config::Acp(Acp { command, ..Acp::default() }));
    Some(Peer { crowd: 3, ..peer })
}

fn install(npm: &str) -> Result<PathBuf, String> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/npm");
    let agent = cache.join(AGENT);
    let failed = |why: std::io::Error| format!("the cache {} can't be used: {why}", cache.display());
    std::fs::create_dir_all(&cache).map_err(failed)?;
    // Tests run side by side, in several processes too; the lock goes with the file.
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if agent.is_file() {
        return Ok(agent);
    }
    let output = Command::new(npm)
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&cache)
        .arg(PACKAGE)
        .output()
        .map_err(|error| format!("npm could not be started: {error}"))?;
    if output.status.success() && agent.is_file() {
        return Ok(agent);
    }
    Err(format!("npm could not install {PACKAGE}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
