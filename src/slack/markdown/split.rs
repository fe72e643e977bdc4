//! Packing blocks into parts, and cutting those that are longer than a part.

use super::escape::APART;
use super::fence::{fence_length, fenced, unwritable};
use super::width::joins;

/// How much code that Slack's markup can't hold one part has: each piece of it is a block of the message, with text in between, and a
/// message has at most 50 blocks.
const MOST_UNWRITABLE: usize = 20;

/// A block of Slack's markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Lines of text.
    Text(String),
    /// A list's item that stands close to the one before.
    Close(String),
    /// The content of a code block, escaped.
    Code(String),
}

impl Block {
    fn written(&self) -> String {
        match self {
            Self::Text(text) | Self::Close(text) => text.clone(),
            Self::Code(code) => fenced(code),
        }
    }

    fn separator(&self) -> &'static str {
        if matches!(self, Self::Close(_)) { "\n" } else { "\n\n" }
    }
}

/// Packs `blocks` into parts of at most `limit` characters.
pub(super) fn pack(blocks: Vec<Block>, limit: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    for block in blocks {
        let text = block.written();
        let separator = if part.is_empty() { "" } else { block.separator() };
        let fits = length(&part) + separator.len() + length(&text) <= limit;
        if fits && unwritable(&part) < MOST_UNWRITABLE {
            part.push_str(separator);
            part.push_str(&text);
            continue;
        }
        flush(&mut part, &mut parts);
        if length(&text) <= limit {
            part = text;
            continue;
        }
        let mut pieces = cut_block(&block, limit);
        part = pieces.pop().unwrap_or_default();
        parts.append(&mut pieces);
    }
    flush(&mut part, &mut parts);
    parts
}

fn flush(part: &mut String, parts: &mut Vec<String>) {
    let done = std::mem::take(part);
    if !done.trim().is_empty() {
        parts.push(done);
    }
}

fn cut_block(block: &Block, limit: usize) -> Vec<String> {
    match block {
        Block::Text(text) | Block::Close(text) => cut(text, limit, true),
        Block::Code(code) => cut(code, room(code, limit), false).iter().map(|piece| fenced(piece)).collect(),
    }
}

/// How much of `code` fits between its fences in `limit` characters. A third always does: fences are at most one backtick longer than
/// what stands between them.
fn room(code: &str, limit: usize) -> usize {
    let line_breaks = 2;
    limit.saturating_sub(2 * fence_length(code) + line_breaks).max(limit.saturating_sub(2 + line_breaks) / 3)
}

/// Cuts text into pieces of at most `limit` characters: at a line's end in the second half, else, in prose, at a space, else anywhere
/// between two characters that belong to no link, code span, entity or larger character.
fn cut(text: &str, limit: usize, prose: bool) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((most, next)) = rest.char_indices().nth(limit) {
        let within = &rest[..most + next.len_utf8()];
        let second_half = |at: &usize| *at > most / 2;
        let line = within.rfind('\n').filter(second_half);
        let mut spaces = within.rmatch_indices(' ').map(|(at, _)| at).take_while(second_half);
        let space = || spaces.find(|at| prose && open_token(rest, *at, prose).is_none());
        let at = line.or_else(space).unwrap_or_else(|| fitting(rest, most, prose));
        pieces.push(rest[..at].to_owned());
        // The character at which it is cut is the border itself.
        let border = rest[at..].starts_with('\n') || (prose && rest[at..].starts_with(' '));
        rest = &rest[at + usize::from(border)..];
    }
    pieces.push(rest.to_owned());
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// The last place up to `most` at which nothing is cut that belongs together.
fn fitting(text: &str, most: usize, prose: bool) -> usize {
    let mut at = open_token(text, most, prose).unwrap_or(most);
    while text[at..].starts_with(joins) || text[..at].ends_with('\u{200d}') {
        at = text[..at].char_indices().next_back().map_or(0, |(before, _)| before);
    }
    // What is longer than a whole part can't be kept whole.
    if at == 0 { most } else { at }
}

/// Where the link, code span or entity begins in which a cut at `at` would be. In code there are only entities.
fn open_token(text: &str, at: usize, prose: bool) -> Option<usize> {
    let head = &text[..at];
    let line = head.rfind('\n').map_or(0, |end| end + 1);
    let mut open = None;
    for (at, c) in head[line..].char_indices().filter(|_| prose) {
        let at = line + at;
        open = match open {
            None if c == '<' => Some((at, '>')),
            // A backtick of the text is kept apart from what follows.
            None if c == '`' && !text[at + 1..].starts_with(APART) => Some((at, '`')),
            Some((_, end)) if c == end => None,
            open => open,
        };
    }
    let entity = || head.rfind('&').filter(|start| at - start < "&amp;".len() && !head[*start..].contains(';'));
    open.map(|(start, _)| start).or_else(entity)
}

fn length(text: &str) -> usize {
    text.chars().count()
}
