//! The checked rules by which sessions live; the configuration in the form in which it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::ids::ChannelId;

use super::config::{OnInterrupt, WhenBusy};
use super::files::FilePolicy;

/// How sessions are started and how long things may take.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct Policy {
    /// The backend of a session that names none.
    pub backend: String,
    /// Whether a mention or DM starts a session.
    pub auto_session: bool,
    /// Whether a channel's new thread needs a mention.
    pub require_mention: bool,
    /// How many sessions one person may have; nothing is no limit.
    pub max_per_user: Option<u32>,
    /// After how long without use what runs for a session is released; nothing is never.
    pub idle_expiry: Option<Duration>,
    /// What becomes of a turn that a crash cut off.
    pub on_interrupt: OnInterrupt,
    /// What becomes of a message that arrives during a turn.
    pub when_busy: WhenBusy,
    /// Whether a session that had to be replaced is told the thread's earlier messages.
    pub history_on_loss: bool,
    /// Whether an answer ends with what its session has used so far.
    pub show_usage: bool,
    /// How long nothing may be heard from an agent during a turn.
    pub inactivity_timeout: Duration,
    /// How long a turn may take.
    pub turn_timeout: Duration,
    /// How long a decision may take; then it is a rejection.
    pub approval_timeout: Duration,
    /// What becomes of files.
    pub files: FilePolicy,
    /// The slash command, for hints.
    pub command: String,
    /// Each backend's own settings, by name.
    pub backends: BTreeMap<String, BackendPolicy>,
    /// Which backend and directory a channel uses.
    pub routes: BTreeMap<ChannelId, Route>,
    /// Directories under which `--dir` may point.
    pub roots: Vec<PathBuf>,
    /// What `~` stands for.
    pub home: PathBuf,
}

/// What applies to the sessions of one backend.
#[derive(Debug, Clone)]
pub struct BackendPolicy {
    /// Where its agents work.
    pub working_dir: PathBuf,
    /// How long creating a session may take.
    pub create_timeout: Duration,
}

/// A channel's own choice.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// The backend, instead of the default one.
    pub backend: Option<String>,
    /// The directory, instead of the backend's.
    pub working_dir: Option<PathBuf>,
}

/// Where a new session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The backend's name.
    pub backend: String,
    /// The agent's directory.
    pub working_dir: PathBuf,
}

/// Why a session can't start as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartRefused {
    /// No backend has this name.
    #[error("there is no agent `{name}`; there are: {known}")]
    UnknownAgent {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The directory is not one that may be named.
    #[error(
        "`{0}` is not a directory under one of those that `access.roots` names, nor one that an agent or a route works in"
    )]
    Directory(String),
}

impl Policy {
    /// Where a session of `channel` starts, with what the person asked for.
    ///
    /// # Errors
    /// When the agent is unknown, or the directory is not under one of the roots.
    pub fn start(&self, channel: &ChannelId, agent: Option<&str>, dir: Option<&str>) -> Result<Start, StartRefused> {
        let route = self.routes.get(channel);
        let backend = agent.or_else(|| route?.backend.as_deref()).unwrap_or(&self.backend);
        let Some(settings) = self.backends.get(backend) else {
            let known = self.backends.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(StartRefused::UnknownAgent { name: backend.to_owned(), known });
        };
        let configured =
            || route.and_then(|route| route.working_dir.clone()).unwrap_or_else(|| settings.working_dir.clone());
        let working_dir = dir.map_or_else(|| Ok(configured()), |dir| self.resolve(dir))?;
        Ok(Start { backend: backend.to_owned(), working_dir })
    }

    /// Whether a session may work in `dir`, as it may be named by `--dir`.
    pub fn allows_dir(&self, dir: &Path) -> bool {
        dir.canonicalize().is_ok_and(|real| real.is_dir() && self.allows(&real))
    }

    /// How long creating a session of `backend` may take.
    pub fn create_timeout(&self, backend: &str) -> Duration {
        self.backends.get(backend).map_or(Duration::from_secs(30), |settings| settings.create_timeout)
    }

