//! When the next call of a method may go out.
//!
//! One lane for each method and place, first come, first served: a call takes the lane's next free moment under a short lock and then
//! waits for it, in the order of taking. A call that is given up gives its moment back, and one that is not worth a wait goes now or
//! not at all. With `pacing = "off"` only the server's own "too fast" counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::config::Pacing;
use crate::clock::Clock;

/// How many lanes are kept before those that have nothing to remember are forgotten.
const MANY_LANES: usize = 4_096;

/// Rates by method: how many calls may go at once, and how often one more (docs.slack.dev/apis/web-api/rate-limits; the tiers are
/// counted per minute).
const RATES: &[(&str, u32, Duration)] = &[
    ("chat.postMessage", 5, Duration::from_secs(1)),
    ("chat.update", 10, Duration::from_millis(1_200)),
    ("chat.delete", 10, Duration::from_millis(1_200)),
    ("chat.postEphemeral", 20, Duration::from_millis(600)),
    ("chat.startStream", 10, Duration::from_secs(3)),
    ("chat.appendStream", 20, Duration::from_millis(600)),
    ("chat.stopStream", 10, Duration::from_secs(3)),
    ("conversations.create", 5, Duration::from_secs(3)),
    ("conversations.history", 10, Duration::from_millis(1_200)),
    ("conversations.info", 10, Duration::from_millis(1_200)),
    ("conversations.invite", 10, Duration::from_millis(1_200)),
    ("conversations.replies", 10, Duration::from_millis(1_200)),
    ("reactions.add", 10, Duration::from_millis(1_200)),
    ("reactions.remove", 5, Duration::from_secs(3)),
    ("assistant.threads.setStatus", 10, Duration::from_secs(1)),
];

/// The pacer of one token.
#[derive(Debug)]
pub(super) struct Pacer {
    pacing: Pacing,
    clock: Clock,
    lanes: Mutex<HashMap<(&'static str, String), Lane>>,
}

/// One method in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lane {
    /// When a call may go if all before it have gone; earlier than now as long as there is a burst left.
    next: Instant,
    /// The server said to wait until then.
    held: Option<Instant>,
}

impl Pacer {
    pub(super) fn new(pacing: Pacing, clock: Clock) -> Self {
        Self { pacing, clock, lanes: Mutex::default() }
    }

    /// Waits until a call of `method` in `place` may go. Cancel safe: a wait that is dropped takes up no room.
    pub(super) async fn acquire(&self, method: &'static str, place: &str) {
        if let Some(at) = self.take(method, place, self.clock.now()) {
            let mut waiting = Waiting { pacer: self, method, place, over: false };
            self.clock.sleep_until(at).await;
            waiting.over = true;
        }
    }

    /// Lets a call of `method` in `place` go now, or says how long it would have to wait.
    pub(super) fn acquire_now(&self, method: &'static str, place: &str) -> Result<(), Duration> {
        let now = self.clock.now();
        self.take(method, place, now).map_or(Ok(()), |at| {
            self.give_back(method, place);
            Err(at - now)
        })
    }

    /// The server said that calls of `method` in `place` come too fast.
    pub(super) fn hold(&self, method: &'static str, place: &str, wait: Duration) {
        let now = self.clock.now();
        let until = now + wait;
        let mut lanes = self.lanes();
        let lane = lanes.entry((method, place.to_owned())).or_insert_with(|| Lane::fresh(now, method));
        lane.held = Some(lane.held.map_or(until, |before| before.max(until)));
        lane.next = lane.next.max(until);
    }

    /// The moment at which the call may go; `None` is now.
    fn take(&self, method: &'static str, place: &str, now: Instant) -> Option<Instant> {
        let mut lanes = self.lanes();
        if self.pacing == Pacing::Off {
            let held = lanes.get(&(method, place.to_owned()))?.held?;
            if held > now {
                return Some(held);
            }
            lanes.remove(&(method, place.to_owned()));
            return None;
        }
        if lanes.len() >= MANY_LANES {
            lanes.retain(|(method, _), lane| lane.remembers(method, now));
        }
        let lane = lanes.entry((method, place.to_owned())).or_insert_with(|| Lane::fresh(now, method));
        let at = lane.take(method, now);
        (at > now).then_some(at)
    }

    /// Gives back a moment that was taken and is not used. Whoever took a later one keeps it.
    fn give_back(&self, method: &'static str, place: &str) {
        if self.pacing == Pacing::Off {
            return;
        }
        if let Some(lane) = self.lanes().get_mut(&(method, place.to_owned())) {
            let (_, every) = rate(method);
            lane.next = lane.next.checked_sub(every).max(lane.held).unwrap_or(lane.next);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<(&'static str, String), Lane>> {
        self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A call that waits for its moment.
struct Waiting<'a> {
    pacer: &'a Pacer,
    method: &'static str,
    place: &'a str,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.pacer.give_back(self.method, self.place);
        }
    }
}

impl Lane {
    /// A lane with its whole burst left.
    fn fresh(now: Instant, method: &str) -> Self {
        let (burst, every) = rate(method);
        Self { next: now.checked_sub(every * burst.saturating_sub(1)).unwrap_or(now), held: None }
    }

