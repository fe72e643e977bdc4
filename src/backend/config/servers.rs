//! Agents behind a server of their own.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{read_duration, write_duration};
use crate::secret::{ExposeSecret, SecretString, is_same};

/// `kind = "amplifierd"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Amplifierd {
    /// Where its server listens.
    pub url: String,
    /// The server's API key; a server on this machine asks for none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub api_key: Option<Secret>,
    /// File that holds the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// The bundle that a session is made of; without it the server's own default.
    pub bundle: Option<String>,
    /// Directory in which the agent works: one that the server's machine has, too.
    pub working_dir: Option<PathBuf>,
    /// How long it may take to start a session, such as 30s; without it, `sessions.create_timeout`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub create_timeout: Option<Duration>,
}

impl Default for Amplifierd {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8410".to_owned(),
            api_key: None,
            api_key_file: None,
            bundle: None,
            working_dir: None,
            create_timeout: None,
        }
    }
}

/// `kind = "opencode"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Opencode {
    /// Where its server (`opencode serve`) listens.
    pub url: String,
    /// The user name that the server wants.
    pub username: String,
    /// The server's password; without it no user name is sent either.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,
    /// File that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The model, as `provider/model`; without it the server's own default.
    pub model: Option<String>,
    /// Directory in which the agent works: one that the server's machine has, too.
    pub working_dir: Option<PathBuf>,
    /// How long it may take to start a session, such as 30s; without it, `sessions.create_timeout`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("x-duration" = true))]
    pub create_timeout: Option<Duration>,
}

impl Default for Opencode {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:4096".to_owned(),
            username: "opencode".to_owned(),
            password: None,
            password_file: None,
            model: None,
            working_dir: None,
            create_timeout: None,
        }
    }
}

/// A secret that can be compared, as the rest of a backend's configuration can.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret, to be sent.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<SecretString> for Secret {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, other.expose())
    }
}

impl Eq for Secret {}
