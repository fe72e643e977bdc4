//! The I/O of one Socket Mode link: carries out what the `link` decides, and reads its connections.
//!
//! The connection is opened through the one HTTP client: the handshake is an ordinary request whose `101` answer is upgraded, so that
//! proxies, certificates and time-outs are those of everything else.

mod connection;
mod dial;
mod listener;
mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::events::Identity;
use super::link::{Action, Conn, Input, Link, LinkState, Loss};
use super::wire::{Hello, Reason};
use crate::clock::Clock;
use crate::domain::ports::Deliver;
use crate::http_client::HttpClient;
use crate::secret::SecretString;
use connection::{Connection, Order};
use tally::Others;

pub use listener::{Delivery, Entrance, Listener, NoConnection};
pub use tally::Tally;

/// How many reports of connections may wait for the link. When it is full they wait: each connection sends only a handful.
const REPORTS: usize = 64;
/// How many orders may wait for a connection; the link gives one every few seconds. A further ping is not missed.
const ORDERS: usize = 8;
/// How long all connections may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(1_500);

/// What a link works with.
#[derive(Clone)]
pub struct SocketParts {
    /// The borrowed client.
    pub http: HttpClient,
    /// The Web API's base, ending in `/api/`.
    pub api_url: Url,
    /// The app-level token.
    pub app_token: SecretString,
    /// Who we are.
    pub identity: Identity,
    /// Where deliveries go.
    pub deliver: Arc<dyn Deliver>,
    /// The connections of all links of this process; one tally for all of them.
    pub tally: Tally,
    /// Told when connections that look alive may be dead, because the machine slept: they are replaced at once.
    pub woken: watch::Receiver<()>,
    /// Time.
    pub clock: Clock,
    /// The seed of the back-off's jitter.
    pub seed: u64,
}

/// How a link stands, for the supervisor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Connected or not, and why not.
    pub state: LinkState,
    /// Slack's word for an app token that it does not take, while it does not.
    pub auth_refused: Option<String>,
}

impl fmt::Debug for SocketParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketParts").field("api_url", &self.api_url.as_str()).finish_non_exhaustive()
    }
}

/// What a connection tells its link.
#[derive(Debug)]
struct Report {
    conn: Conn,
    news: News,
}

#[derive(Debug)]
enum News {
    Greeted(Hello),
    Disconnect(Reason),
    Lost(Loss, String),
}

/// A connection as its link sees it.
#[derive(Debug)]
struct Handle {
    task: task::Id,
    orders: mpsc::Sender<Order>,
    heard: Arc<Mutex<Instant>>,
    dialed: Instant,
    /// From the greeting on it is a connection; before, an attempt at one.
    greeting: Option<Hello>,
}

