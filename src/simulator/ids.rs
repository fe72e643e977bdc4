//! Identifiers in Slack's shapes: the fixed ones of the world at start, and those made as it runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bot token of the one installed app.
pub const BOT_TOKEN: &str = "xoxb-simulator";
/// App-level token of the one installed app.
pub const APP_TOKEN: &str = "xapp-simulator";

pub(super) const TEAM: &str = "T0SIM";
pub(super) const TEAM_NAME: &str = "Simulator";
/// The team of people from outside, as in Slack Connect.
pub(super) const OTHER_TEAM: &str = "T0OTHER";
pub(super) const APP: &str = "A0SIM";
pub(super) const BOT: &str = "B0BOT";
pub(super) const BOT_USER: &str = "U0BOT";
pub(super) const BOT_NAME: &str = "hitchline";

/// A message's `ts`: microseconds since the Unix epoch, unique in this world, written as Slack does (`seconds.micros`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ts(pub(super) u64);

impl Ts {
    /// Whole seconds, as `event_time` wants them.
    pub(super) fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Milliseconds since the epoch.
    pub(super) fn millis(self) -> u64 {
        self.0 / 1_000
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.seconds(), self.0 % 1_000_000)
    }
}

/// The text is no `ts`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotATs;

impl FromStr for Ts {
    type Err = NotATs;

    fn from_str(text: &str) -> Result<Self, NotATs> {
        let (seconds, micros) = text.split_once('.').unwrap_or((text, "000000"));
        if micros.len() != 6 || !micros.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotATs);
        }
        let seconds: u64 = seconds.parse().map_err(|_| NotATs)?;
        let micros: u64 = micros.parse().map_err(|_| NotATs)?;
        seconds.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micros)).map(Self).ok_or(NotATs)
    }
}

impl Serialize for Ts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|NotATs| serde::de::Error::custom(format!("`{text}` is no ts (like 1700000000.000100)")))
    }
}

/// A new id like `Ev0A1B2C3D4E`.
pub(super) fn slack_id(prefix: &str) -> String {
    let tail: String = std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_uppercase()).take(10).collect();
    format!("{prefix}0{tail}")
}

/// A random uuid, without asking the kernel for each one: nothing here is a secret.
pub(super) fn uuid() -> String {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ts_reads_back_as_it_was_written() {
        for micros in [0, 1, 1_700_000_000_000_100, u64::from(u32::MAX) * 1_000_000 + 999_999] {
            assert_eq!(Ts(micros).to_string().parse(), Ok(Ts(micros)));
        }
    }

    #[test]
    fn what_is_no_ts_is_refused() {
        for text in ["", "abc", "1.5", "1.0000001", "-1.000000", "99999999999999999999.000000", "1.+12345"] {
            assert_eq!(text.parse::<Ts>(), Err(NotATs), "{text}");
        }
    }
}
