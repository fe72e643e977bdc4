//! One turn's events, in our words.

use std::collections::HashSet;

use serde_json::Value;

use super::decisions::Decisions;
use super::parts::{self, Parts};
use super::text_of;
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backend::http::{Condition, Heard, Reader, shown};
use crate::domain::agent::AgentEvent;

/// Who understands the events of one turn.
///
/// The stream is that of a whole directory. What belongs to the turn is found by the message that holds its prompt: the server gives
/// the id, and each message of the answer names it, or one that the server wrote itself after it, as it does when it has shortened the
/// session's history. So neither another session's events nor the late end of an earlier turn are taken for ours.
#[derive(Debug)]
pub(super) struct Listener {
    prompt: String,
    /// The id of the last message before our prompt, where it is known.
    before: Option<String>,
    /// The id of the message with our prompt.
    asked: Option<String>,
    /// The ids of the messages that answer it.
    answers: HashSet<String>,
    /// Whether the last of these is complete.
    is_complete: bool,
    parts: Parts,
    decisions: Decisions,
    /// What the last error means, unless the agent went on after it.
    failure: Option<Outcome>,
    /// The last reason why the model is asked again.
    retry: Option<String>,
    is_whole: bool,
}

/// Whether a turn runs, by a session's status.
pub(super) fn is_running(status: &Value) -> bool {
    matches!(text_of(status, "type"), Some("busy" | "retry"))
}

impl Listener {
    pub(super) fn new(session: String, prompt: String, before: Option<String>) -> Self {
        Self {
            prompt,
            before,
            asked: None,
            answers: HashSet::new(),
            is_complete: false,
            parts: Parts::default(),
            decisions: Decisions::new(session),
            failure: None,
            retry: None,
            is_whole: true,
        }
    }

    /// An event that concerns the session itself.
    fn own(&mut self, kind: &str, properties: &Value) -> Option<Heard> {
        match kind {
            "message.updated" => {
                self.learn(properties.get("info")?);
                None
            }
            "message.part.updated" => self.part(properties.get("part")?),
            "message.part.delta" => {
                let of_answer = text_of(properties, "messageID").is_some_and(|id| self.answers.contains(id));
                of_answer.then(|| self.parts.piece(properties)).flatten().map(Heard::Agent)
            }
            "todo.updated" => Some(Heard::Agent(parts::plan(properties))),
            "session.status" => self.status(properties.get("status")?),
            "session.error" => self.error(properties.get("error")?),
            "session.idle" if self.asked.is_some() => Some(self.idle()),
            "session.deleted" => Some(Heard::Lost(BackendError::Unknown, Condition::Fresh)),
            _ => None,
        }
    }

    /// A message of the answer names the one with our prompt, or a later one: the ids of messages are in their order.
    fn learn(&mut self, message: &Value) {
        let follows = |asked: &str| text_of(message, "parentID").is_some_and(|parent| parent >= asked);
        let is_summary = parts::is_set(message, "summary");
        let is_answer = self.asked.as_deref().is_some_and(follows) && !is_summary;
        let Some(id) = text_of(message, "id").filter(|_| is_answer) else { return };
        if self.answers.insert(id.to_owned()) {
            self.failure = None;
        }
        self.is_complete = message.get("time").and_then(|time| time.get("completed")).is_some();
        if let Some(error) = message.get("error") {
            self.failure = Some(parts::failure(error));
        }
    }

    fn part(&mut self, part: &Value) -> Option<Heard> {
        let message = text_of(part, "messageID")?;
        if self.answers.contains(message) {
            return self.parts.whole(part, false).map(Heard::Agent);
        }
        if self.asked.is_some() {
            return (text_of(part, "type") == Some("compaction")).then_some(Heard::Agent(AgentEvent::Compacting));
        }
        (self.is_new(message) && self.is_prompt(part)).then(|| {
            self.asked = Some(message.to_owned());
            Heard::Began
        })
    }

