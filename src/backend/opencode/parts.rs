//! The parts of an answer, and the questions during it, in our words.

use std::collections::HashMap;

use serde_json::Value;

use super::text_of;
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backend::http::shown;
use crate::domain::agent::{
    AgentEvent, OptionKind, PermissionOption, PermissionRequest, PlanEntry, Progress, ToolCall,
};
use crate::domain::ids::RequestId;

/// The option that means no.
pub(super) const REJECT: &str = "reject";
/// The most characters of what "always" is about that stand on its button; of more than that people don't decide there.
const LONGEST_RULE: usize = 60;
/// How the ids of a question's choices begin; the agent's word for the choice follows.
const ANSWER: &str = "answer:";
/// The option that leaves a question unanswered.
const DECLINE: &str = "decline";
/// The name of the error that [`is_overflow`] speaks of.
const OVERFLOW: &str = "ContextOverflowError";

/// How much of each part was handed on. A part is told in pieces and, at its beginning and its end, as a whole.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<String, Part>);

#[derive(Debug)]
struct Part {
    is_thought: bool,
    /// Bytes that were handed on.
    told: usize,
    /// Whether the next piece follows on what was handed on. After a gap that is not known before the part is told as a whole.
    is_joined: bool,
}

impl Parts {
    /// Pieces may be missing from now on.
    pub(super) fn cut(&mut self) {
        self.0.values_mut().for_each(|part| part.is_joined = false);
    }

    /// A part as a whole, as far as it is; `is_recorded` when the server's record tells it, which knows no pieces.
    pub(super) fn whole(&mut self, part: &Value, is_recorded: bool) -> Option<AgentEvent> {
        let id = text_of(part, "id")?;
        let is_thought = match text_of(part, "type")? {
            "text" => false,
            "reasoning" => true,
            "tool" => return tool(part).map(AgentEvent::Tool),
            _ => return None,
        };
        if is_set(part, "synthetic") || is_set(part, "ignored") {
            return None;
        }
        let text = text_of(part, "text")?;
        let known = self.0.entry(id.to_owned()).or_insert(Part { is_thought, told: 0, is_joined: true });
        // A part that began while the record was read, and is in it already, is told again from its beginning.
        known.is_joined = !is_recorded && text.len() >= known.told;
        let rest = text.get(known.told..).unwrap_or_default().to_owned();
        known.told = known.told.max(text.len());
        event(id, is_thought, rest)
    }

    /// A piece of a part.
    pub(super) fn piece(&mut self, properties: &Value) -> Option<AgentEvent> {
        let (id, piece) = (text_of(properties, "partID")?, text_of(properties, "delta")?);
        let part = self.0.get_mut(id).filter(|part| part.is_joined && text_of(properties, "field") == Some("text"))?;
        part.told += piece.len();
        event(id, part.is_thought, piece.to_owned())
    }
}

/// Whether something says yes under `key`.
pub(super) fn is_set(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool) == Some(true)
}

/// Each part is a message of its own.
fn event(id: &str, is_thought: bool, delta: String) -> Option<AgentEvent> {
    match (delta.is_empty(), is_thought) {
        (true, _) => None,
        (false, true) => Some(AgentEvent::Thought(delta)),
        (false, false) => Some(AgentEvent::Text { message: Some(id.to_owned()), delta }),
    }
}

fn tool(part: &Value) -> Option<ToolCall> {
    let state = part.get("state")?;
    let status = match text_of(state, "status")? {
        "pending" => Progress::Pending,
        "running" => Progress::Running,
        "completed" => Progress::Done,
        "error" => Progress::Failed,
        _ => return None,
    };
    let title = text_of(state, "title").filter(|title| !title.is_empty()).or_else(|| text_of(part, "tool"));
    Some(ToolCall {
        id: text_of(part, "callID")?.to_owned(),
        title: title.map(ToOwned::to_owned),
        status: Some(status),
    })
}

/// A list of things to do, as the agent's plan.
pub(super) fn plan(properties: &Value) -> AgentEvent {
    let todos = properties.get("todos").and_then(Value::as_array).into_iter().flatten();
    let entry = |todo: &Value| {
        let status = match text_of(todo, "status") {
            Some("in_progress") => Progress::Running,
            Some("completed") => Progress::Done,
            Some("cancelled") => Progress::Failed,
            _ => Progress::Pending,
        };
        Some(PlanEntry { text: text_of(todo, "content")?.to_owned(), status })
    };
    AgentEvent::Plan(todos.filter_map(entry).collect())
}

