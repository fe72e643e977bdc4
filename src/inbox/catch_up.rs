//! Finds again what was said while nobody listened: reads it back from Slack, and hands it to the same inbox as what is delivered.
//!
//! It stands before the inbox. As long as nothing is missing everything passes through, and *heard*, the moment up to which everything
//! is known, moves forward with Slack's time. When something may be missing, that moment stays; a run reads each place from there on,
//! and when all are done it moves to the run's beginning. What is fresh is answered; what is older is offered, with one note for each
//! place; what is a day old is only counted. Messages that are delivered late meanwhile are treated the same.

mod age;
mod budget;
mod gaps;
mod pages;
mod plan;
mod run;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::age::{Lateness, lateness};
use self::gaps::State;
use self::pages::Completeness;
use self::run::Run;
use super::Inbox;
use crate::clock::Clock;
use crate::domain::inbound::{Inbound, What};
use crate::domain::ports::{Belated, Claim, Deliver, Line, NotStored, ReadBack, Receipt, SlackRead};
use crate::scope::panic_text;
use crate::store::{Kept, Late, Lot, Store, StoreError};

pub use self::gaps::Trigger;

/// The pause before what the store or Slack did not let us do is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// The pause after a run that could not be finished.
const UNFINISHED: Duration = Duration::from_mins(1);

/// What the catch-up works with.
pub struct Parts {
    /// Where everything goes.
    pub inbox: Inbox,
    /// What survives.
    pub store: Store,
    /// The way back to what was said.
    pub read: Arc<dyn ReadBack>,
    /// What we have answered, as Slack knows it.
    pub answers: Arc<dyn SlackRead>,
    /// What is done about messages that come too late.
    pub belated: Arc<dyn Belated>,
    /// Time.
    pub clock: Clock,
    /// How many messages are offered in one conversation.
    pub queue_limit: usize,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("queue_limit", &self.queue_limit).finish_non_exhaustive()
    }
}

/// The catch-up; cheap to clone. What sockets deliver goes through it.
#[derive(Debug, Clone)]
pub struct CatchUp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    state: watch::Sender<State>,
    /// Whether what is said now reaches us.
    live: watch::Sender<bool>,
}

impl CatchUp {
    /// One that is due because the process has just started: whatever was said before may be missing. At the first start of all
    /// nothing is, and everything is known from now on.
    pub async fn begin(parts: Parts) -> Result<Self, StoreError> {
        let began_before = parts.store.heard().await?.is_some();
        if !began_before {
            parts.store.caught_up(parts.read.now_us()).await?;
        }
        let state = if began_before { State::default().missed(Trigger::Start) } else { State::default() };
        Ok(Self(Arc::new(Inner { parts, state: watch::Sender::new(state), live: watch::Sender::new(false) })))
    }

    /// Takes note that something may have been missed.
    pub fn missed(&self, why: Trigger) {
        self.0.change(|state| state.missed(why));
    }

    /// Takes note of whether any connection lives.
    pub fn set_live(&self, live: bool) {
        self.0.live.send_if_modified(|before| std::mem::replace(before, live) != live);
    }

    /// Notes that everything that was said until now has reached us, if that is so. Nobody waits for that commit.
    pub async fn note_heard(&self) {
        let Inner { parts, state, live } = &*self.0;
        if *state.borrow() != State::Whole || !*live.borrow() {
            return;
        }
        let now_us = parts.read.now_us();
        if let Err(error) = parts.store.note_heard(now_us).await {
            tracing::debug!(%error, "How far Slack was heard is not noted");
        }
    }

    /// Whether something may be missing that is not read back yet.
    pub fn is_catching_up(&self) -> bool {
        *self.0.state.borrow() != State::Whole
    }

    /// Reads back what may be missing, again and again, until `stop`; a run is left in the middle then.
    pub async fn run(self, stop: CancellationToken) {
        let mut state = self.0.state.subscribe();
        let mut pages = self.0.pages();
        let runs = async {
            loop {
                let due = state.wait_for(|state| matches!(state, State::Due(_))).await.map(|state| *state);
                let Ok(State::Due(trigger)) = due else { return };
                self.0.parts.clock.sleep(trigger.pause()).await;
                self.0.catch_up(&mut pages).await;
            }
        };
        stop.run_until_cancelled(runs).await;
    }
}

#[async_trait]
impl Deliver for CatchUp {
    async fn deliver(&self, inbound: Inbound) -> Result<Receipt, NotStored> {
        let delivered = match self.0.belated(&inbound) {
            Some(late) => self.0.keep_one(late).await,
            None => self.0.parts.inbox.deliver(inbound).await,
        };
        if delivered.is_err() {
            self.missed(Trigger::Refused);
        }
        delivered
    }

    fn left_out(&self) {
        self.missed(Trigger::RateLimited);
    }
}