    /// The real directory behind `dir`, with every link and `..` resolved, when it lies under a root or is configured itself.
    fn resolve(&self, dir: &str) -> Result<PathBuf, StartRefused> {
        let asked = match dir.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(dir),
        };
        let bases = self.roots.iter().map(PathBuf::as_path).chain(asked.is_absolute().then_some(Path::new("/")));
        let real = bases.filter_map(|base| base.join(&asked).canonicalize().ok());
        real.into_iter()
            .find(|real| real.is_dir() && self.allows(real))
            .ok_or_else(|| StartRefused::Directory(dir.to_owned()))
    }

    fn allows(&self, real: &Path) -> bool {
        let resolved = |path: &Path| path.canonicalize().ok();
        let under_a_root = self.roots.iter().any(|root| resolved(root).is_some_and(|root| real.starts_with(root)));
        let backends = self.backends.values().map(|backend| backend.working_dir.as_path());
        let routes = self.routes.values().filter_map(|route| route.working_dir.as_deref());
        under_a_root || backends.chain(routes).any(|dir| resolved(dir).is_some_and(|dir| real == dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(roots: Vec<PathBuf>) -> Policy {
        let backend = |dir: &str| BackendPolicy { working_dir: dir.into(), create_timeout: Duration::from_secs(7) };
        Policy {
            backend: "echo".into(),
            auto_session: true,
            require_mention: true,
            max_per_user: None,
            idle_expiry: None,
            on_interrupt: OnInterrupt::Ask,
            when_busy: WhenBusy::Queue,
            history_on_loss: true,
            show_usage: false,
            inactivity_timeout: Duration::from_mins(10),
            turn_timeout: Duration::from_hours(1),
            approval_timeout: Duration::from_mins(10),
            files: FilePolicy { dir: "/".into(), largest: 1 },
            command: "/hitch".into(),
            backends: BTreeMap::from([("echo".into(), backend("/e")), ("claude".into(), backend("/c"))]),
            routes: BTreeMap::from([("C1".into(), Route { backend: Some("claude".into()), working_dir: None })]),
            roots,
            home: "/nowhere".into(),
        }
    }

    #[test]
    fn what_is_asked_for_wins_over_the_route_and_that_over_the_default() {
        let policy = policy(Vec::new());
        let start = |channel: &str, agent| {
            policy.start(&channel.into(), agent, None).map(|start| (start.backend, start.working_dir))
        };
        assert_eq!(start("C2", None), Ok(("echo".into(), "/e".into())));
        assert_eq!(start("C1", None), Ok(("claude".into(), "/c".into())));
        assert_eq!(start("C1", Some("echo")), Ok(("echo".into(), "/e".into())));
        assert!(matches!(start("C1", Some("x")), Err(StartRefused::UnknownAgent { .. })));
        assert_eq!(policy.create_timeout("echo"), Duration::from_secs(7));
    }

    #[test]
    fn a_directory_must_really_lie_under_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("site")).unwrap();
        std::fs::create_dir_all(dir.path().join("root-too")).unwrap();
        std::os::unix::fs::symlink("/", root.join("out")).unwrap();
        let policy = policy(vec![root.clone()]);
        let resolved = |asked: &str| policy.start(&"C9".into(), None, Some(asked)).map(|start| start.working_dir);
        assert_eq!(resolved("site"), Ok(root.join("site").canonicalize().unwrap()));
        for bad in ["../root-too", "out", "out/etc", "/etc", "missing", "site/../.."] {
            assert_eq!(resolved(bad), Err(StartRefused::Directory(bad.into())), "{bad}");
        }
    }

    #[test]
    fn the_directories_of_agents_and_routes_may_be_named_and_nothing_below_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        for name in ["agent/below", "route", "other"] {
            std::fs::create_dir_all(home.join(name)).unwrap();
        }
        let mut policy = policy(Vec::new());
        policy.home = home.clone();
        policy.backends.get_mut("echo").unwrap().working_dir = home.join("agent");
        policy.routes.insert("C2".into(), Route { backend: None, working_dir: Some(home.join("route")) });
        let start = |asked: &str| policy.start(&"C9".into(), None, Some(asked)).map(|start| start.working_dir);
        for good in ["~/agent", "~/agent/below/..", home.join("agent").to_str().unwrap()] {
            assert_eq!(start(good), Ok(home.join("agent")), "{good}");
        }
        assert_eq!(start("~/route"), Ok(home.join("route")));
        for bad in ["~", "~/agent/below", "~/other", "agent", "~other", ""] {
            assert_eq!(start(bad), Err(StartRefused::Directory(bad.into())), "{bad}");
        }
    }
}
