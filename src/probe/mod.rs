//! `hitchline probe`: how a real workspace behaves where Slack's documentation is silent.
//!
//! It posts into a thread of its own, listens as the daemon does, and leaves some of what it hears unacknowledged on purpose: the
//! bot's own messages come back to it as events. It owns one connection and the messages it posts, deletes those at its end however
//! that comes, and never acknowledges what somebody else wrote: nobody would handle it.

mod ears;
mod findings;
mod plan;
mod readings;
mod report;

use std::fmt;

use tokio_util::sync::CancellationToken;
use url::Url;

pub use findings::{Clicks, ClientMsgId, Findings, Lag, Metadata, Offline, Redelivery};
pub use plan::Plan;
pub use report::table;

use crate::clock::Clock;
use crate::domain::ids::{ChannelId, Ts};
use crate::duration::spoken;
use crate::http_client::HttpClient;
use crate::secret::SecretString;
use crate::slack::{Api, ApiError, ApiErrorKind, Entrance, NoConnection, Sample, Trial, config};
use ears::Ears;
use readings::{Readings, Root};

/// What a probe works with.
pub struct Parts {
    /// The borrowed client.
    pub http: HttpClient,
    /// `[slack]` of the configuration, for its pacing.
    pub slack: config::Config,
    /// The Web API's base.
    pub api_url: Url,
    /// The bot token.
    pub bot_token: SecretString,
    /// The app-level token.
    pub app_token: SecretString,
    /// Where it posts; the bot is in it.
    pub channel: ChannelId,
    /// Time.
    pub clock: Clock,
    /// Tells a person how it goes, a sentence at a time.
    pub tell: fn(&str),
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Why a probe found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A token is not taken.
    #[error("Slack refused the bot token ({0}); put a valid one into slack.bot_token")]
    Token(String),
    /// The bot can't write in the channel.
    #[error("{channel}: {code}; name a channel by its id (C…), and invite the bot into it")]
    Channel {
        /// As it was asked for.
        channel: ChannelId,
        /// Slack's word.
        code: String,
    },
    /// No connection came about.
    #[error("no Socket Mode connection: {0}; look at slack.app_token, and whether Socket Mode is on for the app")]
    Connection(#[from] NoConnection),
    /// A call failed for another reason.
    #[error("{0}; try again")]
    Call(ApiError),
    /// A person has stopped it.
    #[error("stopped before everything was found out")]
    Stopped,
}

/// Finds out what it can within its plan. What it posted is deleted at the end, also after `stop`.
///
/// # Errors
/// When it can't post or listen at all, and when it is stopped.
pub async fn run(parts: Parts, plan: &Plan, stop: &CancellationToken) -> Result<Findings, ProbeError> {
    let Parts { http, slack, api_url, bot_token, app_token, channel, clock, tell } = parts;
    // Not `stop`: what was posted must be deleted after that, too.
    let never = CancellationToken::new();
    let api = Api::new(http.clone(), &slack, api_url.clone(), bot_token, clock.clone(), never);
    api.auth_test().await.map_err(|error| refused(error, &channel))?;
    let entrance = Entrance { http, api_url, app_token, clock: clock.clone() };
    let trial = Trial::new(api, channel.clone());
    let name = format!("hitchline-probe-{:08x}", fastrand::u32(..));
    let ears = Ears::open(entrance, &name).await?;
    let probe = Probe { trial: &trial, ears, name, plan, clock, channel, tell };
    let found = stop.run_until_cancelled(Box::pin(probe.find_out())).await.unwrap_or(Err(ProbeError::Stopped));
    tell("deleting what was posted");
    let left = trial.clear().await;
    if left > 0 {
        tell(&format!("{left} message(s) could not be deleted; please delete the thread of the probe"));
    }
    found
}

fn refused(error: ApiError, channel: &ChannelId) -> ProbeError {
    match error.kind {
        ApiErrorKind::Auth => ProbeError::Token(error.code),
        ApiErrorKind::Permanent | ApiErrorKind::PlaceClosed => {
            ProbeError::Channel { channel: channel.clone(), code: error.code }
        }
        _ => ProbeError::Call(error),
    }
}

/// A probe under way.
struct Probe<'a> {
    trial: &'a Trial,
    ears: Ears,
    /// Stands in everything it posts, so that it knows its own.
    name: String,
    plan: &'a Plan,
    clock: Clock,
    channel: ChannelId,
    tell: fn(&str),
}

