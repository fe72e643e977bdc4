//! `[backends.NAME]` of the configuration.

mod servers;
mod tmux;

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::servers::{Amplifierd, Opencode, Secret};
pub use self::tmux::{CancelKey, Newlines, Tmux, TmuxOnShutdown};
use crate::secret::SecretString;

/// How many sessions share a process unless something else is configured.
const SESSIONS_PER_PROCESS: u32 = 8;

/// One of `[backends.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Config {
    /// The echo backend.
    Echo(Echo),
    /// An agent that speaks ACP.
    Acp(Acp),
    /// Agents behind an amplifierd server.
    Amplifierd(Amplifierd),
    /// Agents behind an opencode server.
    Opencode(Opencode),
    /// An interactive program in a tmux session.
    Tmux(Tmux),
}

/// `kind = "echo"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Echo {}

/// `kind = "acp"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How many sessions may share a process; without it, 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions_per_process: Option<NonZeroU16>,
    /// What happens to its sessions when Hitchline stops.
    pub on_shutdown: OnShutdown,
    /// Whether it gets tools for its own conversation: to post, upload, read, react and ask there.
    pub tools: bool,
    /// How long it may take to start a session, such as 30s; without it, `sessions.create_timeout`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    // Checked by its schema: inside of a table with a tag, a deserializer does not know the key that it reads.
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub create_timeout: Option<Duration>,
}

impl Default for Acp {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            working_dir: None,
            env: BTreeMap::new(),
            env_pass: Vec::new(),
            env_file: None,
            auth_method: None,
            process: Process::default(),
            max_sessions_per_process: None,
            on_shutdown: OnShutdown::default(),
            tools: true,
            create_timeout: None,
        }
    }
}

/// How agents' processes are shared out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// One for each session: a crash hits one conversation, and ending a session ends its process.
    #[default]
    PerSession,
    /// One for several sessions, which takes less memory: a crash ends the turns of all. Only for agents that offer `session/close`.
    Shared,
}

/// What becomes of sessions at our own stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnShutdown {
    /// They are closed; the next message resumes them where the agent can.
    #[default]
    End,
}

impl Acp {
    /// How many sessions a process that is shared may have.
    pub(super) fn places(&self) -> u32 {
        self.max_sessions_per_process.map_or(SESSIONS_PER_PROCESS, |most| u32::from(most.get()))
    }
}

impl Config {
    /// The directory in which its agent works, where one is set.
    pub fn working_dir(&self) -> Option<&Path> {
        match self {
            Self::Echo(Echo {}) => None,
            Self::Acp(acp) => acp.working_dir.as_deref(),
            Self::Amplifierd(server) => server.working_dir.as_deref(),
            Self::Opencode(server) => server.working_dir.as_deref(),
            Self::Tmux(tmux) => tmux.working_dir.as_deref(),
        }
    }

    /// The secret of its server, where its kind has one: its key, the secret, and the file that holds it.
    pub fn secret(&self) -> Option<(&'static str, Option<&Secret>, Option<&PathBuf>)> {
        match self {
            Self::Echo(Echo {}) | Self::Acp(_) | Self::Tmux(_) => None,
            Self::Amplifierd(server) => Some(("api_key", server.api_key.as_ref(), server.api_key_file.as_ref())),
            Self::Opencode(server) => Some(("password", server.password.as_ref(), server.password_file.as_ref())),
        }
    }

    /// Sets the secret of its server, which has been read from its file.
    pub fn set_secret(&mut self, secret: SecretString) {
        match self {
            Self::Echo(Echo {}) | Self::Acp(_) | Self::Tmux(_) => {}
            Self::Amplifierd(server) => server.api_key = Some(secret.into()),
            Self::Opencode(server) => server.password = Some(secret.into()),
        }
    }

    /// How long it may take to start a session, where that is set.
    pub fn create_timeout(&self) -> Option<Duration> {
        match self {
            Self::Echo(Echo {}) => None,
            Self::Acp(acp) => acp.create_timeout,
            Self::Amplifierd(server) => server.create_timeout,
            Self::Opencode(server) => server.create_timeout,
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
        let amplifierd = read("kind = 'amplifierd'\nurl = 'http://a:1'\napi_key = 'k'\nworking_dir = '/w'").unwrap();
        assert_eq!(amplifierd.working_dir(), Some(Path::new("/w")));
        let opencode = read("kind = 'opencode'\npassword = 'p'\nmodel = 'a/b'\ncreate_timeout = '5s'").unwrap();
        assert_eq!(opencode.create_timeout(), Some(Duration::from_secs(5)));
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
        for wrong in [
            "kind = 'echo'\ncommand = []",
            "kind = 'opencode'\napi_key = 'k'",
            "kind = 'acp'\ncommnd = []",
            "kind = 'other'",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_compares_and_is_neither_printed_nor_written() {
        let with = |key: &str| {
            Config::Amplifierd(Amplifierd { api_key: Some(SecretString::from(key).into()), ..Amplifierd::default() })
        };
        assert_eq!(with("secret"), with("secret"));
        assert_ne!(with("secret"), with("other"));
        assert!(!format!("{:?}", with("secret")).contains("secret\""), "{:?}", with("secret"));
        assert!(!toml::to_string(&with("secret")).unwrap().contains("secret"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for timeout in [None, Some(Duration::from_secs(5))] {
            let config = Config::Acp(Acp { create_timeout: timeout, ..Acp::default() });
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }
}
