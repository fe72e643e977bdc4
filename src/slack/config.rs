//! `[slack]` of the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretString;

/// `[slack]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The bot token (`xoxb-…`).
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub bot_token: Option<SecretString>,
    /// File that holds the bot token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_token_file: Option<PathBuf>,
    /// The app-level token (`xapp-…`).
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub app_token: Option<SecretString>,
    /// File that holds the app-level token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_token_file: Option<PathBuf>,
    /// Base of the Web API.
    pub api_url: String,
    /// How many Socket Mode connections to hold (1 to 4).
    pub sockets: u8,
    /// The slash command in the manifest.
    pub command: String,
    /// How calls are paced.
    pub pacing: Pacing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bot_token: None,
            bot_token_file: None,
            app_token: None,
            app_token_file: None,
            api_url: "https://slack.com/api/".to_owned(),
            sockets: 1,
            command: "/hitch".to_owned(),
            pacing: Pacing::Slack,
        }
    }
}

/// How calls are paced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pacing {
    /// Bursts, then the documented rates.
    #[default]
    Slack,
    /// Only what the server says.
    Off,
}
