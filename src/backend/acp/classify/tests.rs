use serde_json::json;

use super::*;
use crate::backend::error::Kind;

/// The session in all of these: agents name it in their errors.
const ID: &str = "X";

fn error(code: i32, message: &str, data: Value) -> RpcError {
    RpcError { code, message: message.to_owned(), data: (!data.is_null()).then_some(data) }
}

fn details(text: &str) -> Value {
    json!({"details": text})
}

#[test]
fn every_known_way_to_say_that_a_session_is_gone() {
    let unknown = [
        ("claude-agent-acp", error(-32_002, "Resource not found", json!({"sessionId": "X"}))),
        ("codex-acp", error(-32_002, "Session X not found", Value::Null)),
        ("opencode", error(-32_602, "Invalid params: session not found: X", Value::Null)),
        ("gemini", error(-32_602, "Session not found: X", Value::Null)),
        ("qwen", error(-32_603, "Internal error", details("Session not found: X"))),
        ("the TypeScript example", error(-32_603, "Internal error", details("Session X not found"))),
        ("testy", error(-32_602, "Invalid params", json!("unknown session `X`"))),
        ("no such", error(-32_603, "No such session", Value::Null)),
        (
            "does not exist",
            error(-32_603, "Internal error", json!({"error": {"reason": "Session 'X' does not exist."}})),
        ),
        ("doesn't", error(-32_603, "Internal error", details("Session with id X doesn't exist"))),
        ("closed", error(-32_603, "Internal error", details("The session was closed"))),
    ];
    for (agent, error) in unknown {
        assert_eq!(classify(Asked::Prompt(ID), &error, &[]), BackendError::Unknown, "{agent}: {error:?}");
    }
}

#[test]
fn other_failures_of_a_prompt_keep_the_session() {
    let kept = [
        error(-32_002, "Resource not found", json!({"uri": "file:///a"})),
        error(-32_603, "Internal error: mock 401", json!({"errorName": "APIError"})),
        error(-32_603, "Internal error", details("401 mock 401")),
        error(-32_603, "Internal error", details("file not found")),
        error(17, "session not found", Value::Null),
        // What is gone is something else of which the error speaks.
        error(-32_603, "unknown model x; see the session log", Value::Null),
        error(-32_603, "Failed to save session: connection closed", Value::Null),
        error(-32_603, "Session config option not found: x", Value::Null),
        error(-32_603, "Internal error", details("the tool server of session X not found")),
        error(-32_603, "unknown session config option x", Value::Null),
        error(-32_603, "Internal error", details("session file not found")),
        error(-32_603, "The session closed its connection to the model", Value::Null),
        error(-32_603, "Unknown error", json!({"sessionId": "X", "hint": "not found"})),
    ];
    for error in kept {
        let kind = classify(Asked::Prompt(ID), &error, &[]);
        assert!(matches!(kind, BackendError::Transient(_)), "{error:?}: {kind:?}");
    }
}

#[test]
fn a_prompt_that_is_refused_says_why_and_keeps_the_session() {
    let cases = [
        (error(-32_602, "Invalid params", details("too many blocks")), "Invalid params: too many blocks"),
        (error(-32_602, "session config option not found: x", Value::Null), "session config option not found: x"),
    ];
    for (error, why) in cases {
        let refused = classify(Asked::Prompt(ID), &error, &[]);
        assert_eq!(refused, BackendError::Rejected(why.to_owned()));
        assert_eq!(refused.kind(), Kind::Transient);
    }
}

#[test]
fn an_option_that_is_refused_keeps_the_session_and_a_session_that_is_gone_does_not() {
    let asked = |code, message| classify(Asked::Option(ID), &error(code, message, Value::Null), &[]);
    assert_eq!(asked(-32_602, "unknown option x"), BackendError::Rejected("unknown option x".to_owned()));
    assert_eq!(asked(-32_601, "Method not found"), BackendError::Rejected("Method not found".to_owned()));
    assert!(matches!(asked(-32_603, "the model is overloaded"), BackendError::Transient(_)));
    assert_eq!(asked(-32_602, "Session not found: X"), BackendError::Unknown);
}

#[test]
fn a_session_that_is_not_brought_back_is_unknown() {
    let answers = [
        ("claude-agent-acp", error(-32_603, "Internal error", details("--resume requires a valid session ID"))),
        ("codex-acp", error(-32_603, "invalid session id", Value::Null)),
        ("opencode", error(-32_603, "OpenCode service failure", Value::Null)),
        ("qwen", error(-32_002, "Resource not found", json!({"uri": "session:X"}))),
        ("the TypeScript example", error(-32_601, "Method not found", Value::Null)),
        ("gone", error(-32_603, "Session not found: X", details("timeout: 30000"))),
        ("not internal", error(-32_602, "Invalid params", details("timeout is not an option"))),
    ];
    for (agent, error) in answers {
        assert_eq!(classify(Asked::Restore(ID), &error, &[]), BackendError::Unknown, "{agent}: {error:?}");
    }
}

#[test]
fn a_session_that_is_not_brought_back_because_of_a_service_may_come_back_later() {
    let answers = [
        error(-32_603, "Internal error", details("503 Service Unavailable")),
        error(-32_603, "OpenCode service failure", json!({"status": 503})),
        error(-32_603, "API error (529): Overloaded", Value::Null),
        error(-32_603, "Internal error", json!({"error": {"type": "overloaded_error"}})),
        error(-32_603, "429 Too Many Requests", Value::Null),
        error(-32_603, "rate limit exceeded", Value::Null),
        error(-32_603, "getaddrinfo ENOTFOUND api.example.com", Value::Null),
        error(-32_603, "Request timeout", Value::Null),
        error(-32_603, "Internal error", details("the request timed out")),
        error(-32_603, "Internal error", details("connect ECONNREFUSED 127.0.0.1:4096")),
        error(-32_603, "tcp connect error: Connection refused (os error 111)", Value::Null),
        error(-32_603, "Internal error", details("read ECONNRESET")),
        error(-32_603, "connection reset by peer", Value::Null),
    ];
    for error in answers {
        let kind = classify(Asked::Restore(ID), &error, &[]);
        assert!(matches!(kind, BackendError::Transient(_)), "{error:?}: {kind:?}");
    }
    // A number inside a name is no status.
    let name = error(-32_603, "invalid session id: 9b-503", Value::Null);
    assert_eq!(classify(Asked::Restore("9b-503"), &name, &[]), BackendError::Unknown);
}

#[test]
fn a_missing_sign_in_names_the_ways_and_no_secret() {
    let error = error(-32_000, "Authentication required", json!("Bearer abc"));
    for asked in [Asked::Start, Asked::Restore(ID), Asked::Prompt(ID)] {
        let BackendError::Auth(said) = classify(asked, &error, &["gemini-api-key".to_owned()]) else {
            panic!("another kind");
        };
        assert!(said.contains("gemini-api-key") && !said.contains("abc"), "{said}");
    }
}
