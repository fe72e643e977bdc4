//! `hitchline probe`.

use tokio_util::sync::CancellationToken;
use url::Url;

use super::arguments::Probe;
use super::{Exit, Failure, load_and_check, output};
use crate::clock::Clock;
use crate::http_client::Owner;
use crate::probe::{self, Findings, Parts, Plan, ProbeError};
use crate::secret::SecretString;
use crate::settings::{Environment, Settings};
use crate::store::Store;
use crate::supervisor::{Signals, StopSignal};

/// What a second signal leaves.
const LEFT: &str = "ended at once; please delete the thread of the probe";

/// Finds out how the workspace behaves, and shows that.
pub(super) async fn probe(arguments: &Probe, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = load_and_check(&arguments.file.flags(), environment)?;
    if !loaded.findings.is_ok() {
        return Err(Failure::from_problems(&loaded.findings.problems));
    }
    // With a daemon beside us neither would hear everything.
    Store::ensure_free(&loaded.settings.store.dir).map_err(|error| {
        let message =
            format!("{error}; stop that daemon while the probe runs, since Slack shares events out among connections");
        Failure::new(Exit::Occupied, message)
    })?;
    let mut client = Owner::build(&loaded.settings.http_client, false)
        .map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?;
    let parts = parts(arguments, &loaded.settings, &client)?;
    let found = find_out(parts, &Plan::within(arguments.watch, !arguments.no_click)).await;
    client.release();
    output::print(&shown(&found?, arguments.json)?)?;
    Ok(Exit::Done)
}

fn parts(arguments: &Probe, settings: &Settings, client: &Owner) -> Result<Parts, Failure> {
    let slack = settings.slack.clone();
    let api_url = Url::parse(&slack.api_url)
        .map_err(|error| Failure::new(Exit::Configuration, format!("slack.api_url: {error}")))?;
    Ok(Parts {
        http: client.lend(),
        api_url,
        bot_token: token(slack.bot_token.as_ref(), "slack.bot_token")?,
        app_token: token(slack.app_token.as_ref(), "slack.app_token")?,
        slack,
        channel: arguments.channel.as_str().into(),
        clock: Clock::system(),
        tell: output::progress,
    })
}

fn token(token: Option<&SecretString>, key: &str) -> Result<SecretString, Failure> {
    token.cloned().ok_or_else(|| Failure::new(Exit::Configuration, format!("{key}: is missing")))
}

/// Runs the probe; after a signal it still deletes what it posted, after a second one it ends at once.
async fn find_out(parts: Parts, plan: &Plan) -> Result<Findings, Failure> {
    let no_signals = |error| Failure::new(Exit::Internal, format!("signals can't be watched: {error}"));
    let mut signals = Signals::watch().map_err(no_signals)?;
    let stop = CancellationToken::new();
    let mut probing = std::pin::pin!(probe::run(parts, plan, &stop));
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                _first if !stop.is_cancelled() => stop.cancel(),
                StopSignal::Interrupt => return Err(Failure::new(Exit::Interrupted, LEFT)),
                StopSignal::Terminate => return Err(Failure::new(Exit::Terminated, LEFT)),
            },
            found = &mut probing => return found.map_err(|error| failure(&error)),
        }
    }
}

fn failure(error: &ProbeError) -> Failure {
    let exit = match error {
        ProbeError::Token(_) | ProbeError::Connection(_) => Exit::Configuration,
        ProbeError::Channel { .. } => Exit::Usage,
        ProbeError::Call(_) | ProbeError::Stopped => Exit::Unhealthy,
    };
    Failure::new(exit, error.to_string())
}

fn shown(findings: &Findings, as_json: bool) -> Result<String, Failure> {
    if !as_json {
        return Ok(probe::table(findings));
    }
    serde_json::to_string_pretty(findings).map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}
