//! `[sessions]`, `[access]` and `[[routes]]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::access::Rules;

/// `[sessions]`: when a session starts, how long it and its turns may last, and what happens when it is busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct Sessions {
    /// Name of the backend that a conversation uses when no route names another.
    pub backend: String,
    /// Whether a mention or a direct message starts a session by itself; without it only the command `new` does.
    pub auto_session: bool,
    /// Whether a new thread in a channel needs a mention. Inside a session's thread none is needed.
    pub require_mention: bool,
    /// How many sessions one person may have that work or were used within `idle_expiry`; 0 is no limit.
    pub max_per_user: u32,
    /// After how long without use an agent is let go, such as 30m; 0 is never. The next message brings its session back.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub idle_expiry: Duration,
    /// How long a backend may take to start a session, such as 30s.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub create_timeout: Duration,
    /// How long a turn may go without hearing anything from the agent, such as 10m.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub inactivity_timeout: Duration,
    /// How long a turn may take altogether, such as 1h.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub turn_timeout: Duration,
    /// How long an approval waits for an answer, such as 10m; then it is rejected.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub approval_timeout: Duration,
    /// What becomes of a turn that a crash cut off.
    pub on_interrupt: OnInterrupt,
    /// Whether an agent that can't bring its session back, and starts afresh, is told the thread's last messages.
    pub history_on_loss: bool,
    /// Whether an answer ends with a line about what its session has used so far, where the agent says so.
    pub show_usage: bool,
    /// What becomes of a message that arrives during a turn.
    pub when_busy: WhenBusy,
    /// After how many crashes within ten minutes messages are only stored for a while, and no turn begins (safe mode); 0 is never.
    pub safe_mode_after: u32,
    /// How large a file that somebody attaches may be, such as 20MiB; of larger ones the agent is only told.
    #[serde(with = "crate::byte_size")]
    #[schemars(with = "String")]
    pub max_file_size: u64,
    /// How many messages of one conversation may wait; more are refused and their sender is told.
    pub queue_limit: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            backend: "echo".to_owned(),
            auto_session: true,
            require_mention: true,
            max_per_user: 20,
            idle_expiry: Duration::from_mins(30),
            create_timeout: Duration::from_secs(30),
            inactivity_timeout: Duration::from_mins(10),
            turn_timeout: Duration::from_hours(1),
            approval_timeout: Duration::from_mins(10),
            on_interrupt: OnInterrupt::Ask,
            history_on_loss: true,
            show_usage: false,
            when_busy: WhenBusy::Queue,
            safe_mode_after: 5,
            max_file_size: 20 << 20,
            queue_limit: 50,
        }
    }
}

/// What becomes of a turn that a crash cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInterrupt {
    /// Its author is asked, with buttons.
    #[default]
    Ask,
    /// The session is restored and told to go on.
    Resume,
    /// The prompt is sent again.
    Retry,
    /// It is reported as lost.
    Drop,
}

/// What becomes of a message that arrives during a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenBusy {
    /// It waits for the turn to end.
    #[default]
    Queue,
    /// The turn is cancelled in its favour.
    Interrupt,
}

/// `[access]`: who may prompt, where, and who decides. Nobody may until this says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// User ids that may prompt, `team:user` for people of other workspaces, or `*` for everybody of this workspace.
    pub users: Vec<String>,
    /// Channel ids in which they may, or `*`. Direct messages are ruled by `users` alone.
    pub channels: Vec<String>,
    /// User ids that may prompt anywhere and decide for others.
    pub admins: Vec<String>,
    /// Directories that a session may be started in by `--dir`; a backend's and a route's working directory always may.
    pub roots: Vec<PathBuf>,
    /// Bot ids that may prompt.
    pub bots: Vec<String>,
    /// Whether people of other workspaces may prompt in shared channels; with `allow` they must be listed as `team:user`.
    pub external_users: External,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            channels: vec!["*".to_owned()],
            admins: Vec::new(),
            roots: Vec::new(),
            bots: Vec::new(),
            external_users: External::Deny,
        }
    }
}

impl Access {
    /// The rules for the gate.
    pub fn rules(&self) -> Rules {
        Rules {
            users: self.users.clone(),
            channels: self.channels.clone(),
            admins: self.admins.clone(),
            bots: self.bots.clone(),
            external: self.external_users == External::Allow,
        }
    }
}

/// Whether people of other workspaces may prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum External {
    /// Never.
    #[default]
    Deny,
    /// When they are listed by `team:user`.
    Allow,
}

/// One of `[[routes]]`: which backend and directory a channel uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The channel's id.
    pub channel: String,
    /// Name of the backend for its conversations; without it the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Directory in which its agents work; without it the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<PathBuf>,
}