    /// Takes the next moment. Idle time earns the burst back, and no more than that.
    fn take(&mut self, method: &str, now: Instant) -> Instant {
        let (_, every) = rate(method);
        let at = self.next.max(Self::fresh(now, method).next);
        self.next = at + every;
        at.max(now)
    }

    fn remembers(&self, method: &str, now: Instant) -> bool {
        self.next > Self::fresh(now, method).next
    }
}

fn rate(method: &str) -> (u32, Duration) {
    let listed = RATES.iter().find(|(name, ..)| *name == method);
    listed.map_or((20, Duration::from_millis(600)), |(_, burst, every)| (*burst, *every))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "chat.postMessage";

    fn delays(pacer: &Pacer, place: &str, calls: usize) -> Vec<u128> {
        let now = pacer.clock.now();
        (0..calls).map(|_| pacer.take(POST, place, now).map_or(0, |at| (at - now).as_millis())).collect()
    }

    #[test]
    fn a_burst_passes_and_then_the_documented_rate_holds_in_order() {
        let (clock, hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Slack, clock);
        assert_eq!(delays(&pacer, "C1", 8), [0, 0, 0, 0, 0, 1_000, 2_000, 3_000]);
        assert_eq!(delays(&pacer, "C2", 1), [0], "each channel has its own rate");
        hand.advance(Duration::from_mins(10));
        assert_eq!(delays(&pacer, "C1", 7), [0, 0, 0, 0, 0, 1_000, 2_000], "idle time earns no more than the burst");
    }

    #[test]
    fn the_servers_own_word_holds_in_both_modes() {
        for pacing in [Pacing::Slack, Pacing::Off] {
            let (clock, hand) = Clock::manual(0);
            let pacer = Pacer::new(pacing, clock);
            pacer.hold(POST, "C1", Duration::from_secs(30));
            assert_eq!(delays(&pacer, "C1", 1), [30_000]);
            assert_eq!(delays(&pacer, "C2", 1), [0]);
            hand.advance(Duration::from_secs(31));
            assert_eq!(delays(&pacer, "C1", 1), [0]);
        }
    }

    #[test]
    fn off_lets_everything_through_and_keeps_nothing() {
        let (clock, _hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Off, clock);
        assert!(delays(&pacer, "C1", 10_000).iter().all(|delay| *delay == 0));
        assert!(pacer.lanes().is_empty());
    }

    #[test]
    fn lanes_that_remember_nothing_are_forgotten() {
        let (clock, hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Slack, clock);
        for place in 0..MANY_LANES {
            delays(&pacer, &place.to_string(), 1);
        }
        hand.advance(Duration::from_hours(1));
        delays(&pacer, "one more", 1);
        assert_eq!(pacer.lanes().len(), 1);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_takes_up_no_room() {
        let (clock, hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Slack, clock);
        delays(&pacer, "C1", 5);
        for _ in 0..10 {
            let mut waits = Box::pin(pacer.acquire(POST, "C1"));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
        }
        assert_eq!(delays(&pacer, "C1", 1), [1_000]);
        hand.advance(Duration::from_secs(2));
        pacer.acquire(POST, "C1").await;
        assert_eq!(delays(&pacer, "C1", 1), [1_000], "one that has waited has used its moment");
    }

    #[test]
    fn what_is_not_worth_a_wait_goes_now_or_learns_when() {
        for pacing in [Pacing::Slack, Pacing::Off] {
            let (clock, hand) = Clock::manual(0);
            let pacer = Pacer::new(pacing, clock);
            assert_eq!(pacer.acquire_now(POST, "C1"), Ok(()));
            pacer.hold(POST, "C1", Duration::from_secs(9));
            for _ in 0..3 {
                assert_eq!(pacer.acquire_now(POST, "C1"), Err(Duration::from_secs(9)));
            }
            hand.advance(Duration::from_secs(9));
            assert_eq!(pacer.acquire_now(POST, "C1"), Ok(()));
        }
        let (clock, _hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Slack, clock);
        delays(&pacer, "C1", 5);
        assert_eq!(pacer.acquire_now(POST, "C1"), Err(Duration::from_secs(1)));
        assert_eq!(delays(&pacer, "C1", 1), [1_000], "it took nothing");
    }

    #[tokio::test]
    async fn a_call_waits_for_its_moment() {
        let (clock, hand) = Clock::manual(0);
        let pacer = Pacer::new(Pacing::Off, clock);
        pacer.hold(POST, "C1", Duration::from_secs(5));
        let waits = pacer.acquire(POST, "C1");
        tokio::pin!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        hand.advance(Duration::from_secs(5));
        waits.await;
    }
}
