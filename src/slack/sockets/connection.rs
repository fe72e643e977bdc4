//! One connection: reads frames, delivers what they hold, acknowledges what is committed.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::dial::{self, WebSocket};
use super::{News, Report, SocketParts};
use crate::domain::inbound::Inbound;
use crate::domain::ports::{Deliver, NotStored};
use crate::slack::events::{self, Decoded};
use crate::slack::link::{Conn, Loss};
use crate::slack::wire::{self, Frame, Kind};

/// How many deliveries of one connection may wait for their commit. When so many do, nothing more is read: TCP holds the rest back.
const IN_FLIGHT: usize = 256;
/// How long the server may take to take what we write. A peer that is gone stops taking it long before TCP says so.
const STUCK: Duration = Duration::from_secs(10);
/// How long the server may take to answer our goodbye before the connection is dropped.
const CLOSING: Duration = Duration::from_secs(1);

const PING: tungstenite::Bytes = tungstenite::Bytes::from_static(b"hitchline");

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

/// What a connection waits for.
enum Event {
    Order(Option<Order>),
    /// A delivery has come to its end.
    Settled(Option<String>),
    Frame(Option<Result<Message, tungstenite::Error>>),
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
        let mut counted = parts.tally.count(&parts.clock);
        let dialed = tokio::select! {
            biased;
            // An order to close, or a link that is gone: the attempt ends.
            () = closed(&mut orders) => return,
            dialed = dial::dial(&parts.http, &parts.api_url, &parts.app_token, &parts.clock) => dialed,
        };
        match dialed {
            Ok(mut socket) => {
                counted.opened();
                match self.read(&mut socket, &mut orders).await {
                    End::Asked => self.say_goodbye(&mut socket).await,
                    End::Gone(why) => self.report(News::Lost(Loss::Transient, why)).await,
                }
            }
            Err(not_open) => self.report(News::Lost(not_open.loss, not_open.why)).await,
        }
    }

    async fn read(&mut self, socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> End {
        let clock = self.parts.clock.clone();
        loop {
            let event = self.next_event(socket, orders).await;
            match clock.timeout(STUCK, self.on_event(socket, event)).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(_elapsed) => return End::Gone("the server takes nothing any more".to_owned()),
            }
        }
    }

    async fn next_event(&mut self, socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> Event {
        let room = self.deliveries.len() < IN_FLIGHT;
        // Orders are rare and must not wait behind a flood; acknowledgements come before more reading.
        tokio::select! {
            biased;
            order = orders.recv() => Event::Order(order),
            Some(id) = self.deliveries.next(), if !self.deliveries.is_empty() => Event::Settled(id),
            frame = socket.next(), if room => Event::Frame(frame),
        }
    }

    async fn on_event(&mut self, socket: &mut WebSocket, event: Event) -> Option<End> {
        let done = match event {
            Event::Order(Some(Order::Ping)) => socket.send(Message::Ping(PING)).await,
            Event::Order(Some(Order::Close) | None) => return Some(End::Asked),
            Event::Settled(id) => self.acknowledge(socket, id).await,
            Event::Frame(Some(Ok(Message::Close(_)))) => {
                // The answer was queued as it was read. Slack has been seen to leave the line open after that.
                let _gone_already = socket.flush().await;
                return Some(End::Gone("the server said goodbye".to_owned()));
            }
            Event::Frame(Some(Ok(frame))) => self.on_frame(socket, frame).await,
            Event::Frame(Some(Err(error))) => Err(error),
            Event::Frame(None) => return Some(End::Gone("the server closed it".to_owned())),
        };
        done.err().map(|error| End::Gone(error.to_string()))
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
                self.report(News::Greeted(hello)).await;
                Ok(())
            }
            Frame::Disconnect(reason) => {
                self.report(News::Disconnect(reason)).await;
                Ok(())
            }
            Frame::Envelope(envelope) => match events::decode(&envelope, &self.parts.identity) {
                Decoded::Inbound(inbound) => {
                    self.deliver(envelope.id, envelope.kind, *inbound);
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

    fn deliver(&mut self, envelope_id: String, kind: Kind, inbound: Inbound) {
        let kind = match kind {
            Kind::Event => "event",
            Kind::Slash => "slash",
            Kind::Interactive => "interactive",
        };
        metrics::counter!("hitchline_events_received_total", "type" => kind).increment(1);
        let (deliver, clock) = (self.parts.deliver.clone(), self.parts.clock.clone());
        let received = clock.now();
        let delivery = async move {
            let stored = deliver_or_say_why(deliver.as_ref(), inbound).await;
            metrics::histogram!("hitchline_ack_duration_seconds").record(clock.now() - received);
            stored.then_some(envelope_id)
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
            let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            if socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(late)) = socket.next().await {
                    if late.is_close() {
                        return;
                    }
                }
            }
        };
        let _dropped = clock.timeout(CLOSING, goodbye).await;
    }

    async fn report(&mut self, news: News) {
        // A link that is gone has no use for it.
        let _stopped = self.reports.send(Report { conn: self.conn, news }).await;
    }
}

/// Delivers one event. A failure, even a crash, is that event's alone: it is not acknowledged, and Slack delivers it again.
async fn deliver_or_say_why(deliver: &dyn Deliver, inbound: Inbound) -> bool {
    let (user, channel) = (inbound.author.user.clone(), inbound.channel.clone());
    let thread = inbound.conversation().map(|key| key.thread);
    let delivered = AssertUnwindSafe(deliver.deliver(inbound)).catch_unwind().await;
    let (reason, error) = match delivered {
        Ok(Ok(_receipt)) => return true,
        Ok(Err(NotStored(error))) => ("not_stored", error),
        Err(_panic) => ("crash", "its handling crashed".to_owned()),
    };
    tracing::error!(
        user.id = %user, channel.id = %channel, ?thread, error,
        "An event was not stored, so it is not acknowledged; Slack delivers it again"
    );
    metrics::counter!("hitchline_acks_withheld_total", "reason" => reason).increment(1);
    false
}

async fn closed(orders: &mut mpsc::Receiver<Order>) {
    while let Some(Order::Ping) = orders.recv().await {}
}

fn ack(envelope_id: &str) -> Message {
    Message::Text(wire::ack(envelope_id).into())
}