impl Inner {
    fn change(&self, change: impl FnOnce(State) -> State) {
        self.state.send_modify(|state| *state = change(*state));
    }

    fn pages(&self) -> pages::Pages {
        pages::Pages::new(self.parts.read.clone(), self.parts.clock.clone())
    }

    /// One run, once what is said reaches us again.
    async fn catch_up(&self, pages: &mut pages::Pages) {
        let mut live = self.live.subscribe();
        if live.wait_for(|live| *live).await.is_err() {
            return;
        }
        self.change(State::begun);
        let State::Reading { trigger, .. } = *self.state.borrow() else { return };
        pages.completeness = Completeness::Whole;
        let mut run = Run::new(&self.parts, pages, trigger);
        // What a crash leaves is not read back, whoever begins anew.
        let ended = AssertUnwindSafe(run.read_all()).catch_unwind().await.unwrap_or_else(|panic| {
            tracing::error!(reason = panic_text(panic.as_ref()), "Reading back crashed; it is tried again in a minute");
            metrics::counter!("hitchline_task_crashes_total", "task" => "catch-up").increment(1);
            Completeness::Unfinished
        });
        let outcome = match ended {
            Completeness::Whole => "complete",
            Completeness::Partial => "partial",
            Completeness::Unfinished => "unfinished",
        };
        metrics::counter!("hitchline_catchup_runs_total", "trigger" => trigger.name(), "outcome" => outcome)
            .increment(1);
        let unfinished = ended == Completeness::Unfinished;
        self.change(|state| if unfinished { state.missed(trigger).ended() } else { state.ended() });
        run::until_stored(&self.parts, || self.tell_of_the_rest()).await;
        if unfinished {
            self.parts.clock.sleep(UNFINISHED).await;
        }
    }

    /// Tells people of what was kept where the run did not come, or had been already.
    async fn tell_of_the_rest(&self) -> Result<(), StoreError> {
        let Parts { store, belated, read, clock, .. } = &self.parts;
        for (offer, place) in store.untold_offers().await? {
            let words = belated.clone();
            let note = move |offer, away| words.note(&place, offer, away);
            let told = store.tell_offer(offer, read.now_us(), clock.wall_ms(), note).await?;
            if !told.is_empty() {
                belated.noted(told);
            }
        }
        Ok(())
    }

    /// A message that is delivered while something is being read back, and that is too old to be simply answered: it is one of those.
    fn belated(&self, inbound: &Inbound) -> Option<Late> {
        let What::Message(message) = &inbound.what else { return None };
        if *self.state.borrow() == State::Whole {
            return None;
        }
        let lot = match lateness(message.ts.micros()?, self.parts.read.now_us(), 0) {
            Lateness::Fresh => return None,
            Lateness::Late => Lot::Offer,
            Lateness::Stale => Lot::Expire,
        };
        self.parts.late(inbound, lot)
    }

    async fn keep_one(&self, late: Late) -> Result<Receipt, NotStored> {
        let not_stored = |error: StoreError| NotStored(error.to_string());
        let kept = self.parts.keep_late(vec![late]).await.map_err(not_stored)?;
        // The run that would have told of it has come to its end meanwhile.
        if *self.state.borrow() == State::Whole {
            self.tell_of_the_rest().await.map_err(not_stored)?;
        }
        Ok(match kept.first() {
            Some(Kept::Known) => Receipt::Duplicate,
            Some(Kept::NotFollowed) | None => Receipt::Ignored,
            Some(Kept::Offered | Kept::Expired | Kept::Answered) => Receipt::Stored,
        })
    }
}

impl Parts {
    /// What is kept of a message that is not answered; nothing when it is not for us, or was only good for its moment.
    fn late(&self, inbound: &Inbound, lot: Lot) -> Option<Late> {
        match self.belated.consider(inbound) {
            Claim::Keep(keep) if keep.line != Line::AtOnce => Some(Late { inbound: inbound.clone(), keep, lot }),
            Claim::Keep(_) | Claim::Drop(_) => None,
        }
    }

    async fn keep_late(&self, late: Vec<Late>) -> Result<Vec<Kept>, StoreError> {
        self.store.takes_events()?;
        let kept = self.store.keep_late(late, self.queue_limit, self.clock.wall_ms()).await?;
        for kept in &kept {
            count(match kept {
                Kept::Offered => "offered",
                Kept::Expired => "expired",
                Kept::Answered => "answered_before",
                Kept::Known => "known",
                Kept::NotFollowed => "not_ours",
            });
        }
        Ok(kept)
    }
}

/// Counts a message that was read back.
fn count(disposition: &'static str) {
    metrics::counter!("hitchline_catchup_messages_total", "disposition" => disposition).increment(1);
}

#[cfg(test)]
mod tests;
