//! One reading back of everything that we follow.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::age::{Lateness, lateness};
use super::gaps::Trigger;
use super::pages::{Completeness, Pages};
use super::plan::{self, Place};
use super::{Parts, RETRY, count};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::inbound::{Inbound, What};
use crate::domain::ports::{Answered, Receipt};
use crate::store::{Late, Lot, SessionFilter};

/// How many messages one commit keeps: acknowledgements wait behind it.
const BATCH: usize = 100;
/// How long Slack may take until a message that was said can be read back. Nothing is promised of that; ten seconds are reckoned with, and
/// five more for Slack's own time, of which we know a second too little, and for a machine whose clock runs a little fast.
const SHOWN_AFTER: Duration = Duration::from_secs(15);

/// A run. Dropped in the middle, it leaves what the next one goes on from.
pub(super) struct Run<'a> {
    parts: &'a Parts,
    pages: &'a mut Pages,
    trigger: Trigger,
    /// Its beginning, in microseconds of Slack's time: ages are counted from there.
    began_us: i64,
    /// From then on all that was said before it can be read.
    shown: Instant,
    /// How many messages it has had answered.
    answered: usize,
    /// Whether Slack may know of answers that the store does not.
    restored: bool,
    /// Messages that are going to be kept without being answered.
    late: Vec<Late>,
}

impl<'a> Run<'a> {
    pub(super) fn new(parts: &'a Parts, pages: &'a mut Pages, trigger: Trigger) -> Self {
        let began_us = parts.read.now_us();
        let shown = parts.clock.now() + SHOWN_AFTER;
        Self { parts, pages, trigger, began_us, shown, answered: 0, restored: false, late: Vec::new() }
    }

    /// Reads every place. What it could not read now is for another run.
    pub(super) async fn read_all(&mut self) -> Completeness {
        let parts = self.parts;
        let heard = until_stored(parts, || parts.store.heard()).await;
        let heard_us = heard.unwrap_or(self.began_us);
        self.restored = until_stored(parts, || parts.store.is_restored()).await;
        let since_s = (self.began_us - heard_us) / 1_000_000;
        tracing::info!(trigger = self.trigger.name(), since_s, "Reading back what was said meanwhile");
        self.read_everything(heard_us).await;
        let ended = self.pages.completeness;
        if ended != Completeness::Unfinished {
            until_stored(parts, || parts.store.caught_up(self.began_us)).await;
        }
        tracing::info!(answered = self.answered, completeness = ?ended, "What was said meanwhile is read back");
        ended
    }

    async fn read_everything(&mut self, heard_us: i64) {
        let parts = self.parts;
        let channels = self.pages.channels().await;
        let complete = self.pages.completeness == Completeness::Whole;
        let sessions = until_stored(parts, || {
            parts.store.sessions(SessionFilter { limit: usize::MAX, ..SessionFilter::default() })
        });
        let sessions = sessions.await.into_iter().map(|record| record.conversation).collect();
        let places = plan::order(channels, sessions, complete);
        let own: HashSet<ConversationKey> = places.iter().map(Place::key).collect();
        let early = self.read_places(places, heard_us, &own).await;
        // Whoever spoke just before we listened may not have been seen there yet.
        if !early.is_empty() {
            parts.clock.sleep_until(self.shown).await;
            self.read_places(early, heard_us, &own).await;
        }
    }

    /// Reads these places; returns those that were read before all that was said could be.
    async fn read_places(&mut self, places: Vec<Place>, heard_us: i64, own: &HashSet<ConversationKey>) -> Vec<Place> {
        let parts = self.parts;
        let cursors = until_stored(parts, || parts.store.cursors()).await;
        let mut early = Vec::new();
        for place in places {
            let is_early = parts.clock.now() < self.shown;
            let read = self.read_place(&place, heard_us, &cursors, own).await;
            if is_early && read != Completeness::Unfinished {
                early.push(place);
            }
        }
        early
    }

