//! The arguments as `clap` reads them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::duration;
use crate::settings::sources::Flags;
use crate::simulator::Personality;
use crate::store::DeadId;
use crate::telemetry::{self, Format};

/// How much of a session's id must be typed.
const LEAST_ID: usize = 4;
/// Any free port of this machine, reachable from this machine only.
const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Ties a Slack thread to an agent session.
#[derive(Debug, Parser)]
#[command(name = "hitchline", version, max_term_width = 100)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What may be asked for.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Run(Run),
    /// Run only the Slack-compatible server, for other bots and for tests
    Simulator(Simulator),
    /// Report every problem of the configuration at once
    Check(Source),
    /// Write the manifest of the Slack app that the configuration needs
    Manifest(Manifest),
    /// Tell by the exit code whether the running daemon is well: 0 or 1
    Healthcheck(Healthcheck),
    /// Tell how the running daemon stands
    Status(Asking),
    /// List, show or end the running daemon's sessions
    Sessions(Sessions),
    /// List how agents' questions were settled
    Audit(Audit),
    /// List, retry or drop what the running daemon has given up
    Dlq(Dlq),
    /// Serve an agent its tools over standard streams, where it does not speak MCP over HTTP
    ///
    /// The daemon tells agents to start this, and in variables where it listens and what to show there.
    #[command(hide = true)]
    McpStdio,
    /// Find out how a real workspace behaves where Slack's documentation is silent
    ///
    /// Posts into a thread of its own and deletes that afterwards. Asks for one press of a button. Stop the daemon before: Slack
    /// gives each event to any one of an app's connections, so that neither would hear everything. What others write meanwhile is
    /// not acknowledged, and Slack keeps trying to deliver it.
    Probe(Probe),
    /// Show the effective configuration, the commented default, or the JSON Schema
    Config(Config),
    /// Write completions for a shell to stdout
    Completions {
        /// The shell to write them for
        shell: Shell,
    },
    /// Write the man page to stdout
    Man,
}

/// The configuration file.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigFile {
    /// Configuration file, instead of looking in the usual places
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// How log lines look, and which there are.
#[derive(Debug, Clone, Args)]
pub(super) struct Log {
    /// Log level or filter: error, warn, info, debug, trace, or `info,hitchline::slack=debug`
    #[arg(long, value_name = "LEVEL", value_parser = log_level)]
    pub(super) log_level: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

fn log_level(text: &str) -> Result<String, String> {
    let log = telemetry::Config { level: text.to_owned(), ..telemetry::Config::default() };
    log.problem().map_or(Ok(log.level), Err)
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address with a port, such as 127.0.0.1:0")
}

fn personality(text: &str) -> serde_json::Result<Personality> {
    serde_json::from_str(text)
}

/// The values of `--log-format`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object a line
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Pretty => Self::Pretty,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Start the built-in Slack server and its page, and connect to that; needs no configuration
    #[arg(long)]
    pub(super) simulator: bool,
    /// Where the built-in server listens; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value_t = FREE_PORT, value_parser = address, requires = "simulator")]
    pub(super) simulator_listen: SocketAddr,
    /// If the store is damaged and no snapshot of it is good, set it aside and begin with an empty one
    #[arg(long)]
    pub(super) fresh_store: bool,
    #[command(flatten)]
    pub(super) log: Log,
}

impl Run {
    /// What of it concerns the settings.
    pub(super) fn flags(&self) -> Flags {
        Flags {
            config: self.file.config.clone(),
            simulator: self.simulator,
            log_level: self.log.log_level.clone(),
            log_format: self.log.log_format.map(Into::into),
        }
    }
}

/// Arguments of `simulator`.
#[derive(Debug, Clone, Args)]
pub(super) struct Simulator {
    /// Where it listens; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value_t = FREE_PORT, value_parser = address)]
    pub(super) listen: SocketAddr,
    /// How it behaves where Slack's documentation is silent, such as `{"history_lag_ms":500}`; `GET /sim/personality` shows all
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true, value_parser = personality)]
    pub(super) personality: Personality,
    #[command(flatten)]
    pub(super) log: Log,
}

/// Arguments of `manifest`.
#[derive(Debug, Clone, Args)]
pub(super) struct Manifest {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(super) format: ManifestFormat,
}

