//! What is heard of a turn, whatever becomes of the connection over which it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::session::Core;
use super::sse::Frame;
use super::{Condition, EventStream, Failure, Heard, Reader};
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backoff::Backoff;

/// The delays between attempts to join a turn's events again.
const JOINING: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long that is tried.
const LOST_AFTER: Duration = Duration::from_mins(10);

/// The events of a turn that was accepted.
pub(super) struct Line {
    core: Arc<Core>,
    reader: Box<dyn Reader>,
    connection: Connection,
    /// How the turn ended, once its server has said so.
    ending: Option<Outcome>,
    chance: fastrand::Rng,
}

enum Connection {
    Open(EventStream),
    /// Lost at this time, and not joined again yet.
    Cut(Instant, Backoff),
}

impl Line {
    pub(super) fn new(core: Arc<Core>, stream: EventStream, reader: Box<dyn Reader>) -> Self {
        Self { core, reader, connection: Connection::Open(stream), ending: None, chance: fastrand::Rng::new() }
    }

    /// What is heard next; nothing, where an event has no meaning. Cancel safe.
    pub(super) async fn next(&mut self) -> Vec<Heard> {
        if let Some(outcome) = self.ending.clone() {
            return self.complete(outcome).await;
        }
        match &mut self.connection {
            Connection::Open(stream) => match stream.next().await {
                Some(Frame::Data(text)) => self.read(&text),
                lost => {
                    let is_too_long = lost == Some(Frame::TooLong);
                    tracing::debug!(
                        server = self.core.shared.dialect.server(),
                        is_too_long,
                        "An event of a turn, or more, is lost"
                    );
                    self.cut();
                    Vec::new()
                }
            },
            Connection::Cut(since, backoff) => {
                let (since, pause) = (*since, backoff.next(&mut self.chance));
                self.core.shared.parts.clock.sleep(pause).await;
                self.join(since).await
            }
        }
    }

    /// Lets go of the connection, and joins the events anew: then the record is read.
    pub(super) fn cut(&mut self) {
        self.reader.cut();
        let now = self.core.shared.parts.clock.now();
        self.connection = Connection::Cut(now, Backoff::new(JOINING.0, JOINING.1));
    }

    /// The turn has ended so, although its last event did not come.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.ending = Some(outcome);
    }

    fn read(&mut self, text: &str) -> Vec<Heard> {
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            tracing::debug!("An event of an agent is no JSON; it is ignored");
            return Vec::new();
        };
        let mut heard = self.reader.read(&event);
        match heard.pop_if(|last| matches!(last, Heard::Over(_) | Heard::Unsure)) {
            Some(Heard::Over(outcome)) => self.ending = Some(outcome),
            Some(_unsure) => self.cut(),
            None => {}
        }
        heard
    }

    /// The end of the turn, after what only the record knows.
    async fn complete(&mut self, outcome: Outcome) -> Vec<Heard> {
        let mut heard = Vec::new();
        if !self.reader.is_whole() {
            let record = self.core.shared.dialect.record(&self.core.place).await;
            heard = self.reader.compare(&record.unwrap_or_default(), true);
        }
        heard.push(Heard::Over(self.reader.verdict(outcome)));
        heard
    }

    /// Joins the events first and then reads the record, so that nothing can be missed between the two.
    async fn join(&mut self, since: Instant) -> Vec<Heard> {
        let (shared, place) = (&self.core.shared, &self.core.place);
        let joined = async { Ok((shared.dialect.events(place).await?, shared.dialect.record(place).await?)) };
        match joined.await {
            Ok((stream, record)) => {
                self.connection = Connection::Open(stream);
                let mut heard = self.reader.compare(&record, false);
                if let Some(Heard::Over(outcome)) = heard.last_mut() {
                    *outcome = self.reader.verdict(outcome.clone());
                }
                heard
            }
            Err(failure) => self.not_joined(since, &failure).into_iter().collect(),
        }
    }

    /// What a failed attempt to join the events means; nothing while it may pass.
    fn not_joined(&self, since: Instant, failure: &Failure) -> Option<Heard> {
        let shared = &self.core.shared;
        if shared.is_gone(failure) {
            let server = shared.dialect.server();
            let error = BackendError::Transient(format!("{server} was restarted, and this turn was lost with it"));
            return Some(Heard::Lost(error, Condition::PutAway));
        }
        let error = shared.error(failure);
        tracing::debug!(server = shared.dialect.server(), %error, "A turn's events can't be joined again yet");
        let passes = matches!(error, BackendError::Transient(_)) && shared.parts.clock.now() < since + LOST_AFTER;
        (!passes).then_some(Heard::Lost(error, Condition::Spent))
    }
}
