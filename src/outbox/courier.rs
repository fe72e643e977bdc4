//! One row: attempt, wait, attempt again, settle.
//!
//! What can be repeated without harm is repeated. A post can't: when its answer was lost, its key is looked for in the thread first.
//! Between two attempts the row itself is in the store alone; what is known of its attempts stays here.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::gate::Pass;
use super::lanes::Rest;
use super::read_back::Hand;
use super::{Fate, Inner};
use crate::backoff::Backoff;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts};
use crate::domain::outgoing::{Body, Op, Place};
use crate::domain::ports::{Trace, WriteError, WriteErrorKind};
use crate::scope::panic_text;

/// The delays between attempts on one row.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many crashes of its delivery a row is given before it counts as one that can never be delivered.
const CRASHES: u32 = 3;

/// How often a post that may have arrived is repeated; each time may make a duplicate.
const REPEATS: u32 = 2;

/// How long a row's attempts may fail, one after the other.
const FAILING: Duration = Duration::from_hours(24);

/// The pause between two looks for a message that may have been posted.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// We are stopping; the row stays in the store.
#[derive(Debug)]
pub(super) struct Stopping;

/// What one attempt led to.
enum Attempt {
    Sent(Option<Ts>),
    Never(String),
    Later(WriteError),
    /// It was posted, or was not: the answer did not come.
    Lost(WriteError),
    /// What may have been posted is not there.
    Missing,
}

/// What a failed attempt means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Never,
    Refused,
    After(Duration),
    Backoff,
}

/// What is next for a row.
enum Next {
    Settled(Result<Option<Ts>, String>),
    AtOnce,
    Again(Duration),
}

/// One row on its way to Slack.
pub(super) struct Courier<'a> {
    inner: &'a Inner,
    conversation: &'a ConversationKey,
    id: OwedId,
    backoff: Backoff,
    /// When the first of the attempts failed that have failed since; a token that is refused does not count.
    failing_since: Option<Instant>,
    crashes: u32,
    repeats: u32,
    /// While it may have been posted already: how often it was looked for, and not found.
    misses: Option<u32>,
}

impl<'a> Courier<'a> {
    pub(super) fn new(inner: &'a Inner, conversation: &'a ConversationKey, id: OwedId) -> Self {
        let backoff = Backoff::new(RETRY.0, RETRY.1);
        Self { inner, conversation, id, backoff, failing_since: None, crashes: 0, repeats: 0, misses: None }
    }

    /// Delivers the row that is in hand, however long it takes, and notes it in the store. Its lane spills when an attempt fails.
    pub(super) async fn deliver(mut self, hand: Hand<'a>) -> Result<Fate, Stopping> {
        let (inner, conversation) = (self.inner, self.conversation);
        let mut hand = Some(hand);
        loop {
            if inner.scope.stop().is_cancelled() {
                return Err(Stopping);
            }
            let apart = conversation.is_web().then_some(Pass::Apart);
            let pass = if let Some(pass) = apart.or_else(|| inner.gate.try_pass()) {
                pass
            } else {
                hand = hand.filter(Hand::is_of_lane);
                inner.rest(conversation, Rest::Token, inner.gate.pass(&inner.clock)).await?
            };
            let held = match hand.take() {
                Some(held) => held,
                None => match inner.read_again(self.id).await? {
                    Some(held) => held,
                    None => return Ok(Fate::Dead),
                },
            };
            let attempt = AssertUnwindSafe(self.attempt(&held.owed.op)).catch_unwind().await;
            let attempt = attempt.unwrap_or_else(|panic| self.crashed(&held.owed.op, panic_text(panic.as_ref())));
            let next = match self.judge(attempt, pass) {
                Next::Settled(outcome) => return self.note(outcome).await,
                Next::AtOnce => None,
                Next::Again(delay) => Some(inner.clock.now() + delay),
            };
            drop(held);
            inner.spill(conversation);
            if let Some(next) = next {
                inner.rest(conversation, Rest::Until(next), inner.clock.sleep_until(next)).await?;
            }
        }
    }

