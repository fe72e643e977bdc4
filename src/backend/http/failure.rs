//! What goes wrong with a request, and what that means.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::backend::error::BackendError;
use crate::http_client::cause;
use crate::secret::redact;

/// The most characters of a server's words that are shown.
const LONGEST: usize = 500;

/// Why a request was not answered as hoped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) enum Failure {
    /// No connection was made: nothing has arrived.
    Unreachable(String),
    /// The connection broke, or no answer came in time: it may have arrived.
    Broken(String),
    /// The server says that it is not ready: nothing was done.
    NotReady(String),
    /// The server answered with an error.
    Refused(Refusal),
    /// The server answered something that makes no sense to us; in words that go on after its name.
    Unexpected(String),
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Refusal {
    pub(super) status: u16,
    /// The server's own name for the error, without the address before it.
    pub(super) code: Option<String>,
    /// What it says, for people.
    pub(super) said: String,
    /// When it may be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads an answer.
    pub(super) fn read(status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> Self {
        let (code, said) = words(body);
        let said = said.filter(|said| !said.is_empty());
        Self {
            status: status.as_u16(),
            code,
            said: said.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned()),
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        match (error.is_connect(), error.is_builder()) {
            (true, _) => Self::Unreachable(cause(error)),
            (_, true) => Self::Unexpected(format!("can't be asked: {}", cause(error))),
            _ => Self::Broken(cause(error)),
        }
    }
}

impl Failure {
    /// Whether the server says that it does not know the session; `gone` are its names for that. A plain 404 says nothing: it may come
    /// from a proxy, or from another server.
    pub(in crate::backend) fn is_gone(&self, gone: &[&str]) -> bool {
        let Self::Refused(refusal) = self else { return false };
        matches!(refusal.status, 404 | 409) && refusal.code.as_deref().is_some_and(|code| gone.contains(&code))
    }

    /// Whether there is nothing at the place that was asked.
    pub(in crate::backend) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Refusal { status: 404, .. }))
    }

    /// When to ask again, where it is certain that nothing was done and likely that this passes: at once where the server named no time.
    pub(super) fn passes_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(_) | Self::NotReady(_) => Some(Duration::ZERO),
            Self::Refused(Refusal { status: 409 | 503, retry_after, .. }) => Some(retry_after.unwrap_or_default()),
            _ => None,
        }
    }

    /// The same where it makes no difference whether anything was done, as before a prompt: also what lies between us and the server may
    /// have failed.
    pub(super) fn may_pass_after(&self) -> Option<Duration> {
        match self {
            Self::Broken(_) => Some(Duration::ZERO),
            Self::Refused(Refusal { status: 429 | 502 | 504, retry_after, .. }) => {
                Some(retry_after.unwrap_or_default())
            }
            _ => self.passes_after(),
        }
    }

    /// Whether a request may have been taken all the same: nobody said so, or only what lies between us and the server.
    pub(super) fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Refused(Refusal { status: 502 | 504, .. }))
    }

    /// What it means for a session of `server`; unknown causes are transient.
    pub(super) fn error(&self, server: &str, gone: &[&str]) -> BackendError {
        match self {
            Self::Unreachable(cause) => BackendError::Transient(format!("{server} can't be reached: {cause}")),
            Self::Broken(cause) => BackendError::Transient(format!("the connection to {server} broke: {cause}")),
            Self::NotReady(why) => BackendError::Transient(format!("{server} is not ready yet: {why}")),
            Self::Unexpected(what) => BackendError::Protocol(format!("{server} {what}")),
            Self::Refused(_) if self.is_gone(gone) => BackendError::Unknown,
            Self::Refused(Refusal { status, said, .. }) => match status {
                410 => BackendError::Ended,
                409 => BackendError::Busy,
                401 | 403 => BackendError::Auth(format!("{server} says: {said}")),
                400 | 413 | 415 | 422 => BackendError::Rejected(said.clone()),
                404 | 405 => {
                    BackendError::Protocol(format!("{server} does not know what it was asked ({status}: {said})"))
                }
                _ => BackendError::Transient(format!("{server} answered {status}: {said}")),
            },
        }
    }
}

/// The code and the text of an error's body, in each of the shapes that were seen: a problem (RFC 9457) by itself or below `detail`, a
/// text or a list of wrong fields there, a name with its data, a tag with a message, or no JSON at all.
fn words(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        // A page is for browsers.
        return (None, Some(shown(&text)).filter(|_| !text.trim_start().starts_with('<')));
    };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let (code, said) = match value.get("detail") {
        Some(problem @ Value::Object(_)) => {
            (text(problem, "type"), text(problem, "detail").or_else(|| text(problem, "title")))
        }
        Some(Value::Array(fields)) => (None, Some(fields.iter().map(field).collect::<Vec<_>>().join("; "))),
        Some(detail) => (text(&value, "type"), detail.as_str().map(ToOwned::to_owned)),
        None => {
            let inner = value.get("data").and_then(|data| text(data, "message"));
            let code = text(&value, "name").or_else(|| text(&value, "_tag")).or_else(|| text(&value, "type"));
            (code, inner.or_else(|| text(&value, "message")).or_else(|| text(&value, "title")))
        }
    };
    let code = code.map(|code| code.rsplit('/').next().unwrap_or_default().to_owned());
    (code, said.map(|said| shown(&said)))
}

/// One wrong field of a request.
fn field(problem: &Value) -> String {
    let place = problem.get("loc").and_then(Value::as_array).and_then(|place| place.last()).and_then(Value::as_str);
    let said = problem.get("msg").or_else(|| problem.get("type")).and_then(Value::as_str).unwrap_or("is wrong");
    place.map_or_else(|| said.to_owned(), |place| format!("{place}: {said}"))
}

/// A server's words as they may be shown: on one line, without secrets, and not too many.
pub(in crate::backend) fn shown(text: &str) -> String {
    let mut said = redact(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some((at, _)) = said.char_indices().nth(LONGEST) {
        said.truncate(at);
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests;
