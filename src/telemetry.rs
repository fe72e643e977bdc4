//! Logs: one subscriber, to stderr, set up once.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

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

/// Sends log lines to stderr. A second call in one process changes nothing.
pub fn init(config: &Config) {
    let filter = EnvFilter::builder().parse_lossy(&config.level);
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _already_set = match config.format {
        Format::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
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
