//! Sizes as people write them in the configuration: `100MiB`, `2GB`, `512`.
//!
//! For `#[serde(with = "crate::byte_size")]` on a `u64` of bytes.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// Every unit with its bytes, the largest of each kind first.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size: a whole number and a unit, or a plain number of bytes.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Writes a size in the largest binary unit that keeps it a whole number.
pub fn format(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| factor.is_power_of_two() && bytes != 0 && bytes.is_multiple_of(*factor);
    let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// Writes a size as text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*bytes))
}

/// Reads a size from text or from a number of bytes.
///
/// # Errors
/// When it is no whole number, has an unknown unit, or does not fit into 64 bits.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 100MiB or 2GB")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_a_number_and_a_unit() {
        let cases = [
            ("100MiB", Some(104_857_600)),
            ("2 gb", Some(2_000_000_000)),
            ("512", Some(512)),
            ("0", Some(0)),
            ("1.5GiB", None),
            ("MiB", None),
            ("-1B", None),
            ("99999999TiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), bytes, "{text:?}");
        }
        assert_eq!(format(104_857_600), "100MiB");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: u64) {
            prop_assert_eq!(parse(&format(bytes)), Some(bytes));
        }
    }
}
