//! What is peculiar to single agents: data, so that nothing else needs to know an agent by its name.
//!
//! A row is here only when the protocol's own words (capabilities, error codes, options) can't tell it, and each was seen in the agent.
//! Not here, because it makes no difference to us: agents differ in what a cancellation does to prompts that wait in them, and none ever
//! waits there; agents without `session/close` don't offer it, and end with their process; what `session/load` repeats is said before its
//! answer, when no turn listens.

use std::collections::BTreeMap;

use serde_json::Value;

use super::classify::shown;
use super::convert::text_of;
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::domain::agent::AgentEvent;

/// From how many bytes on nothing is added to an error that came as if it were the answer. Less is shown of it.
const LONGEST_ERROR: usize = 4 * 1024;

/// What is peculiar to an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quirks {
    /// What it may call itself in `initialize`.
    names: &'static [&'static str],
    /// The last parts of the programs and packages that start it.
    programs: &'static [&'static str],
    /// How it is signed in with a key.
    pub(super) sign_in: Option<SignIn>,
    /// Variables that it gets unless others are configured.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Where in an update it announces that the model failed, before it says so as if that were its answer.
    error_at: Option<&'static str>,
    /// How a text begins that is no part of its answer, although it comes as one.
    aside: Option<&'static str>,
}

/// How an agent is signed in with a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignIn {
    /// The id of its way to sign in.
    pub(super) method: &'static str,
    /// The variables of which one holds the key.
    keys: &'static [&'static str],
    /// Whether it wants `authenticate` even when it has its key.
    pub(super) asks_always: bool,
}

/// An agent of which nothing peculiar is known.
pub(super) static NONE: Quirks = PLAIN;

/// What the rows below begin with: a constant, since a static can't take from another.
const PLAIN: Quirks =
    Quirks { names: &[], programs: &[], sign_in: None, environment: &[], error_at: None, aside: None };

/// The agents of which something is. Seen in gemini-cli 0.61.0, qwen-code 0.24.4 and codex-acp 2.6.0.
static KNOWN: [Quirks; 3] = [
    Quirks {
        names: &["gemini-cli"],
        programs: &["gemini", "gemini-cli"],
        // -32000 on `session/new` without `authenticate`, also with the key in its environment.
        sign_in: Some(SignIn { method: "gemini-api-key", keys: &["GEMINI_API_KEY"], asks_always: true }),
        // In a directory that it does not trust it drops the tool servers that it is given, without a word.
        environment: &[("GEMINI_CLI_TRUST_WORKSPACE", "true")],
        ..PLAIN
    },
    Quirks {
        names: &["qwen-code"],
        programs: &["qwen", "qwen-code"],
        // As its ancestor above.
        sign_in: Some(SignIn { method: "openai", keys: &["OPENAI_API_KEY"], asks_always: true }),
        ..PLAIN
    },
    Quirks {
        names: &["@agentclientprotocol/codex-acp"],
        programs: &["codex-acp"],
        // It looks for a key only when it is asked to sign in, and then passes over a provider that is set in its own configuration.
        sign_in: Some(SignIn { method: "api-key", keys: &["CODEX_API_KEY", "OPENAI_API_KEY"], asks_always: false }),
        // After 30 s of retries it ends the turn as completed, with the error as its text.
        error_at: Some("/_meta/codex/error"),
        // "Warning: Model metadata for `…` not found." before each answer.
        aside: Some("Warning: "),
        ..PLAIN
    },
];

impl SignIn {
    /// Whether an agent with these variables has its key.
    pub(super) fn has_key(&self, env: &BTreeMap<String, String>) -> bool {
        self.keys.iter().any(|key| env.get(*key).is_some_and(|key| !key.is_empty()))
    }
}

impl Quirks {
    /// Those of the agent that is started by `command`.
    pub(super) fn of_command(command: &[String]) -> &'static Self {
        let programs = command.iter().filter(|word| !word.starts_with('-')).map(|word| program(word));
        programs
            .flat_map(|program| KNOWN.iter().filter(move |row| row.programs.contains(&program)))
            .next()
            .unwrap_or(&NONE)
    }

    /// Those of the agent that gave this answer to `initialize`, or else of the one that is started by `command`.
    pub(super) fn of_agent(answer: &Value, command: &[String]) -> &'static Self {
        let name = answer.get("agentInfo").and_then(|info| text_of(info, "name"));
        let named = name.and_then(|name| KNOWN.iter().find(|row| row.names.contains(&name)));
        named.unwrap_or_else(|| Self::of_command(command))
    }

    /// A way to sign in, with the variables that it takes its key from.
    pub(super) fn way(&self, method: &str) -> String {
        match &self.sign_in {
            Some(sign_in) if sign_in.method == method => {
                format!("{method} (with its key in the variable {})", sign_in.keys.join(" or "))
            }
            _ => method.to_owned(),
        }
    }

    /// Whether an update announces that the model failed.
    pub(super) fn announces_error(&self, update: &Value) -> bool {
        self.error_at.and_then(|at| update.pointer(at)).is_some_and(|error| !error.is_null())
    }

    /// Whether a text is no part of the answer. Only one without an id of a message can be that.
    pub(super) fn is_aside(&self, message: Option<&str>, text: &str) -> bool {
        message.is_none() && self.aside.is_some_and(|aside| text.starts_with(aside))
    }
}

