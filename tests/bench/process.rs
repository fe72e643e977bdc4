//! A process under test, and what the system says of it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A process; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Hitchline with its state in `dir`, connected to `server`; `more` are further lines of its configuration.
    pub(crate) fn hitchline(dir: &Path, server: SocketAddr, more: &str) -> Result<Self> {
        let config = dir.join("hitchline.toml");
        let text = format!(
            "[slack]\napi_url = \"http://{server}/api/\"\nbot_token = \"xoxb-bench\"\napp_token = \"xapp-bench\"\npacing = \"off\"\n\
             [access]\nusers = [\"*\"]\n[store]\ndir = \"{}\"\n[http]\nlisten = \"\"\n[sessions]\nmax_per_user = 0\n{more}",
            dir.join("state").display()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitchline"));
        command.args(["run", "--config"]).arg(&config);
        Self::spawn(command, dir)
    }

    /// Starts `command` with an empty environment; what it writes goes into a log in `dir`.
    pub(crate) fn spawn(mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join("log");
        let file = File::create(&log)?;
        let child = command
            .env_clear()
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("a process can't be started")?;
        Ok(Self { child, log })
    }

    /// A size that `/proc` gives under `name`, in KiB.
    pub(crate) fn size(&self, name: &str) -> Result<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such size")?;
        Ok(size.parse()?)
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote, for whoever asks why something failed.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
