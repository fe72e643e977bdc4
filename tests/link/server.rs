//! A server that a test plays by hand, frame by frame.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::subject::SOON;

/// Sockets that wait for the test; beyond that the next one is upgraded later.
const WAITING: usize = 16;

pub(crate) struct Server {
    address: SocketAddr,
    sockets: mpsc::Receiver<Socket>,
    _tasks: JoinSet<()>,
}

/// The server's end of a connection.
pub(crate) struct Socket {
    frames: WebSocketStream<TcpStream>,
    /// The link's end.
    pub(crate) peer: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sockets) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, sender));
        Self { address, sockets, _tasks: tasks }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection that the link opens, greeted; `connections` is how many Slack counts.
    pub(crate) async fn greeted(&mut self, connections: usize) -> Socket {
        let mut socket = self.socket().await;
        socket.greet(connections).await;
        socket
    }

    /// The next connection that the link opens.
    pub(crate) async fn socket(&mut self) -> Socket {
        tokio::time::timeout(SOON, self.sockets.recv()).await.expect("a connection in time").unwrap()
    }
}

impl Socket {
    pub(crate) async fn greet(&mut self, connections: usize) {
        self.send(&json!({"type": "hello", "num_connections": connections, "debug_info": {"host": "by-hand"}})).await;
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.text(frame.to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: impl Into<String>) {
        self.frames.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends a frame that Slack never would.
    pub(crate) async fn binary(&mut self, bytes: &'static [u8]) {
        self.frames.send(Message::binary(bytes)).await.unwrap();
    }

    /// Sends what the link may not take to its end. Returns whether it did.
    pub(crate) async fn flood(&mut self, text: String) -> bool {
        self.frames.send(Message::text(text)).await.is_ok()
    }

    /// Says goodbye and leaves the line open.
    pub(crate) async fn goodbye(&mut self) {
        self.frames.send(Message::Close(None)).await.unwrap();
    }

    /// Delivers a message.
    pub(crate) async fn event(&mut self, id: &str, text: &str) {
        let event =
            json!({"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "ts": "1.5", "text": text});
        let payload = json!({"team_id": "T0SIM", "event_id": format!("Ev{id}"), "event": event});
        self.send(&json!({"envelope_id": id, "type": "events_api", "payload": payload})).await;
    }

    /// The id of the next envelope that is acknowledged here.
    pub(crate) async fn ack(&mut self) -> String {
        let frame = tokio::time::timeout(SOON, self.next_text()).await.expect("an acknowledgement in time");
        let ack: Value = serde_json::from_str(&frame.expect("an acknowledgement, not the end")).unwrap();
        assert_eq!(ack, json!({"envelope_id": ack["envelope_id"]}), "nothing else is in it");
        ack["envelope_id"].as_str().unwrap().to_owned()
    }

    /// Reads to the end; nothing may be acknowledged on the way.
    pub(crate) async fn ended(&mut self) {
        let rest = tokio::time::timeout(SOON, self.next_text()).await.expect("the end in time");
        assert_eq!(rest, None);
    }

    async fn next_text(&mut self) -> Option<String> {
        loop {
            match self.frames.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

async fn accept(listener: TcpListener, sockets: mpsc::Sender<Socket>) {
    loop {
        let (mut stream, peer) = listener.accept().await.unwrap();
        // The two requests of a link differ in their first letter.
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first == *b"G" => {
                let frames = accept_async(stream).await.unwrap();
                sockets.send(Socket { frames, peer }).await.unwrap();
            }
            Ok(1) => give_address(&mut stream, listener.local_addr().unwrap()).await,
            _ => {}
        }
    }
}

/// Answers `apps.connections.open`.
async fn give_address(stream: &mut TcpStream, address: SocketAddr) {
    let (mut request, mut buffer) = (Vec::new(), [0; 1_024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "a whole request");
        request.extend_from_slice(&buffer[..read]);
    }
    let body = json!({"ok": true, "url": format!("ws://{address}/link/?ticket=1")}).to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _peer_may_be_gone = stream.shutdown().await;
}
