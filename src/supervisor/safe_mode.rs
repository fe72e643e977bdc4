//! What follows when the daemon crashes again and again: messages are taken and kept, but for a while nothing is done with them.
//!
//! Whatever crashes it may be among what waits. After a pause, longer with each further crash, one conversation at a time is tried; when
//! a turn has come to its end the others follow.

use std::time::Duration;

use crate::clock::Clock;
use crate::session::{Hold, Manager};
use crate::store::{Boot, Store, StoreError};

/// Starts within this time count.
const WINDOW: Duration = Duration::from_mins(10);
/// The first pause, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(1));
/// The pause between two attempts to note a start.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// What this start has to know of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// For how long turns are held back; zero when they are not.
    pub(super) hold: Duration,
    /// Whether the last run came to an orderly end, with nothing on its way to Slack.
    pub(super) after_clean_end: bool,
}

/// Notes this start, however long the store refuses that: what was not noted could not be told from the run before it. `limit` unclean
/// ends are the beginning of a loop; 0 are never.
pub(super) async fn begin(store: &Store, clock: &Clock, limit: u32) -> Result<Start, StoreError> {
    let now_ms = clock.wall_ms();
    let earlier = store.boots().await?;
    let start = Start {
        hold: pause(&earlier, now_ms, limit),
        // Of a store that an earlier version made nothing is known.
        after_clean_end: earlier.first().is_some_and(|last| last.clean),
    };
    if !start.after_clean_end && !earlier.is_empty() {
        tracing::info!("The last run was cut off, or could not send all that it had begun to send");
    }
    while let Err(error) = store.begin_boot(now_ms, start.hold).await {
        tracing::error!(%error, "This start can't be noted, and until it is nothing is sent to Slack");
        clock.sleep(NOTE_EVERY).await;
    }
    Ok(start)
}

/// For how long turns are held back after these starts, the newest first.
fn pause(earlier: &[Boot], now_ms: i64, limit: u32) -> Duration {
    let Some(last) = earlier.first().filter(|last| !last.clean && limit > 0) else { return Duration::ZERO };
    if !last.held.is_zero() {
        // It crashed before a turn had come to its end.
        return last.held.saturating_mul(2).min(PAUSE.1);
    }
    let window = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
    // One that is dated after now was begun under another clock, and counts.
    let is_recent = |boot: &&Boot| !boot.clean && now_ms.saturating_sub(boot.started_ms) <= window;
    let crashes = earlier.iter().filter(is_recent).count();
    if crashes >= limit as usize { PAUSE.0 } else { Duration::ZERO }
}

/// Holds everything back for `pause`, and then lets one conversation go on at a time until a turn has come to its end.
pub(super) async fn keep(manager: Manager, store: Store, clock: Clock, pause: Duration) {
    clock.sleep(pause).await;
    tracing::warn!("Safe mode: one conversation at a time is tried now");
    manager.hold(Hold::OneAtATime);
    let mut held = manager.held();
    if held.wait_for(|hold| *hold == Hold::Nothing).await.is_err() {
        return;
    }
    match store.end_hold().await {
        Ok(()) => tracing::info!("Safe mode is over: a turn has come to its end"),
        Err(error) => {
            tracing::warn!(%error, "Safe mode is over, which can't be noted: it begins again after another crash");
        }
    }
}

/// Says that turns are held back, and what to do.
pub(super) fn tell(pause: Duration) {
    tracing::error!(
        pause_s = pause.as_secs(),
        "Safe mode, because the daemon has crashed again and again: messages are stored, but no turn begins until the pause is over. \
         See in the log what crashed it; `hitchline sessions` shows who waits"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const NOW: i64 = 1_000 * MINUTE;

    fn boot(minutes_ago: i64, clean: bool, held_min: u64) -> Boot {
        Boot { started_ms: NOW - minutes_ago * MINUTE, clean, held: Duration::from_mins(held_min) }
    }

    fn crashes(minutes_ago: &[i64]) -> Vec<Boot> {
        minutes_ago.iter().map(|minutes| boot(*minutes, false, 0)).collect()
    }

    #[test]
    fn how_long_turns_are_held_back_after_which_ends() {
        let clean_between = [crashes(&[1]), vec![boot(2, true, 0)], crashes(&[3, 4, 5, 6])].concat();
        let clean_last = [vec![boot(1, true, 0)], crashes(&[2, 3, 4, 5, 6])].concat();
        for (earlier, limit, minutes) in [
            (vec![], 5, 0),
            (crashes(&[1, 2, 3, 4]), 5, 0),
            (crashes(&[1, 2, 3, 4, 5]), 5, 5),
            (crashes(&[1, 2, 3, 4, 5]), 0, 0),
            (crashes(&[1, 2, 3, 4, 11]), 5, 0),
            // A clock that went back.
            (crashes(&[-500, -400, -400, 1, 1]), 5, 5),
            (clean_between, 5, 5),
            (clean_last, 5, 0),
            (vec![boot(20, false, 5)], 5, 10),
            (vec![boot(20, false, 40)], 5, 60),
            (vec![boot(20, false, 60)], 5, 60),
            (vec![boot(20, true, 5)], 5, 0),
            (vec![boot(20, false, 5)], 0, 0),
        ] {
            assert_eq!(pause(&earlier, NOW, limit), Duration::from_mins(minutes), "{earlier:?} {limit}");
        }
    }

    #[tokio::test]
    async fn a_start_knows_how_the_last_run_ended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (clock, _hand) = Clock::manual(NOW);
        let start = async || begin(&store, &clock, 2).await.unwrap();
        assert_eq!(start().await, Start { hold: Duration::ZERO, after_clean_end: false }, "nothing is known");
        assert_eq!(start().await, Start { hold: Duration::ZERO, after_clean_end: false });
        store.end_boot().await.unwrap();
        assert_eq!(start().await, Start { hold: Duration::ZERO, after_clean_end: true });
        assert_eq!(start().await.hold, Duration::from_mins(5));
        assert_eq!(start().await.hold, Duration::from_mins(10));
    }

    #[tokio::test]
    async fn a_start_waits_until_it_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.begin_boot(NOW, Duration::ZERO).await.unwrap();
        store.end_boot().await.unwrap();
        store.refuse_boots(true).await;
        let (clock, hand) = Clock::manual(NOW);
        let mut begun = std::pin::pin!(begin(&store, &clock, 5));
        // Enough rounds through the store for several attempts.
        for _ in 0..50 {
            assert!(futures_util::poll!(begun.as_mut()).is_pending());
            store.probe().await.unwrap();
            hand.advance(NOTE_EVERY);
        }
        store.refuse_boots(false).await;
        let start = loop {
            hand.advance(NOTE_EVERY);
            if let std::task::Poll::Ready(start) = futures_util::poll!(begun.as_mut()) {
                break start.unwrap();
            }
            store.probe().await.unwrap();
        };
        assert!(start.after_clean_end);
        assert!(!store.boots().await.unwrap()[0].clean, "what is sent from now on is this run's");
    }
}