/// How the updates of one turn are to be read, beyond what they say of themselves.
#[derive(Debug)]
pub(super) struct Reading {
    quirks: &'static Quirks,
    /// Whether an error was announced, and nothing of an answer came since.
    failing: bool,
    /// The error that came as if it were the answer.
    error: String,
}

impl Reading {
    pub(super) fn new(quirks: &'static Quirks) -> Self {
        Self { quirks, failing: false, error: String::new() }
    }

    /// What an update, that seems to mean `event`, really means.
    pub(super) fn read(&mut self, update: &Value, event: Option<AgentEvent>) -> Option<AgentEvent> {
        self.failing |= self.quirks.announces_error(update);
        match event? {
            AgentEvent::Text { message: None, delta } if self.failing => {
                if self.error.len() < LONGEST_ERROR {
                    self.error.push_str(&delta);
                }
                None
            }
            AgentEvent::Text { message, delta } if self.quirks.is_aside(message.as_deref(), &delta) => {
                Some(AgentEvent::Notice(delta.trim().to_owned()))
            }
            event => {
                if matches!(event, AgentEvent::Text { .. } | AgentEvent::Tool(_)) {
                    self.failing = false;
                    self.error.clear();
                }
                Some(event)
            }
        }
    }

    /// How a turn, that seems to have ended so, really ended.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        if outcome != Outcome::Completed || self.error.is_empty() {
            return outcome;
        }
        Outcome::Failed(BackendError::Transient(format!("the agent failed: {}", shown(self.error.trim()))))
    }
}

/// What a word of a command names: the last part of its path, without a version.
fn program(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn method(quirks: &Quirks) -> Option<&str> {
        quirks.sign_in.as_ref().map(|sign_in| sign_in.method)
    }

    #[test]
    fn an_agent_is_known_by_what_starts_it() {
        let cases = [
            ("gemini --acp", Some("gemini-api-key")),
            ("/opt/bin/gemini --acp", Some("gemini-api-key")),
            ("npx -y @google/gemini-cli@0.61.0 --acp", Some("gemini-api-key")),
            ("qwen --acp", Some("openai")),
            ("codex-acp", Some("api-key")),
            ("claude-agent-acp", None),
            ("my-agent --gemini", None),
            ("", None),
        ];
        for (command, expected) in cases {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(method(Quirks::of_command(&command)), expected, "{command:?}");
        }
    }

    #[test]
    fn what_an_agent_says_of_itself_comes_first() {
        let command = ["gemini".to_owned()];
        let codex = json!({"agentInfo": {"name": "@agentclientprotocol/codex-acp"}});
        assert_eq!(method(Quirks::of_agent(&codex, &command)), Some("api-key"));
        for silent in [json!({"agentInfo": {"name": "of tomorrow"}}), json!({"agentInfo": 7}), json!({})] {
            assert_eq!(method(Quirks::of_agent(&silent, &command)), Some("gemini-api-key"));
        }
    }

    #[test]
    fn an_error_that_was_announced_and_came_as_the_answer_is_the_end_of_the_turn() {
        let codex = Quirks::of_command(&["codex-acp".to_owned()]);
        let announced = json!({"_meta": {"codex": {"error": {"message": "stream disconnected", "willRetry": true}}}});
        let text = |message: Option<&str>| {
            Some(AgentEvent::Text { message: message.map(str::to_owned), delta: "HTTP 500, Bearer abc\n\n".to_owned() })
        };
        let mut reading = Reading::new(codex);
        assert_eq!(reading.read(&Value::Null, text(None)), text(None), "nothing was announced");
        assert_eq!(reading.read(&announced, None), None);
        assert_eq!(reading.read(&Value::Null, text(None)), None);
        assert_eq!(reading.outcome(Outcome::Cancelled), Outcome::Cancelled);
        let failed = BackendError::Transient("the agent failed: HTTP 500, Bearer …".to_owned());
        assert_eq!(reading.outcome(Outcome::Completed), Outcome::Failed(failed));
        // A later try succeeded.
        assert_eq!(reading.read(&Value::Null, text(Some("m1"))), text(Some("m1")));
        assert_eq!(reading.outcome(Outcome::Completed), Outcome::Completed);
        let warning = AgentEvent::Text { message: None, delta: "Warning: old\n\n".to_owned() };
        let aside = AgentEvent::Notice("Warning: old".to_owned());
        assert_eq!(Reading::new(codex).read(&Value::Null, Some(warning.clone())), Some(aside));
        assert_eq!(Reading::new(&NONE).read(&announced, Some(warning.clone())), Some(warning));
    }

    #[test]
    fn only_an_agent_that_is_known_for_it_has_errors_and_asides_among_its_texts() {
        let update = json!({"sessionUpdate": "session_info_update", "_meta": {"codex": {"error": {"message": "500"}}}});
        let codex = Quirks::of_command(&["codex-acp".to_owned()]);
        assert!(codex.announces_error(&update) && !NONE.announces_error(&update));
        assert!(!codex.announces_error(&json!({"_meta": {"codex": {"threadStatus": {"type": "idle"}}}})));
        assert!(codex.is_aside(None, "Warning: x") && !codex.is_aside(Some("m1"), "Warning: x"));
        assert!(!codex.is_aside(None, "A Warning: x") && !NONE.is_aside(None, "Warning: x"));
    }
}
