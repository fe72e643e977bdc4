//! Watches whether what is said reaches us, and tells the catch-up when it may not have.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::link;
use crate::admin::Readiness;
use crate::clock::Clock;
use crate::inbox::{CatchUp, Trigger};
use crate::slack::LinkStatus;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is noted that all was well.
const NOTE: Duration = Duration::from_secs(5);
/// After so long without a connection something may have been missed.
const GAP: Duration = Duration::from_secs(5);
/// A machine that slept so long has lost its connections, whatever they look like.
const SLEPT: Duration = Duration::from_secs(10);

/// What the watch works with.
pub(super) struct Watch {
    pub(super) catch_up: CatchUp,
    pub(super) links: Vec<watch::Receiver<LinkStatus>>,
    /// Told when the sockets are to get new connections.
    pub(super) wake: watch::Sender<()>,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) clock: Clock,
}

impl Watch {
    /// Watches until `close`; then notes how far everything was heard.
    pub(super) async fn run(mut self, close: CancellationToken) {
        let mut gaps = Gaps::new(self.clock.suspended());
        let mut noted = self.clock.now();
        while close.run_until_cancelled(self.next_look()).await.is_some() {
            let live = link::view(&self.links).sockets > 0;
            let now = self.clock.now();
            self.catch_up.set_live(live);
            if let Some(found) = gaps.look(now, live, self.clock.suspended()) {
                self.tell(&found);
            }
            if now >= noted + NOTE {
                noted = now;
                self.catch_up.note_heard().await;
            }
            let catching_up = self.catch_up.is_catching_up();
            self.readiness.send_if_modified(|readiness| {
                std::mem::replace(&mut readiness.catching_up, catching_up) != catching_up
            });
        }
        // Unless the machine slept, or the process stood still, just before its end: the next start is to read that back.
        let live = link::view(&self.links).sockets > 0;
        if gaps.look(self.clock.now(), live, self.clock.suspended()).is_none() {
            self.catch_up.note_heard().await;
        }
    }

    async fn next_look(&mut self) {
        tokio::select! {
            () = self.clock.sleep(LOOK) => {}
            () = link::changed(&mut self.links) => {}
        }
    }

    fn tell(&self, found: &Found) {
        tracing::warn!(trigger = ?found.trigger, "Something may have been missed; it is read back from Slack");
        if found.reconnect {
            self.wake.send_replace(());
        }
        self.catch_up.missed(found.trigger);
    }
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    trigger: Trigger,
    /// Whether connections that look alive are to be replaced.
    reconnect: bool,
}

/// When all was well the last time.
#[derive(Debug)]
struct Gaps {
    /// Before the first connection nobody was there at all, which the catch-up knows by itself.
    well: Option<Instant>,
    looked: Option<Instant>,
    suspended: Duration,
}

impl Gaps {
    fn new(suspended: Duration) -> Self {
        Self { well: None, looked: None, suspended }
    }

    fn look(&mut self, now: Instant, live: bool, suspended: Duration) -> Option<Found> {
        let slept = suspended.saturating_sub(std::mem::replace(&mut self.suspended, suspended));
        let looked = self.looked.replace(now);
        if slept > SLEPT {
            self.well = Some(now);
            return Some(Found { trigger: Trigger::Suspend, reconnect: true });
        }
        if !live {
            return None;
        }
        let well = self.well.replace(now)?;
        // The process itself stood still, and its connections may be dead.
        let reconnect = looked.is_some_and(|looked| looked + GAP + LOOK < now);
        let gap = well + GAP + LOOK < now;
        gap.then_some(Found { trigger: Trigger::Gap, reconnect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_when_it_is_over_and_a_pause_of_the_process_too() {
        let (clock, hand) = Clock::manual(0);
        let mut gaps = Gaps::new(Duration::ZERO);
        let found = |trigger, reconnect| Some(Found { trigger, reconnect });
        // Seconds since the look before, whether a connection lives, seconds slept.
        let looks = [
            (0, false, 0, None),
            (60, true, 0, None),
            (1, true, 0, None),
            (1, false, 0, None),
            (4, true, 0, None),
            (1, false, 0, None),
            (1, false, 0, None),
            (5, true, 0, found(Trigger::Gap, false)),
            (1, true, 0, None),
            (7, true, 0, found(Trigger::Gap, true)),
            (1, true, 10, None),
            (1, true, 11, found(Trigger::Suspend, true)),
            (1, true, 0, None),
            (1, false, 11, found(Trigger::Suspend, true)),
        ];
        for (number, (passed, live, slept, expected)) in looks.into_iter().enumerate() {
            hand.advance(Duration::from_secs(passed));
            hand.suspend(Duration::from_secs(slept));
            assert_eq!(gaps.look(clock.now(), live, clock.suspended()), expected, "look {number}");
        }
    }
}