/// The values of `manifest --format`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ManifestFormat {
    /// To paste into Slack's form as JSON
    Json,
    /// To paste into Slack's form as YAML
    Yaml,
    /// An address that opens Slack's form with the manifest in it
    Url,
}

/// Arguments of `healthcheck`.
#[derive(Debug, Clone, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Ask whether it is connected and takes messages, not only whether it lives
    #[arg(long)]
    pub(super) ready: bool,
    /// Ask the daemon that runs with `--simulator`
    #[arg(long)]
    pub(super) simulator: bool,
}

/// Which daemon is asked, and in which form its answer is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct Asking {
    #[command(flatten)]
    pub(super) source: Source,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `sessions`.
#[derive(Debug, Clone, Args)]
pub(super) struct Sessions {
    #[command(subcommand)]
    pub(super) what: SessionsWhat,
}

/// What may be done with sessions.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum SessionsWhat {
    /// The active sessions, last used first
    List(Asking),
    /// One session with all that is known of it
    Show(OneSession),
    /// End a session for good; its conversation is told
    End(OneSession),
}

/// A session of the running daemon.
#[derive(Debug, Clone, Args)]
pub(super) struct OneSession {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID", value_parser = session_id)]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) asking: Asking,
}

fn session_id(text: &str) -> Result<String, &'static str> {
    let plausible = text.len() >= LEAST_ID && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if plausible {
        Ok(text.to_owned())
    } else {
        Err("write at least 4 characters of an id: digits, and the letters a to f")
    }
}

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    pub(super) what: AuditWhat,
}

/// What may be done with the audit.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum AuditWhat {
    /// Who decided what: the last 1000 decisions of 90 days, newest first; of the command only its SHA-256
    List(Asking),
}

/// Arguments of `dlq`.
#[derive(Debug, Clone, Args)]
pub(super) struct Dlq {
    #[command(subcommand)]
    pub(super) what: DlqWhat,
}

/// What may be done with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum DlqWhat {
    /// What was given up, newest first, without what it says
    List(Asking),
    /// Try one once more, as if its author had asked again
    Retry(OneDeadLetter),
    /// Drop one for good
    Drop(OneDeadLetter),
}

/// A dead letter of the running daemon.
#[derive(Debug, Clone, Args)]
pub(super) struct OneDeadLetter {
    /// Its id, such as m12 or o34
    #[arg(value_name = "ID", value_parser = dead_letter_id)]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) asking: Asking,
}

fn dead_letter_id(text: &str) -> Result<String, &'static str> {
    DeadId::parse(text).map(|id| id.to_string()).ok_or("write an id as `dlq list` shows it: m or o, and a number")
}

/// Arguments of `probe`.
#[derive(Debug, Clone, Args)]
pub(super) struct Probe {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Id of the channel to post in (C…); the bot must be in it
    #[arg(long, value_name = "ID")]
    pub(super) channel: String,
    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Ask nobody to press a button
    #[arg(long)]
    pub(super) no_click: bool,
    /// How long to watch for repetitions, and with that how long it takes; less misses the later ones
    #[arg(long, value_name = "DURATION", default_value = "6m 10s", value_parser = watch)]
    pub(super) watch: Duration,
}

/// What `probe --watch` takes: with less than a second nothing can be told, and nobody wants to wait longer than an hour.
fn watch(text: &str) -> Result<Duration, &'static str> {
    let known =
        duration::parse(text).filter(|watch| (Duration::from_secs(1)..=Duration::from_hours(1)).contains(watch));
    known.ok_or("write a duration from 1s to 1h, such as 6m")
}

/// Arguments of `config`.
#[derive(Debug, Clone, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    pub(super) what: ConfigWhat,
}

/// What `config` may show.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum ConfigWhat {
    /// The effective configuration, with secrets hidden
    Show(Source),
    /// The default configuration, with every key explained
    Default,
    /// The JSON Schema of the configuration
    Schema,
}

/// Which configuration, or the daemon of which, is meant.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// As for `run --simulator`: without tokens, and without a file where there is none
    #[arg(long)]
    pub(super) simulator: bool,
}

impl Source {
    /// What of it concerns the settings.
    pub(super) fn flags(&self) -> Flags {
        Flags { simulator: self.simulator, ..self.file.flags() }
    }
}

impl ConfigFile {
    /// What of it concerns the settings.
    pub(super) fn flags(&self) -> Flags {
        Flags { config: self.config.clone(), ..Flags::default() }
    }
}
