//! An agent's Markdown, as Slack renders it.
//!
//! Slack's own markup knows no headings, tables or nested lists, formats only at word borders, and lets three characters ping a whole
//! workspace. What comes out of [`render`] holds no angle bracket but those of links that were made here, and of quotes.
//!
//! Code keeps every character. Where the markup has no form for it, it is shown in another place: a code span that holds a backtick (or
//! is longer than a line should be) as a block of its own, and a block that holds three backticks in a row as a block of the message
//! that is no markup, which [`pieces`] finds. What is altered:
//!
//! - Around signs of the text that Slack would take for emphasis stand zero-width spaces, and between emphasis and a letter beside it.
//! - Emphasis within a link's label or a table is dropped, a `|` in a label becomes `∣`, and code in a quote stands behind it.
//! - Emphasis in a single line that is longer than a part ends where that line is cut.
//! - The name of a code block's language is left out; anything else behind a fence is text.
//! - Where a code block is cut, a piece that would be nothing but white space is left out.

mod blocks;
mod escape;
mod fence;
mod inline;
mod split;
mod table;
mod width;

pub use escape::escape;
pub use fence::{Piece, code_block, pieces};

use escape::APART;

/// The length of one part, in characters after escaping: what a section block holds.
pub const PART_LIMIT: usize = 3_000;

/// Turns Markdown into parts of Slack's markup, each at most `limit` characters long: cut between blocks where that is possible, else
/// between lines, words, characters; a code block that is cut is closed and opened again. Empty for text without content.
pub fn render(markdown: &str, limit: usize) -> Vec<String> {
    if is_plain(markdown) && markdown.len() <= limit {
        let plain = markdown.trim();
        return if plain.is_empty() { Vec::new() } else { vec![plain.to_owned()] };
    }
    split::pack(blocks::read(markdown), limit)
}

/// A piece of raw Markdown for a growing message, in which no token can ping anybody, wherever the piece was cut.
pub fn live(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len() + 8);
    let mut rest = piece.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        // What ends with `<` can't know what follows.
        if c == '<' && rest.peek().is_none_or(|next| "!@#".contains(*next)) {
            out.push(APART);
        }
    }
    out
}

/// Whether text means the same in both markups: one line of letters and harmless punctuation.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || " ,.;:?'\"()/%$=".contains(c);
    text.chars().all(harmless) && !text.starts_with(|c: char| c == ' ' || c.is_ascii_digit()) && !text.contains("://")
}

#[cfg(test)]
mod tests;
