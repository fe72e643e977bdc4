//! What an agent sends, in our words. Tolerant: what is not known, or not of the known shape, is left out.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use serde_json::{Value, json};

use crate::backend::Outcome;
use crate::domain::agent::{
    AgentEvent, Decision, OptionKind, PermissionOption, PermissionRequest, PlanEntry, Progress, ToolCall, Usage,
};
use crate::domain::ids::RequestId;

/// How many tool calls of a turn are remembered.
const REMEMBERED: usize = 64;
/// How many bytes of them, beside those of the last. Each is remembered as a whole: nobody can decide about half a command.
const REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

/// The last tool calls of a turn: a permission request may name only the call's id.
#[derive(Debug, Default)]
pub(super) struct Tools(VecDeque<Known>);

#[derive(Debug, Default)]
struct Known {
    id: String,
    title: Option<String>,
    /// What kind of tool it is; later words about a call may leave that out.
    kind: Option<String>,
    detail: Option<String>,
}

impl Known {
    fn size(&self) -> usize {
        [Some(&self.id), self.title.as_ref(), self.detail.as_ref()].into_iter().flatten().map(String::len).sum()
    }
}

impl Tools {
    /// One `session/update`'s `update`; `None` when it means nothing to a person.
    pub(super) fn event(&mut self, update: &Value) -> Option<AgentEvent> {
        match text_of(update, "sessionUpdate")? {
            "agent_message_chunk" => {
                let delta = content(update.get("content")?)?;
                let message = text_of(update, "messageId").map(ToOwned::to_owned);
                Some(AgentEvent::Text { message, delta })
            }
            "agent_thought_chunk" => Some(AgentEvent::Thought(content(update.get("content")?)?)),
            "tool_call" | "tool_call_update" => {
                self.remember(update);
                tool(update).map(AgentEvent::Tool)
            }
            "plan" => Some(AgentEvent::Plan(plan(update))),
            "notice" => notice(update).map(AgentEvent::Notice),
            "usage_update" => usage(update).map(AgentEvent::Usage),
            "compaction_update" if text_of(update, "status") == Some("in_progress") => Some(AgentEvent::Compacting),
            _ => None,
        }
    }

    /// A `session/request_permission`; `None` when it offers nothing to choose from, or two options under one id: nobody could know
    /// which of them is chosen.
    pub(super) fn permission(&mut self, id: RequestId, params: &Value) -> Option<PermissionRequest> {
        let call = params.get("toolCall").unwrap_or(&Value::Null);
        self.remember(call);
        let known = text_of(call, "toolCallId").and_then(|id| self.0.iter().find(|known| known.id == id));
        let title =
            known.and_then(|known| known.title.clone()).or_else(|| text_of(call, "title").map(ToOwned::to_owned));
        let detail = known.and_then(|known| known.detail.clone()).or_else(|| detail(call, text_of(call, "kind")));
        let options: Vec<_> = params.get("options")?.as_array()?.iter().filter_map(option).collect();
        let title = title.unwrap_or_else(|| "Use a tool".to_owned());
        let ids: HashSet<&str> = options.iter().map(|option| option.id.as_str()).collect();
        let clear = !options.is_empty() && ids.len() == options.len();
        clear.then_some(PermissionRequest { id, title, detail, options })
    }

    fn remember(&mut self, call: &Value) {
        let Some(id) = text_of(call, "toolCallId") else { return };
        let at = self.0.iter().position(|known| known.id == id);
        let text = |key| text_of(call, key).map(ToOwned::to_owned);
        let kind = text("kind").or_else(|| at.and_then(|at| self.0.get(at)?.kind.clone()));
        let (title, detail) = (text("title"), detail(call, kind.as_deref()));
        if title.is_none() && detail.is_none() {
            return;
        }
        // The one that was spoken of last is the last to be forgotten.
        let known =
            at.and_then(|at| self.0.remove(at)).unwrap_or_else(|| Known { id: id.to_owned(), ..Known::default() });
        self.0.push_back(Known { title: title.or(known.title), kind, detail: detail.or(known.detail), ..known });
        while self.0.len() > REMEMBERED
            || self.0.iter().rev().skip(1).map(Known::size).sum::<usize>() > REMEMBERED_BYTES
        {
            self.0.pop_front();
        }
    }
}

/// How a turn ended, by its `stopReason`.
pub(super) fn outcome(answer: &Value) -> Outcome {
    match text_of(answer, "stopReason") {
        Some("cancelled") => Outcome::Cancelled,
        Some("refusal") => Outcome::Refused,
        Some("max_tokens" | "max_turn_requests") => Outcome::Truncated,
        Some("end_turn") => Outcome::Completed,
        _ => {
            tracing::warn!("An agent ended a turn for a reason that is not known; it counts as completed");
            Outcome::Completed
        }
    }
}

/// The answer to a permission request.
pub(super) fn decision(decision: &Decision) -> Value {
    match decision {
        Decision::Selected { option } => json!({"outcome": {"outcome": "selected", "optionId": option}}),
        Decision::Cancelled => json!({"outcome": {"outcome": "cancelled"}}),
    }
}