impl Probe<'_> {
    async fn find_out(mut self) -> Result<Findings, ProbeError> {
        let began = self.clock.now();
        let most = spoken(self.plan.longest());
        (self.tell)(&format!("posting into {}; this takes {most} at most", self.channel));
        let root = self.post(None, &format!("trying this workspace out; deletes everything within {most}")).await?;
        let posted = self.clock.now();
        let kept = self.ears.withhold("kept");
        self.post(Some(&root), &format!("{kept}, an event that is not acknowledged")).await?;
        (self.tell)("reading back what is posted");
        let root_of_thread = Root { ts: root.clone(), posted };
        let readings = readings::take(self.trial, &self.name, &root_of_thread, self.plan, &self.clock);
        let Readings { client_msg_id, lag, metadata } = self.ears.meanwhile(readings).await;
        let clicks = self.clicks(&root).await?;
        (self.tell)("listening for what was not acknowledged");
        self.ears.listen_until(began + self.plan.offline_after, |_| false).await;
        let is_heard = !self.ears.heard(&kept).is_empty();
        if !is_heard {
            (self.tell)("the bot hears none of its own messages, so what that would have told stays unknown");
        }
        let offline = if is_heard { self.offline(&root, &kept).await? } else { Offline::Unheard };
        let redelivery = findings::redelivery(&self.ears.heard(&kept), self.clock.now());
        let reconnects = self.ears.reconnects();
        self.ears.close().await;
        Ok(Findings { redelivery, offline, client_msg_id, lag, metadata, clicks, reconnects })
    }

    /// Posts a button, asks for a press, and does not acknowledge it.
    async fn clicks(&mut self, root: &Ts) -> Result<Clicks, ProbeError> {
        let Some(press_within) = self.plan.press_within else { return Ok(Clicks::Skipped) };
        let press = self.ears.withhold("press");
        let text = format!("{}: please press once; Slack will say that it failed, which is intended", self.name);
        let sample = Sample { text: &text, thread: Some(root), button: Some(&press), ..Sample::default() };
        self.trial.post(&sample).await.map_err(|error| refused(error, &self.channel))?;
        let patience = spoken(press_within);
        (self.tell)(&format!(
            "please press the button in the probe's thread within {patience} (--no-click skips this)"
        ));
        let by = self.clock.now() + press_within;
        let is_pressed = |ears: &Ears| !ears.heard(&press).is_empty();
        if self.ears.listen_until(by, is_pressed).await {
            (self.tell)(&format!("pressed; listening for it to come again for {}", spoken(self.plan.press_watch)));
            let by = self.clock.now() + self.plan.press_watch;
            self.ears.listen_until(by, |ears| ears.heard(&press).len() > 1).await;
        }
        Ok(findings::clicks(&self.ears.heard(&press), self.clock.now()))
    }

    /// Posts while it does not listen, then listens to the end for that and for what it did not acknowledge.
    async fn offline(&mut self, root: &Ts, kept: &str) -> Result<Offline, ProbeError> {
        (self.tell)(&format!("not listening for {}", spoken(self.plan.offline_for)));
        self.ears.close().await;
        let missed = self.ears.mark("missed");
        self.post(Some(root), &format!("{missed}, an event while nobody listens")).await?;
        self.clock.sleep(self.plan.offline_for).await;
        self.ears.reopen().await?;
        let reopened = self.clock.now();
        let first = self.ears.heard(kept).first().map_or(reopened, |arrival| arrival.at);
        let by = (first + self.plan.watch).max(reopened + self.plan.offline_for);
        (self.tell)(&format!("listening for what comes again, for {} at most", spoken(by - reopened)));
        let is_known =
            |ears: &Ears| !ears.heard(&missed).is_empty() && ears.heard(kept).len() > findings::KNOWN_ATTEMPTS;
        self.ears.listen_until(by, is_known).await;
        Ok(findings::offline(&self.ears.heard(&missed), reopened, self.clock.now()))
    }

    async fn post(&self, thread: Option<&Ts>, text: &str) -> Result<Ts, ProbeError> {
        let text = format!("{}: {text}", self.name);
        let posted = self.trial.post(&Sample { text: &text, thread, ..Sample::default() }).await;
        posted.map_err(|error| refused(error, &self.channel))
    }
}
