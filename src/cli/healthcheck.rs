//! `hitchline healthcheck`: asks the running daemon through its control socket.

use reqwest::Method;

use super::arguments::Healthcheck;
use super::daemon::Daemon;
use super::{Exit, Failure};
use crate::settings::Environment;
use crate::settings::sources::Flags;

/// Ends well when the daemon does.
pub(super) async fn healthcheck(arguments: &Healthcheck, environment: &Environment) -> Result<Exit, Failure> {
    let flags = Flags { simulator: arguments.simulator, ..arguments.file.flags() };
    let probe = if arguments.ready { "readyz" } else { "livez" };
    Daemon::find(&flags, environment)?.ask(Method::GET, probe).await?;
    Ok(Exit::Done)
}
