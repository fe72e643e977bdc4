//! What a probe found out, decided from what it heard and read.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::ears::Arrival;

/// How many attempts after the first Slack is known to make.
pub(super) const KNOWN_ATTEMPTS: usize = 3;

/// How a workspace behaves. As JSON each answer is an object whose `answer` says which it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether an event that is not acknowledged comes again.
    pub redelivery: Redelivery,
    /// Whether an event that happens while nobody listens comes later.
    pub offline: Offline,
    /// Whether a repeated `client_msg_id` makes a second message.
    pub client_msg_id: ClientMsgId,
    /// How soon a message can be read back.
    pub lag: Lag,
    /// Whether its metadata comes with it.
    pub metadata: Metadata,
    /// Whether a press that is not acknowledged comes again.
    pub clicks: Clicks,
    /// How often the connection was lost; if it was, `redelivery`, `offline` and `clicks` may tell less than there is.
    pub reconnects: u32,
}

/// Whether an event that is not acknowledged comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Redelivery {
    /// It does.
    Again {
        /// When, in milliseconds after the first delivery.
        after_ms: Vec<u64>,
        /// Which of Slack's attempts these were.
        attempts: Vec<u32>,
    },
    /// It does not.
    Once {
        /// For how long it was watched.
        watched_ms: u64,
    },
    /// The bot hears none of its own messages.
    Unheard,
}

/// Whether an event that happens while nobody listens comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Offline {
    /// It does.
    Later {
        /// When, in milliseconds after somebody listened again.
        after_ms: u64,
    },
    /// It does not.
    Gone {
        /// For how long it was waited for.
        watched_ms: u64,
    },
    /// The bot hears none of its own messages.
    Unheard,
}

/// Whether a repeated `client_msg_id` makes a second message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ClientMsgId {
    /// The second post is answered with the first message.
    OneMessage,
    /// It makes another one: the id counts for nothing.
    TwoMessages,
    /// The second post is refused.
    SecondRefused {
        /// Slack's word.
        error: String,
    },
    /// Posts with one are refused.
    Refused {
        /// Slack's word.
        error: String,
    },
    /// The calls failed for another reason.
    Unclear {
        /// What happened.
        why: String,
    },
}

/// How soon a message can be read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Lag {
    /// In `conversations.replies`, by several messages.
    Measured {
        /// How many were measured.
        samples: usize,
        /// The median, in milliseconds; at least as long as a call takes.
        median_ms: u64,
        /// The worst.
        worst_ms: u64,
        /// One message in `conversations.history`; missing when it did not appear.
        history_ms: Option<u64>,
        /// Set when a message did not appear within this time, in milliseconds.
        missing_after_ms: Option<u64>,
    },
    /// No message appeared.
    Missing {
        /// Within this time.
        after_ms: u64,
    },
    /// The calls failed.
    Unclear {
        /// What happened.
        why: String,
    },
}

/// Whether a message's metadata comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Metadata {
    /// It does.
    ReadBack,
    /// It does not.
    Missing,
    /// Nothing could be read.
    Unclear {
        /// What happened.
        why: String,
    },
}

/// Whether a press that is not acknowledged comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Clicks {
    /// It does.
    Again {
        /// When, in milliseconds after the first delivery.
        after_ms: u64,
    },
    /// It does not.
    Once {
        /// For how long it was watched.
        watched_ms: u64,
    },
    /// Nobody pressed in time.
    NotPressed,
    /// Nobody was asked to.
    Skipped,
}

impl Lag {
    /// From the times that messages took to appear, and for how long one was looked for in vain.
    pub(super) fn measured(took: &[Duration], in_history: Option<Duration>, missing: Option<Duration>) -> Self {
        let mut sorted: Vec<u64> = took.iter().copied().map(millis).collect();
        sorted.sort_unstable();
        let (Some(&median_ms), Some(&worst_ms)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
            return Self::Missing { after_ms: missing.map_or(0, millis) };
        };
        let (samples, history_ms, missing_after_ms) = (sorted.len(), in_history.map(millis), missing.map(millis));
        Self::Measured { samples, median_ms, worst_ms, history_ms, missing_after_ms }
    }
}

/// What an event that was never acknowledged did until `now`.
pub(super) fn redelivery(arrivals: &[Arrival], now: Instant) -> Redelivery {
    match arrivals {
        [] => Redelivery::Unheard,
        [only] => Redelivery::Once { watched_ms: millis(now - only.at) },
        [first, again @ ..] => Redelivery::Again {
            after_ms: again.iter().map(|arrival| millis(arrival.at - first.at)).collect(),
            attempts: again.iter().map(|arrival| arrival.attempt).collect(),
        },
    }
}

/// What an event did, until `now`, that happened before somebody listened again.
pub(super) fn offline(arrivals: &[Arrival], reopened: Instant, now: Instant) -> Offline {
    match arrivals.first() {
        Some(first) => Offline::Later { after_ms: millis(first.at.saturating_duration_since(reopened)) },
        None => Offline::Gone { watched_ms: millis(now - reopened) },
    }
}

/// What a press that was never acknowledged did until `now`.
pub(super) fn clicks(arrivals: &[Arrival], now: Instant) -> Clicks {
    match arrivals {
        [] => Clicks::NotPressed,
        [only] => Clicks::Once { watched_ms: millis(now - only.at) },
        [first, again, ..] => Clicks::Again { after_ms: millis(again.at - first.at) },
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn arrivals(start: Instant, at_ms: &[u64]) -> Vec<Arrival> {
        let arrival = |(attempt, ms): (u32, &u64)| Arrival { at: start + Duration::from_millis(*ms), attempt };
        (0..).zip(at_ms).map(arrival).collect()
    }

    #[test]
    fn deliveries_are_counted_from_the_first() {
        let start = Clock::system().now();
        let end = start + Duration::from_secs(9);
        let again = |after_ms: &[u64], attempts: &[u32]| Redelivery::Again {
            after_ms: after_ms.to_vec(),
            attempts: attempts.to_vec(),
        };
        assert_eq!(redelivery(&arrivals(start, &[]), end), Redelivery::Unheard);
        assert_eq!(redelivery(&arrivals(start, &[1_000]), end), Redelivery::Once { watched_ms: 8_000 });
        assert_eq!(redelivery(&arrivals(start, &[1_000, 4_000, 6_000]), end), again(&[3_000, 5_000], &[1, 2]));
        assert_eq!(offline(&arrivals(start, &[2_500]), start, end), Offline::Later { after_ms: 2_500 });
        assert_eq!(offline(&[], start, end), Offline::Gone { watched_ms: 9_000 });
        assert_eq!(clicks(&[], end), Clicks::NotPressed);
        assert_eq!(clicks(&arrivals(start, &[1_000]), end), Clicks::Once { watched_ms: 8_000 });
        assert_eq!(clicks(&arrivals(start, &[1_000, 4_000]), end), Clicks::Again { after_ms: 3_000 });
    }

    #[test]
    fn a_lag_is_its_median_and_its_worst() {
        let took = [30, 10, 20].map(Duration::from_millis);
        let measured = Lag::measured(&took, Some(Duration::from_millis(5)), None);
        let (history_ms, missing_after_ms) = (Some(5), None);
        let expected = Lag::Measured { samples: 3, median_ms: 20, worst_ms: 30, history_ms, missing_after_ms };
        assert_eq!(measured, expected);
        let missing = Lag::measured(&[], None, Some(Duration::from_secs(1)));
        assert_eq!(missing, Lag::Missing { after_ms: 1_000 });
    }
}
