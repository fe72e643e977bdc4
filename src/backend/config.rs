//! `[backends.NAME]` of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of `[backends.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Config {
    /// The echo backend.
    Echo(Echo),
    /// An agent that speaks ACP.
    Acp(Acp),
}

/// `kind = "echo"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Echo {}

/// `kind = "acp"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Acp {
    /// The agent's program and arguments.
    pub command: Vec<String>,
    /// Directory in which it works.
    pub working_dir: Option<PathBuf>,
    /// Variables that it gets.
    pub env: BTreeMap<String, String>,
    /// Names of our own variables that it gets too.
    pub env_pass: Vec<String>,
    /// File of `KEY=value` lines.
    pub env_file: Option<PathBuf>,
    /// For agents that want `authenticate`.
    pub auth_method: Option<String>,
}
