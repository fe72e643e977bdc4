//! Making text harmless: the three entities, and characters that hide.

use std::fmt::Write;

/// Zero width: it keeps characters apart without being seen.
pub(super) const APART: char = '\u{200b}';

/// Escapes the three characters that mean something in Slack's markup, once.
pub fn escape(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Shows control and direction characters by their names: what a person approves must be what they see.
pub fn visible(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        if hides(c) {
            let _infallible = write!(out, "\\u{{{:04X}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn hides(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    invisible || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_shown() {
        assert_eq!(visible("a\u{202e}b\u{1b}[0m\tc"), "a\\u{202E}b\\u{001B}[0m\tc");
        assert_eq!(escape("<&lt;>"), "&lt;&amp;lt;&gt;");
    }
}