    fn judge(&mut self, attempt: Attempt, pass: Pass<'_>) -> Next {
        let error = match attempt {
            Attempt::Sent(ts) => {
                self.inner.gate.open(pass);
                return Next::Settled(Ok(ts));
            }
            Attempt::Never(why) => return Next::Settled(Err(why)),
            Attempt::Missing => return self.missing(),
            Attempt::Lost(error) => {
                self.misses = Some(0);
                error
            }
            Attempt::Later(error) => error,
        };
        let delay = match verdict(error.kind) {
            Verdict::Never => {
                // It is about the message, so the token is good.
                self.inner.gate.open(pass);
                return self.never(&error);
            }
            Verdict::Refused => {
                self.inner.gate.shut(&error.code);
                self.failing_since = None;
                return Next::AtOnce;
            }
            Verdict::After(delay) => delay,
            Verdict::Backoff => self.backoff.next(&mut fastrand::Rng::new()),
        };
        self.later(&error, delay)
    }

    /// A row that fails for now is tried again, but not for ever.
    fn later(&mut self, error: &WriteError, delay: Duration) -> Next {
        let now = self.inner.clock.now();
        let since = *self.failing_since.get_or_insert(now);
        if now.saturating_duration_since(since) < FAILING {
            self.report(error, delay);
            return Next::Again(delay);
        }
        let posted = if self.misses.is_some() { "; it may have been posted already" } else { "" };
        Next::Settled(Err(format!("it has failed for {} hours: {error}{posted}", FAILING.as_secs() / 3_600)))
    }

    /// A row that Slack refuses is settled; where it only lets nobody look, it is repeated.
    fn never(&mut self, error: &WriteError) -> Next {
        match self.misses {
            None => Next::Settled(Err(error.to_string())),
            Some(_) => self.repeat(),
        }
    }

    fn missing(&mut self) -> Next {
        match self.misses {
            Some(0) => {
                self.misses = Some(1);
                Next::Again(LOOK_AGAIN)
            }
            _ => self.repeat(),
        }
    }

    fn repeat(&mut self) -> Next {
        if self.repeats == REPEATS {
            let posts = REPEATS + 1;
            let why =
                format!("it may have been posted already: none of {posts} attempts was answered, and it is not found");
            return Next::Settled(Err(why));
        }
        tracing::warn!(owed.id = %self.id, conversation = %self.conversation, "A message was not answered and is not found; it is posted again");
        metrics::counter!("hitchline_outbox_possible_duplicates_total").increment(1);
        self.repeats += 1;
        self.misses = None;
        Next::AtOnce
    }

    async fn attempt(&self, op: &Op) -> Attempt {
        let (slack, conversation) = (&self.inner.slack, self.conversation);
        if self.misses.is_some() {
            return self.look_back().await;
        }
        let sent = match op {
            Op::Post(body) => return self.post(body).await,
            Op::Finish { ts, body } => match self.finish(ts, body).await {
                Ok(true) => Ok(Some(ts.clone())),
                Ok(false) => return self.post(body).await,
                Err(error) => Err(error),
            },
            Op::Delete { ts } => slack.delete(&conversation.channel, ts).await.map(|()| None),
            Op::Revise { of, body } => match self.inner.store.delivered_as(*of).await {
                Ok(Some(ts)) => slack.update(&conversation.channel, &ts, body).await.map(|()| Some(ts)),
                Ok(None) => return Attempt::Never("the message to change was never posted".to_owned()),
                Err(error) => return Attempt::Later(store_failed(&error)),
            },
        };
        sent.map_or_else(Attempt::Later, Attempt::Sent)
    }

    async fn post(&self, body: &Body) -> Attempt {
        match self.inner.slack.post(&Place::from(self.conversation), body, self.id).await {
            Ok(ts) => Attempt::Sent(Some(ts)),
            Err(error) if error.kind == (WriteErrorKind::Transient { uncertain: true }) => Attempt::Lost(error),
            Err(error) => Attempt::Later(error),
        }
    }