/// A request for a permission. `input` is that of the tool call for which it is asked, where it is known.
pub(super) fn permission(request: &Value, input: Option<&str>) -> Option<PermissionRequest> {
    let patterns = request.get("patterns").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let patterns = patterns.collect::<Vec<_>>().join("\n");
    let metadata = request.get("metadata").unwrap_or(&Value::Null);
    let exact = ["command", "diff"].iter().find_map(|key| text_of(metadata, key)).or(input);
    let place = ["filepath", "url"].iter().find_map(|key| text_of(metadata, key));
    let detail = exact.or(place).unwrap_or(&patterns).to_owned();
    Some(PermissionRequest {
        id: RequestId::from(text_of(request, "id")?.to_owned()),
        title: text_of(request, "permission").unwrap_or("Use a tool").to_owned(),
        detail: (!detail.is_empty()).then_some(detail),
        options: replies(request),
    })
}

/// The ways to answer a permission request (`POST /permission/{id}/reply`), with the names that opencode's own ACP side gives them. What
/// "always" allows from then on is more than what is asked, such as `touch *`, and is said.
fn replies(request: &Value) -> Vec<PermissionOption> {
    let rules = request.get("always").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let rules = rules.collect::<Vec<_>>().join(", ");
    let always = if rules.is_empty() { "Always allow".to_owned() } else { format!("Always allow: {rules}") };
    let replies = [
        ("once", "Allow once", OptionKind::AllowOnce),
        ("always", always.as_str(), OptionKind::AllowAlways),
        (REJECT, "Reject", OptionKind::RejectOnce),
    ];
    let is_seen = |kind: OptionKind| kind != OptionKind::AllowAlways || rules.chars().count() <= LONGEST_RULE;
    let option =
        |(id, label, kind): (&str, &str, _)| PermissionOption { id: id.to_owned(), label: label.to_owned(), kind };
    replies.into_iter().filter(|(_, _, kind)| is_seen(*kind)).map(option).collect()
}

/// The answer to a question for which an option stands; nothing where it stands for none.
pub(super) fn answer(option: &str) -> Option<&str> {
    option.strip_prefix(ANSWER)
}

/// A question with choices. One that buttons can't answer can only be declined.
pub(super) fn question(request: &Value) -> Option<PermissionRequest> {
    let questions = request.get("questions")?.as_array()?;
    let labels = match questions.as_slice() {
        [one] => one.get("options").and_then(Value::as_array).into_iter().flatten().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let choice = |id: String, label: &str| PermissionOption { id, label: label.to_owned(), kind: OptionKind::Choice };
    let labels = labels.iter().filter_map(|option| text_of(option, "label"));
    let mut options: Vec<_> = labels.map(|label| choice(format!("{ANSWER}{label}"), label)).collect();
    options.push(choice(DECLINE.to_owned(), "Don't answer"));
    let asked: Vec<&str> = questions.iter().filter_map(|question| text_of(question, "question")).collect();
    let id = RequestId::from(text_of(request, "id")?.to_owned());
    Some(PermissionRequest { id, title: asked.join("\n"), detail: None, options })
}

/// Whether an error says that the model can't remember so much. The server then shortens the session's history, unless it is configured
/// not to, and goes on.
pub(super) fn is_overflow(error: &Value) -> bool {
    text_of(error, "name") == Some(OVERFLOW)
}

/// What an error of a session (`session.error`, or that of a message) means for its turn.
pub(super) fn failure(error: &Value) -> Outcome {
    let name = text_of(error, "name").unwrap_or("UnknownError");
    let data = error.get("data").unwrap_or(&Value::Null);
    let said = shown(text_of(data, "message").unwrap_or(name));
    match (name, data.get("statusCode").and_then(Value::as_u64)) {
        ("MessageAbortedError", _) => Outcome::Cancelled,
        ("MessageOutputLengthError", _) => Outcome::Truncated,
        ("ContentFilterError", _) => Outcome::Refused,
        ("ProviderAuthError", _) | (_, Some(401 | 403)) => Outcome::Failed(BackendError::Auth(said)),
        (OVERFLOW, _) => Outcome::Failed(BackendError::Rejected(said)),
        _ => Outcome::Failed(BackendError::Transient(format!("the agent's model failed: {said}"))),
    }
}

#[cfg(test)]
mod tests;
