//! Making text harmless: the three entities, code that can't be broken out of, characters that hide.

use std::fmt::Write;

/// Zero width: it keeps characters apart without being seen.
pub(super) const APART: char = '\u{200b}';

/// Escapes the three characters that mean something in Slack's markup, once.
pub fn escape(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A code span that its content can't end.
pub fn inline_code(plain: &str) -> String {
    let content = escape(&plain.replace('\n', " ")).replace('`', "ˋ");
    format!("`{content}`")
}

/// A code block that its content can't end, with hidden characters made visible.
pub fn code_block(plain: &str) -> String {
    format!("```\n{}\n```", guard_fences(&escape(&visible(plain))))
}

/// Keeps three or more backticks in a row from ending the block that they stand in.
pub(super) fn guard_fences(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut run = 0;
    for c in code.chars() {
        if c != '`' {
            run = 0;
        } else if run == 2 {
            out.push(APART);
            run = 1;
        } else {
            run += 1;
        }
        out.push(c);
    }
    out
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
    fn code_holds_whatever_it_is_given() {
        assert_eq!(code_block("a ``` b <x>"), "```\na ``\u{200b}` b &lt;x&gt;\n```");
        for run in 0..12 {
            let block = code_block(&"`".repeat(run));
            assert_eq!(block.matches("```").count(), 2, "{run} backticks in a row: {block}");
        }
        assert_eq!(code_block("a\u{202e}b\u{1b}[0m\tc"), "```\na\\u{202E}b\\u{001B}[0m\tc\n```");
        assert_eq!(inline_code("a`b\nc&"), "`aˋb c&amp;`");
    }
}