    /// Reads a place from where its own cursor stands, if it has one.
    async fn read_place(
        &mut self,
        place: &Place,
        heard_us: i64,
        cursors: &HashMap<ConversationKey, i64>,
        own: &HashSet<ConversationKey>,
    ) -> Completeness {
        let key = place.key();
        let since = plan::since(heard_us, cursors.get(&key).copied(), self.trigger.earlier(), self.began_us);
        let before = std::mem::replace(&mut self.pages.completeness, Completeness::Whole);
        let said = self.pages.said_since(place, &since, |thread| own.contains(thread)).await;
        for inbound in said.into_iter().filter_map(|reading| reading.inbound) {
            self.take(*inbound).await;
        }
        self.keep_late().await;
        let read = self.pages.completeness;
        self.pages.completeness = read.max(before);
        if read != Completeness::Unfinished {
            self.leave(key).await;
        }
        read
    }

    /// Does with one message what its age says.
    async fn take(&mut self, inbound: Inbound) {
        let What::Message(message) = &inbound.what else { return };
        let Some(said_us) = message.ts.micros() else { return };
        if self.precedes_its_session(&inbound, said_us).await {
            return count("not_ours");
        }
        let lateness = lateness(said_us, self.began_us, self.answered);
        let checked = self.restored && lateness != Lateness::Stale;
        let answered = if checked { self.was_answered(&inbound, &message.ts).await } else { Some(Answered::No) };
        match (lateness, answered) {
            (_, Some(Answered::Finally)) => self.set_aside(&inbound, Lot::Answered).await,
            // The next run meets it again.
            (_, None) if self.pages.completeness == Completeness::Unfinished => {}
            (Lateness::Fresh, Some(Answered::No)) => self.answer(inbound).await,
            // Also where Slack shows what was asked of its people when its turn was interrupted: those buttons do nothing any more.
            (Lateness::Fresh | Lateness::Late, _) => self.set_aside(&inbound, Lot::Offer).await,
            (Lateness::Stale, _) => self.set_aside(&inbound, Lot::Expire).await,
        }
    }

    /// Whether a message that was addressed to nobody was said before its thread was followed: then it was not for us, and was passed over
    /// when it came.
    async fn precedes_its_session(&self, inbound: &Inbound, said_us: i64) -> bool {
        let addressed = self.parts.belated.is_addressed(inbound);
        let Some(conversation) = inbound.conversation().filter(|_| !addressed) else { return false };
        let since = until_stored(self.parts, || self.parts.store.followed_since(conversation.clone())).await;
        since.is_some_and(|since| said_us < since)
    }

    /// How far Slack shows an answer of ours; nothing when it does not say.
    async fn was_answered(&mut self, inbound: &Inbound, ts: &Ts) -> Option<Answered> {
        let conversation = inbound.conversation()?;
        self.pages.was_answered(&self.parts.answers, &conversation, ts).await
    }

    async fn answer(&mut self, inbound: Inbound) {
        // What it follows may be among those.
        self.keep_late().await;
        let parts = self.parts;
        match until_stored(parts, || parts.inbox.take(inbound.clone())).await {
            Receipt::Stored => {
                self.answered += 1;
                count("answered");
            }
            Receipt::Duplicate => count("known"),
            // In a thread that waits to be answered itself it waits, too.
            Receipt::Ignored => self.set_aside(&inbound, Lot::Offer).await,
        }
    }

    async fn set_aside(&mut self, inbound: &Inbound, lot: Lot) {
        match self.parts.late(inbound, lot) {
            Some(late) => self.late.push(late),
            None => count("not_ours"),
        }
        if self.late.len() >= BATCH {
            self.keep_late().await;
        }
    }

    async fn keep_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        if !late.is_empty() {
            until_stored(self.parts, || self.parts.keep_late(late.clone())).await;
        }
    }

    /// A place is done: its people are told, once, what waits for their decision.
    async fn leave(&mut self, place: ConversationKey) {
        let (parts, began_us) = (self.parts, self.began_us);
        let told = until_stored(parts, || {
            let (belated, key) = (parts.belated.clone(), place.clone());
            let note = move |offer, away| belated.note(&key, offer, away);
            parts.store.leave_place(place.clone(), began_us, parts.clock.wall_ms(), note)
        });
        let told = told.await;
        if !told.is_empty() {
            parts.belated.noted(told);
        }
    }
}

/// Repeats what the store does not do at the moment.
pub(super) async fn until_stored<T, E, F>(parts: &Parts, attempt: impl Fn() -> F) -> T
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::warn!(%error, "The store does not take what is read back; trying again");
                parts.clock.sleep(RETRY).await;
            }
        }
    }
}
