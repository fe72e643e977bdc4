//! As much of an HTTP/1.1 server as one well-behaved client needs, so that what serves costs little beside what is measured.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The path of the URL, with its query.
    pub(crate) path: String,
    /// The key of a WebSocket handshake, when it is one.
    pub(crate) socket_key: Option<String>,
    /// What was sent.
    pub(crate) body: Vec<u8>,
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// A connection just accepted.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4_096) })
    }

    /// The next request; `None` when the client has gone.
    pub(crate) async fn request(&mut self) -> Result<Option<Request>> {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        };
        let (mut request, length) = parse(std::str::from_utf8(&self.read[..head])?)?;
        while self.read.len() < head + length {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("a request was cut off");
            }
        }
        request.body = self.read[head..head + length].to_vec();
        self.read.drain(..head + length);
        Ok(Some(request))
    }

    /// Answers with JSON.
    pub(crate) async fn answer(&mut self, json: &str) -> Result<()> {
        let length = json.len();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{json}"
        );
        Ok(self.stream.write_all(whole.as_bytes()).await?)
    }

    /// Answers a handshake; from then on the stream speaks WebSocket.
    pub(crate) async fn upgrade(mut self, accept_key: &str) -> Result<TcpStream> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept_key}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        Ok(self.stream)
    }
}

/// Reads a request's head; returns it with the length of its body.
fn parse(head: &str) -> Result<(Request, usize)> {
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).context("a request without a path")?.to_owned();
    let (mut socket_key, mut length) = (None, 0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            socket_key = Some(value.trim().to_owned());
        }
    }
    Ok((Request { path, socket_key, body: Vec::new() }, length))
}
