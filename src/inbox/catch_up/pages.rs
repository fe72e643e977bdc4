//! Reads a place, or the list of places, page by page: within a budget, patiently, and never for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::budget::Budget;
use super::plan::Place;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::ports::{Answered, Joined, ReadBack, ReadPage, Reading, SlackRead, WriteError, WriteErrorKind};

/// How many pages of one place are read.
const PAGES: usize = 30;
/// How many threads without a session are read in one channel.
const THREADS: usize = 50;
/// How often one page is asked for while that fails.
const ATTEMPTS: usize = 6;
/// The pauses between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The longest pause that Slack may ask for.
const LONGEST: Duration = Duration::from_mins(10);

/// How complete what was read is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Completeness {
    /// Everything.
    Whole,
    /// There is more that can't be read, now or later.
    Partial,
    /// There may be more that can be read later.
    Unfinished,
}

/// Reads from Slack.
pub(super) struct Pages {
    read: Arc<dyn ReadBack>,
    clock: Clock,
    budget: Budget,
    chance: fastrand::Rng,
    /// How complete all that was read so far is.
    pub(super) completeness: Completeness,
}

impl Pages {
    pub(super) fn new(read: Arc<dyn ReadBack>, clock: Clock) -> Self {
        let budget = Budget::new(clock.clone());
        Self { read, clock, budget, chance: fastrand::Rng::new(), completeness: Completeness::Whole }
    }

    /// All places that we are in.
    pub(super) async fn channels(&mut self) -> Vec<Joined> {
        let read = self.read.clone();
        self.all("the list of channels", |cursor| {
            let read = read.clone();
            Box::pin(async move { read.channels(cursor.as_deref()).await })
        })
        .await
    }

    /// What was said in a place after the moment `since`, in order; of a channel also what was said in threads there that are not read
    /// by themselves, as far as the page that holds their root tells of them.
    pub(super) async fn said_since(
        &mut self,
        place: &Place,
        since: &Ts,
        is_read_itself: impl Fn(&ConversationKey) -> bool,
    ) -> Vec<Reading> {
        let mut said = self.one(place, since).await;
        if place.thread.is_none() {
            let threads: Vec<Place> = said
                .iter()
                .filter(|message| message.latest_reply.as_ref().is_some_and(|latest| latest > since))
                .map(|root| Place { channel: place.channel.clone(), thread: Some(root.ts.clone()) })
                .filter(|thread| !is_read_itself(&thread.key()))
                .collect();
            if threads.len() > THREADS {
                self.note_partial(&place.key().to_string(), "too_many_threads");
            }
            // Those of a channel come with the newest first.
            for thread in threads.iter().take(THREADS) {
                said.extend(self.one(thread, since).await);
            }
        }
        // In order, and each once.
        let said: BTreeMap<Ts, Reading> = said.into_iter().map(|message| (message.ts.clone(), message)).collect();
        said.into_values().collect()
    }

    async fn one(&mut self, place: &Place, since: &Ts) -> Vec<Reading> {
        let (read, name) = (self.read.clone(), place.key().to_string());
        self.all(&name, |cursor| {
            let (read, place, since) = (read.clone(), place.clone(), since.clone());
            Box::pin(
                async move { read.said_since(&place.channel, place.thread.as_ref(), &since, cursor.as_deref()).await },
            )
        })
        .await
    }

    /// All pages of something, as long as they lead on.
    async fn all<T>(
        &mut self,
        what: &str,
        page: impl Fn(Option<String>) -> BoxFuture<'static, Result<ReadPage<T>, WriteError>>,
    ) -> Vec<T> {
        let (mut items, mut cursor) = (Vec::new(), None);
        let mut seen = BTreeSet::new();
        loop {
            let Some(read) = self.patiently(what, || page(cursor.clone())).await else { return items };
            items.extend(read.items);
            let why = match read.next {
                None if read.cut => "no_cursor",
                None => return items,
                Some(next) if !seen.insert(next.clone()) => "cursor_loop",
                Some(_) if seen.len() >= PAGES => "too_many_pages",
                Some(next) => {
                    cursor = Some(next);
                    continue;
                }
            };
            self.note_partial(what, why);
            return items;
        }
    }

    /// Makes one call until it works. Nothing when it can't, now or ever.
    async fn patiently<T>(
        &mut self,
        what: &str,
        call: impl Fn() -> BoxFuture<'static, Result<T, WriteError>>,
    ) -> Option<T> {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let mut failed = 0;
        loop {
            self.budget.take().await;
            let error = match call().await {
                Ok(page) => return Some(page),
                Err(error) => error,
            };
            let pause = match error.kind {
                WriteErrorKind::Rate { after_ms } => Duration::from_millis(after_ms).min(LONGEST),
                WriteErrorKind::Auth | WriteErrorKind::Transient { .. } => {
                    failed += 1;
                    backoff.next(&mut self.chance)
                }
                _ => {
                    self.note_partial(what, &error.to_string());
                    return None;
                }
            };
            if failed >= ATTEMPTS {
                tracing::warn!(place = what, %error, "What was missed can't be read back now; it is tried again later");
                self.completeness = Completeness::Unfinished;
                return None;
            }
            self.clock.sleep(pause).await;
        }
    }

    /// How far Slack shows that we have answered a message; nothing when it does not say.
    pub(super) async fn was_answered(
        &mut self,
        answers: &Arc<dyn SlackRead>,
        conversation: &ConversationKey,
        ts: &Ts,
    ) -> Option<Answered> {
        let name = conversation.to_string();
        self.patiently(&name, || {
            let (answers, conversation, ts) = (answers.clone(), conversation.clone(), ts.clone());
            Box::pin(async move { answers.answered(&conversation, &ts).await })
        })
        .await
    }

    fn note_partial(&mut self, what: &str, why: &str) {
        tracing::warn!(place = what, why, "Not all that was missed can be read back");
        self.completeness = self.completeness.max(Completeness::Partial);
    }
}

#[cfg(test)]
mod tests;
