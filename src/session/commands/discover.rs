//! What the agents themselves know: their sessions, and the directories in which they work.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::answer::{Answer, Row};
use super::connect::connect_button;
use super::{Asked, words};
use crate::backend::error::{BackendError, Phase};
use crate::backend::{ListQuery, Listed};
use crate::domain::session::{BackendRef, SessionStatus};
use crate::session::lines::Later;
use crate::session::manager::Inner;
use crate::session::slots::Active;
use crate::store::SessionFilter;

/// How long an agent may take to list its sessions.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many sessions an agent is asked for: those that have ended, or are out of bounds, are left out afterwards.
const MANY: usize = 200;

/// What an agent answered.
pub(super) struct Known {
    pub(super) backend: String,
    pub(super) listed: Result<Vec<Listed>, BackendError>,
}

impl Known {
    /// What went wrong, for people. That an agent keeps no list is nothing wrong.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.listed {
            Ok(_) | Err(BackendError::Unsupported(_)) => None,
            Err(error) => Some(words::list_failed(&self.backend, error)),
        }
    }
}

impl Inner {
    /// Asks one agent for the sessions that it knows. Those in directories where none of ours may work are none of anybody's business.
    pub(super) async fn ask_agent(&self, backend: &str) -> Known {
        let listed = self.list_of(backend).await;
        if let Err(error) = &listed {
            tracing::info!(backend, %error, "An agent did not list its sessions");
        }
        let allowed = |listed: &Listed| listed.working_dir.as_ref().is_none_or(|dir| self.parts.policy.allows_dir(dir));
        let listed = listed.map(|all| all.into_iter().filter(allowed).collect());
        Known { backend: backend.to_owned(), listed }
    }

    async fn list_of(&self, backend: &str) -> Result<Vec<Listed>, BackendError> {
        let policy = &self.parts.policy;
        let gone = || BackendError::Transient(format!("the agent `{backend}` is not configured any more"));
        let working_dir = policy.backends.get(backend).ok_or_else(gone)?.working_dir.clone();
        let deadline = self.parts.clock.now() + PATIENCE;
        let list = self.backend(backend)?.list(ListQuery { limit: MANY, working_dir, deadline });
        let late = |_late| BackendError::Timeout { phase: Phase::List, after: PATIENCE };
        self.parts.clock.timeout_at(deadline, list).await.map_err(late)?
    }

    /// Asks all agents, side by side: what fails with one hides nothing of the others.
    pub(super) async fn ask_agents(&self) -> Vec<Known> {
        join_all(self.parts.backends.keys().map(|backend| self.ask_agent(backend))).await
    }

    /// `discover [N]`
    pub(super) async fn discover(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        active: Option<&Active>,
        count: usize,
    ) -> Result<Answer, Later> {
        let start = self.parts.policy.start(&asked.key.channel, None, None);
        let backend = match (active, start) {
            (Some(active), _) => active.record.backend.clone(),
            (None, Ok(start)) => start.backend,
            (None, Err(refused)) => return Ok(Answer::aside(words::not_started(&refused))),
        };
        let listed = match self.ask_agent(&backend).await.listed {
            Ok(listed) => listed,
            Err(BackendError::Unsupported(_)) => return Ok(Answer::aside(words::no_list(&backend))),
            Err(error) => return Ok(Answer::aside(words::list_failed(&backend, &error))),
        };
        let mut rows = Vec::new();
        for listed in &listed {
            if rows.len() == count {
                break;
            }
            rows.extend(self.discovered_row(asked, &backend, listed, active.is_none()).await?);
        }
        Ok(Answer::aside_list(words::discovered(&backend, rows.len()), rows))
    }

    /// A row for a session of an agent; none when it is one of ours that has ended. Somebody else's has no button.
    async fn discovered_row(
        &self,
        asked: &Asked<'_>,
        backend: &str,
        listed: &Listed,
        connectable: bool,
    ) -> Result<Option<Row>, Later> {
        let ours = self.parts.store.session_by_ref(backend, &listed.backend_ref).await;
        let mut row = self.adopt_row(asked, backend, listed);
        match ours.map_err(|error| Later::because(asked.key, &error))? {
            Some(record) if record.status == SessionStatus::Ended => return Ok(None),
            Some(record) if !asked.by.may_decide_for(&record.creator) => {
                row = Row::new(words::SOMEBODY_ELSES, None);
            }
            Some(record) => {
                let here = record.conversation == *asked.key;
                let text = words::session_row(&record, None, self.parts.clock.wall_ms());
                row = Row::new(&text, (!here).then(|| connect_button(&record, asked)));
            }
            None => {}
        }
        row.button = row.button.filter(|_| connectable);
        Ok(Some(row))
    }

    /// `projects`
    pub(super) async fn projects(self: &Arc<Self>) -> Result<Answer, Later> {
        let (records, known) = tokio::join!(
            self.parts.store.sessions(SessionFilter { limit: usize::MAX, ..SessionFilter::default() }),
            self.ask_agents(),
        );
        let records = records.map_err(|error| {
            tracing::error!(%error, "The sessions can't be read");
            Later
        })?;
        let mut projects = Projects::default();
        for record in records {
            if self.parts.policy.allows_dir(&record.working_dir) {
                projects.count(record.working_dir, record.backend, record.backend_ref.as_ref());
            }
        }
        let mut failed = Vec::new();
        for known in known {
            failed.extend(known.trouble());
            for listed in known.listed.unwrap_or_default() {
                if let Some(dir) = listed.working_dir {
                    projects.count(dir, known.backend.clone(), Some(&listed.backend_ref));
                }
            }
        }
        Ok(Answer::aside(words::projects(&projects.dirs, &failed)))
    }
}

/// Directories, each with how many sessions every agent has there.
#[derive(Debug, Default)]
struct Projects {
    dirs: BTreeMap<PathBuf, BTreeMap<String, usize>>,
    seen: HashSet<(String, String)>,
}

impl Projects {
    /// Counts a session, once however often it is met.
    fn count(&mut self, dir: PathBuf, backend: String, name: Option<&BackendRef>) {
        if name.is_none_or(|name| self.seen.insert((backend.clone(), name.0.clone()))) {
            *self.dirs.entry(dir).or_default().entry(backend).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // holds: K-6
    #[test]
    fn a_session_that_is_known_twice_counts_once() {
        let mut projects = Projects::default();
        let name = |name: &str| BackendRef(name.to_owned());
        projects.count("/a".into(), "claude".into(), Some(&name("1")));
        projects.count("/a".into(), "claude".into(), None);
        projects.count("/a".into(), "claude".into(), Some(&name("1")));
        projects.count("/a".into(), "codex".into(), Some(&name("1")));
        projects.count("/b".into(), "claude".into(), Some(&name("2")));
        let counted: Vec<_> = projects.dirs["/a".as_ref() as &std::path::Path].clone().into_iter().collect();
        assert_eq!(counted, [("claude".to_owned(), 2), ("codex".to_owned(), 1)]);
        assert_eq!(projects.dirs.len(), 2);
    }
}
