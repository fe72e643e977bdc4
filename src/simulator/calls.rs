//! What the app called, for tests to look at.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// How many calls are remembered; the counts by method go on beyond that.
const KEPT: usize = 100_000;

/// The record of Web API calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    kept: VecDeque<Call>,
    counts: BTreeMap<String, u64>,
    total: u64,
}

/// One call and how it was answered.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    n: u64,
    method: String,
    at_ms: i64,
    args: Map<String, Value>,
    response: Answer,
    status: u16,
}

/// The part of an answer that tests ask about.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Answer {
    pub(super) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<String>,
}

impl Calls {
    /// Remembers a call; its token is left out.
    pub(super) fn add(
        &mut self,
        method: &str,
        at_ms: i64,
        mut args: Map<String, Value>,
        response: Answer,
        status: u16,
    ) {
        args.remove("token");
        self.total += 1;
        match self.counts.get_mut(method) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(method.to_owned(), 1);
            }
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Call { n: self.total, method: method.to_owned(), at_ms, args, response, status });
    }

    /// The calls of one method, or of all, after number `after`, oldest first, at most `limit`; with the counts.
    pub(super) fn shown(&self, method: Option<&str>, after: u64, limit: usize) -> Value {
        let wanted = |call: &&Call| method.is_none_or(|method| call.method == method);
        let start = self.kept.partition_point(|call| call.n <= after);
        let calls: Vec<_> = self.kept.range(start..).filter(wanted).take(limit).collect();
        json!({"calls": calls, "counts": self.counts})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_shown_by_method_without_tokens_and_counted() {
        let mut calls = Calls::default();
        for method in ["auth.test", "chat.update", "auth.test"] {
            let args = json!({"token": "xoxb-x", "n": 1}).as_object().cloned().unwrap_or_default();
            calls.add(method, 5, args, Answer { ok: true, ..Answer::default() }, 200);
        }
        let shown = calls.shown(Some("auth.test"), 0, 9);
        assert_eq!(shown["counts"], json!({"auth.test": 2, "chat.update": 1}));
        assert_eq!(
            shown["calls"][1],
            json!({"n": 3, "method": "auth.test", "at_ms": 5, "args": {"n": 1}, "response": {"ok": true}, "status": 200})
        );
        assert_eq!(calls.shown(None, 1, 1)["calls"][0]["n"], 2);
    }
}
