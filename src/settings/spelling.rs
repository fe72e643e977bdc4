//! Finds the key that was meant.

use std::collections::BTreeSet;

/// The known word that is nearest to `name`, when it is near enough to have been meant.
pub(super) fn nearest<'a>(name: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let closest = known.iter().map(|candidate| (distance(name, candidate), *candidate)).min();
    closest.filter(|(distance, _)| *distance <= name.len().div_ceil(3)).map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_letters() {
        for (a, b, expected) in [("", "", 0), ("sokets", "sockets", 1), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        let known = BTreeSet::from(["sockets", "command"]);
        assert_eq!(nearest("sokets", &known), Some("sockets"));
        assert_eq!(nearest("colour", &known), None);
    }
}
