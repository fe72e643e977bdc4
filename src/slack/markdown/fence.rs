//! Code blocks between fences, and finding those again that Slack's markup can't express.
//!
//! Nothing is escaped in a code block but `& < >`, so code that holds three backticks in a row would end its own block. As in Markdown,
//! it stands between longer fences, which Slack does not know: the message shows such a block as data instead of markup.

use super::escape::escape;

/// The fence of Slack's markup.
const FENCE: usize = 3;

/// A stretch of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Slack's markup.
    Markup(&'a str),
    /// The content of a code block that Slack's markup can't hold, escaped.
    Code(&'a str),
}

/// A code block that its content can't end.
pub fn code_block(plain: &str) -> String {
    fenced(&escape(plain))
}

/// The same for code that is escaped already.
pub(super) fn fenced(code: &str) -> String {
    let fence = "`".repeat(fence_length(code));
    format!("{fence}\n{code}\n{fence}")
}

/// How many backticks the fences around `code` have: more than stand together anywhere in it.
pub(super) fn fence_length(code: &str) -> usize {
    let longest_run = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    FENCE.max(longest_run + 1)
}

/// How many code blocks of `part` Slack's markup can't hold.
pub(super) fn unwritable(part: &str) -> usize {
    pieces(part).iter().filter(|piece| matches!(piece, Piece::Code(_))).count()
}

/// Takes a part of [`render`](super::render) apart, where it holds code that Slack's markup can't.
pub fn pieces(part: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some((before, code, after)) = next_unwritable(rest) {
        pieces.extend([Piece::Markup(before.trim()), Piece::Code(code)]);
        rest = after;
    }
    pieces.push(Piece::Markup(rest.trim()));
    pieces.retain(|piece| *piece != Piece::Markup(""));
    pieces
}

/// The first block whose fences are longer than Slack's, with what stands before and behind it. No other line begins with so many
/// backticks: in text they are kept apart, and code that holds them has longer fences.
fn next_unwritable(part: &str) -> Option<(&str, &str, &str)> {
    let long = "`".repeat(FENCE + 1);
    let at = if part.starts_with(&long) { 0 } else { part.find(&format!("\n{long}"))? + 1 };
    let (fence, inside) = part[at..].split_once('\n')?;
    let (code, after) = inside.split_once(&format!("\n{fence}"))?;
    Some((&part[..at], code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_holds_whatever_it_is_given() {
        assert_eq!(code_block("a <x>"), "```\na &lt;x&gt;\n```");
        assert_eq!(code_block("a ``` b"), "````\na ``` b\n````");
        for run in 3..12 {
            let code = format!("{0}\n{0}sh\nx", "`".repeat(run));
            let block = code_block(&code);
            assert_eq!(pieces(&block), [Piece::Code(&code)]);
            let part = format!("a\n\n```\nb\n```\n\n{block}\n\n{block}\n\nc");
            let found = [Piece::Markup("a\n\n```\nb\n```"), Piece::Code(&code), Piece::Code(&code), Piece::Markup("c")];
            assert_eq!(pieces(&part), found);
        }
    }

    #[test]
    fn a_part_without_such_code_is_one_piece() {
        for part in ["a", "a\n```\nb\n```", "`a`", "````", "a\n````\nb"] {
            assert_eq!(pieces(part), [Piece::Markup(part)]);
        }
    }
}
