//! `[store]` of the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[store]`: where the state lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Store")]
pub struct Config {
    /// The state directory: database, lock, control socket, snapshots. Without it `$STATE_DIRECTORY`, else
    /// `$XDG_STATE_HOME/hitchline`, else `~/.local/state/hitchline`.
    pub dir: PathBuf,
    /// Free space on the disk, such as 100MiB, that is kept for answers and bookkeeping: below it no new message is stored and no snapshot
    /// made, and below two and a half times as much no turn begins.
    #[serde(with = "crate::byte_size")]
    #[schemars(with = "String")]
    pub min_free: u64,
}

impl Default for Config {
    /// The directory depends on the environment: it stays empty until the sources fill it in.
    fn default() -> Self {
        Self { dir: PathBuf::new(), min_free: 100 << 20 }
    }
}
