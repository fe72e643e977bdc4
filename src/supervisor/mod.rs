//! Builds everything in order, owns it, watches for the reasons to stop, and lets go of it in the reverse order.

mod build;
mod fresh_state;
mod gaps;
mod housekeeping;
mod link;
mod notify;
mod operator_token;
mod policy;
mod runs;
mod safe_mode;
mod shutdown;
mod signals;
mod storage;
mod tools;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::admin::ListenError;
use crate::clock::Clock;
use crate::http_client::BuildError;
use crate::settings::{Settings, shutdown as timing};
use crate::simulator::{self, StartError};
use crate::store::OpenError;
use signals::Signal;

pub use signals::{Signal as StopSignal, Signals};

/// What a daemon is started with.
pub struct Options {
    /// The checked configuration.
    pub settings: Settings,
    /// The built-in Slack, when it is to be used instead of the real one.
    pub simulator: Option<SimulatorOptions>,
    /// Whether to begin with an empty store when it is damaged and there is no good snapshot of it.
    pub fresh_store: bool,
    /// The process's environment; agents get what their configuration passes on.
    pub environment: BTreeMap<String, String>,
    /// Time.
    pub clock: Clock,
    /// Is told each line of stdout when it has become true.
    pub announce: fn(&str),
}

/// How a daemon runs on the built-in Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatorOptions {
    /// Where that listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Whether the state lives in a directory made for this run below `store.dir`, and ends with it.
    pub fresh_state: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("simulator", &self.simulator).finish_non_exhaustive()
    }
}

/// Runs only the built-in Slack, for other people's bots and tests, until a signal comes.
///
/// # Errors
/// When it can't start.
pub async fn run_simulator(config: simulator::Config, announce: fn(&str)) -> Result<(), RunError> {
    let mut signals = Signals::watch()?;
    let simulator = simulator::start(config).await?;
    announce(&format!("simulator: {}", simulator.base_url()));
    announce("ready");
    let signal = signals.next().await;
    tracing::info!(%signal, "Stopping");
    simulator.stop().await;
    Ok(())
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// In order, because a signal asked for it.
    Stopped,
    /// In order, because a core task had crashed.
    Crashed,
    /// At once, at the third signal.
    Aborted(Signal),
}

/// Why a daemon did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store needs a person, or another instance has it.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A row of the store can't be read or written.
    #[error("the store failed at start: {0}")]
    Recovery(#[from] crate::store::StoreError),
    /// The HTTP client can't be built.
    #[error(transparent)]
    HttpClient(#[from] BuildError),
    /// The counters can't be set up.
    #[error("the counters can't start: {0}")]
    Counters(#[from] metrics_exporter_prometheus::BuildError),
    /// The simulator did not start.
    #[error(transparent)]
    Simulator(#[from] StartError),
    /// A listener can't be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A value that should have been found by the check.
    #[error("{0}")]
    Settings(String),
    /// Slack refused a token before the first hello.
    #[error("{key}: Slack refused it ({code}); put a valid token there, then start again")]
    TokenRefused {
        /// The key of the token.
        key: &'static str,
        /// Slack's word for it.
        code: String,
    },
    /// The system gives us no signals.
    #[error("signals can't be watched: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs a daemon until it is stopped.
///
/// # Errors
/// When it can't start; nothing is left running then.
pub async fn run(options: Options) -> Result<Ended, RunError> {
    let mut signals = Signals::watch()?;
    let timing = options.settings.shutdown.clone();
    let clock = options.clock.clone();
    let announce = options.announce;
    let mut daemon = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(%signal, "Stopping before anything has begun");
            return Ok(Ended::Stopped);
        }
        laid = build::Foundation::lay(options) => laid?,
    };
    let crashed = daemon.crashed();
    let built = tokio::select! {
        biased;
        signal = signals.next() => Err(Reason::Signal(signal)),
        () = crashed.cancelled() => Err(Reason::Crash),
        built = daemon.build() => Ok(built),
    };
    let why = match built {
        Err(reason) => reason,
        Ok(Err(error)) => {
            daemon.stop(&shutdown::Pace::hurried(&clock)).await;
            return Err(error);
        }
        Ok(Ok(())) => match daemon.watch(&mut signals, announce).await {
            Ok(reason) => reason,
            Err(error) => {
                daemon.stop(&shutdown::Pace::hurried(&clock)).await;
                return Err(error);
            }
        },
    };
    Ok(stop(&mut daemon, why, &mut signals, &clock, &timing).await)
}

/// Why a daemon stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Signal(Signal),
    Crash,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => signal.fmt(f),
            Self::Crash => f.write_str("crash"),
        }
    }
}

/// Stops in order; a second signal hurries, a third one ends everything at once.
async fn stop(
    daemon: &mut build::Foundation,
    why: Reason,
    signals: &mut Signals,
    clock: &Clock,
    timing: &timing::Config,
) -> Ended {
    tracing::info!(%why, "Stopping");
    notify::stopping();
    let ended = if why == Reason::Crash { Ended::Crashed } else { Ended::Stopped };
    let orderly = shutdown::Pace::orderly(clock, timing);
    tokio::select! {
        biased;
        _second = signals.next() => {}
        () = daemon.stop(&orderly) => return ended,
    }
    tracing::warn!("A second signal: cancelling every turn, and stopping within 2 s");
    let hurried = shutdown::Pace::hurried(clock);
    // Each stage is safe to be left and begun again.
    tokio::select! {
        biased;
        third = signals.next() => {
            tracing::error!("A third signal: ending at once");
            daemon.abort();
            Ended::Aborted(third)
        }
        () = daemon.stop(&hurried) => ended,
    }
}
