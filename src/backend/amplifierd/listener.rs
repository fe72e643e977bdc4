//! One turn's events, in our words.

use serde_json::Value;

use super::{text_of, transcript};
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::backend::http::{Condition, Heard, Reader, shown};
use crate::domain::agent::{AgentEvent, Progress, ToolCall};

/// Who understands the events of one turn.
#[derive(Debug)]
pub(super) struct Listener {
    session: String,
    /// The server's id of the turn, which its events carry.
    turn: String,
    prompt: String,
    /// How many messages the transcript had before it.
    before: usize,
    /// The blocks of text that were handed on.
    said: Vec<String>,
    /// What was handed on of the block that is being written.
    partial: String,
    /// Since events are missing: the blocks of text that came then. They are not handed on before the record has said what belongs
    /// between them.
    held: Option<Vec<String>>,
    /// Whether the agent has done anything.
    active: bool,
    /// The last error of the model's provider: the end only says that there was one.
    error: Option<BackendError>,
}

/// Whether a turn runs in a session; `failed` and `completed` are no ends, the next prompt works.
pub(super) fn is_running(session: &Value) -> bool {
    text_of(session, "status") == Some("executing")
}

impl Listener {
    pub(super) fn new(session: String, turn: String, prompt: String, before: usize) -> Self {
        let (said, partial, held, active, error) = (Vec::new(), String::new(), None, false, None);
        Self { session, turn, prompt, before, said, partial, held, active, error }
    }

    /// Whether an event belongs to the turn. A child's events come on the same stream, and so do late ones of an earlier turn; what is
    /// only displayed belongs to none.
    fn is_ours(&self, event: &Value) -> bool {
        let of_turn = match event.get("correlation_id") {
            None | Some(Value::Null) => {
                matches!(text_of(event, "event"), Some("display_message" | "user:notification"))
            }
            Some(turn) => turn.as_str() == Some(&self.turn),
        };
        of_turn && text_of(event, "session_id") == Some(&self.session)
    }

    fn block(&mut self, block: &Value) -> Option<AgentEvent> {
        match text_of(block, "type")? {
            "text" => self.text(text_of(block, "text")?),
            "thinking" => Some(AgentEvent::Thought(text_of(block, "thinking")?.to_owned())),
            _ => None,
        }
    }

    /// A whole block of text, of which a part may have been handed on.
    fn text(&mut self, whole: &str) -> Option<AgentEvent> {
        if let Some(held) = &mut self.held {
            held.push(whole.to_owned());
            return None;
        }
        let rest = self.rest_of(whole);
        let event = self.say(rest);
        self.partial.clear();
        self.said.push(whole.to_owned());
        event
    }

    /// What is left of a block to be handed on.
    fn rest_of(&self, whole: &str) -> String {
        whole.strip_prefix(self.partial.as_str()).unwrap_or(whole).to_owned()
    }

    /// A piece of the block that is being written; each block is a message of its own.
    fn delta(&mut self, data: &Value) -> Option<AgentEvent> {
        let is_text = text_of(data, "block_type").is_none_or(|kind| kind == "text");
        if !is_text || self.held.is_some() {
            return None;
        }
        let inner = data.get("delta");
        let piece = inner.and_then(|delta| delta.as_str().or_else(|| text_of(delta, "text")));
        let piece = piece.or_else(|| text_of(data, "text"))?.to_owned();
        self.partial.push_str(&piece);
        self.say(piece)
    }

    fn say(&self, delta: String) -> Option<AgentEvent> {
        let message = Some(format!("block-{}", self.said.len()));
        (!delta.is_empty()).then_some(AgentEvent::Text { message, delta })
    }

    /// How the server's word for an end is meant.
    fn outcome(&self, data: &Value) -> Outcome {
        match text_of(data, "status") {
            Some("cancelled") => Outcome::Cancelled,
            Some("error" | "failed") => Outcome::Failed(self.failure()),
            _ => Outcome::Completed,
        }
    }

    fn failure(&self) -> BackendError {
        let unknown = || BackendError::Transient("the agent failed and did not say why".to_owned());
        self.error.clone().unwrap_or_else(unknown)
    }
}

impl Reader for Listener {
    fn read(&mut self, event: &Value) -> Vec<Heard> {
        if !self.is_ours(event) {
            return Vec::new();
        }
        let data = event.get("data").unwrap_or(&Value::Null);
        let said = match text_of(event, "event").unwrap_or_default() {
            "orchestrator:complete" => return vec![Heard::Ending(self.outcome(data))],
            "prompt:complete" => return vec![Heard::Over(self.outcome(data))],
            "provider:error" => {
                self.error = data.get("error").map(provider_error);
                None
            }
            "content_block:start" => {
                self.partial.clear();
                None
            }
            "content_block:delta" => self.delta(data),
            "content_block:end" => data.get("block").and_then(|block| self.block(block)),
            "thinking:delta" | "thinking:final" => {
                let thought = text_of(data, "delta").or_else(|| text_of(data, "text"));
                Some(AgentEvent::Thought(thought.unwrap_or_default().to_owned()))
            }
            name => other(name, data),
        };
        self.active |= matches!(said, Some(AgentEvent::Tool(_)));
        // Whatever carries our id says that the turn has begun.
        said.map_or_else(|| vec![Heard::Began], |event| vec![Heard::Agent(event)])
    }

