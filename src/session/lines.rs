//! The lines in which messages wait, and the tasks that take them out.
//!
//! The queue is the store. Each conversation has two lines there, its turns and its commands. A message that is taken out has a task and
//! one of a few places until its answer has been delivered; in a line there is one in hand at a time, and a few answers are on their
//! way. That, and not a channel, is what bounds memory in a flood.
//!
//! Whatever waits is known in one of two ways: its line's task is going to look for more, or it lies in the backlog, a range of
//! numbers that is gone through as places become free. Meeting a message twice is harmless: the store says whether it still waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::ports::Line;
use crate::outbox::Fate;
use crate::scope::OnCrash;
use crate::store::StoreError;

use super::conversation::Work;
use super::manager::Inner;

/// How many conversations' turns are in memory at once, each from before its commit until its answer is delivered.
const TURNS: usize = 512;
/// The same for commands.
const COMMANDS: usize = 64;
/// How many numbers of the backlog are read at a time.
const PAGE: usize = 64;
/// The pause before something that the store refused is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The store could not do its part: the message stays there, and is taken up again a little later.
#[derive(Debug)]
pub(super) struct Later;

impl Later {
    /// Says what went wrong, once for each attempt.
    pub(super) fn because(key: &ConversationKey, error: &StoreError) -> Self {
        tracing::error!(conversation = %key, %error, "A message can't be handled now and is tried again");
        Self
    }
}

/// Ends when the answer to a message has been delivered; `None` when it has none.
pub(super) type Delivered = Option<BoxFuture<'static, Fate>>;

/// All conversations' lines of one kind.
pub(super) struct Queue {
    places: Arc<Semaphore>,
    backlog: Mutex<Backlog>,
    /// Told when the backlog has grown.
    grown: Notify,
}

/// Numbers of stored messages that no task may know of: after `after`, up to `newest`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Backlog(Option<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    after: i64,
    newest: i64,
}

impl Queue {
    pub(super) fn turns() -> Self {
        Self::with_places(TURNS)
    }

    pub(super) fn commands() -> Self {
        Self::with_places(COMMANDS)
    }

