//! An answer that comes as a stream of events: of each, its data.

/// The pieces of an event that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The bytes of a line without its end.
    line: Vec<u8>,
    /// The lines of data so far.
    data: Vec<String>,
}

impl Events {
    /// Takes a piece of the stream; the data of the events that are complete with it.
    ///
    /// # Errors
    /// When an event grows beyond `limit` bytes.
    pub(super) fn push(&mut self, piece: &[u8], limit: u64) -> Result<Vec<String>, String> {
        let mut complete = Vec::new();
        for byte in piece {
            match byte {
                // A carriage return before it is no part of the line; one alone ends none with our own server.
                b'\n' => complete.extend(self.end_line()),
                byte => self.line.push(*byte),
            }
        }
        let held = self.line.len() + self.data.iter().map(String::len).sum::<usize>();
        if held as u64 > limit { Err("an event of the answer is too long".to_owned()) } else { Ok(complete) }
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = ": ping\n\nid: 1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nretry: 3\n\ndata: é\n\ndata: rest";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let pieces = stream.as_bytes().chunks(size);
            let all: Vec<String> = pieces.flat_map(|piece| events.push(piece, 100).unwrap()).collect();
            assert_eq!(all, ["{\"a\":\n1}", "é"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_given_up() {
        let mut events = Events::default();
        assert!(events.push(&[b'x'; 100], 100).is_ok());
        assert!(events.push(b"x", 100).is_err());
    }
}