impl Handle {
    fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One link and its connections.
struct Socket {
    parts: SocketParts,
    link: Link,
    status: watch::Sender<LinkStatus>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    handles: BTreeMap<Conn, Handle>,
    tasks: JoinSet<()>,
}

/// Keeps a link connected until `close`; then says goodbye on each connection and returns. Until that moment everything that is
/// received is delivered and acknowledged.
pub async fn run(parts: SocketParts, status: watch::Sender<LinkStatus>, close: CancellationToken) {
    let link = Link::new(parts.clock.now(), parts.seed);
    let reports = mpsc::channel(REPORTS);
    let mut woken = parts.woken.clone();
    let mut socket = Socket { parts, link, status, reports, handles: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let timer = socket.link.next_timer();
        let clock = socket.parts.clock.clone();
        tokio::select! {
            biased;
            () = close.cancelled() => break,
            Some(report) = socket.reports.1.recv() => socket.on_report(report),
            Some(Err(crash)) = socket.tasks.join_next() => socket.on_crash(&crash),
            Ok(()) = woken.changed() => socket.on_woken(),
            () = sleep_until(&clock, timer) => socket.on_timer(),
        }
    }
    socket.say_goodbye().await;
}

async fn sleep_until(clock: &Clock, timer: Option<Instant>) {
    match timer {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Socket {
    fn on_timer(&mut self) {
        let now = self.parts.clock.now();
        for (conn, handle) in &self.handles {
            let _nothing_to_do = self.link.on(Input::Heard(*conn, handle.heard()), now);
        }
        self.tell(Input::Timer);
    }

    /// Every connection is replaced as if the server had asked for it.
    fn on_woken(&mut self) {
        let greeted = self.handles.iter().filter(|(_, handle)| handle.greeting.is_some());
        for conn in greeted.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.tell(Input::Disconnect(conn, Reason::Refresh));
        }
    }

    fn on_report(&mut self, Report { conn, news }: Report) {
        match news {
            News::Greeted(hello) => self.on_greeted(conn, hello),
            News::Disconnect(reason) => {
                tracing::info!(connection = conn, ?reason, "Slack asks a connection to leave");
                if reason == Reason::TooMany {
                    tracing::warn!(
                        "Slack has more connections of this app than it allows: ours are closed, and tried again after a pause; stop what \
                         else is connected, or lower slack.sockets"
                    );
                }
                metrics::counter!("hitchline_socket_disconnects_total", "reason" => reason.name()).increment(1);
                self.tell(Input::Disconnect(conn, reason));
            }
            News::Lost(loss, why) => self.on_lost(conn, loss, &why),
        }
    }

    fn on_greeted(&mut self, conn: Conn, hello: Hello) {
        // It may have been given up in the meantime.
        let Some(handle) = self.handles.get_mut(&conn) else { return };
        tracing::info!(
            connection = conn,
            host = hello.host,
            connections = hello.connections,
            "Slack greeted a connection"
        );
        tell_of_others(hello.connections, self.parts.tally.greeted(hello.connections, self.parts.clock.now()));
        metrics::counter!("hitchline_socket_connects_total", "outcome" => "greeted").increment(1);
        handle.greeting = Some(hello);
        self.tell(Input::Greeted(conn));
    }

    fn on_lost(&mut self, conn: Conn, loss: Loss, why: &str) {
        let handle = self.handles.remove(&conn);
        // First, so that the next attempt is known.
        self.tell(Input::Lost(conn, loss));
        let Some(handle) = handle else { return };
        match &handle.greeting {
            Some(hello) => self.log_gone(conn, why, &handle, hello),
            None => self.log_failed(conn, why),
        }
    }

    fn log_gone(&self, conn: Conn, why: &str, handle: &Handle, hello: &Hello) {
        let now = self.parts.clock.now();
        let age = |since: Instant| now.saturating_duration_since(since).as_secs();
        tracing::info!(
            connection = conn,
            why,
            age_s = age(handle.dialed),
            last_frame_s = age(handle.heard()),
            host = hello.host,
            connections = hello.connections,
            "A connection to Slack is gone"
        );
    }

    /// Says that an attempt has ended without a greeting, unless we are stopping, which is no failure.
    fn log_failed(&self, conn: Conn, why: &str) {
        let Some(next) = self.link.next_attempt() else { return };
        let next_attempt_ms = next.saturating_duration_since(self.parts.clock.now()).as_millis();
        tracing::warn!(connection = conn, why, next_attempt_ms, "A connection to Slack could not be opened");
        metrics::counter!("hitchline_socket_connects_total", "outcome" => "failed").increment(1);
    }

    /// A connection's task crashed: for the link it is one that was lost.
    fn on_crash(&mut self, crash: &JoinError) {
        tracing::error!(%crash, "The task of a connection crashed");
        metrics::counter!("hitchline_task_crashes_total", "task" => "connection").increment(1);
        let crashed = self.handles.iter().find(|(_, handle)| handle.task == crash.id()).map(|(conn, _)| *conn);
        if let Some(conn) = crashed {
            self.on_lost(conn, Loss::Transient, "its task crashed");
        }
    }

    fn tell(&mut self, input: Input) {
        let actions = self.link.on(input, self.parts.clock.now());
        for action in actions {
            self.carry_out(action);
        }
        let status = LinkStatus { state: self.link.state(), auth_refused: self.link.refused().map(ToOwned::to_owned) };
        self.status.send_if_modified(|before| {
            let changed = *before != status;
            *before = status;
            changed
        });
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Dial(conn) => self.dial(conn),
            Action::Ping(conn) => self.order(conn, Order::Ping),
            Action::Close(conn) => {
                self.order(conn, Order::Close);
                if let Some(Handle { greeting: None, .. }) = self.handles.remove(&conn) {
                    self.log_failed(conn, "given up before a greeting came");
                }
            }
        }
    }

    fn order(&self, conn: Conn, order: Order) {
        if let Some(handle) = self.handles.get(&conn) {
            // Full means that it does not even take pings: dropping the handle ends it.
            let _stuck = handle.orders.try_send(order);
        }
    }

    fn dial(&mut self, conn: Conn) {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let now = self.parts.clock.now();
        let heard = Arc::new(Mutex::new(now));
        let connection = Connection::new(conn, self.parts.clone(), self.reports.0.clone(), heard.clone());
        let task = self.tasks.spawn(connection.run(inbox)).id();
        self.handles.insert(conn, Handle { task, orders, heard, dialed: now, greeting: None });
    }

    async fn say_goodbye(&mut self) {
        self.tell(Input::Finish);
        let clock = self.parts.clock.clone();
        let all_gone = async {
            loop {
                tokio::select! {
                    // They may still have something to report; nobody needs it.
                    Some(_late) = self.reports.1.recv() => {}
                    ended = self.tasks.join_next() => if ended.is_none() { return },
                }
            }
        };
        let _too_slow = clock.timeout(GOODBYE, all_gone).await;
        self.tasks.abort_all();
    }
}

/// Somebody else may hold connections of the same app, and then gets a share of the messages.
fn tell_of_others(connections: u32, others: Others) {
    match others {
        Others::AsBefore => {}
        Others::Appeared { ours } => tracing::warn!(
            connections,
            ours,
            "Slack counts more connections of this app than ours: another process gets a share of the messages; stop it, or give it \
             an app of its own"
        ),
        Others::Gone => tracing::info!(connections, "All connections of this app are ours again"),
    }
}
