//! What the Web API alone tells: identities of posts, and how soon a post can be read back.

use std::time::{Duration, Instant};

use super::findings::{ClientMsgId, Lag, Metadata};
use super::plan::Plan;
use crate::clock::Clock;
use crate::domain::ids::Ts;
use crate::slack::{ApiError, ApiErrorKind, ReadBack, Sample, Trial};

/// The key that is looked for in metadata.
const KEY: &str = "probe";

/// What was read.
#[derive(Debug)]
pub(super) struct Readings {
    pub(super) client_msg_id: ClientMsgId,
    pub(super) lag: Lag,
    pub(super) metadata: Metadata,
}

/// A thread's root.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) ts: Ts,
    pub(super) posted: Instant,
}

/// Posts into the thread of `root`, and reads that back.
pub(super) async fn take(trial: &Trial, name: &str, root: &Root, plan: &Plan, clock: &Clock) -> Readings {
    let reader = Reader { trial, name, root: &root.ts, plan, clock };
    let (lag, metadata) = reader.lag(root.posted).await;
    Readings { client_msg_id: reader.client_msg_id().await, lag, metadata }
}

struct Reader<'a> {
    trial: &'a Trial,
    name: &'a str,
    root: &'a Ts,
    plan: &'a Plan,
    clock: &'a Clock,
}

impl Reader<'_> {
    /// Posts twice with one id.
    async fn client_msg_id(&self) -> ClientMsgId {
        let text = format!("{}: twice with one id", self.name);
        let id = uuid::Uuid::new_v4().to_string();
        let sample = Sample { text: &text, thread: Some(self.root), client_msg_id: Some(&id), ..Sample::default() };
        let first = self.trial.post(&sample).await;
        let second = if first.is_ok() { Some(self.trial.post(&sample).await) } else { None };
        match (first, second) {
            (Err(error), _) | (_, Some(Err(error))) if !is_refusal(&error) => {
                ClientMsgId::Unclear { why: error.to_string() }
            }
            (Err(error), _) => ClientMsgId::Refused { error: error.code },
            (Ok(_), Some(Err(error))) => ClientMsgId::SecondRefused { error: error.code },
            (Ok(first), Some(Ok(second))) if first == second => ClientMsgId::OneMessage,
            (Ok(_), _) => ClientMsgId::TwoMessages,
        }
    }

    /// How long messages are missing from the reads, and whether their metadata comes with them.
    async fn lag(&self, posted: Instant) -> (Lag, Metadata) {
        let in_history = match self.until_read(|| self.trial.in_history(self.root)).await {
            Ok(found) => found.map(|_| self.clock.now() - posted),
            Err(error) => return unread(&error),
        };
        let (mut took, mut key, mut missing) = (Vec::new(), None, false);
        while took.len() < self.plan.samples && !missing {
            match self.sample().await {
                Ok(Some((after, found))) => {
                    took.push(after);
                    key = found.key;
                }
                Ok(None) => missing = true,
                Err(error) => return unread(&error),
            }
        }
        let metadata = match key.as_deref() {
            Some(KEY) => Metadata::ReadBack,
            _ if took.is_empty() => Metadata::Unclear { why: "no message was read back".to_owned() },
            _ => Metadata::Missing,
        };
        (Lag::measured(&took, in_history, missing.then_some(self.plan.give_up)), metadata)
    }

    /// Posts one message and looks for it until it is there: how long that took.
    async fn sample(&self) -> Result<Option<(Duration, ReadBack)>, ApiError> {
        let text = format!("{}: to be read back", self.name);
        let sample = Sample { text: &text, thread: Some(self.root), key: Some(KEY), ..Sample::default() };
        let ts = self.trial.post(&sample).await?;
        let posted = self.clock.now();
        let found = self.until_read(|| self.trial.reply(self.root, &ts)).await?;
        Ok(found.map(|found| (self.clock.now() - posted, found)))
    }

    /// Reads again and again, until the message is there or it is given up.
    async fn until_read<F>(&self, read: impl Fn() -> F) -> Result<Option<ReadBack>, ApiError>
    where
        F: Future<Output = Result<Option<ReadBack>, ApiError>>,
    {
        let by = self.clock.now() + self.plan.give_up;
        loop {
            match read().await {
                Ok(None) if self.clock.now() < by => self.clock.sleep(self.plan.poll).await,
                read => return read,
            }
        }
    }
}

/// Whether Slack said no, rather than nothing or "later".
fn is_refusal(error: &ApiError) -> bool {
    // Codes that are not known count as transient; with an answer they are Slack's word all the same.
    let answered = error.code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    answered && !matches!(error.kind, ApiErrorKind::Rate(_) | ApiErrorKind::Auth)
}

fn unread(error: &ApiError) -> (Lag, Metadata) {
    (Lag::Unclear { why: error.to_string() }, Metadata::Unclear { why: error.to_string() })
}
