//! Agents that do as the test says, step by step.

use std::future::pending;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use hitchline::backend::error::BackendError;
use hitchline::backend::{Backend, ListQuery, Listed, Session, StartSpec};
use hitchline::domain::agent::{Attachment, Offers};
use hitchline::domain::session::BackendRef;
use tokio::sync::Semaphore;

use super::puppet::{Held, Puppet};

/// How a call is taken.
#[derive(Debug, Clone, Default)]
pub(crate) enum Act {
    /// As asked.
    #[default]
    Obey,
    /// Says yes and does nothing.
    Ignore,
    Fail(BackendError),
    /// Fails the first time.
    FailOnce(Arc<AtomicBool>, BackendError),
    /// Never answers.
    Hang,
    /// Waits for a permit of the test.
    Wait(Arc<Semaphore>),
    Panic,
}

/// How every call is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    pub(crate) start: Act,
    pub(crate) restore: Act,
    pub(crate) prompt: Act,
    pub(crate) answer: Act,
    pub(crate) cancel: Act,
    pub(crate) set_option: Act,
    pub(crate) release: Act,
    pub(crate) end: Act,
    pub(crate) list: Act,
    pub(crate) shutdown: Act,
    /// What a session offers; setting an option changes it there.
    pub(crate) offers: Offers,
}

/// The backend: it makes puppets and remembers what was asked of them.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pub(crate) manners: Mutex<Manners>,
    /// Every call, in order: what, and of which session.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Whether sessions answer by themselves, with what they are told.
    pub(crate) echo: AtomicBool,
    pub(crate) prompts: Mutex<Vec<Prompted>>,
    /// What the backend lists.
    pub(crate) listed: Mutex<Vec<Listed>>,
    /// The options that were set: of which session, which one, to what.
    pub(crate) options_set: Mutex<Vec<(String, String, String)>>,
}

/// A prompt that a session took.
#[derive(Debug, Clone)]
pub(crate) struct Prompted {
    pub(crate) session: Arc<Puppet>,
    pub(crate) text: String,
    pub(crate) files: Vec<Attachment>,
    /// Whether the test has seen it.
    pub(crate) seen: bool,
}

/// The content of a lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Act {
    pub(crate) async fn take(self) -> Result<(), BackendError> {
        match self {
            Self::Obey | Self::Ignore => Ok(()),
            Self::Fail(error) => Err(error),
            Self::FailOnce(failed, error) => {
                if failed.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Self::Hang => pending().await,
            Self::Wait(permits) => {
                permits.acquire().await.expect("the test holds it").forget();
                Ok(())
            }
            Self::Panic => panic!("as the test says"),
        }
    }
}

/// The backend as the manager holds it.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Agents>);

impl Shared {
    fn make(&self, name: String) -> Arc<dyn Session> {
        Arc::new(Held(Arc::new(Puppet::new(name, self.0.clone()))))
    }
}

impl Agents {
    pub(crate) fn called(&self, what: &str, session: &str) {
        locked(&self.calls).push(format!("{what} {session}"));
    }

    /// How often `what` was asked, of whichever session.
    pub(crate) fn count(&self, what: &str) -> usize {
        locked(&self.calls).iter().filter(|call| call.split(' ').next() == Some(what)).count()
    }
}

#[async_trait]
impl Backend for Shared {
    async fn start(&self, spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        let name = spec.session.short();
        self.0.called("start", &name);
        let act = locked(&self.0.manners).start.clone();
        act.take().await?;
        Ok(self.make(name))
    }

    async fn restore(&self, session: &BackendRef, _spec: StartSpec) -> Result<Arc<dyn Session>, BackendError> {
        self.0.called("restore", &session.0);
        let act = locked(&self.0.manners).restore.clone();
        act.take().await?;
        Ok(self.make(session.0.clone()))
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<Listed>, BackendError> {
        self.0.called("list", "all");
        let act = locked(&self.0.manners).list.clone();
        act.take().await?;
        Ok(locked(&self.0.listed).iter().take(query.limit).cloned().collect())
    }

    async fn shutdown(&self, _deadline: Instant) {
        self.0.called("shutdown", "all");
        let act = locked(&self.0.manners).shutdown.clone();
        let _as_told = act.take().await;
    }
}
