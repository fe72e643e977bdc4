//! What becomes of a message that nobody heard when it was said, by its age in Slack's time. Pure.

use std::time::Duration;

/// Up to this age a message is answered as if it had just come.
const FRESH: Duration = Duration::from_mins(15);
/// Beyond this age nobody waits for an answer any more.
const STALE: Duration = Duration::from_hours(24);
/// How many are answered in one run; more would be a flood.
const ANSWERED: usize = 200;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It is answered.
    Fresh,
    /// People are asked whether it is to be answered.
    Late,
    /// It is left.
    Stale,
}

/// What becomes of a message that was said at `said_us`, at the moment `now_us`, when `answered` others were answered before it.
pub(super) fn lateness(said_us: i64, now_us: i64, answered: usize) -> Lateness {
    let age = Duration::from_micros(u64::try_from(now_us.saturating_sub(said_us)).unwrap_or(0));
    if age > STALE {
        Lateness::Stale
    } else if age > FRESH || answered >= ANSWERED {
        Lateness::Late
    } else {
        Lateness::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_age_has_its_lot_to_the_microsecond() {
        use Lateness::{Fresh, Late, Stale};
        const MINUTE: i64 = 60_000_000;
        let now = 1_800_000_000_000_000;
        let cases = [
            (-MINUTE, 0, Fresh),
            (0, 0, Fresh),
            (15 * MINUTE, 0, Fresh),
            (15 * MINUTE + 1, 0, Late),
            (15 * MINUTE, 199, Fresh),
            (15 * MINUTE, 200, Late),
            (0, 200, Late),
            (24 * 60 * MINUTE, 0, Late),
            (24 * 60 * MINUTE + 1, 0, Stale),
            (24 * 60 * MINUTE + 1, 200, Stale),
        ];
        for (age, answered, expected) in cases {
            assert_eq!(lateness(now - age, now, answered), expected, "{age} µs after {answered} others");
        }
    }
}
