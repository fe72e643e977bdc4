//! `[shutdown]` of the configuration. It stands here because the supervisor, which keeps to it, is built from the settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[shutdown]`: how long an orderly stop may take. Keep the service manager's stop time-out above `total`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Shutdown")]
pub struct Config {
    /// How long running turns may go on, such as 5s; then they are cut off and recorded as such.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub turn_grace: Duration,
    /// How long the whole stop may take, such as 9s; what is not done by then is left.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub total: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { turn_grace: Duration::from_secs(5), total: Duration::from_secs(9) }
    }
}
