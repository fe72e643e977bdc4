//! A server that speaks Slack's protocol on loopback: Web API, Socket Mode, response URLs, a page to chat on, and a control
//! API for tests.
//!
//! Bots written with Slack's own SDKs run against it unmodified. It shares no type with the Slack client of this crate, so that
//! a mistake in one can't hide in the other. Everything it knows lives in memory and goes with it.

mod block_kit;
mod calls;
mod changes;
mod connections;
mod control;
mod core;
mod envelopes;
mod faults;
mod feed;
mod files;
mod ids;
mod link;
mod message;
mod page;
mod personality;
mod request;
mod respond;
mod response_url;
mod server;
mod shapes;
mod tickets;
mod wait;
mod web_api;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use self::core::Core;
pub use self::ids::{APP_TOKEN, BOT_TOKEN};
pub use self::personality::{ClientMsgId, Personality, RedeliversOffline};
use self::server::Tasks;
use crate::clock::Clock;

/// How long a stopping simulator waits for its connections to say goodbye.
const STOP_WAIT: Duration = Duration::from_millis(900);

/// How a simulator behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; loopback only. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long after each delivery an unacknowledged event comes again; its length is the number of repetitions.
    pub redelivery: Vec<Duration>,
    /// How long a stream stays open before it ends by itself.
    pub stream_lifetime: Duration,
    /// Time between two pings on a socket.
    pub ping_every: Duration,
    /// How long a click or a command waits for its acknowledgement.
    pub answer_within: Duration,
    /// Whether the app hears of its own messages, as it does with Slack. Measurements turn it off.
    pub own_events: bool,
    /// What is not known of Slack, as it is here when it starts; the control API can change it.
    pub personality: Personality,
    /// The clock it goes by.
    pub clock: Clock,
}

impl Default for Config {
    /// As Slack does it, on a free port.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            redelivery: vec![Duration::from_secs(3), Duration::from_mins(1), Duration::from_mins(5)],
            stream_lifetime: Duration::from_secs(306),
            ping_every: Duration::from_secs(8),
            answer_within: Duration::from_secs(3),
            own_events: true,
            personality: Personality::default(),
            clock: Clock::system(),
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anybody who can reach it can act as anybody in it.
    #[error("the simulator only listens on loopback, and {0} is not; use 127.0.0.1:{port} or [::1]:{port}", port = .0.port())]
    NotLoopback(SocketAddr),
    /// The address can't be listened on.
    #[error("the simulator can't listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running simulator. Dropping it ends it at once; [`Simulator::stop`] closes its sockets in order first.
#[derive(Debug)]
pub struct Simulator {
    core: Arc<Core>,
    tasks: Tasks,
}

/// Starts a simulator on the current runtime.
///
/// # Errors
/// [`StartError`] when the address is not loopback or can't be listened on.
pub async fn start(config: Config) -> Result<Simulator, StartError> {
    let asked = config.listen;
    if !asked.ip().is_loopback() {
        return Err(StartError::NotLoopback(asked));
    }
    let failed = |source| StartError::Listen { address: asked, source };
    let listener = TcpListener::bind(asked).await.map_err(failed)?;
    let core = Core::new(&config, listener.local_addr().map_err(failed)?);
    let tasks = Tasks::new();
    tasks.spawn(redeliver(Arc::clone(&core)));
    tasks.spawn(keep_house(Arc::clone(&core)));
    tasks.spawn(accept(listener, Arc::clone(&core), tasks.clone()));
    Ok(Simulator { core, tasks })
}

impl Simulator {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.core.address
    }

    /// Its base URL, without a slash at the end. The page is there, the Web API below `/api/`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.core.address)
    }

    /// Stops within a second: sockets get a close frame, whatever is left is cut.
    pub async fn stop(self) {
        self.core.stop.cancel();
        let mut tasks = self.tasks.take();
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        // What has not ended by then is aborted below.
        let _ = tokio::time::timeout(STOP_WAIT, all_ended).await;
        tasks.shutdown().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.core.stop.cancel();
        // The tasks hold the set, and the set the tasks: taking them out aborts them and breaks the circle.
        drop(self.tasks.take());
    }
}

async fn redeliver(core: Arc<Core>) {
    let stop = core.stop.clone();
    stop.run_until_cancelled(core.envelopes.redeliver()).await;
}

async fn keep_house(core: Arc<Core>) {
    let stop = core.stop.clone();
    stop.run_until_cancelled(core.keep_house()).await;
}

async fn accept(listener: TcpListener, core: Arc<Core>, tasks: Tasks) {
    let stop = core.stop.clone();
    stop.run_until_cancelled(server::accept(listener, core, tasks)).await;
}
