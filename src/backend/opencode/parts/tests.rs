use serde_json::json;

use super::*;
use crate::domain::agent::Decision;

fn part(text: &str) -> Value {
    json!({"id": "p", "type": "text", "text": text})
}

fn piece(text: &str) -> Value {
    json!({"partID": "p", "field": "text", "delta": text})
}

fn text(event: Option<AgentEvent>) -> Option<String> {
    match event? {
        AgentEvent::Text { delta, .. } => Some(delta),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_is_told_once_in_pieces_and_wholes() {
    let mut parts = Parts::default();
    assert_eq!(text(parts.piece(&piece("too early"))), None);
    assert_eq!(text(parts.whole(&part(""), false)), None);
    assert_eq!(text(parts.piece(&piece("Hel"))).as_deref(), Some("Hel"));
    assert_eq!(text(parts.piece(&piece("lo"))).as_deref(), Some("lo"));
    assert_eq!(text(parts.whole(&part("Hello you"), false)).as_deref(), Some(" you"));
    // Its end may be trimmed.
    assert_eq!(text(parts.whole(&part("Hello"), false)), None);
}

#[test]
fn f_58_after_a_gap_pieces_wait_for_the_whole() {
    let mut parts = Parts::default();
    parts.whole(&part(""), false);
    assert_eq!(text(parts.piece(&piece("Hel"))).as_deref(), Some("Hel"));
    parts.cut();
    assert_eq!(text(parts.piece(&piece("you"))), None);
    assert_eq!(text(parts.whole(&part("Hello"), true)).as_deref(), Some("lo"));
    assert_eq!(text(parts.piece(&piece(" you"))), None, "the record may be older than the stream");
    assert_eq!(text(parts.whole(&part("Hello you"), false)).as_deref(), Some(" you"));
}

#[test]
fn thoughts_tools_and_asides_are_told_apart() {
    let mut parts = Parts::default();
    let thought = json!({"id": "r", "type": "reasoning", "text": "hm"});
    assert_eq!(parts.whole(&thought, false), Some(AgentEvent::Thought("hm".to_owned())));
    for (status, expected) in [
        ("pending", Progress::Pending),
        ("running", Progress::Running),
        ("completed", Progress::Done),
        ("error", Progress::Failed),
    ] {
        let tool = json!({"id": "t", "type": "tool", "tool": "bash", "callID": "c", "state": {"status": status, "title": "touch x"}});
        let call = ToolCall { id: "c".to_owned(), title: Some("touch x".to_owned()), status: Some(expected) };
        assert_eq!(parts.whole(&tool, false), Some(AgentEvent::Tool(call)));
    }
    for other in [
        json!({"id": "s", "type": "step-start"}),
        json!({"id": "s", "type": "text", "text": "x", "synthetic": true}),
        json!({"id": "s", "type": "text"}),
        json!({"type": "text", "text": "x"}),
    ] {
        assert_eq!(parts.whole(&other, false), None, "{other}");
    }
}

#[test]
fn a_part_that_is_in_the_record_already_is_not_told_again_from_its_beginning() {
    let mut parts = Parts::default();
    let part = |text: &str| json!({"id": "p", "type": "text", "text": text});
    assert!(parts.whole(&part("abc"), true).is_some());
    assert_eq!(parts.whole(&part(""), false), None);
    assert_eq!(parts.piece(&json!({"partID": "p", "field": "text", "delta": "abc"})), None);
    assert_eq!(parts.whole(&part("abc"), false), None);
}

#[test]
fn a_permission_shows_the_exact_command_and_three_ways_to_answer() {
    let asked = json!({"id": "per_1", "sessionID": "ses_1", "permission": "bash", "patterns": ["touch x"],
        "metadata": {"command": "touch x; rm y"}, "always": ["touch *"]});
    let request = permission(&asked, Some("{}")).unwrap();
    assert_eq!((request.id.as_str(), request.title.as_str()), ("per_1", "bash"));
    assert_eq!(request.detail.as_deref(), Some("touch x; rm y"));
    let options = |request: &PermissionRequest| {
        request.options.iter().map(|option| (option.id.clone(), option.label.clone(), option.kind)).collect::<Vec<_>>()
    };
    let option = |id: &str, label: &str, kind| (id.to_owned(), label.to_owned(), kind);
    let once = option("once", "Allow once", OptionKind::AllowOnce);
    let reject = option("reject", "Reject", OptionKind::RejectOnce);
    let always = |label| option("always", label, OptionKind::AllowAlways);
    assert_eq!(options(&request), [once.clone(), always("Always allow: touch *"), reject.clone()]);
    let all = permission(&json!({"id": "per_1", "always": []}), None).unwrap();
    assert_eq!(options(&all), [once.clone(), always("Always allow"), reject.clone()]);
    let long = permission(&json!({"id": "per_1", "always": ["a".repeat(40), "b".repeat(40)]}), None).unwrap();
    assert_eq!(options(&long), [once, reject], "nobody allows what does not stand there");
    let patterns = json!({"id": "per_2", "patterns": ["a", "b"]});
    assert_eq!(permission(&patterns, None).unwrap().detail.as_deref(), Some("a\nb"));
}

#[test]
fn a_permission_shows_all_that_is_known_of_what_it_is_for() {
    let detail = |metadata: Value, input: Option<&str>| {
        let asked = json!({"id": "per_1", "patterns": ["*"], "metadata": metadata});
        permission(&asked, input).unwrap().detail.unwrap()
    };
    let edit = json!({"filepath": "/w/a", "diff": "--- a\n+++ a"});
    assert_eq!(detail(edit, Some("{}")), "--- a\n+++ a");
    assert_eq!(detail(json!({"url": "http://x"}), Some("{\"url\": \"http://x\"}")), "{\"url\": \"http://x\"}");
    assert_eq!(detail(json!({"filepath": "/w/a"}), None), "/w/a");
    // Tools of MCP servers say nothing themselves.
    assert_eq!(detail(json!({}), Some("{\"text\": \"hi\"}")), "{\"text\": \"hi\"}");
}

#[test]
fn a_question_has_its_choices_and_a_way_out() {
    let one = json!({"question": "Which?", "header": "H", "options": [{"label": "reject"}, {"label": "decline"}]});
    let choices = |questions: Value| {
        let request = question(&json!({"id": "que_1", "questions": questions})).unwrap();
        assert_eq!(request.rejection(), Decision::Cancelled, "it is no permission");
        let choices = request.options.iter().map(|option| (option.label.clone(), answer(&option.id)));
        let choices: Vec<_> = choices.map(|(label, answer)| (label, answer.map(ToOwned::to_owned))).collect();
        (request.title, choices)
    };
    let (given, none) = (|label: &str| (label.to_owned(), Some(label.to_owned())), ("Don't answer".to_owned(), None));
    assert_eq!(
        choices(json!([one])),
        ("Which?".to_owned(), vec![given("reject"), given("decline"), none.clone()]),
        "whatever its choices are called"
    );
    assert_eq!(choices(json!([one, one])), ("Which?\nWhich?".to_owned(), vec![none]));
}

#[test]
fn an_error_has_a_kind_by_its_name() {
    let auth = |said: &str| Outcome::Failed(BackendError::Auth(said.to_owned()));
    let transient = |said: &str| Outcome::Failed(BackendError::Transient(format!("the agent's model failed: {said}")));
    let cases = [
        (json!({"name": "MessageAbortedError", "data": {"message": "Aborted"}}), Outcome::Cancelled),
        (json!({"name": "MessageOutputLengthError", "data": {}}), Outcome::Truncated),
        (json!({"name": "ContentFilterError", "data": {"message": "no"}}), Outcome::Refused),
        (json!({"name": "ProviderAuthError", "data": {"message": "no key"}}), auth("no key")),
        (json!({"name": "APIError", "data": {"message": "mock 401", "statusCode": 401}}), auth("mock 401")),
        (json!({"name": "APIError", "data": {"message": "mock 500", "statusCode": 500}}), transient("mock 500")),
        (
            json!({"name": "ContextOverflowError", "data": {"message": "too long"}}),
            Outcome::Failed(BackendError::Rejected("too long".to_owned())),
        ),
        (json!({"name": "Other"}), transient("Other")),
    ];
    for (error, expected) in cases {
        assert_eq!(failure(&error), expected, "{error}");
    }
}