    fn with_places(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), backlog: Mutex::default(), grown: Notify::new() }
    }

    /// A place for a line that has no task, when there is one and nobody waits for it longer.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.place_before(&self.backlog())
    }

    /// The same for what was stored under the number `seq`; without a place it joins the backlog.
    fn place_for(&self, seq: i64) -> Option<OwnedSemaphorePermit> {
        let mut backlog = self.backlog();
        let place = self.place_before(&backlog);
        if place.is_none() {
            backlog.extend(seq);
            self.grown.notify_one();
        }
        place
    }

    /// A place as soon as there is one; nothing when everything ends.
    pub(super) async fn place_in_time(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    fn place_before(&self, backlog: &Backlog) -> Option<OwnedSemaphorePermit> {
        backlog.0.is_none().then(|| self.places.clone().try_acquire_owned().ok())?
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    /// Everything up to the number `newest`; nothing when there is none.
    fn up_to(newest: i64) -> Self {
        Self((newest > 0).then_some(Range { after: 0, newest }))
    }

    fn extend(&mut self, seq: i64) {
        let range = self.0.unwrap_or(Range { after: seq - 1, newest: seq });
        // A message that was moved from another line may be older than what is known.
        self.0 = Some(Range { after: range.after.min(seq - 1), newest: range.newest.max(seq) });
    }

    /// Notes that everything in `seen` up to the number `seq` is known to its tasks. Returns what is left of it; nothing when the
    /// backlog was extended to before that meanwhile.
    fn advance(&mut self, seen: Range, seq: i64) -> Option<Range> {
        let range = self.0.as_mut().filter(|range| range.after == seen.after)?;
        range.after = seq;
        Some(*range)
    }

    /// Ends the backlog when nothing of `seen` is left and it has not grown since.
    fn end(&mut self, seen: Range) {
        if self.0 == Some(seen) {
            self.0 = None;
        }
    }
}

impl Inner {
    /// Starts to go through what the last process left in a line.
    pub(super) async fn take_up_line(self: &Arc<Self>, line: Line) -> Result<(), StoreError> {
        let newest = self.parts.store.newest_queued(line).await?;
        *self.queue(line).backlog() = Backlog::up_to(newest);
        let inner = self.clone();
        self.parts.scope.spawn("backlog", OnCrash::Stop, async move { inner.fetch_backlog(line).await });
        Ok(())
    }

    /// Sees to it that something that was just stored is handled when its time has come.
    pub(super) fn stored_in(self: &Arc<Self>, key: &ConversationKey, line: Line, seq: i64) {
        let _without_a_mark = self.stored_message(key, line, seq, None);
    }

    /// The same for a message that is to bear a mark, `ts`, while it waits behind another, or because everything does: from now on until
    /// what is returned ends.
    pub(super) fn stored_message(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        seq: i64,
        ts: Option<&Ts>,
    ) -> Option<oneshot::Receiver<()>> {
        let (place, mark) = {
            let mut slots = self.slots();
            if slots.draining {
                return None;
            }
            if slots.note_more(key, line) {
                return ts.and_then(|ts| slots.mark(key, ts));
            }
            let place = self.queue(line).place_for(seq)?;
            slots.begin(key, line);
            let held = ts.filter(|_| self.holds.holds(line));
            (place, held.and_then(|ts| slots.mark(key, ts)))
        };
        self.run_line(key.clone(), line, place, None);
        mark
    }

    /// Whether something may wait for a conversation's turn, as far as is known in memory.
    pub(super) fn may_wait(&self, key: &ConversationKey) -> bool {
        let slots = self.slots();
        // What comes while we stop has no slot.
        slots.draining || slots.get(key).is_some() || self.queue(Line::Turn).backlog().0.is_some()
    }

    /// Works on a line until nothing is left to do in it; `place` is kept until then. The line has been begun.
    pub(super) fn run_line(
        self: &Arc<Self>,
        key: ConversationKey,
        line: Line,
        place: OwnedSemaphorePermit,
        first: Option<Work>,
    ) {
        let inner = self.clone();
        self.parts.scope.spawn("conversation", OnCrash::Log, async move {
            let mut next = first;
            while let Some(handled) = inner.handle_one(&key, line, next.take()).await {
                if !inner.goes_on(&key, line, handled).await {
                    break;
                }
            }
            drop(place);
        });
    }

    /// Handles the message that is in hand, or else the next one as soon as it may begin; nothing when the line stops.
    async fn handle_one(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        in_hand: Option<Work>,
    ) -> Option<Result<Delivered, Later>> {
        if let Some(work) = in_hand {
            return Some(self.handle_begun(key, line, work).await);
        }
        let _on_trial = self.holds.pass(line).await;
        if self.stops(key, line) {
            return None;
        }
        Some(self.handle_next(key, line).await)
    }

    /// Whether nothing more is taken on, because we begin to stop: what waits stays in the store for the next start.
    fn stops(&self, key: &ConversationKey, line: Line) -> bool {
        let stops = self.slots().stops(key, line);
        if stops {
            self.rested.notify_waiters();
        }
        stops
    }

    /// Waits until the answer has been delivered; then says whether there is more to do for the line's task.
    async fn goes_on(&self, key: &ConversationKey, line: Line, handled: Result<Delivered, Later>) -> bool {
        if handled.is_err() {
            self.slots().note_more(key, line);
        }
        let keeps = self.slots().handled(key, line);
        if !keeps {
            self.rested.notify_waiters();
        }
        match handled {
            Ok(None) => {}
            Ok(Some(delivered)) => drop(self.parts.scope.finish().run_until_cancelled(delivered).await),
            Err(Later) => self.pause(RETRY).await,
        }
        keeps || self.slots().delivered(key, line)
    }

    /// Waits, unless we begin to stop.
    pub(super) async fn pause(&self, pause: Duration) {
        let pause = self.parts.clock.sleep(pause);
        let _or_stopping = self.parts.scope.finish().run_until_cancelled(pause).await;
    }

    /// Waits before another attempt at what nobody else tries again; there is none once we begin to stop, for the next start sees to it.
    pub(super) async fn before_retry(&self, later: Later) -> Result<(), Later> {
        if self.parts.scope.finish().is_cancelled() {
            return Err(later);
        }
        self.pause(RETRY).await;
        Ok(())
    }

    /// Repeats what the store does not do at the moment.
    pub(super) async fn insist<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Later>
    where
        F: Future<Output = Result<T, Later>>,
    {
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(later) => self.before_retry(later).await?,
            }
        }
    }

    /// Lets a message wait in another line of its conversation.
    pub(super) async fn move_to(
        self: &Arc<Self>,
        key: &ConversationKey,
        line: Line,
        seq: i64,
    ) -> Result<Delivered, Later> {
        self.parts.store.move_to(seq, line).await.map_err(|error| Later::because(key, &error))?;
        self.stored_in(key, line, seq);
        Ok(None)
    }

    /// Lets a message wait for the turns of its own thread.
    pub(super) async fn move_to_thread(
        self: &Arc<Self>,
        thread: &ConversationKey,
        seq: i64,
    ) -> Result<Delivered, Later> {
        let moved = self.parts.store.move_to_thread(seq, thread.clone()).await;
        moved.map_err(|error| Later::because(thread, &error))?;
        self.stored_in(thread, Line::Turn, seq);
        Ok(None)
    }

    async fn fetch_backlog(self: &Arc<Self>, line: Line) {
        let finish = self.parts.scope.finish().clone();
        loop {
            let grown = self.queue(line).grown.notified();
            tokio::select! {
                biased;
                () = finish.cancelled() => return,
                more = self.fetch_some(line) => if more { continue },
            }
            tokio::select! {
                biased;
                () = finish.cancelled() => return,
                () = grown => {}
            }
        }
    }

    /// Wakes the lines of what is next in the backlog. Returns whether there may be more.
    async fn fetch_some(self: &Arc<Self>, line: Line) -> bool {
        let Some(mut seen) = self.queue(line).backlog().0 else { return false };
        let page = match self.parts.store.queued(line, seen.after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "Waiting messages can't be read; trying again");
                self.pause(RETRY).await;
                return true;
            }
        };
        let last = seen.newest;
        let mut page = page.into_iter().filter(|(seq, _)| *seq <= last).peekable();
        if page.peek().is_none() {
            self.queue(line).backlog().end(seen);
        }
        for (seq, key) in page {
            self.wake(key, line).await;
            let Some(left) = self.queue(line).backlog().advance(seen, seq) else { break };
            seen = left;
        }
        true
    }

    /// Sees to it that a conversation's line has a task that looks for more, as soon as there is a place for it.
    async fn wake(self: &Arc<Self>, key: ConversationKey, line: Line) {
        if self.slots().note_more(&key, line) {
            return;
        }
        let Some(place) = self.queue(line).place_in_time().await else { return };
        {
            let mut slots = self.slots();
            if slots.draining || slots.note_more(&key, line) {
                return;
            }
            slots.begin(&key, line);
        }
        self.run_line(key, line, place, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_ends_only_when_nothing_was_added() {
        let mut backlog = Backlog::up_to(3);
        let seen = backlog.0.unwrap();
        let left = backlog.advance(seen, 3).unwrap();
        backlog.extend(4);
        backlog.end(left);
        assert_eq!(backlog, Backlog(Some(Range { after: 3, newest: 4 })));
        backlog.end(backlog.0.unwrap());
        assert_eq!(backlog, Backlog(None));
        assert_eq!(Backlog::up_to(0), Backlog(None));
    }

    #[test]
    fn an_older_message_that_joins_the_backlog_is_not_passed_over() {
        let mut backlog = Backlog(Some(Range { after: 10, newest: 20 }));
        let seen = backlog.0.unwrap();
        backlog.extend(5);
        assert_eq!(backlog.advance(seen, 12), None, "it is gone through again from before the older one");
        assert_eq!(backlog, Backlog(Some(Range { after: 4, newest: 20 })));
    }

    #[test]
    fn whoever_comes_later_does_not_take_the_place_of_who_waits() {
        let queue = Queue::with_places(1);
        let place = queue.place_for(1).unwrap();
        assert!(queue.place_for(2).is_none());
        drop(place);
        assert!(queue.place().is_none() && queue.place_for(3).is_none());
        assert_eq!(*queue.backlog(), Backlog(Some(Range { after: 1, newest: 3 })));
    }
}
