//! The whole configuration: each room's own part, put together, filled from its sources and checked as one.
//!
//! Reading never stops at the first mistake. Whatever can't be used is reported with its key path and left out, and what remains is
//! checked too, so that a person sees all of it in one run.

pub mod check;
mod layer;
mod paths;
mod secrets;
mod shape;
pub mod show;
pub mod shutdown;
pub mod sources;
mod spelling;
mod typed;
mod variables;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{admin, backend, http_client, session, slack, store, telemetry};

/// The process's environment, read once by `main` and passed in.
pub type Environment = BTreeMap<String, String>;

/// The commented default configuration, which is also the reference of every key.
pub const DEFAULT_FILE: &str = include_str!("../../config/hitchline.toml");

/// The configuration of one daemon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How to reach Slack, and as whom.
    pub slack: slack::config::Config,
    /// Who may prompt, where, and who decides.
    pub access: session::config::Access,
    /// When sessions start, how long they last, and what happens when they are busy.
    pub sessions: session::config::Sessions,
    /// The agents, by a name of your choice in lower case.
    pub backends: BTreeMap<String, backend::config::Config>,
    /// Which backend and directory a channel uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<session::config::Route>,
    /// Where the state lives.
    pub store: store::config::Config,
    /// The listener for probes, metrics, web chat and MCP over TCP.
    pub http: admin::config::Config,
    /// The one HTTP client.
    pub http_client: http_client::Config,
    /// How long an orderly stop may take.
    pub shutdown: shutdown::Config,
    /// How log lines look, and which there are.
    pub log: telemetry::Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slack: slack::config::Config::default(),
            access: session::config::Access::default(),
            sessions: session::config::Sessions::default(),
            backends: [("echo".to_owned(), backend::config::Config::Echo(backend::config::Echo::default()))].into(),
            routes: Vec::new(),
            store: store::config::Config::default(),
            http: admin::config::Config::default(),
            http_client: http_client::Config::default(),
            shutdown: shutdown::Config::default(),
            log: telemetry::Config::default(),
        }
    }
}

impl Settings {
    /// The JSON Schema of the configuration file.
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        let definitions = schema.get_mut("$defs").and_then(serde_json::Value::as_object_mut);
        for (_, definition) in definitions.into_iter().flatten() {
            describe_tags(definition);
        }
        schema
    }
}

/// Describes the tag by which a table chooses among alternatives: no field stands for it, and so it has no comment of its own.
fn describe_tags(definition: &mut serde_json::Value) {
    let options = definition.get_mut("oneOf").and_then(serde_json::Value::as_array_mut);
    let tags = options.into_iter().flatten().filter_map(|option| option.get_mut("properties")?.get_mut("kind"));
    for tag in tags.filter_map(serde_json::Value::as_object_mut) {
        tag.insert("description".to_owned(), "Which kind it is.".into());
    }
}

/// Something to say about one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The key's path, as in `slack.sockets` or `routes[1].channel`.
    pub key: String,
    /// What is wrong with it and what to do, so that it reads on from the key.
    pub sentence: String,
}

impl Problem {
    /// A problem with `key`.
    pub fn new(key: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { key: key.into(), sentence: sentence.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value may have been quoted, and a token may stand where it doesn't belong.
        write!(f, "{}: {}", self.key, crate::secret::redact(&self.sentence))
    }
}

/// Everything there is to say about a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps the daemon from starting, in order of their keys, of which each stands once.
    pub problems: Vec<Problem>,
    /// What a person should know, and the daemon can live with.
    pub warnings: Vec<Problem>,
}

impl Findings {
    /// Whether the daemon may start.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, key: impl Into<String>, sentence: impl Into<String>) {
        let problem = Problem::new(key, sentence);
        // The first to speak of a key knows best: what follows is its consequence.
        if let Err(place) = self.problems.binary_search_by(|known| known.key.cmp(&problem.key)) {
            self.problems.insert(place, problem);
        }
    }

    fn warning(&mut self, key: impl Into<String>, sentence: impl Into<String>) {
        self.warnings.push(Problem::new(key, sentence));
    }
}
