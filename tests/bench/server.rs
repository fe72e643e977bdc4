//! A Slack that does as little as possible: it takes calls, sends envelopes, and tells whoever drives it what it heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use hitchline::clock::Clock;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::http::{Connection, Request};

/// How much news may wait to be heard. When it is full, the client waits for its answers.
const NEWS: usize = 8_192;
/// How many envelopes may wait to be sent. When it is full, the driver waits.
const ENVELOPES: usize = 1_024;

/// What the client did.
#[derive(Debug)]
pub(crate) enum News {
    /// It opened a socket and was greeted; what is sent here reaches it as text frames.
    Greeted(mpsc::Sender<String>),
    /// It acknowledged an envelope.
    Acknowledged {
        /// The envelope's id.
        envelope: String,
        /// When that was read.
        at: Instant,
    },
    /// It called a method.
    Called {
        /// The method.
        method: String,
        /// The argument `text`, empty where there is none.
        text: String,
        /// The argument `thread_ts`, empty where there is none.
        thread: String,
    },
}

/// A listening server; it ends when it is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What the client does.
    pub(crate) news: mpsc::Receiver<News>,
    _tasks: JoinSet<()>,
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    address: SocketAddr,
    clock: Clock,
    /// How long a posted message waits for its answer.
    delay: Duration,
    news: mpsc::Sender<News>,
    posted: Arc<AtomicU64>,
}

impl Server {
    /// Listens on a free port; each `chat.postMessage` is answered after `delay`.
    pub(crate) async fn start(clock: Clock, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, news) = mpsc::channel(NEWS);
        let shared = Shared { address, clock, delay, news: sender, posted: Arc::default() };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared));
        Ok(Self { address, news, _tasks: tasks })
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _peer)) = accepted else { return };
                let shared = shared.clone();
                // A connection ends with whatever its client does; who drives the server misses what it waits for.
                connections.spawn(async move { shared.serve(stream).await });
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut connection = Connection::new(stream)?;
        while let Some(request) = connection.request().await? {
            if let Some(key) = &request.socket_key {
                let stream = connection.upgrade(&derive_accept_key(key.as_bytes())).await?;
                return self.converse(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
            }
            let answer = self.answer(&request).await?;
            connection.answer(&answer).await?;
        }
        Ok(())
    }

    async fn answer(&self, request: &Request) -> Result<String> {
        #[derive(Default, Deserialize)]
        struct Args {
            #[serde(default)]
            text: String,
            #[serde(default, rename = "thread_ts")]
            thread: String,
        }
        let method = request.path.rsplit('/').next().unwrap_or_default();
        let Args { text, thread } = serde_json::from_slice(&request.body).unwrap_or_default();
        self.tell(News::Called { method: method.to_owned(), text, thread }).await?;
        Ok(match method {
            "auth.test" => {
                r#"{"ok":true,"team":"Bench","team_id":"T0BENCH","user_id":"U0BOT","bot_id":"B0BOT"}"#.to_owned()
            }
            "apps.connections.open" => format!(r#"{{"ok":true,"url":"ws://{}/link/"}}"#, self.address),
            "chat.postMessage" => {
                if !self.delay.is_zero() {
                    self.clock.sleep(self.delay).await;
                }
                let posted = self.posted.fetch_add(1, Ordering::Relaxed);
                format!(r#"{{"ok":true,"channel":"C0BENCH","ts":"1800000000.{posted:06}"}}"#)
            }
            _ => r#"{"ok":true}"#.to_owned(),
        })
    }

    async fn converse(&self, mut socket: WebSocketStream<TcpStream>) -> Result<()> {
        let hello = r#"{"type":"hello","num_connections":1,"debug_info":{"host":"bench"}}"#;
        socket.send(Message::Text(hello.into())).await?;
        let (sender, mut envelopes) = mpsc::channel(ENVELOPES);
        self.tell(News::Greeted(sender)).await?;
        let mut batch: Vec<String> = Vec::new();
        loop {
            tokio::select! {
                biased;
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => self.hear(&text).await?,
                    Some(Ok(_control)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
                _taken = envelopes.recv_many(&mut batch, ENVELOPES), if !envelopes.is_closed() => {
                    for envelope in batch.drain(..) {
                        socket.feed(Message::Text(envelope.into())).await?;
                    }
                    socket.flush().await?;
                }
            }
        }
    }

    async fn hear(&self, text: &Utf8Bytes) -> Result<()> {
        #[derive(Deserialize)]
        struct Ack {
            envelope_id: String,
        }
        let ack: Ack = serde_json::from_str(text)?;
        self.tell(News::Acknowledged { envelope: ack.envelope_id, at: self.clock.now() }).await
    }

    async fn tell(&self, news: News) -> Result<()> {
        self.news.send(news).await.ok().context("nobody listens any more")
    }
}
