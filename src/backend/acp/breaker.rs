//! An agent that crashes again and again is started again, but more and more slowly, and then for a while not at all. Pure: no clock of
//! its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backend::error::BackendError;

/// The first pause after a crash; each further crash without a completed turn in between doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);
/// So many crashes within [`WINDOW`] open the breaker.
const MOST: usize = 5;
/// For how long a crash counts.
const WINDOW: Duration = Duration::from_mins(10);
/// For how long the breaker stays open. The first crash after that opens it again, as long as the others count.
const OPEN: Duration = Duration::from_mins(1);

/// The crashes of one backend's agents, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The last ones, [`MOST`] at the most.
    crashes: VecDeque<Instant>,
    /// How many there were since a turn was completed.
    in_a_row: u32,
    state: State,
}

/// How an agent died.
#[derive(Debug, Clone)]
pub(super) struct Death {
    pub(super) exit: String,
    /// The last lines of its stderr, redacted.
    pub(super) stderr: String,
}

/// Whether an agent may be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    /// At this time it may be asked again.
    At(Instant),
    Refused(BackendError),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Pausing {
        until: Instant,
    },
    Open {
        until: Instant,
        last: Death,
    },
}

impl Breaker {
    /// Whether an agent may be started, for somebody who waits until `deadline`.
    pub(super) fn admit(&self, now: Instant, deadline: Instant) -> Admission {
        match &self.state {
            State::Pausing { until } if now < *until && *until < deadline => Admission::At(*until),
            State::Pausing { until } if now < *until => Admission::Refused(BackendError::Transient(format!(
                "the agent crashed, and is started again in {}",
                spoken(*until, now)
            ))),
            State::Open { until, last } if now < *until => Admission::Refused(BackendError::CrashLoop {
                crashes: self.crashes.len(),
                again_in: until.saturating_duration_since(now),
                exit: last.exit.clone(),
                stderr: last.stderr.clone(),
            }),
            _ => Admission::Now,
        }
    }

    /// An agent has died, without anybody asking it to. Says whether that opens the breaker.
    pub(super) fn crashed(&mut self, now: Instant, death: Death) -> bool {
        self.crashes.retain(|crash| now < *crash + WINDOW);
        self.crashes.push_back(now);
        if self.crashes.len() > MOST {
            self.crashes.pop_front();
        }
        let pause = FIRST.saturating_mul(1 << self.in_a_row.min(6)).min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = self.crashes.len() == MOST;
        self.state =
            if opens { State::Open { until: now + OPEN, last: death } } else { State::Pausing { until: now + pause } };
        opens
    }

    /// A turn was completed. That agents work says nothing of those that crashed before, so they still count.
    pub(super) fn worked(&mut self) {
        self.in_a_row = 0;
    }
}

fn spoken(until: Instant, now: Instant) -> String {
    // In whole seconds, and never in none.
    crate::duration::spoken(Duration::from_secs(until.saturating_duration_since(now).as_secs() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn death() -> Death {
        Death { exit: "exit code 3".to_owned(), stderr: "why".to_owned() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_pause_doubles_with_each_crash_and_shrinks_when_something_works() {
        let (clock, _hand) = Clock::manual(0);
        let (mut now, mut breaker) = (clock.now(), Breaker::default());
        let patient = now + seconds(100_000);
        assert_eq!(breaker.admit(now, patient), Admission::Now);
        // Far enough apart that they never open it.
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(!breaker.crashed(now, death()));
            assert_eq!(breaker.admit(now, patient), Admission::At(now + seconds(pause)));
            assert_eq!(breaker.admit(now + seconds(pause), patient), Admission::Now);
            now += seconds(200);
        }
        breaker.worked();
        breaker.crashed(now, death());
        assert_eq!(breaker.admit(now, patient), Admission::At(now + seconds(1)));
    }

    #[test]
    fn who_has_less_time_than_the_pause_is_told_how_long_it_is() {
        let (clock, _hand) = Clock::manual(0);
        let (now, mut breaker) = (clock.now(), Breaker::default());
        breaker.crashed(now, death());
        breaker.crashed(now, death());
        let Admission::Refused(error) = breaker.admit(now + seconds(1), now + seconds(1)) else { panic!("admitted") };
        assert_eq!(error.to_string(), "the agent crashed, and is started again in 2 s");
    }

    #[test]
    fn the_fifth_crash_in_ten_minutes_opens_it_for_a_minute() {
        let (clock, _hand) = Clock::manual(0);
        let (begun, mut breaker) = (clock.now(), Breaker::default());
        let patient = begun + seconds(100_000);
        let opened: Vec<bool> = [0, 100, 200, 300, 599].map(|at| breaker.crashed(begun + seconds(at), death())).into();
        assert_eq!(opened, [false, false, false, false, true]);
        let refused = BackendError::CrashLoop {
            crashes: MOST,
            again_in: seconds(59),
            exit: "exit code 3".to_owned(),
            stderr: "why".to_owned(),
        };
        assert_eq!(breaker.admit(begun + seconds(600), patient), Admission::Refused(refused));
        // What still works closes nothing, and after the minute one crash is enough.
        breaker.worked();
        assert!(matches!(breaker.admit(begun + seconds(658), patient), Admission::Refused(_)));
        assert_eq!(breaker.admit(begun + seconds(659), patient), Admission::Now);
        assert!(breaker.crashed(begun + seconds(660), death()));
        assert!(!breaker.crashed(begun + seconds(1_300), death()), "the others no longer count");
    }
}
