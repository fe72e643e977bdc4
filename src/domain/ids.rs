//! Identifiers. Each kind has its own type, so that a channel can't stand where a user belongs.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.into())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id.into())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id!(
    /// A workspace (`T…`).
    TeamId
);
text_id!(
    /// A channel, private channel, DM or group DM (`C…`, `G…`, `D…`; the letter promises nothing).
    ChannelId
);
text_id!(
    /// A person or a bot's user (`U…`, `W…`).
    UserId
);
text_id!(
    /// A bot (`B…`).
    BotId
);
text_id!(
    /// An agent's own name for a permission request, unique within its session.
    RequestId
);

/// A message's time stamp, which is also its identity within a channel: `1700000000.000100`.
///
/// Kept as text and compared as two integers; a float would merge neighbours.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Ts(Arc<str>);

impl Ts {
    /// The time stamp as Slack writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment that it names in Slack's time, in microseconds since the Unix epoch; nothing for an id that is no time stamp, such as the
    /// web chat's.
    pub fn micros(&self) -> Option<i64> {
        let (seconds, micros) = self.0.split_once('.')?;
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok())?;
        number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)
    }

    /// The time stamp of a moment, in microseconds since the Unix epoch.
    pub fn from_micros(us: i64) -> Self {
        let us = us.max(0);
        Self(format!("{}.{:06}", us / 1_000_000, us % 1_000_000).into())
    }

    fn parts(&self) -> (u64, u64) {
        let (seconds, micros) = self.0.split_once('.').unwrap_or((&self.0, "0"));
        (seconds.parse().unwrap_or(0), micros.parse().unwrap_or(0))
    }
}

impl From<&str> for Ts {
    fn from(ts: &str) -> Self {
        Self(ts.into())
    }
}

impl From<String> for Ts {
    fn from(ts: String) -> Self {
        Self(ts.into())
    }
}

impl From<Ts> for String {
    fn from(ts: Ts) -> Self {
        ts.0.as_ref().to_owned()
    }
}

impl Ord for Ts {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Ts {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $new:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id that nobody else has.
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            pub fn new() -> Self {
                Self(Uuid::$new())
            }

            /// Reads an id as [`std::fmt::Display`] writes it.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id!(
    /// Our session. Random from its first character on, because people type its first eight.
    SessionId,
    new_v4
);
uuid_id!(
    /// One turn: a prompt and all that answers it. In order of time.
    TurnId,
    now_v7
);
uuid_id!(
    /// One approval that a person was asked for. 128 random bits, so that it can't be guessed.
    ApprovalId,
    new_v4
);
uuid_id!(
    /// A way in for one agent's tools. It is no secret.
    GrantId,
    new_v4
);
uuid_id!(
    /// A note that offers to answer what was said while nobody listened.
    OfferId,
    new_v4
);
uuid_id!(
    /// Something owed to Slack; also the delivery key in the message's metadata. In order of time, unless it was made from another id.
    OwedId,
    now_v7
);

/// Under it the ids of offers are made. A random number of ours.
const OFFERS: Uuid = Uuid::from_u128(0x3d0c_71f4_9a5e_4c1b_8f27_64b1_0ce9_52aa);

impl OfferId {
    /// The offer of a place, as text, for what was said there after a moment, in microseconds since the Unix epoch: the same each time it
    /// is asked for.
    pub fn of(place: &str, since_us: i64) -> Self {
        Self(Uuid::new_v5(&OFFERS, format!("{place} {since_us}").as_bytes()))
    }

    /// The offer after this one, of the same place and for the same time: the same each time it is asked for.
    #[must_use]
    pub fn next(self, since_us: i64) -> Self {
        Self::of(&self.to_string(), since_us)
    }
}

impl From<OfferId> for OwedId {
    /// What posts an offer's note has the offer's id, so that there is never a second one.
    fn from(offer: OfferId) -> Self {
        Self(offer.0)
    }
}

impl OwedId {
    /// The key of the message `n` that grows by edits in a turn, from 0. It follows from the turn alone, so that another process finds it.
    pub fn of_draft(turn: TurnId, n: u32) -> Self {
        Self(Uuid::new_v5(&turn.0, &n.to_be_bytes()))
    }
}

impl SessionId {
    /// The first eight characters: what people see and type.
    pub fn short(&self) -> String {
        let mut id = self.to_string();
        id.truncate(8);
        id
    }
}

impl OwedId {
    /// The id as others write such ids: in five groups.
    pub fn hyphenated(&self) -> String {
        self.0.hyphenated().to_string()
    }

    /// Whether it was certainly made later than `other`. What was made from another id tells no time.
    pub fn is_later_than(&self, other: Self) -> bool {
        self.0.get_version_num() == 7 && *self > other
    }

    /// The id of a part of what is owed, when it goes in several; the same each time.
    #[must_use]
    pub fn part(&self, number: usize) -> Self {
        Self(Uuid::new_v5(&self.0, &number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_are_compared_as_numbers() {
        assert!(Ts::from("999.000001") < Ts::from("1000.000000"));
        assert!(Ts::from("1.000009") < Ts::from("1.000010"));
    }

    #[test]
    fn moments_have_time_stamps() {
        for (us, ts) in [(1_700_000_000_000_100, "1700000000.000100"), (1, "0.000001"), (-1, "0.000000")] {
            assert_eq!(Ts::from_micros(us).as_str(), ts);
        }
    }

    #[test]
    fn an_offer_is_the_same_for_the_same_place_and_gap() {
        assert_eq!(OfferId::of("T/C/", 5), OfferId::of("T/C/", 5));
        assert_ne!(OfferId::of("T/C/", 5), OfferId::of("T/C/", 6));
        assert_ne!(OfferId::of("T/C/", 5), OfferId::of("T/D/", 5));
        let first = OfferId::of("T/C/", 5);
        assert!(first.next(5) == first.next(5) && first.next(5) != first && first.next(5).next(5) != first.next(5));
        assert_eq!(OwedId::from(OfferId::of("T/C/", 5)).to_string(), OfferId::of("T/C/", 5).to_string());
    }

    #[test]
    fn only_a_time_stamp_names_a_moment() {
        for (ts, moment) in [
            ("1700000000.000100", Some(1_700_000_000_000_100)),
            ("web1.0190a", None),
            ("1.", None),
            (".1", None),
            ("1.-5", None),
            ("", None),
            ("9223372036854775807.1", None),
        ] {
            assert_eq!(Ts::from(ts).micros(), moment, "{ts}");
        }
    }

    #[test]
    fn a_drafts_key_follows_from_its_turn() {
        let turn = TurnId::new();
        assert_eq!(OwedId::of_draft(turn, 0), OwedId::of_draft(turn, 0));
        assert_ne!(OwedId::of_draft(turn, 0), OwedId::of_draft(turn, 1));
    }

    #[test]
    fn ids_survive_being_written_and_read() {
        let id = SessionId::new();
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(id.short().len(), 8);
        assert_eq!(SessionId::parse("no id"), None);
    }
}
