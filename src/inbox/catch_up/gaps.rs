//! Whether everything that is said reaches us, and if not, why. Pure.

use std::time::Duration;

/// Why something may not have reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The process has started.
    Start,
    /// No connection lived for a while, or the process stood still.
    Gap,
    /// The machine slept.
    Suspend,
    /// Slack left events out.
    RateLimited,
    /// The store did not take events.
    Refused,
}

impl Trigger {
    /// Its name in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Gap => "gap",
            Self::Suspend => "suspend",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
        }
    }

    /// How long after it the reading begins: by then it should be over, and what comes after it reach us again.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Start => Duration::ZERO,
            // Connections that look alive may have ended meanwhile.
            Self::Gap => Duration::from_secs(2),
            Self::Suspend | Self::Refused => Duration::from_secs(5),
            // It is said once in each minute in which events were left out.
            Self::RateLimited => Duration::from_mins(1),
        }
    }

    /// The one of the two that looks back further.
    fn or_further(self, other: Self) -> Self {
        if other.earlier() > self.earlier() { other } else { self }
    }

    /// How much earlier than usual the reading begins: the minute in which events were left out is over when that is said.
    pub(super) fn earlier(self) -> Duration {
        if self == Self::RateLimited { Duration::from_mins(2) } else { Duration::ZERO }
    }
}

/// How what we know stands to what was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is missing.
    #[default]
    Whole,
    /// Something may be missing, and is to be read back.
    Due(Trigger),
    /// It is being read back; meanwhile more may have been missed.
    Reading {
        /// Why.
        trigger: Trigger,
        /// Why it is to be done once more.
        again: Option<Trigger>,
    },
}

impl State {
    /// Something may have been missed.
    pub(super) fn missed(self, why: Trigger) -> Self {
        match self {
            Self::Whole => Self::Due(why),
            Self::Due(before) => Self::Due(before.or_further(why)),
            Self::Reading { trigger, again } => {
                let again = again.map_or(why, |before| before.or_further(why));
                Self::Reading { trigger, again: Some(again) }
            }
        }
    }

    /// The reading begins.
    pub(super) fn begun(self) -> Self {
        match self {
            Self::Due(trigger) => Self::Reading { trigger, again: None },
            other => other,
        }
    }

    /// The reading has come to its end.
    pub(super) fn ended(self) -> Self {
        match self {
            Self::Reading { again, .. } => again.map_or(Self::Whole, Self::Due),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_while_reading_is_read_afterwards() {
        use Trigger::{Gap, RateLimited, Refused, Start};
        let whole = State::default();
        let reading = whole.missed(Start).missed(Gap).begun();
        assert_eq!(reading, State::Reading { trigger: Start, again: None });
        assert_eq!(reading.ended(), State::Whole);
        assert_eq!(reading.missed(Refused).missed(Gap).ended(), State::Due(Refused));
        assert_eq!(reading.missed(Refused).missed(RateLimited).missed(Gap).ended(), State::Due(RateLimited));
        assert_eq!(whole.missed(Gap).missed(RateLimited), State::Due(RateLimited), "it looks back further");
        assert_eq!((whole.begun(), whole.ended()), (State::Whole, State::Whole));
    }
}
