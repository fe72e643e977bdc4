//! Characters that hide, and text in which none does.

use std::fmt::Write;

/// The same text with the names of the control, direction and invisible characters in their places: what a person approves must be what
/// they see. Lines and tabs stay.
pub fn visible(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    let mut before = ' ';
    for c in plain.chars() {
        // Behind a letter these select nothing.
        let is_selector = matches!(c, '\u{fe0e}' | '\u{fe0f}');
        let is_stray = is_selector && before.is_ascii();
        before = if is_selector { before } else { c };
        if is_stray || hides(c) && c != '\n' && c != '\t' {
            let _infallible = write!(out, "\\u{{{:04X}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character is not seen, or changes how others are seen.
///
/// These are the control characters, Unicode's `Default_Ignorable_Code_Point` (without the two selectors that emoji carry), the separators
/// of lines and paragraphs, the marks of annotations, and the Braille pattern without a dot.
pub fn hides(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    invisible || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_shown_by_its_name() {
        let cases = [
            ("a\u{202e}b\u{1b}[0m\tc\nd", "a\\u{202E}b\\u{001B}[0m\tc\nd"),
            ("l\u{200b}s\r", "l\\u{200B}s\\u{000D}"),
            ("x\u{e0101}y\u{2800}z", "x\\u{E0101}y\\u{2800}z"),
            ("rm x\u{fe0f}\u{fe0e}", "rm x\\u{FE0F}\\u{FE0E}"),
            ("größe ✔\u{fe0f} 漢字", "größe ✔\u{fe0f} 漢字"),
        ];
        for (plain, shown) in cases {
            assert_eq!(visible(plain), shown);
        }
    }
}
