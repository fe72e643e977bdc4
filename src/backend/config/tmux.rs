//! Interactive programs in tmux.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{read_duration, write_duration};

/// `kind = "tmux"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tmux {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Directory in which it works.
    pub working_dir: Option<PathBuf>,
    /// Variables that it gets.
    pub env: BTreeMap<String, String>,
    /// Names of our own variables that it gets too.
    pub env_pass: Vec<String>,
    /// File of `KEY=value` lines.
    pub env_file: Option<PathBuf>,
    /// Regular expression that the last line of the screen matches when the program has started; without it, that of `done`.
    pub ready: Option<String>,
    /// Regular expression that the last line of the screen matches at the end of a turn, such as that of a prompt.
    pub done: Option<String>,
    /// How long the screen stands still at the end of a turn; where there is no `done`, 2s.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub idle: Option<Duration>,
    /// What becomes of a prompt's line breaks.
    pub newlines: Newlines,
    /// The key that stops a turn.
    pub cancel_key: CancelKey,
    /// The width of the screen, in characters.
    pub columns: u16,
    /// The height of the screen, in lines.
    pub rows: u16,
    /// What happens to its sessions when Hitchline stops.
    pub on_shutdown: TmuxOnShutdown,
    /// How long it may take to start a session, such as 30s; without it, `sessions.create_timeout`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub create_timeout: Option<Duration>,
}

impl Default for Tmux {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            working_dir: None,
            env: BTreeMap::new(),
            env_pass: Vec::new(),
            env_file: None,
            ready: None,
            done: None,
            idle: None,
            newlines: Newlines::default(),
            cancel_key: CancelKey::default(),
            columns: 200,
            rows: 50,
            on_shutdown: TmuxOnShutdown::default(),
            create_timeout: None,
        }
    }
}

/// What becomes of the line breaks in what is typed into a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Newlines {
    /// They are pasted, for programs that tell pasted text from typed one (bracketed paste).
    #[default]
    Keep,
    /// They become blanks, for programs to which each line is a prompt of its own.
    Space,
}

/// The key that stops what a program in a terminal is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CancelKey {
    /// Ctrl-C, which is SIGINT for most.
    #[default]
    CtrlC,
    /// Escape, with which programs that fill the screen are often stopped.
    Escape,
}

/// What becomes of sessions in tmux at our own stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TmuxOnShutdown {
    /// Their programs are ended; the next message begins anew.
    #[default]
    End,
    /// Their programs run on, and the next start of the daemon takes them up again.
    Detach,
}
