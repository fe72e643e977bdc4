//! One connection: reads frames, delivers what they hold, acknowledges what is committed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::dial::{self, WebSocket};
use super::{News, Report, SocketParts};
use crate::domain::inbound::Inbound;
use crate::slack::events::{self, Decoded};
use crate::slack::link::{Conn, Loss};
use crate::slack::wire::{self, Frame};

/// How many deliveries of one connection may wait for their commit. When so many do, nothing more is read: TCP holds the rest back.
const IN_FLIGHT: usize = 256;
/// How long the server may take to answer our goodbye before the connection is dropped.
const CLOSING: Duration = Duration::from_secs(1);

/// What the link wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ping,
    Close,
}

/// A delivery under way; yields the envelope's id when it may be acknowledged.
type Delivery = BoxFuture<'static, Option<String>>;

/// A connection from its dialing to its end.
pub(super) struct Connection {
    conn: Conn,
    parts: SocketParts,
    reports: mpsc::Sender<Report>,
    heard: Arc<Mutex<Instant>>,
    deliveries: FuturesUnordered<Delivery>,
}

/// Why the reading of a connection ended.
enum End {
    /// The link asked for it.
    Asked,
    /// It is gone, for the given reason.
    Gone(String),
}

impl Connection {
    pub(super) fn new(
        conn: Conn,
        parts: SocketParts,
        reports: mpsc::Sender<Report>,
        heard: Arc<Mutex<Instant>>,
    ) -> Self {
        Self { conn, parts, reports, heard, deliveries: FuturesUnordered::new() }
    }

    /// Dials, reads to the end, and reports how it ended.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let parts = self.parts.clone();
        let dialed = tokio::select! {
            biased;
            // An order to close, or a link that is gone: the attempt ends.
            () = closed(&mut orders) => return,
            dialed = dial::dial(&parts) => dialed,
        };
        match dialed {
            Ok(mut socket) => match self.read(&mut socket, &mut orders).await {
                End::Asked => self.say_goodbye(&mut socket).await,
                End::Gone(why) => self.report(News::Lost(Loss::Transient, why)).await,
            },
            Err(not_open) => {
                tracing::warn!(connection = self.conn, why = not_open.why, "A connection to Slack could not be opened");
                metrics::counter!("hitchline_socket_connects_total", "outcome" => "failed").increment(1);
                self.report(News::Lost(not_open.loss, not_open.why)).await;
            }
        }
    }

    async fn read(&mut self, socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> End {
        loop {
            let room = self.deliveries.len() < IN_FLIGHT;
            // Orders are rare and must not wait behind a flood; acknowledgements come before more reading.
            let step = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Ping) => socket.send(Message::Ping(tungstenite::Bytes::from_static(b"hitchline"))).await,
                    Some(Order::Close) | None => return End::Asked,
                },
                Some(done) = self.deliveries.next(), if !self.deliveries.is_empty() => self.acknowledge(socket, done).await,
                frame = socket.next(), if room => match frame {
                    Some(Ok(frame)) => self.on_frame(socket, frame).await,
                    Some(Err(error)) => Err(error),
                    None => return End::Gone("the server closed it".to_owned()),
                },
            };
            if let Err(error) = step {
                return End::Gone(error.to_string());
            }
        }
    }

    /// Acknowledges `first` and everything else that is ready, and flushes once.
    async fn acknowledge(&mut self, socket: &mut WebSocket, first: Option<String>) -> Result<(), tungstenite::Error> {
        let mut ready = Some(first);
        while let Some(done) = ready {
            if let Some(id) = done {
                socket.feed(ack(&id)).await?;
            }
            ready = self.deliveries.next().now_or_never().flatten();
        }
        socket.flush().await
    }

    async fn on_frame(&mut self, socket: &mut WebSocket, frame: Message) -> Result<(), tungstenite::Error> {
        *self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.parts.clock.now();
        match frame {
            Message::Text(text) => self.on_text(socket, &text).await,
            // The answer to a ping was queued as it was read; nothing else would send it on a quiet connection.
            Message::Ping(_) => socket.flush().await,
            Message::Binary(_) => {
                metrics::counter!("hitchline_events_ignored_total", "reason" => "binary").increment(1);
                Ok(())
            }
            Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn on_text(&mut self, socket: &mut WebSocket, text: &Utf8Bytes) -> Result<(), tungstenite::Error> {
        match wire::read(text) {
            Frame::Hello(hello) => {
                metrics::counter!("hitchline_socket_connects_total", "outcome" => "greeted").increment(1);
                self.report(News::Greeted { connections: hello.connections, host: hello.host }).await;
                Ok(())
            }
            Frame::Disconnect(reason) => {
                self.report(News::Disconnect(reason)).await;
                Ok(())
            }
            Frame::Envelope(envelope) => match events::decode(&envelope, &self.parts.identity) {
                Decoded::Inbound(inbound) => {
                    self.deliver(envelope.id, *inbound);
                    Ok(())
                }
                Decoded::Ignored(reason) => {
                    metrics::counter!("hitchline_events_ignored_total", "reason" => reason).increment(1);
                    socket.send(ack(&envelope.id)).await
                }
            },
            Frame::Odd(id, what) => {
                tracing::warn!(connection = self.conn, what, bytes = text.len(), "An odd frame was passed over");
                metrics::counter!("hitchline_events_ignored_total", "reason" => what).increment(1);
                match id {
                    Some(id) => socket.send(ack(&id)).await,
                    None => Ok(()),
                }
            }
        }
    }

    fn deliver(&mut self, envelope_id: String, inbound: Inbound) {
        let deliver = self.parts.deliver.clone();
        let delivery = async move {
            let (user, channel) = (inbound.author.user.clone(), inbound.channel.clone());
            let thread = inbound.conversation().map(|key| key.thread);
            match deliver.deliver(inbound).await {
                Ok(_receipt) => Some(envelope_id),
                Err(error) => {
                    tracing::error!(
                        user.id = %user, channel.id = %channel, thread = ?thread, %error,
                        "An event was not stored, so it is not acknowledged; Slack delivers it again"
                    );
                    metrics::counter!("hitchline_acks_withheld_total").increment(1);
                    None
                }
            }
        };
        self.deliveries.push(delivery.boxed());
    }

    /// Acknowledges what is still being committed, then closes: the server answers, or it is dropped.
    async fn say_goodbye(&mut self, socket: &mut WebSocket) {
        let clock = self.parts.clock.clone();
        let goodbye = async {
            while let Some(done) = self.deliveries.next().await {
                if self.acknowledge(socket, done).await.is_err() {
                    return;
                }
            }
            if socket.close(None).await.is_ok() {
                while let Some(Ok(_late)) = socket.next().await {}
            }
        };
        let _dropped = clock.timeout(CLOSING, goodbye).await;
    }

    async fn report(&mut self, news: News) {
        // A link that is gone has no use for it.
        let _stopped = self.reports.send(Report { conn: self.conn, news }).await;
    }
}

async fn closed(orders: &mut mpsc::Receiver<Order>) {
    while let Some(Order::Ping) = orders.recv().await {}
}

fn ack(envelope_id: &str) -> Message {
    Message::Text(wire::ack(envelope_id).into())
}