    /// Whether a message came after those that stood there before our prompt: the ids of messages are in their order.
    fn is_new(&self, message: &str) -> bool {
        self.before.as_deref().is_none_or(|before| message > before)
    }

    fn is_prompt(&self, part: &Value) -> bool {
        text_of(part, "type") == Some("text") && text_of(part, "text") == Some(&self.prompt)
    }

    fn status(&mut self, status: &Value) -> Option<Heard> {
        let why = text_of(status, "message").filter(|_| text_of(status, "type") == Some("retry"))?;
        let is_new = self.retry.as_deref() != Some(why);
        self.retry = Some(why.to_owned());
        is_new.then(|| Heard::Agent(AgentEvent::Notice(format!("The agent's model is asked again: {}", shown(why)))))
    }

    fn error(&mut self, error: &Value) -> Option<Heard> {
        let failure = parts::failure(error);
        self.failure = Some(failure.clone());
        (!parts::is_overflow(error)).then_some(Heard::Ending(failure))
    }

    /// Nothing runs any more. Without an answer that may still mean an earlier turn, of which the server says it more than once.
    fn idle(&self) -> Heard {
        match &self.failure {
            Some(failure) => Heard::Over(failure.clone()),
            None if self.is_complete => Heard::Over(Outcome::Completed),
            None => Heard::Unsure,
        }
    }

    /// How a turn has ended that does not run any more, after all that is on record.
    fn ending(&self) -> Heard {
        match self.idle() {
            Heard::Unsure => {
                let why = "the agent stopped before its answer was complete".to_owned();
                Heard::Lost(BackendError::Transient(why), Condition::Spent)
            }
            ending => ending,
        }
    }

    /// What the record has of the answer beyond what was heard.
    fn recorded(&mut self, messages: &[Value]) -> Vec<Heard> {
        if self.asked.is_none() {
            self.asked = messages.iter().rev().find_map(|message| self.prompt_in(message));
        }
        let mut heard = Vec::new();
        for message in messages {
            let Some(info) = message.get("info") else { continue };
            self.learn(info);
            let is_answer = text_of(info, "id").is_some_and(|id| self.answers.contains(id));
            let parts = message.get("parts").and_then(Value::as_array).filter(|_| is_answer);
            for part in parts.into_iter().flatten() {
                self.decisions.learn(part);
                heard.extend(self.parts.whole(part, true).map(Heard::Agent));
            }
        }
        heard
    }

    /// The id of a message, where it holds our prompt.
    fn prompt_in(&self, message: &Value) -> Option<String> {
        let is_prompt = message.get("parts")?.as_array()?.iter().any(|part| self.is_prompt(part));
        let id = text_of(message.get("info")?, "id").filter(|id| is_prompt && self.is_new(id))?;
        Some(id.to_owned())
    }
}

impl Reader for Listener {
    fn read(&mut self, event: &Value) -> Vec<Heard> {
        let (kind, properties) = (text_of(event, "type").unwrap_or_default(), event.get("properties"));
        let properties = properties.unwrap_or(&Value::Null);
        if let Some(event) = self.decisions.read(kind, properties) {
            return vec![Heard::Agent(event)];
        }
        let is_own = self.decisions.is_own(properties);
        is_own.then(|| self.own(kind, properties)).flatten().into_iter().collect()
    }

    fn cut(&mut self) {
        self.parts.cut();
        self.is_whole = false;
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn compare(&mut self, record: &Value, is_over: bool) -> Vec<Heard> {
        let list = |key: &str| record.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut heard = self.recorded(list("messages"));
        if is_over {
            return heard;
        }
        if is_running(record.get("status").unwrap_or(&Value::Null)) {
            let changed = self.decisions.compare(list("permissions"), list("questions"));
            heard.extend(changed.into_iter().map(Heard::Agent));
        } else {
            heard.push(self.ending());
        }
        heard
    }
}

#[cfg(test)]
mod tests;
