//! Socket Mode frames, read tolerantly: what can't be understood is still acknowledged by its envelope id.

use serde::Deserialize;
use serde_json::Value;

/// A frame longer than this is acknowledged, counted, and not read.
pub const LONGEST_READ: usize = 1 << 20;
/// A frame longer than this costs the connection.
pub const LONGEST_FRAME: usize = 16 << 20;

/// What a text frame is.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The greeting: from now on the connection counts.
    Hello(Hello),
    /// The server is about to close this connection.
    Disconnect(Reason),
    /// A delivery.
    Envelope(Envelope),
    /// Something that is not for us, to be acknowledged when it has an id; the word says what it was, for the counter.
    Odd(Option<String>, &'static str),
}

/// The greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// How many connections this app has open, this one included.
    pub connections: u32,
    /// The server's host, for the log.
    pub host: String,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// By this id it is acknowledged.
    pub id: String,
    /// What the payload is.
    pub kind: Kind,
    /// The payload as it came.
    pub payload: Value,
}

/// How often a delivery was tried before, and Slack's word for why it comes again; nothing on the first attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Retry {
    /// How many attempts there were before this one.
    #[serde(rename = "retry_attempt", default)]
    pub attempt: u32,
    /// Mostly `timeout`.
    #[serde(rename = "retry_reason", default)]
    pub reason: String,
}

/// The kinds of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event,
    /// A slash command.
    Slash,
    /// A button, a shortcut, a view.
    Interactive,
}

/// Why the server asks to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It closes in about ten seconds.
    Warning,
    /// The connection is refreshed.
    Refresh,
    /// Too many are open.
    TooMany,
    /// Socket Mode is switched off for this app.
    Disabled,
    /// Anything else.
    Unknown,
}

impl Reason {
    /// Slack's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Refresh => "refresh_requested",
            Self::TooMany => "too_many_websockets",
            Self::Disabled => "link_disabled",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Deserialize)]
struct Outer {
    #[serde(rename = "type", default)]
    kind: String,
    envelope_id: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    num_connections: u32,
    #[serde(default)]
    debug_info: Value,
    #[serde(default)]
    payload: Value,
}

/// Reads a text frame. Never fails: the connection goes on whatever it holds.
pub fn read(text: &str) -> Frame {
    if text.len() > LONGEST_READ {
        return Frame::Odd(scan_id(text), "oversized");
    }
    let Ok(outer) = serde_json::from_str::<Outer>(text) else { return Frame::Odd(scan_id(text), "unreadable") };
    let host = || outer.debug_info["host"].as_str().unwrap_or("?").to_owned();
    let kind = match outer.kind.as_str() {
        "hello" => return Frame::Hello(Hello { connections: outer.num_connections, host: host() }),
        "disconnect" => return Frame::Disconnect(reason(&outer.reason)),
        "events_api" => Kind::Event,
        "slash_commands" => Kind::Slash,
        "interactive" => Kind::Interactive,
        _ => return Frame::Odd(outer.envelope_id, "unknown_type"),
    };
    match outer.envelope_id {
        Some(id) => Frame::Envelope(Envelope { id, kind, payload: outer.payload }),
        None => Frame::Odd(None, "no_envelope_id"),
    }
}

/// What an envelope's frame says of earlier attempts. Only `probe` asks: the daemon tells by what it has stored.
pub fn retry(text: &str) -> Retry {
    serde_json::from_str(text).unwrap_or_default()
}

/// The acknowledgement of an envelope: one small text frame.
pub fn ack(envelope_id: &str) -> String {
    serde_json::json!({ "envelope_id": envelope_id }).to_string()
}

fn reason(text: &str) -> Reason {
    match text {
        "warning" => Reason::Warning,
        "refresh_requested" => Reason::Refresh,
        "too_many_websockets" => Reason::TooMany,
        "link_disabled" => Reason::Disabled,
        _ => Reason::Unknown,
    }
}

/// Finds the envelope id in a frame that is not read. An id has no escapes.
fn scan_id(text: &str) -> Option<String> {
    let after = text.split_once("\"envelope_id\"")?.1.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let id = after.split_once('"')?.0;
    let plausible = id.len() <= 100 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (plausible && !id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // holds: T-7
    #[test]
    fn odd_frames_keep_their_envelope_id() {
        let cases = [
            ("", Frame::Odd(None, "unreadable")),
            ("UNAUTHENTICATED: cache_error", Frame::Odd(None, "unreadable")),
            (r#"{"type":"news","envelope_id":"e-1"}"#, Frame::Odd(Some("e-1".into()), "unknown_type")),
            (r#"{"envelope_id":"e-2","type":"events_api","payload":{"#, Frame::Odd(Some("e-2".into()), "unreadable")),
            (r#"{"type":"events_api","payload":{}}"#, Frame::Odd(None, "no_envelope_id")),
            (r#"{"type":"disconnect","reason":"link_disabled"}"#, Frame::Disconnect(Reason::Disabled)),
            (r#"{"type":"disconnect"}"#, Frame::Disconnect(Reason::Unknown)),
            (r#"{"type":"hello"}"#, Frame::Hello(Hello { connections: 0, host: "?".into() })),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
        let big = format!(r#"{{"envelope_id": "e-3", "payload": "{}"}}"#, "x".repeat(LONGEST_READ));
        assert_eq!(read(&big), Frame::Odd(Some("e-3".into()), "oversized"));
    }

    #[test]
    fn a_frame_says_how_often_it_came_before() {
        let again =
            r#"{"envelope_id":"e","type":"events_api","retry_attempt":2,"retry_reason":"timeout","payload":{}}"#;
        assert_eq!(retry(again), Retry { attempt: 2, reason: "timeout".to_owned() });
        assert_eq!(retry(r#"{"envelope_id":"e","type":"slash_commands"}"#), Retry::default());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", id in "[a-z0-9-]{1,36}") {
            let _frame = read(&text);
            let broken = format!("{{\"envelope_id\":\"{id}\",{text}");
            if let Frame::Odd(found, _) = read(&broken) {
                prop_assert_eq!(found, Some(id));
            }
        }
    }
}
