//! How long each part of a probe may take.

use std::time::Duration;

/// How often a read is repeated until it shows a message, and how many messages are read back.
const SAMPLES: usize = 10;

/// The times of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How long an unacknowledged event is watched, from its first delivery.
    pub watch: Duration,
    /// When, after the beginning, nobody listens for a while.
    pub offline_after: Duration,
    /// For how long.
    pub offline_for: Duration,
    /// How long a person has to press the button; `None` when none is shown.
    pub press_within: Option<Duration>,
    /// How long an unacknowledged press is watched.
    pub press_watch: Duration,
    /// How many messages are read back.
    pub samples: usize,
    /// Time between two looks for a message; Slack's rates may ask for more.
    pub poll: Duration,
    /// When the reading back of a message is given up.
    pub give_up: Duration,
}

impl Plan {
    /// A plan whose longest part is `watch`: the others are shares of it. Slack's last attempt is known to come after about six
    /// minutes; with less the later ones stay unseen.
    pub fn within(watch: Duration, click: bool) -> Self {
        Self {
            watch,
            offline_after: watch / 4,
            offline_for: watch / 36,
            press_within: click.then_some(watch / 6),
            press_watch: watch / 6,
            samples: SAMPLES,
            poll: watch / 1_500,
            give_up: watch / 24,
        }
    }

    /// How long it takes at most, about: what is posted must be deleted, too.
    pub fn longest(&self) -> Duration {
        self.watch + self.offline_for * 2 + self.give_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_takes_about_seven_minutes() {
        let plan = Plan::within(Duration::from_secs(370), true);
        assert!(plan.longest() < Duration::from_mins(7), "{plan:?}");
        let press = plan.press_within.unwrap() + plan.press_watch;
        assert!(press + plan.give_up * 2 < plan.watch, "the press must not outlast the rest: {plan:?}");
        assert!(plan.offline_after > Duration::from_secs(63), "the second attempt comes before nobody listens");
    }
}
