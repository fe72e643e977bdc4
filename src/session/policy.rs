//! The checked rules by which sessions live; the configuration in the form in which it is used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::ids::ChannelId;

/// How sessions are started and how long things may take.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The backend of a session that names none.
    pub backend: String,
    /// Whether a mention or DM starts a session.
    pub auto_session: bool,
    /// Whether a channel's new thread needs a mention.
    pub require_mention: bool,
    /// How long nothing may be heard from an agent during a turn.
    pub inactivity_timeout: Duration,
    /// How long a turn may take.
    pub turn_timeout: Duration,
    /// How long a decision may take; then it is a rejection.
    pub approval_timeout: Duration,
    /// The slash command, for hints.
    pub command: String,
    /// Each backend's own settings, by name.
    pub backends: BTreeMap<String, BackendPolicy>,
    /// Which backend and directory a channel uses.
    pub routes: BTreeMap<ChannelId, Route>,
    /// Directories under which `--dir` may point.
    pub roots: Vec<PathBuf>,
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
    #[error("`{0}` is not a directory under one of those that `access.roots` allows")]
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

    /// How long creating a session of `backend` may take.
    pub fn create_timeout(&self, backend: &str) -> Duration {
        self.backends.get(backend).map_or(Duration::from_secs(30), |settings| settings.create_timeout)
    }

    /// The real directory behind `dir`, with every link and `..` resolved, when it lies under a root.
    fn resolve(&self, dir: &str) -> Result<PathBuf, StartRefused> {
        let refused = || StartRefused::Directory(dir.to_owned());
        let candidates = self.roots.iter().map(|root| root.join(dir));
        candidates
            .filter_map(|path| path.canonicalize().ok())
            .find(|path| {
                path.is_dir()
                    && self.roots.iter().any(|root| root.canonicalize().is_ok_and(|root| path.starts_with(root)))
            })
            .ok_or_else(refused)
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
            inactivity_timeout: Duration::from_mins(10),
            turn_timeout: Duration::from_hours(1),
            approval_timeout: Duration::from_mins(10),
            command: "/hitch".into(),
            backends: BTreeMap::from([("echo".into(), backend("/e")), ("claude".into(), backend("/c"))]),
            routes: BTreeMap::from([("C1".into(), Route { backend: Some("claude".into()), working_dir: None })]),
            roots,
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
}
