//! Requests as programs make them, and server-sent events as they come.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long an answer or an event may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its head, line by line.
    head: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let value = |line: &'a String| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    };
    head.iter().find_map(value)
}

/// Makes a request; `headers` are whole lines.
pub(crate) fn request(address: &str, line: &str, headers: &[String], body: &str) -> Answer {
    let mut reader = send(address, line, headers, body);
    let (status, head) = read_head(&mut reader);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    Answer { status, head, text }
}

/// Makes a request and goes away.
pub(crate) fn request_and_leave(address: &str, line: &str, headers: &[String], body: &str) {
    drop(send(address, line, headers, body));
}

fn send(address: &str, line: &str, headers: &[String], body: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let headers = headers.join("\r\n");
    let headers = if headers.is_empty() { headers } else { headers + "\r\n" };
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    // Who refuses a body may have hung up before it was all written.
    let _cut_off = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    BufReader::new(stream)
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<String>) {
    let lines = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.collect();
    let status = head.first().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head:?}")), head)
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A stream of events, which ends when this is dropped.
pub(crate) struct Events {
    reader: BufReader<Chunks>,
}

impl Events {
    /// Opens it, or says with which status it is refused.
    pub(crate) fn open(address: &str, headers: &[String]) -> Result<Self, u16> {
        let mut reader = send(address, "GET /api/chat/events", headers, "");
        let (status, head) = read_head(&mut reader);
        if status != 200 {
            return Err(status);
        }
        assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
        Ok(Self { reader: BufReader::new(Chunks { stream: reader, left: 0 }) })
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data.push_str(value),
                _ if line.is_empty() && !data.is_empty() => {
                    return Some(Event { name, id, data: serde_json::from_str(&data).unwrap() });
                }
                _ => {}
            }
        }
    }

    /// The next event of this name, whatever comes before it.
    pub(crate) fn wait(&mut self, name: &str) -> Event {
        self.wait_for(name, |_| true)
    }

    /// The next event of this name that is wanted.
    pub(crate) fn wait_for(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Event {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before `{name}` came"));
            if event.name == name && wanted(&event.data) {
                return event;
            }
        }
    }

    /// The next message of the agent.
    pub(crate) fn answer(&mut self) -> Value {
        self.wait_for("message", |message| message["author"] == "agent").data
    }
}

/// The content of a body that comes in chunks.
struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut size = String::new();
            // The end of the chunk before stands in a line of its own.
            while size.trim().is_empty() {
                size.clear();
                if self.stream.read_line(&mut size)? == 0 {
                    return Ok(0);
                }
            }
            self.left = usize::from_str_radix(size.trim(), 16).unwrap();
        }
        let most = into.len().min(self.left);
        let read = self.stream.read(&mut into[..most])?;
        self.left -= read;
        Ok(read)
    }
}
