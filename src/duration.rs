//! Durations as people write them in the configuration: `30s`, `5m`, `1h`, and a plain `0`.
//!
//! For `#[serde(with = "crate::duration")]` on a [`Duration`].

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Reads a duration: a number with a unit, or a plain `0`.
pub fn parse(text: &str) -> Option<Duration> {
    match text.trim() {
        "0" => Some(Duration::ZERO),
        text => SpanParser::new().parse_unsigned_duration(text).ok(),
    }
}

/// Writes a duration so that [`parse`] reads it back: `1h 30m`.
pub fn format(duration: &Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(duration)
}

/// Writes a duration for people, rounded to what they want to know: `200 ms`, `1.5 s`, `1 h 30 min`.
pub fn spoken(duration: Duration) -> String {
    let unit = match duration.as_millis() {
        ..1_000 => 1,
        1_000..60_000 => 100,
        _ => 1_000,
    };
    let ms = (duration.as_micros() + 500 * unit) / (1_000 * unit) * unit;
    let (seconds, tenths) = (ms / 1_000, ms % 1_000 / 100);
    match seconds {
        0 => format!("{ms} ms"),
        1..60 if tenths > 0 => format!("{seconds}.{tenths} s"),
        _ => {
            let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
            let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}"));
            parts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Writes a duration as text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(duration))
}

/// Reads a duration from text, or from the number zero.
///
/// # Errors
/// When it has no unit, or a unit that is not one of time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 30s, 5m or 1h")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| none(text))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        if number == 0 { Ok(Duration::ZERO) } else { Err(none(number)) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        if number == 0 { Ok(Duration::ZERO) } else { Err(none(number)) }
    }
}

/// Not every key takes the 0 that needs no unit, so it is not offered.
fn none<E: Error>(written: impl fmt::Display) -> E {
    E::custom(format!("`{written}` is no duration; write one such as 30s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_a_number_and_a_unit() {
        let cases = [
            ("30s", Some(30_000)),
            ("250ms", Some(250)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1h 30m", Some(5_400_000)),
            (" 10m ", Some(600_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30", None),
            ("-5s", None),
            ("", None),
            ("soon", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn they_are_written_briefly() {
        assert_eq!(format(&Duration::from_secs(30)), "30s");
        assert_eq!(format(&Duration::from_mins(10)), "10m");
        assert_eq!(format(&Duration::ZERO), "0s");
    }

    #[test]
    fn people_are_told_no_more_than_they_want_to_know() {
        let cases = [
            (0, "0 ms"),
            (200_000, "200 ms"),
            (599_987, "600 ms"),
            (999_700, "1 s"),
            (1_500_000, "1.5 s"),
            (29_999_100, "30 s"),
            (59_960_000, "1 min"),
            (90_400_000, "1 min 30 s"),
            (600_000_000, "10 min"),
            (3_600_000_000, "1 h"),
            (5_400_000_000, "1 h 30 min"),
            (90_000_000_000, "25 h"),
        ];
        for (micros, expected) in cases {
            assert_eq!(spoken(Duration::from_micros(micros)), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0_u64..10_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(&duration)), Some(duration));
        }
    }
}
