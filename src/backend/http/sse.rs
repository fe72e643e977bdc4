//! Server-sent events as agents use them: bytes in, data out, in bounded memory.
//!
//! The format is that of the WHATWG's HTML standard, “Server-sent events”. The names and ids of events are left out: our agents say
//! in the data itself what it is, and none of them can go on after an id. What is too long is left out as well, and said so.

use std::collections::VecDeque;

/// The longest line, in bytes.
const LONGEST_LINE: usize = 1024 * 1024;
/// The most bytes of one event's data.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What comes out of a stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The data of one event.
    Data(String),
    /// An event that was too long, of which nothing is kept.
    TooLong,
}

/// Makes events of bytes, however these are cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// Whether the line, or a line of the event, was too long.
    is_too_long: (bool, bool),
    /// Whether the last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// Whether the first line has been seen, before which a byte order mark may stand.
    begun: bool,
}

impl Decoder {
    /// Takes the next bytes; what is whole with them is added to `frames`.
    pub(super) fn push(&mut self, bytes: &[u8], frames: &mut VecDeque<Frame>) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend(rest);
            };
            self.extend(&rest[..end]);
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            frames.extend(self.end_of_line());
        }
    }

    fn extend(&mut self, piece: &[u8]) {
        if self.line.len() + piece.len() > LONGEST_LINE {
            self.is_too_long.0 = true;
            self.line = Vec::new();
        }
        if !self.is_too_long.0 {
            self.line.extend_from_slice(piece);
        }
    }

    fn end_of_line(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        let mark = if std::mem::replace(&mut self.begun, true) { None } else { line.strip_prefix(BYTE_ORDER_MARK) };
        if std::mem::take(&mut self.is_too_long.0) {
            self.is_too_long.1 = true;
            return None;
        }
        match mark.unwrap_or(&line) {
            [] => self.end_of_event(),
            line => {
                self.field(line);
                None
            }
        }
    }

    fn field(&mut self, line: &[u8]) {
        let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(end + 1..).unwrap_or_default();
        if &line[..end] != b"data" || self.is_too_long.1 {
            return;
        }
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let data = match &mut self.data {
            None => self.data.insert(Vec::new()),
            Some(data) => {
                data.push(b'\n');
                data
            }
        };
        data.extend_from_slice(value);
        if data.len() > LONGEST_EVENT {
            self.is_too_long.1 = true;
            self.data = None;
        }
    }

    fn end_of_event(&mut self) -> Option<Frame> {
        let data = self.data.take();
        if std::mem::take(&mut self.is_too_long.1) {
            return Some(Frame::TooLong);
        }
        data.map(|data| Frame::Data(String::from_utf8_lossy(&data).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<Frame> {
        let (mut decoder, mut frames) = (Decoder::default(), VecDeque::new());
        for piece in pieces {
            decoder.push(piece, &mut frames);
        }
        frames.into()
    }

    fn data(texts: &[&str]) -> Vec<Frame> {
        texts.iter().map(|text| Frame::Data((*text).to_owned())).collect()
    }

    #[test]
    fn events_are_what_the_standard_says() {
        let cases: [(&str, &[&str]); 11] = [
            ("data: a\n\n", &["a"]),
            ("id: 1\nevent: x\ndata: {\"a\": 1}\nretry: 5\n\n", &["{\"a\": 1}"]),
            ("data:a\ndata:  b\n\n", &["a\n b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            (": keepalive\n\ndata: a\n\n:\n\n", &["a"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data\n\ndata:\n\n", &["", ""]),
            ("event: only a name\n\n", &[]),
            ("dat: a\ndatas: b\n\n", &[]),
            ("data: never ended\n", &[]),
        ];
        for (input, expected) in cases {
            assert_eq!(decode(&[input.as_bytes()]), data(expected), "{input:?}");
        }
    }

    #[test]
    fn what_is_no_utf8_does_not_end_the_stream() {
        assert_eq!(decode(&[b"data: a\xff\n\ndata: b\n\n"]), data(&["a\u{fffd}", "b"]));
    }

    #[test]
    fn what_is_too_long_is_left_out_and_the_next_event_is_whole() {
        let long = vec![b'x'; 700 * 1024];
        let line: [&[u8]; 5] = [b"data: ", &long, &long, b"\ndata: more\n\n", b"data: next\n\n"];
        let after = || data(&["next"]).pop().unwrap();
        assert_eq!(decode(&line), [Frame::TooLong, after()]);
        let lines: Vec<&[u8]> = std::iter::repeat_n([b"data: ", &long[..], b"\n"], 6).flatten().collect();
        assert_eq!(decode(&[&lines[..], &[b"\n", b"data: next\n\n"]].concat()), [Frame::TooLong, after()]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let (mut decoder, mut frames) = (Decoder::default(), VecDeque::new());
        for _ in 0..64 {
            decoder.push(&vec![b'x'; 256 * 1024], &mut frames);
            assert!(decoder.line.capacity() <= 2 * LONGEST_LINE);
        }
        assert!(frames.is_empty());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_makes_no_difference(
            input in "(data: ?[ab:]{0,3}|:[a]{0,2}|id: 1|)(\n|\r|\r\n)",
            more in prop::collection::vec("(data: ?[ab:é]{0,3}|)(\n|\r|\r\n)", 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = format!("{input}{}", more.concat()).into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&whole[from..cut]);
                from = cut;
            }
            pieces.push(&whole[from..]);
            prop_assert_eq!(decode(&pieces), decode(&[&whole]));
        }
    }
}