/// The text under `key`, where one is there.
pub(super) fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// What a content block says; `None` when that is nothing.
fn content(block: &Value) -> Option<String> {
    let text = match text_of(block, "type")? {
        "text" => text_of(block, "text")?.to_owned(),
        "resource_link" => {
            let uri = text_of(block, "uri")?;
            format!("[{}]({uri})", text_of(block, "title").or_else(|| text_of(block, "name")).unwrap_or(uri))
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn tool(call: &Value) -> Option<ToolCall> {
    Some(ToolCall {
        id: text_of(call, "toolCallId")?.to_owned(),
        title: text_of(call, "title").map(ToOwned::to_owned),
        status: text_of(call, "status").and_then(progress),
    })
}

fn progress(status: &str) -> Option<Progress> {
    match status {
        "pending" => Some(Progress::Pending),
        "in_progress" => Some(Progress::Running),
        "completed" => Some(Progress::Done),
        "failed" => Some(Progress::Failed),
        _ => None,
    }
}

fn plan(update: &Value) -> Vec<PlanEntry> {
    let entry = |entry: &Value| {
        let status = text_of(entry, "status").and_then(progress).unwrap_or(Progress::Pending);
        Some(PlanEntry { text: text_of(entry, "content")?.to_owned(), status })
    };
    update.get("entries").and_then(Value::as_array).into_iter().flatten().filter_map(entry).collect()
}

fn notice(update: &Value) -> Option<String> {
    let title = text_of(update, "title")?;
    Some(match text_of(update, "description") {
        Some(description) => format!("{title}: {description}"),
        None => title.to_owned(),
    })
}

fn usage(update: &Value) -> Option<Usage> {
    let number = |key: &str| update.get(key).and_then(Value::as_u64);
    let cost = |cost: &Value| {
        let amount = cost.get("amount")?.as_f64().filter(|amount| *amount > 0.0)?;
        let currency = text_of(cost, "currency").filter(|currency| currency.chars().all(char::is_alphanumeric))?;
        Some(if amount < 0.01 { format!("less than 0.01 {currency}") } else { format!("{amount:.2} {currency}") })
    };
    Some(Usage { used: number("used")?, size: number("size")?, cost: update.get("cost").and_then(cost) })
}

fn option(option: &Value) -> Option<PermissionOption> {
    let id = text_of(option, "optionId")?;
    let kind = match text_of(option, "kind") {
        Some("allow_once") => OptionKind::AllowOnce,
        Some("allow_always") => OptionKind::AllowAlways,
        Some("reject_once") => OptionKind::RejectOnce,
        Some("reject_always") => OptionKind::RejectAlways,
        _ => OptionKind::Other,
    };
    let label = text_of(option, "name").unwrap_or(id).to_owned();
    Some(PermissionOption { id: id.to_owned(), label, kind })
}

/// Exactly what a tool of this kind is about to do: its command or the file that it touches, where that says it all, else all of its input.
fn detail(call: &Value, kind: Option<&str>) -> Option<String> {
    const PATHS: [&str; 5] = ["file_path", "filePath", "filepath", "path", "abs_path"];
    let input = call.get("rawInput").filter(|input| !is_empty(input));
    // Of another kind, the rest of the input counts as well: where something is moved to, or what is sent.
    let is_of_one_file = matches!(kind, Some("read" | "edit" | "delete"));
    let named = |input: &Value| {
        let path = || PATHS.iter().find_map(|key| text_of(input, key)).map(ToOwned::to_owned);
        command(input).or_else(|| is_of_one_file.then(path).flatten())
    };
    let exact = input.map(|input| named(input).unwrap_or_else(|| pretty(input)));
    exact.or_else(|| places(call))
}

/// The command of a tool's input, unless more than words about it stands beside it, such as its arguments.
fn command(input: &Value) -> Option<String> {
    const ABOUT_IT: [&str; 6] = ["command", "cmd", "description", "timeout", "timeout_ms", "run_in_background"];
    let is_all = input.as_object()?.keys().all(|key| ABOUT_IT.contains(&key.as_str()));
    let is_one = input.get("command").is_none() || input.get("cmd").is_none();
    input.get("command").or_else(|| input.get("cmd")).filter(|_| is_all && is_one).and_then(words)
}

fn is_empty(input: &Value) -> bool {
    input.is_null() || input.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A command, given as a text or as a list of words.
fn words(command: &Value) -> Option<String> {
    match command {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            let words: Option<Vec<_>> = words.iter().map(|word| word.as_str().map(quoted)).collect();
            words.map(|words| words.join(" "))
        }
        _ => None,
    }
}

/// A word as a shell has to be given it, so that it can't pass for several.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

fn pretty(input: &Value) -> String {
    match input {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// The files that a call names, one in a line.
fn places(call: &Value) -> Option<String> {
    let paths = |key: &str| {
        let list = call.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|value| text_of(value, "path")).collect::<Vec<_>>().join("\n")
    };
    [paths("locations"), paths("content")].into_iter().find(|paths| !paths.is_empty())
}

#[cfg(test)]
mod tests;
