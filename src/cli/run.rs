//! `hitchline run` and `hitchline simulator`.

use super::arguments::{Run, Simulator};
use super::{Exit, Failure, load_and_check};
use crate::settings::Environment;
use crate::telemetry;

/// Runs the daemon until it is stopped.
pub(super) async fn daemon(arguments: &Run, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = load_and_check(&arguments.flags(), environment)?;
    if !loaded.findings.is_ok() {
        return Err(Failure::from_problems(&loaded.findings.problems));
    }
    telemetry::init(&loaded.settings.log);
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "Configuration read");
    }
    for warning in &loaded.findings.warnings {
        tracing::warn!(key = warning.key, "{warning}");
    }
    let simulator = arguments.simulator.then_some(arguments.simulator_listen);
    start(loaded.settings, simulator).await
}

/// Runs only the Slack-compatible server until it is stopped.
pub(super) async fn simulator(arguments: &Simulator) -> Result<Exit, Failure> {
    let mut log = telemetry::Config::default();
    log.level = arguments.log.log_level.clone().unwrap_or(log.level);
    log.format = arguments.log.log_format.map_or(log.format, Into::into);
    if let Some(problem) = log.problem() {
        return Err(Failure::new(Exit::Usage, format!("--log-level: {problem}")));
    }
    telemetry::init(&log);
    serve(arguments.listen).await
}

/// Where the supervisor is called.
#[expect(clippy::unused_async, reason = "the supervisor is awaited here")]
async fn start(
    _settings: crate::settings::Settings,
    _simulator: Option<std::net::SocketAddr>,
) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Internal, "the daemon is not connected to the command line"))
}

/// Where the simulator is called.
#[expect(clippy::unused_async, reason = "the simulator is awaited here")]
async fn serve(_listen: std::net::SocketAddr) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Internal, "the simulator is not connected to the command line"))
}
