//! The signals that stop us, as a stream.

use std::fmt;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::{Handle, SignalsInfo};

/// A signal that asks us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// From a person at the terminal.
    Interrupt,
    /// From a service manager.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Watches for them until it is dropped.
pub struct Signals {
    stream: SignalsInfo,
    handle: Handle,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the system gives us no signals.
    pub fn watch() -> std::io::Result<Self> {
        let stream = signal_hook_tokio::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let handle = stream.handle();
        Ok(Self { stream, handle })
    }

    /// The next signal. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        loop {
            match self.stream.next().await {
                Some(SIGINT) => return Signal::Interrupt,
                Some(SIGTERM) => return Signal::Terminate,
                // It would end us by default, in the middle of everything.
                Some(SIGHUP) => tracing::warn!("SIGHUP changes nothing: a changed configuration needs a restart"),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}
