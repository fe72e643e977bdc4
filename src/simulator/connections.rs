//! The open sockets, and the history of those that were.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Slack's limit of sockets for one app.
pub(super) const MAX_CONNECTIONS: usize = 10;
/// How many connections are remembered; beyond that the oldest closed ones are forgotten.
const MAX_RECORDS: usize = 10_000;
/// Frames that wait for one socket. When it is full, a frame is lost on its way, as on a dead socket: an event comes again by
/// its schedule, anything else is gone.
const QUEUE: usize = 65_536;
/// Orders that wait for one socket. When it is full, the order is dropped: the socket is being ended already.
const ORDERS: usize = 16;

/// The sockets of the one app.
#[derive(Debug, Default)]
pub(super) struct Connections {
    live: Vec<Live>,
    records: VecDeque<Record>,
    next: u64,
    max_live: usize,
}

#[derive(Debug)]
struct Live {
    id: u64,
    greeted: bool,
    frames: mpsc::Sender<Utf8Bytes>,
    orders: mpsc::Sender<Order>,
}

/// What a socket is told to do, besides passing frames on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Send a `disconnect` frame and close some time later.
    Disconnect { reason: &'static str, close_after: Duration },
    /// Send a text as it is.
    Text(String),
    /// Abort the TCP connection now.
    Cut,
    /// Neither send nor answer anything any more, but stay open.
    Silence,
    /// Send no pings any more.
    NoPing,
}

/// A socket's side of the registry.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) id: u64,
    /// How many are open now, this one included.
    pub(super) open: usize,
    pub(super) frames: mpsc::Receiver<Utf8Bytes>,
    pub(super) orders: mpsc::Receiver<Order>,
}

/// What is known of one connection.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Record {
    id: u64,
    opened_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hello_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_reason: Option<&'static str>,
    greeted: bool,
}

impl Connections {
    /// A socket was opened; it gets frames once it is greeted.
    pub(super) fn open(&mut self, now_ms: i64) -> Registered {
        let (frame_sender, frames) = mpsc::channel(QUEUE);
        let (order_sender, orders) = mpsc::channel(ORDERS);
        let id = self.next;
        self.next += 1;
        self.live.push(Live { id, greeted: false, frames: frame_sender, orders: order_sender });
        self.max_live = self.max_live.max(self.live.len());
        if self.records.len() >= MAX_RECORDS {
            self.records.pop_front();
        }
        let (hello_ms, closed_ms, close_reason) = (None, None, None);
        self.records.push_back(Record { id, opened_ms: now_ms, hello_ms, closed_ms, close_reason, greeted: false });
        Registered { id, open: self.live.len(), frames, orders }
    }

    /// `hello` is on its way: from now on the socket gets its share.
    pub(super) fn greet(&mut self, id: u64, now_ms: i64) {
        if let Some(live) = self.live.iter_mut().find(|live| live.id == id) {
            live.greeted = true;
        }
        if let Some(record) = self.record(id) {
            record.hello_ms = Some(now_ms);
            record.greeted = true;
        }
    }

    /// The socket is gone.
    pub(super) fn close(&mut self, id: u64, now_ms: i64, reason: &'static str) {
        self.live.retain(|live| live.id != id);
        if let Some(record) = self.record(id) {
            record.closed_ms = Some(now_ms);
            record.close_reason = Some(reason);
        }
    }

    /// Sends a frame to this greeted socket, or else to one chosen at random as Slack does. `None` when there is none.
    pub(super) fn send(&self, to: Option<u64>, frame: String) -> Option<u64> {
        let to = to.or_else(|| fastrand::choice(self.greeted()))?;
        let chosen = self.live.iter().find(|live| live.id == to && live.greeted)?;
        // Full or closing: the frame is lost on its way, see `QUEUE`.
        let _ = chosen.frames.try_send(frame.into());
        Some(chosen.id)
    }

    /// The sockets that get their share.
    pub(super) fn greeted(&self) -> Vec<u64> {
        self.live.iter().filter(|live| live.greeted).map(|live| live.id).collect()
    }

    /// Whether a frame would find a socket.
    pub(super) fn any_greeted(&self) -> bool {
        self.live.iter().any(|live| live.greeted)
    }

    /// Gives the newest socket an order; `false` when there is none.
    pub(super) fn order_newest(&self, order: Order) -> bool {
        self.live.last().is_some_and(|live| live.orders.try_send(order).is_ok())
    }

    /// Gives one socket an order.
    pub(super) fn order(&self, id: u64, order: Order) {
        if let Some(live) = self.live.iter().find(|live| live.id == id) {
            // Full: see `ORDERS`.
            let _ = live.orders.try_send(order);
        }
    }

    /// Gives every socket an order and says how many there were.
    pub(super) fn order_all(&self, order: &Order) -> usize {
        self.live.iter().filter(|live| live.orders.try_send(order.clone()).is_ok()).count()
    }

    /// How many sockets are open, greeted or not.
    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    /// The most sockets that were ever open at once.
    pub(super) fn max_live(&self) -> usize {
        self.max_live
    }

    /// All remembered connections, oldest first.
    pub(super) fn records(&self) -> Vec<Record> {
        self.records.iter().cloned().collect()
    }

    fn record(&mut self, id: u64) -> Option<&mut Record> {
        self.records.iter_mut().rev().find(|record| record.id == id)
    }
}
