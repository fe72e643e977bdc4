//! Requests to the simulator's control API, as plain as they get, so that nothing is shared with what is tested.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::process::DEADLINE;

/// Makes a request; returns the JSON of its answer.
pub(crate) fn request(address: &str, line: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = "Connection: close\r\nContent-Type: application/json";
    let length = body.len();
    let whole = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(whole.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{line}: {head}");
    serde_json::from_str(content).unwrap_or_else(|error| panic!("{line}: {error}: {content}"))
}
