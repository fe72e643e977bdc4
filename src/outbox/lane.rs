//! One row at a time: attempt, wait, attempt again, settle.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::{Fate, Inner};
use crate::backoff::Backoff;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts};
use crate::domain::outgoing::{Body, Op, Owed, Place};
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::scope::panic_text;

/// The delays between attempts on one row.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many crashes of its delivery a row is given before it counts as one that can never be delivered.
const CRASHES: u32 = 3;

/// We are stopping; the row stays in the store.
#[derive(Debug)]
pub(super) struct Stopping;

/// What one attempt led to.
enum Attempt {
    Sent(Option<Ts>),
    Never(String),
    Later(WriteError),
}

/// What a failed attempt means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Never,
    Refused,
    After(Duration),
    Backoff,
}

/// The deliverer of one conversation's rows.
pub(super) struct Lane<'a> {
    inner: &'a Inner,
}

impl<'a> Lane<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self { inner }
    }

    /// Delivers `owed`, however long it takes, and notes it in the store.
    pub(super) async fn deliver(&self, owed: &Owed) -> Result<Fate, Stopping> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut chance = fastrand::Rng::new();
        let mut crashes = 0;
        loop {
            let stop = self.inner.scope.stop();
            let pass = stop.run_until_cancelled(self.inner.gate.pass(&self.inner.clock)).await.ok_or(Stopping)?;
            let attempt = AssertUnwindSafe(self.attempt(owed)).catch_unwind().await.unwrap_or_else(|panic| {
                crashes += 1;
                crashed(owed, panic_text(panic.as_ref()), crashes)
            });
            let error = match attempt {
                Attempt::Sent(ts) => {
                    self.inner.gate.open(pass);
                    return self.note_sent(owed, ts).await;
                }
                Attempt::Never(why) => return self.note_dead(owed, why).await,
                Attempt::Later(error) => error,
            };
            let delay = match verdict(error.kind) {
                Verdict::Never => {
                    // It is about the message, so the token is good.
                    self.inner.gate.open(pass);
                    return self.note_dead(owed, error.to_string()).await;
                }
                Verdict::Refused => {
                    self.inner.gate.shut(&error.code);
                    continue;
                }
                Verdict::After(delay) => delay,
                Verdict::Backoff => backoff.next(&mut chance),
            };
            drop(pass);
            report(owed, &error, delay, backoff.attempts());
            stop.run_until_cancelled(self.inner.clock.sleep(delay)).await.ok_or(Stopping)?;
        }
    }

    async fn attempt(&self, owed: &Owed) -> Attempt {
        let conversation = &owed.conversation;
        let sent = match &owed.op {
            Op::Post(body) => self.post(conversation, body, owed.id).await.map(Some),
            Op::Finish { ts, body } => self.finish(conversation, ts, body, owed.id).await.map(Some),
            Op::Delete { ts } => self.inner.slack.delete(&conversation.channel, ts).await.map(|()| None),
            Op::Revise { of, body } => match self.inner.store.delivered_as(*of).await {
                Ok(Some(ts)) => self.inner.slack.update(&conversation.channel, &ts, body).await.map(|()| Some(ts)),
                Ok(None) => return Attempt::Never("the message to change was never posted".to_owned()),
                Err(error) => return Attempt::Later(store_failed(&error)),
            },
        };
        sent.map_or_else(Attempt::Later, Attempt::Sent)
    }

    async fn post(&self, conversation: &ConversationKey, body: &Body, id: OwedId) -> Result<Ts, WriteError> {
        self.inner.slack.post(&Place::from(conversation), body, id).await
    }

    /// Ends the stream, whatever state it is in, and gives the message its final text; posts anew when the message is gone or is not
    /// ours to change.
    async fn finish(&self, conversation: &ConversationKey, ts: &Ts, body: &Body, id: OwedId) -> Result<Ts, WriteError> {
        let (slack, channel) = (&self.inner.slack, &conversation.channel);
        unless_never(slack.stop_stream(channel, ts).await)?;
        match slack.update(channel, ts, body).await {
            Ok(()) => return Ok(ts.clone()),
            Err(error) => match error.kind {
                WriteErrorKind::MessageGone => {}
                WriteErrorKind::StreamUnavailable | WriteErrorKind::StoppedByUser => {
                    // What it shows is only the draft.
                    unless_never(slack.delete(channel, ts).await)?;
                }
                _ => return Err(error),
            },
        }
        self.post(conversation, body, id).await
    }

    async fn note_sent(&self, owed: &Owed, ts: Option<Ts>) -> Result<Fate, Stopping> {
        metrics::counter!("hitchline_outbox_sent_total").increment(1);
        self.inner.store.delivered(owed.id, ts).await.map_or(Err(Stopping), |()| Ok(Fate::Sent))
    }

    async fn note_dead(&self, owed: &Owed, why: String) -> Result<Fate, Stopping> {
        tracing::error!(owed.id = %owed.id, conversation = %owed.conversation, reason = %why, "Slack will never take this message");
        metrics::counter!("hitchline_outbox_dead_total").increment(1);
        self.inner.store.undeliverable(owed.id, why).await.map_or(Err(Stopping), |()| Ok(Fate::Dead))
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

fn report(owed: &Owed, error: &WriteError, delay: Duration, attempt: u32) {
    if error.kind == (WriteErrorKind::Transient { uncertain: true }) && matches!(owed.op, Op::Post(_)) {
        metrics::counter!("hitchline_outbox_possible_duplicates_total").increment(1);
    }
    tracing::warn!(
        owed.id = %owed.id,
        conversation = %owed.conversation,
        %error,
        attempt,
        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "A message to Slack waits for another attempt"
    );
}

/// What a panic in an attempt means for the row. The message may have been sent before it.
fn crashed(owed: &Owed, reason: &str, crashes: u32) -> Attempt {
    tracing::error!(owed.id = %owed.id, conversation = %owed.conversation, reason, crashes, "The delivery of a message crashed");
    metrics::counter!("hitchline_task_crashes_total", "task" => "outbox lane").increment(1);
    if crashes >= CRASHES {
        return Attempt::Never(format!("its delivery crashed {crashes} times"));
    }
    let code = "crashed".to_owned();
    Attempt::Later(WriteError { kind: WriteErrorKind::Transient { uncertain: true }, call: "delivery", code })
}

fn store_failed(error: &crate::store::StoreError) -> WriteError {
    WriteError { kind: WriteErrorKind::Transient { uncertain: false }, call: "store", code: error.to_string() }
}
