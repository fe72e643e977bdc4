//! Logs and counters: one subscriber, to stderr, and one recorder, each set up once.

mod lines;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

pub use lines::flush;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line, for machines.
    Json,
}

/// `[log]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Log")]
pub struct Config {
    /// `pretty` or `json`.
    pub format: Format,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,hitchline::slack=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Pretty, level: "info".to_owned() }
    }
}

impl Config {
    /// Says what is wrong with the level, if something is.
    pub fn problem(&self) -> Option<String> {
        // To a filter a word that is no level is a target, so that a slip of the pen would silence everything.
        let is_slip = |part: &&str| !part.contains('=') && part.parse::<LevelFilter>().is_err();
        if let Some(word) = self.level.split(',').map(str::trim).find(is_slip) {
            return Some(format!("`{word}` is no log level; write error, warn, info, debug or trace, or target=level"));
        }
        EnvFilter::builder().parse(&self.level).err().map(|error| format!("`{}` is no log filter: {error}", self.level))
    }
}

/// The most that these libraries may say.
const QUIET: [&str; 5] = ["agent_client_protocol=error", "tungstenite=info", "hyper=info", "reqwest=info", "rmcp=warn"];

/// Sends log lines to stderr, without ever waiting for whoever reads them. A second call in one process changes nothing.
pub fn init(config: &Config) {
    // Whatever is asked for: below these levels libraries write what people and agents say.
    let quiet = QUIET.join(",");
    let filter = EnvFilter::builder().parse_lossy(format!("{},{quiet}", config.level));
    // Without a thread there is hardly a process; its words still count.
    let out = lines::to_stderr().map_or_else(|_| BoxMakeWriter::new(std::io::stderr), BoxMakeWriter::new);
    let lines = fmt().with_env_filter(filter).with_writer(out);
    let _already_set = match config.format {
        Format::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// The upper bounds of the acknowledgement time's buckets, in seconds: up to the 3 s after which Slack delivers again.
const ACK_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0];

/// The process's counters and times; cheap to clone.
#[derive(Clone)]
pub struct Counters(PrometheusHandle);

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Counters").finish_non_exhaustive()
    }
}

impl Counters {
    /// Starts to count. In a process that counts already, these stay empty.
    ///
    /// # Errors
    /// When there are no buckets; it means that a constant is wrong.
    pub fn start() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&ACK_BUCKETS)?.build_recorder();
        let counters = Self(recorder.handle());
        let _counts_already = metrics::set_global_recorder(recorder);
        Ok(counters)
    }

    /// All of them, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Puts what was measured since the last call into its buckets. Without this, every time that is measured takes memory until
    /// somebody reads it.
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_no_level() {
        let problem = |level: &str| Config { level: level.to_owned(), ..Config::default() }.problem();
        for good in ["info", "WARN", "off", "info,hitchline::slack=debug", "hitchline=trace, warn"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in ["inof", "loud", "info,hitchline", "hitchline=loud", "a=b=c"] {
            assert!(problem(bad).is_some_and(|text| text.contains(" is no log ")), "{bad}");
        }
    }
}
