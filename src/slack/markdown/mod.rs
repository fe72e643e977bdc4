//! An agent's Markdown, as Slack renders it.

mod escape;

pub use escape::{code_block, escape, inline_code};

/// The length of one part, in characters after escaping: what a section block holds.
pub const PART_LIMIT: usize = 3_000;

/// Stand-in.
pub fn render(markdown: &str, _limit: usize) -> Vec<String> {
    if markdown.is_empty() { Vec::new() } else { vec![escape(markdown)] }
}

/// A piece of raw Markdown for a growing message, in which no token can ping anybody.
pub fn live(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len() + 8);
    let mut rest = piece.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        // A token may be cut in two: what ends with `<` can't know what follows.
        if c == '<' && rest.peek().is_none_or(|next| "!@#".contains(*next)) {
            out.push('\u{200b}');
        }
    }
    out
}
