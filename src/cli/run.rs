//! `hitchline run` and `hitchline simulator`.

use super::arguments::{Run, Simulator};
use super::{Exit, Failure, load_and_check, output};
use crate::clock::Clock;
use crate::settings::{Environment, Settings};
use crate::simulator;
use crate::store::OpenError;
use crate::supervisor::{self, Ended, RunError, SimulatorOptions, StopSignal};
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
    let simulator = arguments
        .simulator
        .then_some(SimulatorOptions { listen: arguments.simulator_listen, fresh_state: loaded.fresh_state });
    start(loaded.settings, simulator, arguments.fresh_store, environment).await
}

/// Runs only the Slack-compatible server until it is stopped.
pub(super) async fn simulator(arguments: &Simulator) -> Result<Exit, Failure> {
    let mut log = telemetry::Config::default();
    log.level = arguments.log.log_level.clone().unwrap_or(log.level);
    log.format = arguments.log.log_format.map_or(log.format, Into::into);
    telemetry::init(&log);
    serve(simulator::Config {
        listen: arguments.listen,
        personality: arguments.personality,
        ..simulator::Config::default()
    })
    .await
}

async fn start(
    settings: Settings,
    simulator: Option<SimulatorOptions>,
    fresh_store: bool,
    environment: &Environment,
) -> Result<Exit, Failure> {
    let options = supervisor::Options {
        settings,
        simulator,
        fresh_store,
        environment: environment.clone(),
        clock: Clock::system(),
        announce: output::announce,
    };
    match supervisor::run(options).await {
        Ok(Ended::Stopped) => Ok(Exit::Done),
        Ok(Ended::Crashed) => {
            Err(Failure::new(Exit::Internal, "a part of the daemon crashed, so it stopped; the log says which"))
        }
        Ok(Ended::Aborted(StopSignal::Interrupt)) => Ok(Exit::Interrupted),
        Ok(Ended::Aborted(StopSignal::Terminate)) => Ok(Exit::Terminated),
        Err(error) => Err(Failure::new(exit_for(&error), error.to_string())),
    }
}

/// With which code a daemon that could not start ends.
fn exit_for(error: &RunError) -> Exit {
    match error {
        RunError::Store(OpenError::Locked { .. } | OpenError::Full { .. }) => Exit::Occupied,
        RunError::Store(_)
        | RunError::HttpClient(_)
        | RunError::Listen(_)
        | RunError::Settings(_)
        | RunError::TokenRefused { .. } => Exit::Configuration,
        RunError::Simulator(_) => Exit::Usage,
        RunError::Recovery(_) | RunError::Signals(_) | RunError::Counters(_) => Exit::Internal,
    }
}

async fn serve(config: simulator::Config) -> Result<Exit, Failure> {
    supervisor::run_simulator(config, output::announce)
        .await
        .map_err(|error| Failure::new(exit_for(&error), error.to_string()))?;
    Ok(Exit::Done)
}
