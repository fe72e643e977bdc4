use super::*;
use crate::backend::error::Kind;

const GONE: &[&str] = &["session-not-found", "NotFoundError"];

fn refused(status: u16, body: &str) -> Failure {
    Failure::Refused(Refusal::read(StatusCode::from_u16(status).unwrap(), None, body.as_bytes()))
}

fn error(status: u16, body: &str) -> BackendError {
    refused(status, body).error("amplifierd", GONE)
}

/// Who answered what, with which status and body, and what it means.
type Recorded = Vec<(&'static str, u16, &'static str, BackendError)>;

fn rejected(said: &str) -> BackendError {
    BackendError::Rejected(said.to_owned())
}

fn transient(said: &str) -> BackendError {
    BackendError::Transient(format!("amplifierd answered {said}"))
}

/// As amplifierd was seen to answer.
fn of_amplifierd() -> Recorded {
    vec![
        (
            "amplifierd, unknown session",
            404,
            r#"{"detail":{"type":"https://amplifier.dev/errors/session-not-found","title":"Session Not Found","status":404,"detail":"Session 'nope' not found","instance":"/sessions/nope/execute"}}"#,
            BackendError::Unknown,
        ),
        (
            "amplifierd, busy",
            409,
            r#"{"detail":{"type":"https://amplifier.dev/errors/execution-in-progress","title":"Execution In Progress","status":409,"detail":"Session 's' is already executing"}}"#,
            BackendError::Busy,
        ),
        ("amplifierd, a failed turn", 500, "Internal Server Error", transient("500: Internal Server Error")),
        (
            "amplifierd, loading",
            503,
            r#"{"detail":"Bundles are still loading. Retry shortly."}"#,
            transient("503: Bundles are still loading. Retry shortly."),
        ),
        (
            "amplifierd, unknown bundle",
            502,
            r#"{"detail":{"type":"https://amplifier.dev/errors/bundle-load-error","title":"Session Creation Failed","status":502,"detail":"Failed to create session: no bundle"}}"#,
            transient("502: Failed to create session: no bundle"),
        ),
        (
            "amplifierd, a problem by itself",
            429,
            r#"{"type":"https://amplifier.dev/errors/rate-limit","title":"Rate Limited","status":429,"detail":"slow down","retryable":true}"#,
            transient("429: slow down"),
        ),
        (
            "amplifierd, wrong fields",
            422,
            r#"{"detail":[{"type":"missing","loc":["body","prompt"],"msg":"Field required"},{"type":"json_invalid","loc":["body",1]}]}"#,
            rejected("prompt: Field required; json_invalid"),
        ),
        (
            "amplifierd, key",
            401,
            r#"{"detail":"Invalid or missing API key"}"#,
            BackendError::Auth("amplifierd says: Invalid or missing API key".to_owned()),
        ),
    ]
}

/// As opencode was, and what may stand before a server.
fn of_others() -> Recorded {
    vec![
        (
            "opencode, unknown session",
            404,
            r#"{"name":"NotFoundError","data":{"message":"Session not found: ses_1"}}"#,
            BackendError::Unknown,
        ),
        (
            "a proxy, too large",
            413,
            "<html><body>Request Entity Too Large</body></html>",
            rejected("Payload Too Large"),
        ),
        ("opencode, password", 401, "", BackendError::Auth("amplifierd says: Unauthorized".to_owned())),
        (
            "opencode, parameters",
            400,
            r#"{"name":"BadRequest","data":{"message":"Expected a string starting with \"ses\""}}"#,
            rejected("Expected a string starting with \"ses\""),
        ),
        (
            "opencode, a tag",
            400,
            r#"{"_tag":"InvalidRequestError","message":"no such model"}"#,
            rejected("no such model"),
        ),
        ("gone for good", 410, "", BackendError::Ended),
        ("not running", 409, r#"{"detail":{"type":"x/session-not-found"}}"#, BackendError::Unknown),
    ]
}

// holds: S-2, S-5
#[test]
fn what_was_seen_is_what_it_means() {
    for (who, status, body, expected) in of_amplifierd().into_iter().chain(of_others()) {
        assert_eq!(error(status, body), expected, "{who}");
    }
}

// holds: S-4, S-5
#[test]
fn only_the_server_itself_can_say_that_a_session_is_gone() {
    for body in
        ["", "Not Found", r#"{"detail":"Not Found"}"#, "<html>nginx</html>", r#"{"name":"PermissionNotFoundError"}"#]
    {
        assert_eq!(error(404, body).kind(), Kind::Transient, "{body}");
    }
    for status in [400, 401, 403, 408, 413, 422, 425, 429, 500, 502, 503, 504, 599, 302] {
        let named = r#"{"detail":{"type":"x/session-not-found"}}"#;
        assert_eq!(error(status, named).kind(), Kind::Transient, "{status}");
    }
    for failure in [
        Failure::Unreachable("refused".to_owned()),
        Failure::Broken("reset".to_owned()),
        Failure::NotReady("loading".to_owned()),
        Failure::Unexpected("sings".to_owned()),
    ] {
        assert_eq!(failure.error("amplifierd", GONE).kind(), Kind::Transient, "{failure:?}");
    }
}

#[test]
fn only_what_surely_did_nothing_is_asked_again() {
    let later = |status, retry| {
        Failure::Refused(Refusal::read(StatusCode::from_u16(status).unwrap(), retry, b"")).passes_after()
    };
    assert_eq!(later(503, Some("5")), Some(Duration::from_secs(5)));
    assert_eq!(later(503, Some("Wed, 21 Oct 2026 07:28:00 GMT")), Some(Duration::ZERO));
    assert_eq!(later(409, None), Some(Duration::ZERO));
    for status in [400, 401, 404, 408, 429, 500, 502, 504] {
        assert_eq!(later(status, Some("5")), None, "{status}");
    }
    assert_eq!(Failure::Unreachable("refused".to_owned()).passes_after(), Some(Duration::ZERO));
    assert_eq!(Failure::Broken("reset".to_owned()).passes_after(), None);
}

#[test]
fn a_servers_words_are_short_and_without_secrets() {
    let BackendError::Transient(said) = error(500, "token=abc123 was refused\n\n by   us") else { panic!() };
    assert_eq!(said, "amplifierd answered 500: token=… was refused by us");
    assert!(shown(&"x".repeat(10_000)).chars().count() <= LONGEST + 1);
}
