//! How wide characters are shown in a monospaced font.
//!
//! An approximation without tables of its own: the scripts, marks and symbols that agents write.

/// How many columns `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    match c {
        // It turns a narrow sign into an emoji.
        '\u{fe0f}' => 1,
        _ if joins(c) => 0,
        // Hangul, Chinese, Japanese, full-width forms.
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{3fffd}'
        // Emoji, the last two lines those among older symbols.
        | '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f7e0}'..='\u{1f7eb}' | '\u{1f900}'..='\u{1faff}'
        | '⌚' | '⌛' | '⏩'..='⏬' | '⏰' | '⏳' | '⚡' | '⛔' | '✅' | '✨' | '❌' | '❎' | '❓'..='❕' | '❗'
        | '➕'..='➗' | '⬛' | '⬜' | '⭐' | '⭕' => 2,
        _ => 1,
    }
}

/// Whether `c` belongs to the character before it, as accents do.
pub(super) fn joins(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' | '\u{93a}'..='\u{93c}'
        | '\u{941}'..='\u{94d}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_take_their_columns() {
        let cases =
            [("abc", 3), ("名前", 4), ("e\u{301}", 1), ("✅ 👍\u{1f3fd}", 5), ("⚠\u{fe0f}", 2), ("שלום", 4), ("", 0)];
        for (text, columns) in cases {
            assert_eq!(width(text), columns, "{text}");
        }
    }
}
