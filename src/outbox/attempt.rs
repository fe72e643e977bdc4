//! One attempt on a row: the calls that it takes, and what they led to.

use super::courier::{Courier, Doubt};
use super::verdict::{Verdict, verdict};
use crate::domain::ids::{OwedId, Ts};
use crate::domain::outgoing::{Answers, Body, Label, Op, Owed, Place};
use crate::domain::ports::{Trace, WriteError, WriteErrorKind};

/// What one attempt led to.
pub(super) enum Attempt {
    Sent(Option<Ts>),
    Never(String),
    Later(WriteError),
    /// It was posted, or was not: the answer did not come.
    Lost(WriteError),
    /// An earlier process may have posted it; nothing was done.
    Doubtful,
    /// What may have been posted is not there.
    Missing,
}

impl Courier<'_> {
    pub(super) async fn attempt(&self, owed: &Owed) -> Attempt {
        if matches!(self.doubt, Doubt::Looked(_)) {
            return self.look_for(owed).await;
        }
        let (slack, channel) = (&self.inner.slack, &self.conversation.channel);
        let sent = match &owed.op {
            Op::Post(body) => return self.post(owed, body).await,
            Op::Finish { ts, body } => match self.finish(owed, ts, body).await {
                Ok(true) => Ok(Some(ts.clone())),
                Ok(false) => return self.post(owed, body).await,
                Err(error) => Err(error),
            },
            Op::Delete { ts } => slack.delete(channel, ts).await.map(|()| None),
            Op::Revise { of, body } => return self.revise(owed, *of, body).await,
        };
        sent.map_or_else(Attempt::Later, Attempt::Sent)
    }

    /// Posts the row, or the next part of it where it goes in several.
    async fn post(&self, owed: &Owed, body: &Body) -> Attempt {
        if matches!(self.doubt, Doubt::Inherited) {
            return Attempt::Doubtful;
        }
        let label = Label { key: self.key(), answers: owed.answers.clone() };
        let place = Place::from(self.conversation);
        let posted = match self.plain.as_ref().and_then(|parts| parts.front()) {
            Some(part) => self.inner.slack.post(&place, part, &label).await,
            None => self.inner.slack.post(&place, body, &label).await,
        };
        match posted {
            Ok(ts) => Attempt::Sent(Some(ts)),
            Err(error) if error.kind == (WriteErrorKind::Transient { uncertain: true }) => Attempt::Lost(error),
            Err(error) => Attempt::Later(error),
        }
    }

    /// Ends the stream, whatever state it is in, and gives the message its final text. Returns false when the message is gone, or is
    /// not ours to change, or can't hold the text: then that is to be posted anew.
    async fn finish(&self, owed: &Owed, ts: &Ts, body: &Body) -> Result<bool, WriteError> {
        let (slack, channel) = (&self.inner.slack, &self.conversation.channel);
        unless_never(slack.stop_stream(channel, ts).await)?;
        if self.plain.is_none() {
            let label = Label { key: owed.id, answers: owed.answers.clone() };
            match slack.finish(channel, ts, body, &label).await {
                Ok(()) => return Ok(true),
                Err(error) => match error.kind {
                    WriteErrorKind::MessageGone => return Ok(false),
                    WriteErrorKind::StreamUnavailable | WriteErrorKind::StoppedByUser => {}
                    _ => return Err(error),
                },
            }
        }
        // What it shows is only the draft.
        unless_never(slack.delete(channel, ts).await)?;
        Ok(false)
    }

    /// Changes the message that an earlier row became; where the store does not know it, it is looked for.
    async fn revise(&self, owed: &Owed, of: OwedId, body: &Body) -> Attempt {
        let known = match self.inner.store.delivered_as(of).await {
            Ok(Some(ts)) => Ok(Some(ts)),
            Ok(None) => self.find(owed, of).await,
            Err(error) => Err(store_failed(&error)),
        };
        match known {
            Ok(Some(ts)) => {
                let changed = self.inner.slack.update(&self.conversation.channel, &ts, body).await;
                changed.map_or_else(Attempt::Later, |()| Attempt::Sent(Some(ts)))
            }
            Err(error) if verdict(error.kind) != Verdict::Never => Attempt::Later(error),
            Ok(None) | Err(_) => Attempt::Never("the message to change was never posted".to_owned()),
        }
    }

    async fn look_for(&self, owed: &Owed) -> Attempt {
        match self.find(owed, self.key()).await {
            Ok(Some(ts)) => Attempt::Sent(Some(ts)),
            Ok(None) => Attempt::Missing,
            Err(error) => Attempt::Later(error),
        }
    }

    /// Looks for a message by its key. It stands below the one that it answers, in Slack's own time, whatever our clock says.
    async fn find(&self, owed: &Owed, key: OwedId) -> Result<Option<Ts>, WriteError> {
        let since = owed.answers.as_ref().map_or(&self.conversation.thread, Answers::message);
        self.inner.slack.look_back(self.conversation, since, Trace::Key(key)).await
    }
}

/// Goes on after a step that will never work, for nothing depends on it.
fn unless_never(step: Result<(), WriteError>) -> Result<(), WriteError> {
    step.or_else(|error| if verdict(error.kind) == Verdict::Never { Ok(()) } else { Err(error) })
}

fn store_failed(error: &crate::store::StoreError) -> WriteError {
    WriteError { kind: WriteErrorKind::Transient { uncertain: false }, call: "store", code: error.to_string() }
}
