//! The places where the operator is answered: opened before anything is started, served when there is something to tell.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::{Access, Probes, router};
use crate::clock::Clock;
use crate::scope::{OnCrash, Scope};
use crate::secret::SecretString;

/// How long a request may go on after the listeners were closed.
const LEAVE: Duration = Duration::from_millis(500);
/// The control socket's name in the state directory.
pub const CONTROL_SOCKET: &str = "ctl.sock";

/// A surface that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("http.listen: {address} can't be opened: {source}; choose another address, or \"\" to have none")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket can't be made.
    #[error("the control socket {path} can't be opened: {source}")]
    Control {
        /// Where it would be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The control socket and, where it is wanted, the HTTP listener. Whoever connects waits until they are served.
#[derive(Debug)]
pub struct Listeners {
    control: Control,
    http: Http,
}

#[derive(Debug)]
struct Control {
    listener: UnixListener,
    file: SocketFile,
}

/// Goes with its socket.
#[derive(Debug)]
struct SocketFile(PathBuf);

/// The HTTP listener, where one is wanted.
#[derive(Debug)]
pub struct Http(Option<Tcp>);

#[derive(Debug)]
struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

/// What the HTTP listener has besides the probes.
#[derive(Debug, Default)]
pub struct Operator {
    /// What the operator's requests carry; without it they are refused.
    pub token: Option<SecretString>,
    /// Routes of other rooms, which see to it themselves who may use them.
    pub routes: Router,
}

impl Listeners {
    /// Opens the control socket in `dir`, for this user alone, beside the HTTP listener. The caller holds the directory's lock.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(dir: &Path, http: Http) -> Result<Self, ListenError> {
        Ok(Self { control: Control::open(dir)?, http })
    }

    /// The HTTP listener's address, which is another one than the configured for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.http.0.as_ref().map(|http| http.address)
    }

    /// Serves until `close`. Over TCP only the probes answer without the operator's token.
    pub fn serve(self, probes: Probes, operator: Operator, clock: &Clock, scope: &Scope, close: &CancellationToken) {
        let Control { listener, file } = self.control;
        let served = serve(listener, router(probes.clone(), Access::Owner), clock.clone(), close.clone());
        scope.spawn("control socket", OnCrash::Stop, async move {
            served.await;
            drop(file);
        });
        if let Some(Tcp { listener, .. }) = self.http.0 {
            let app = router(probes, Access::Token(operator.token)).merge(operator.routes);
            scope.spawn("http", OnCrash::Stop, serve(listener, app, clock.clone(), close.clone()));
        }
    }
}

impl Control {
    fn open(dir: &Path) -> Result<Self, ListenError> {
        let path = dir.join(CONTROL_SOCKET);
        let failed = |source| ListenError::Control { path: path.clone(), source };
        // We hold the directory's lock, so a socket that lies here belonged to a process that is gone.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let file = SocketFile(path);
        Ok(Self { listener, file })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

impl Http {
    /// Opens it as `config` says. It needs no state directory, and so leaves none behind when the address is taken.
    ///
    /// # Errors
    /// When it can't be opened.
    pub async fn open(config: &Config) -> Result<Self, ListenError> {
        let Some(listen) = config.listen else { return Ok(Self(None)) };
        let failed = |source| ListenError::Tcp { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self(Some(Tcp { listener, address })))
    }
}

/// Whoever is in the middle of a request when it closes has a moment left.
async fn serve<L>(listener: L, app: Router, clock: Clock, close: CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let served = axum::serve(listener, app).with_graceful_shutdown(close.clone().cancelled_owned());
    let too_late = async {
        close.cancelled().await;
        clock.sleep(LEAVE).await;
    };
    tokio::select! {
        served = served.into_future() => {
            if let Err(error) = served {
                tracing::error!(%error, "A listener ended");
            }
        }
        () = too_late => tracing::debug!("A request was cut off by the stop"),
    }
}
