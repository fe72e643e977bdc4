//! What a turn has people decide, on behalf of whom.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::parts;
use super::text_of;
use crate::domain::agent::AgentEvent;
use crate::domain::ids::RequestId;

/// The tool by which an agent has others work for it.
const TASK: &str = "task";

/// The requests for a decision during one turn.
#[derive(Debug)]
pub(super) struct Decisions {
    session: String,
    /// The sessions that work for ours: they ask, too.
    workers: HashSet<String>,
    /// What the tool calls that run were given, by their ids: a request does not always say it.
    inputs: HashMap<String, String>,
    /// The requests that were handed on and not settled yet.
    open: HashSet<String>,
}

impl Decisions {
    pub(super) fn new(session: String) -> Self {
        Self { session, workers: HashSet::new(), inputs: HashMap::new(), open: HashSet::new() }
    }

    /// Whether something is about our session itself.
    pub(super) fn is_own(&self, properties: &Value) -> bool {
        text_of(properties, "sessionID") == Some(&self.session)
    }

    fn is_ours(&self, properties: &Value) -> bool {
        text_of(properties, "sessionID").is_some_and(|id| id == self.session || self.workers.contains(id))
    }

    /// What an event means for whoever decides.
    pub(super) fn read(&mut self, kind: &str, properties: &Value) -> Option<AgentEvent> {
        if kind == "session.created" {
            self.adopt_child(properties.get("info")?);
        }
        if !self.is_ours(properties) {
            return None;
        }
        match kind {
            "message.part.updated" => {
                self.learn(properties.get("part")?);
                None
            }
            "permission.asked" | "question.asked" => self.ask(kind, properties),
            "permission.replied" | "question.replied" | "question.rejected" => {
                self.settle(text_of(properties, "requestID")?)
            }
            _ => None,
        }
    }

    fn adopt_child(&mut self, child: &Value) {
        let parent = text_of(child, "parentID").filter(|id| *id == self.session || self.workers.contains(*id));
        if let (Some(_), Some(id)) = (parent, text_of(child, "id")) {
            self.workers.insert(id.to_owned());
        }
    }

    /// Learns from a part what its tool call was given, and who works for it: an agent may also go on with a session of an earlier turn,
    /// which nothing else tells.
    pub(super) fn learn(&mut self, part: &Value) {
        let (Some(call), Some(state)) = (text_of(part, "callID"), part.get("state")) else { return };
        let worker = state.get("metadata").and_then(|metadata| text_of(metadata, "sessionId"));
        if let Some(worker) = worker.filter(|_| text_of(part, "tool") == Some(TASK)) {
            self.workers.insert(worker.to_owned());
        }
        match state.get("input").filter(|_| text_of(state, "status") == Some("running")) {
            Some(input) => drop(self.inputs.insert(call.to_owned(), format!("{input:#}"))),
            None => drop(self.inputs.remove(call)),
        }
    }

    fn ask(&mut self, kind: &str, request: &Value) -> Option<AgentEvent> {
        let call = request.get("tool").and_then(|tool| text_of(tool, "callID"));
        let request = match kind {
            "question.asked" => parts::question(request)?,
            _ => parts::permission(request, call.and_then(|call| self.inputs.get(call)).map(String::as_str))?,
        };
        let is_new = self.open.insert(request.id.as_str().to_owned());
        is_new.then_some(AgentEvent::Permission(request))
    }

    fn settle(&mut self, id: &str) -> Option<AgentEvent> {
        self.open.remove(id).then(|| AgentEvent::PermissionWithdrawn(RequestId::from(id.to_owned())))
    }

    /// What has changed while events were missed: these are all `permissions` and `questions` that the server waits for.
    pub(super) fn compare(&mut self, permissions: &[Value], questions: &[Value]) -> Vec<AgentEvent> {
        let waiting = permissions.iter().chain(questions);
        let waiting: HashSet<&str> = waiting.filter_map(|request| text_of(request, "id")).collect();
        let settled: Vec<String> = self.open.iter().filter(|id| !waiting.contains(id.as_str())).cloned().collect();
        let mut events: Vec<AgentEvent> = settled.iter().filter_map(|id| self.settle(id)).collect();
        for (kind, requests) in [("permission.asked", permissions), ("question.asked", questions)] {
            for request in requests {
                events.extend(self.read(kind, request));
            }
        }
        events
    }
}
