//! What may be typed into a terminal: text, and nothing that is a key, a command of the terminal or a trick of its letters.

use crate::backend::config::Newlines;

/// What a tab becomes: as a key it would complete words.
const TAB: &str = "    ";

/// The text of a prompt as it may be pasted. Nothing when no text is left.
///
/// Out go the control characters (C0 and C1, of which ESC could end the paste and begin to press keys) and those that change the direction
/// of writing. Line breaks of any kind stay, as `\n`, or become blanks.
pub(super) fn sanitise(prompt: &str, newlines: Newlines) -> Option<String> {
    let mut text = String::with_capacity(prompt.len());
    let mut chars = prompt.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => text.push('\n'),
            '\t' => text.push_str(TAB),
            c if c.is_control() || turns_letters(c) => {}
            c => text.push(c),
        }
    }
    let text = text.trim_matches(['\n', ' ']);
    let text = match newlines {
        Newlines::Keep => text.to_owned(),
        Newlines::Space => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "),
    };
    (!text.is_empty()).then_some(text)
}

/// Whether a character changes the direction of writing (Unicode's `Bidi_Control`).
fn turns_letters(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_breaks_become_blanks_where_each_line_would_be_a_prompt() {
        let joined = |prompt| sanitise(prompt, Newlines::Space);
        assert_eq!(joined(" one\r\n\n  two\u{2028}three\n").as_deref(), Some("one two three"));
        assert_eq!(joined("\n \n"), None);
    }

    #[test]
    fn only_text_and_line_breaks_are_left() {
        let cases = [
            ("hello", Some("hello")),
            ("one\ntwo\r\nthree\rfour\u{85}five\u{2028}six", Some("one\ntwo\nthree\nfour\nfive\nsix")),
            ("a\u{1b}[201~\u{3}b", Some("a[201~b")),
            ("a\u{9b}201~b\u{7f}", Some("a201~b")),
            ("a\tb", Some("a    b")),
            ("\u{202e}rm -rf\u{2066} x\u{200f}", Some("rm -rf x")),
            ("\n\n  hello \n", Some("hello")),
            ("größer 日本 👩‍💻", Some("größer 日本 👩‍💻")),
            ("\u{1b}\u{7}\n", None),
            ("", None),
        ];
        for (prompt, expected) in cases {
            assert_eq!(sanitise(prompt, Newlines::Keep).as_deref(), expected, "{prompt:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_any_text_is_a_key(prompt in any::<String>()) {
            let Some(text) = sanitise(&prompt, Newlines::Keep) else { return Ok(()) };
            prop_assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || turns_letters(c))));
            prop_assert!(!sanitise(&text, Newlines::Space).is_some_and(|line| line.contains('\n')));
            prop_assert_eq!(sanitise(&text, Newlines::Keep), Some(text), "twice is once");
        }
    }
}