    /// Ends the stream, whatever state it is in, and gives the message its final text. Returns false when the message is gone or is
    /// not ours to change: then it is to be posted anew.
    async fn finish(&self, ts: &Ts, body: &Body) -> Result<bool, WriteError> {
        let (slack, channel) = (&self.inner.slack, &self.conversation.channel);
        unless_never(slack.stop_stream(channel, ts).await)?;
        match slack.update(channel, ts, body).await {
            Ok(()) => return Ok(true),
            Err(error) => match error.kind {
                WriteErrorKind::MessageGone => {}
                WriteErrorKind::StreamUnavailable | WriteErrorKind::StoppedByUser => {
                    // What it shows is only the draft.
                    unless_never(slack.delete(channel, ts).await)?;
                }
                _ => return Err(error),
            },
        }
        Ok(false)
    }

    async fn look_back(&self) -> Attempt {
        let trace = Trace::Key(self.id);
        match self.inner.slack.look_back(self.conversation, &self.conversation.thread, trace).await {
            Ok(Some(ts)) => Attempt::Sent(Some(ts)),
            Ok(None) => Attempt::Missing,
            Err(error) => Attempt::Later(error),
        }
    }

    /// What a panic in an attempt means for the row.
    fn crashed(&mut self, op: &Op, reason: &str) -> Attempt {
        self.crashes += 1;
        let crashes = self.crashes;
        tracing::error!(owed.id = %self.id, conversation = %self.conversation, reason, crashes, "The delivery of a message crashed");
        metrics::counter!("hitchline_task_crashes_total", "task" => "outbox lane").increment(1);
        if crashes >= CRASHES {
            return Attempt::Never(format!("its delivery crashed {crashes} times"));
        }
        let kind = WriteErrorKind::Transient { uncertain: true };
        let error = WriteError { kind, call: "delivery", code: "crashed".to_owned() };
        let may_be_posted = self.misses.is_none() && matches!(op, Op::Post(_) | Op::Finish { .. });
        if may_be_posted { Attempt::Lost(error) } else { Attempt::Later(error) }
    }

    fn report(&self, error: &WriteError, delay: Duration) {
        tracing::warn!(
            owed.id = %self.id,
            conversation = %self.conversation,
            %error,
            attempt = self.backoff.attempts(),
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "A message to Slack waits for another attempt"
        );
    }

    async fn note(&self, outcome: Result<Option<Ts>, String>) -> Result<Fate, Stopping> {
        let (store, id) = (&self.inner.store, self.id);
        let (fate, noted) = match outcome {
            Ok(ts) => {
                metrics::counter!("hitchline_outbox_sent_total").increment(1);
                (Fate::Sent, store.delivered(id, ts).await)
            }
            Err(why) => {
                tracing::error!(owed.id = %id, conversation = %self.conversation, reason = %why, "A message to Slack is given up");
                metrics::counter!("hitchline_outbox_dead_total").increment(1);
                (Fate::Dead, store.undeliverable(id, why).await)
            }
        };
        noted.map(|()| fate).map_err(|_closed| Stopping)
    }
}

/// Goes on after a step that will never work, for nothing depends on it.
fn unless_never(step: Result<(), WriteError>) -> Result<(), WriteError> {
    step.or_else(|error| if verdict(error.kind) == Verdict::Never { Ok(()) } else { Err(error) })
}

fn verdict(kind: WriteErrorKind) -> Verdict {
    match kind {
        WriteErrorKind::Permanent
        | WriteErrorKind::MessageGone
        | WriteErrorKind::StreamUnavailable
        | WriteErrorKind::StoppedByUser => Verdict::Never,
        WriteErrorKind::Rate { after_ms } => Verdict::After(Duration::from_millis(after_ms)),
        // A token that is not valid may become valid again; nothing is given up because of it.
        WriteErrorKind::Auth => Verdict::Refused,
        WriteErrorKind::Transient { .. } => Verdict::Backoff,
    }
}

fn store_failed(error: &crate::store::StoreError) -> WriteError {
    WriteError { kind: WriteErrorKind::Transient { uncertain: false }, call: "store", code: error.to_string() }
}
