//! A message without its layout, for what Slack did not take with it.

use std::collections::VecDeque;

use crate::domain::outgoing::{Body, Op};

/// How many characters a part has that is to be shorter.
const SHORTER: usize = 1_000;

/// The parts in which a post is tried as plain text; `None` where plain text can't stand for it, such as for a question whose buttons
/// it would lack.
pub(super) fn parts(op: &Op, shorter: bool) -> Option<VecDeque<Body>> {
    let (Op::Post(Body::Text(text)) | Op::Finish { body: Body::Text(text), .. }) = op else { return None };
    let pieces = if shorter { split(text) } else { vec![text.clone()] };
    Some(pieces.into_iter().map(Body::Plain).collect())
}

/// Cuts a text into short pieces, at the end of a line where there is one in the second half.
fn split(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((limit, _)) = rest.char_indices().nth(SHORTER) {
        let line = rest[..limit].rfind('\n').map(|end| end + 1).filter(|end| *end > limit / 2);
        let (piece, behind) = rest.split_at(line.unwrap_or(limit));
        pieces.push(piece.to_owned());
        rest = behind;
    }
    pieces.push(rest.to_owned());
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_the_pieces() {
        let line = format!("{}\n", "ä".repeat(299));
        let text = line.repeat(9);
        let pieces = split(&text);
        assert_eq!((pieces.concat(), pieces.len()), (text, 3));
        assert!(pieces.iter().all(|piece| piece.ends_with('\n') && piece.chars().count() <= SHORTER));
        let solid = "x".repeat(2_500);
        assert_eq!(split(&solid).iter().map(String::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    }

    #[test]
    fn only_texts_go_as_plain_text() {
        let text = || Body::Text("a".into());
        assert_eq!(parts(&Op::Post(text()), false), Some([Body::Plain("a".into())].into()));
        assert_eq!(parts(&Op::Finish { ts: "1.1".into(), body: text() }, true), Some([Body::Plain("a".into())].into()));
        assert_eq!(parts(&Op::Delete { ts: "1.1".into() }, false), None);
        assert_eq!(parts(&Op::Post(Body::Plain("a".into())), true), None);
    }
}
