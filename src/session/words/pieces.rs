//! What the others are made of: pieces of Markdown in which what people wrote can do no harm.

use std::path::Path;
use std::time::Duration;

use crate::duration::spoken;

/// How much of a description is shown, in characters.
pub(super) const DESCRIPTION: usize = 120;

/// A description behind a colon, when there is one.
pub(super) fn about(description: &str) -> String {
    let description = line(description, DESCRIPTION);
    if description.is_empty() { description } else { format!(": {description}") }
}

pub(super) fn dir(path: &Path) -> String {
    code(&path.display().to_string())
}

/// Text as code, in marks that it can't end.
pub(super) fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let marks = "`".repeat(longest + 1);
    let room = if longest > 0 { " " } else { "" };
    format!("{marks}{room}{text}{room}{marks}")
}

/// Somebody's text as one line of at most `most` characters, in which nothing is markup.
pub(super) fn line(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = words.chars().take(most).collect();
    let rest = if cut.len() < words.len() { "…" } else { "" };
    let mut plain = String::with_capacity(cut.len());
    for c in cut.chars() {
        if "\\`*_~[]<>#|".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain + rest
}

/// How long ago something was.
pub(super) fn ago(now_ms: i64, then_ms: i64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match u64::try_from(minutes).unwrap_or(0) {
        0 => "just now".to_owned(),
        minutes @ 1..2_880 => {
            format!("{} ago", spoken(Duration::from_mins(if minutes < 120 { minutes } else { minutes / 60 * 60 })))
        }
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_want_them() {
        let at = |minutes: i64| ago(minutes * 60_000, 0);
        for (minutes, expected) in [
            (-5, "just now"),
            (0, "just now"),
            (1, "1 min ago"),
            (119, "1 h 59 min ago"),
            (130, "2 h ago"),
            (2_879, "47 h ago"),
            (2_880, "2 days ago"),
        ] {
            assert_eq!(at(minutes), expected);
        }
    }

    #[test]
    fn what_people_wrote_is_no_markup() {
        assert_eq!(line(" a\n\n# *b* ", 50), "a \\# \\*b\\*");
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a``b"), "``` `a``b ```");
    }
}
