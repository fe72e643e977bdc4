//! `[backends.NAME]` of the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One of `[backends.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Config {
    /// The echo backend.
    Echo(Echo),
    /// An agent that speaks ACP.
    Acp(Acp),
    /// An interactive program in a tmux session.
    Tmux(Tmux),
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
    /// Whether each session gets a process of its own.
    pub process: Process,
    /// What happens to its sessions when Hitchline stops.
    pub on_shutdown: OnShutdown,
    /// How long it may take to start a session, such as 30s; without it, `sessions.create_timeout`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    // Checked by its schema: inside of a table with a tag, a deserializer does not know the key that it reads.
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub create_timeout: Option<Duration>,
}

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

/// How agents' processes are shared out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// One for each session: a crash hits one conversation, and ending a session ends its process.
    #[default]
    PerSession,
}

/// What becomes of sessions at our own stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnShutdown {
    /// They are closed; the next message resumes them where the agent can.
    #[default]
    End,
}

impl Config {
    /// The directory in which its agent works, where one is set.
    pub fn working_dir(&self) -> Option<&Path> {
        match self {
            Self::Echo(Echo {}) => None,
            Self::Acp(acp) => acp.working_dir.as_deref(),
            Self::Tmux(tmux) => tmux.working_dir.as_deref(),
        }
    }

    /// How long it may take to start a session, where that is set.
    pub fn create_timeout(&self) -> Option<Duration> {
        match self {
            Self::Echo(Echo {}) => None,
            Self::Acp(acp) => acp.create_timeout,
            Self::Tmux(tmux) => tmux.create_timeout,
        }
    }

    /// Makes sure that no session outlives the daemon.
    pub fn end_all_at_shutdown(&mut self) {
        if let Self::Tmux(tmux) = self {
            tmux.on_shutdown = TmuxOnShutdown::End;
        }
    }
}

#[expect(clippy::ref_option, reason = "the shape that serde calls")]
fn write_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => crate::duration::serialize(duration, serializer),
        None => serializer.serialize_none(),
    }
}

fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    crate::duration::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_kind_decides_which_keys_there_are() {
        assert_eq!(read(r#"kind = "echo""#).unwrap(), Config::Echo(Echo {}));
        let acp =
            read("kind = 'acp'\ncommand = ['agent', '--acp']\nworking_dir = '/work'\ncreate_timeout = '2m'").unwrap();
        assert_eq!(acp.working_dir(), Some(Path::new("/work")));
        assert_eq!(acp.create_timeout(), Some(Duration::from_mins(2)));
        let tmux =
            read("kind = 'tmux'\ndone = '> $'\nidle = '3s'\ncancel_key = 'escape'\non_shutdown = 'detach'").unwrap();
        let expected = Tmux {
            done: Some("> $".to_owned()),
            idle: Some(Duration::from_secs(3)),
            cancel_key: CancelKey::Escape,
            on_shutdown: TmuxOnShutdown::Detach,
            ..Tmux::default()
        };
        assert_eq!(tmux, Config::Tmux(expected));
        for wrong in ["kind = 'echo'\ncommand = []", "kind = 'acp'\ncommnd = []", "kind = 'other'", ""] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for timeout in [None, Some(Duration::from_secs(5))] {
            let config = Config::Acp(Acp { create_timeout: timeout, ..Acp::default() });
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
            let config = Config::Tmux(Tmux { idle: timeout, ..Tmux::default() });
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }
}
