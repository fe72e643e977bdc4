//! One turn's events, in our words.

use std::collections::HashSet;

use serde_json::Value;

use super::parts::{self, Parts};
use super::text_of;
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backend::http::{Condition, Heard, Reader, shown};
use crate::domain::agent::AgentEvent;
use crate::domain::ids::RequestId;

/// Who understands the events of one turn.
///
/// The stream is that of a whole directory. What belongs to the turn is found by the message that holds its prompt: the server gives
/// the id, and each message of the answer names it. So neither another session's events nor the late end of an earlier turn are taken for
/// ours.
#[derive(Debug)]
pub(super) struct Listener {
    /// The session, and those that its agent has started for parts of the work: they ask for permissions, too.
    family: Vec<String>,
    prompt: String,
    /// The id of the message with our prompt.
    asked: Option<String>,
    /// The ids of the messages that answer it.
    answers: HashSet<String>,
    parts: Parts,
    /// The requests for a decision that were handed on.
    requests: HashSet<String>,
    /// What the last error means.
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
    pub(super) fn new(session: String, prompt: String) -> Self {
        Self {
            family: vec![session],
            prompt,
            asked: None,
            answers: HashSet::new(),
            parts: Parts::default(),
            requests: HashSet::new(),
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
            "session.error" => {
                let failure = parts::failure(properties.get("error")?);
                self.failure = Some(failure.clone());
                Some(Heard::Ending(failure))
            }
            "session.idle" if self.asked.is_some() => {
                Some(Heard::Over(self.failure.clone().unwrap_or(Outcome::Completed)))
            }
            "session.deleted" => Some(Heard::Lost(BackendError::Unknown, Condition::Fresh)),
            _ => None,
        }
    }

    /// A message of the answer names the one with our prompt.
    fn learn(&mut self, message: &Value) {
        let is_answer = self.asked.is_some() && text_of(message, "parentID") == self.asked.as_deref();
        if let Some(id) = text_of(message, "id").filter(|_| is_answer) {
            self.answers.insert(id.to_owned());
        }
    }

    fn part(&mut self, part: &Value) -> Option<Heard> {
        let message = text_of(part, "messageID")?;
        if self.answers.contains(message) {
            return self.parts.whole(part, false).map(Heard::Agent);
        }
        let is_prompt = self.asked.is_none() && self.is_prompt(part);
        is_prompt.then(|| {
            self.asked = Some(message.to_owned());
            Heard::Began
        })
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

    /// An event about a decision, of the session or of one that works for it.
    fn decision(&mut self, kind: &str, properties: &Value) -> Option<AgentEvent> {
        let request = match kind {
            "permission.asked" => parts::permission(properties)?,
            "question.asked" => parts::question(properties)?,
            "permission.replied" | "question.replied" | "question.rejected" => {
                let id = text_of(properties, "requestID")?;
                return self
                    .requests
                    .remove(id)
                    .then(|| AgentEvent::PermissionWithdrawn(RequestId::from(id.to_owned())));
            }
            _ => return None,
        };
        let is_new = self.requests.insert(request.id.as_str().to_owned());
        is_new.then_some(AgentEvent::Permission(request))
    }

    fn is_of_family(&self, properties: &Value) -> bool {
        text_of(properties, "sessionID").is_some_and(|id| self.family.iter().any(|known| known == id))
    }

    fn adopt(&mut self, child: &Value) {
        let parent = text_of(child, "parentID").filter(|parent| self.family.iter().any(|known| known == parent));
        if let (Some(_), Some(id)) = (parent, text_of(child, "id")) {
            self.family.push(id.to_owned());
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
                heard.extend(self.parts.whole(part, true).map(Heard::Agent));
            }
        }
        heard
    }

    /// The id of a message, where it holds our prompt.
    fn prompt_in(&self, message: &Value) -> Option<String> {
        let is_prompt = message.get("parts")?.as_array()?.iter().any(|part| self.is_prompt(part));
        let id = text_of(message.get("info")?, "id").filter(|_| is_prompt)?;
        Some(id.to_owned())
    }

    /// How a turn that does not run any more has ended, by the last message of its answer.
    fn ending(&self, messages: &[Value]) -> Heard {
        let is_answer = |info: &&Value| text_of(info, "id").is_some_and(|id| self.answers.contains(id));
        let last = messages.iter().rev().filter_map(|message| message.get("info")).find(is_answer);
        let completed = |info: &Value| info.get("time").and_then(|time| time.get("completed")).is_some();
        match last {
            Some(info) if info.get("error").is_some() => Heard::Over(parts::failure(&info["error"])),
            Some(info) if completed(info) => Heard::Over(Outcome::Completed),
            _ => Heard::Lost(
                BackendError::Transient("the agent stopped before its answer was complete".to_owned()),
                Condition::Spent,
            ),
        }
    }
}

impl Reader for Listener {
    fn read(&mut self, event: &Value) -> Vec<Heard> {
        let (kind, properties) = (text_of(event, "type").unwrap_or_default(), event.get("properties"));
        let properties = properties.unwrap_or(&Value::Null);
        if kind == "session.created" {
            self.adopt(properties.get("info").unwrap_or(&Value::Null));
        }
        if !self.is_of_family(properties) {
            return Vec::new();
        }
        if let Some(event) = self.decision(kind, properties) {
            return vec![Heard::Agent(event)];
        }
        let is_own = text_of(properties, "sessionID") == self.family.first().map(String::as_str);
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
        if !is_running(record.get("status").unwrap_or(&Value::Null)) {
            heard.push(self.ending(list("messages")));
            return heard;
        }
        for request in list("permissions").iter().filter(|request| self.is_of_family(request)).collect::<Vec<_>>() {
            heard.extend(self.decision("permission.asked", request).map(Heard::Agent));
        }
        heard
    }
}

#[cfg(test)]
mod tests;