    fn cut(&mut self) {
        self.held.get_or_insert_default();
    }

    fn is_whole(&self) -> bool {
        self.held.is_none()
    }

    fn compare(&mut self, record: &Value, is_over: bool) -> Vec<Heard> {
        if !is_over && is_running(record) {
            return Vec::new();
        }
        let transcript = record.get("transcript").unwrap_or(&Value::Null);
        let recorded = transcript::answers(transcript, &self.prompt, self.before);
        let is_recorded = recorded.as_ref().is_some_and(|answers| !answers.is_empty());
        let held = self.held.take().unwrap_or_default();
        let missing = recorded.and_then(|answers| self.not_said(answers)).unwrap_or(held);
        let mut heard: Vec<Heard> = missing.iter().filter_map(|text| self.text(text)).map(Heard::Agent).collect();
        if !is_over {
            heard.push(match text_of(record, "status") {
                Some("failed") => Heard::Over(Outcome::Failed(self.failure())),
                _ if is_recorded => Heard::Over(Outcome::Completed),
                _ if self.has_answered() => Heard::Lost(not_recorded(), Condition::Spent),
                _ => Heard::Lost(not_begun(), Condition::Spent),
            });
        }
        heard
    }

    fn verdict(&self, outcome: Outcome) -> Outcome {
        if outcome == Outcome::Completed && !self.has_answered() {
            return Outcome::Failed(BackendError::Transient("the agent ended the turn without an answer".to_owned()));
        }
        outcome
    }
}

impl Listener {
    /// Whether the agent has said or done anything.
    fn has_answered(&self) -> bool {
        self.active || !self.said.is_empty() || !self.partial.is_empty()
    }

    /// Those of the recorded answers that were not handed on; nothing where the record does not begin with what was.
    fn not_said(&self, mut recorded: Vec<String>) -> Option<Vec<String>> {
        recorded.starts_with(&self.said).then(|| recorded.split_off(self.said.len()))
    }
}

/// What an event means that has nothing to do with the answer's text.
fn other(name: &str, data: &Value) -> Option<AgentEvent> {
    match name {
        "tool:pre" => tool(data, Some(Progress::Running)),
        "tool:post" => {
            let failed = data.get("result").and_then(|result| result.get("success")) == Some(&Value::Bool(false));
            tool(data, Some(if failed { Progress::Failed } else { Progress::Done }))
        }
        "tool:error" => tool(data, Some(Progress::Failed)),
        "display_message" | "user:notification" => {
            text_of(data, "message").or_else(|| text_of(data, "text")).map(|text| AgentEvent::Notice(text.to_owned()))
        }
        "approval:required" => {
            let what = text_of(data, "action").or_else(|| text_of(data, "tool_name")).unwrap_or("something");
            Some(AgentEvent::Notice(format!("The agent waits for an approval ({what}) that can't be given from here.")))
        }
        _ => None,
    }
}

fn tool(data: &Value, status: Option<Progress>) -> Option<AgentEvent> {
    let id = text_of(data, "tool_call_id").or_else(|| text_of(data, "tool_name"))?.to_owned();
    Some(AgentEvent::Tool(ToolCall { id, title: text_of(data, "tool_name").map(ToOwned::to_owned), status }))
}

/// An error of the model's provider. The name of its type is the best that there is.
fn provider_error(error: &Value) -> BackendError {
    let kind = text_of(error, "type").unwrap_or("error");
    let said = shown(text_of(error, "msg").or_else(|| text_of(error, "message")).unwrap_or("it did not say why"));
    match kind {
        "AuthenticationError" | "AccessDeniedError" => BackendError::Auth(said),
        "InvalidRequestError" | "ContextLengthError" | "ContentFilterError" => BackendError::Rejected(said),
        _ => BackendError::Transient(format!("the agent's model failed: {kind}: {said}")),
    }
}

fn not_begun() -> BackendError {
    BackendError::Transient("the agent took the prompt and did not begin with it".to_owned())
}

fn not_recorded() -> BackendError {
    let why = "the connection to the agent broke, and nothing tells how this turn ended: its answer may be cut short";
    BackendError::Transient(why.to_owned())
}

#[cfg(test)]
mod tests;
