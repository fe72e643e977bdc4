use super::*;

fn text(delta: &str) -> AgentEvent {
    AgentEvent::Text { message: None, delta: delta.to_owned() }
}

fn call(id: &str, title: Option<&str>, status: Option<Progress>) -> AgentEvent {
    AgentEvent::Tool(ToolCall { id: id.to_owned(), title: title.map(ToOwned::to_owned), status })
}

fn usage(cost: Option<&str>) -> AgentEvent {
    AgentEvent::Usage(Usage { used: 1, size: 2, cost: cost.map(ToOwned::to_owned) })
}

#[test]
fn updates_become_events() {
    let chunk = |kind: &str, content: Value| json!({"sessionUpdate": kind, "content": content});
    let cases = [
        (chunk("agent_message_chunk", json!({"type": "text", "text": "hi"})), Some(text("hi"))),
        (chunk("agent_message_chunk", json!({"type": "text", "text": ""})), None),
        (chunk("agent_message_chunk", json!({"type": "image", "data": "", "mimeType": "image/png"})), None),
        (
            chunk("agent_message_chunk", json!({"type": "resource_link", "uri": "file:///a", "name": "a"})),
            Some(text("[a](file:///a)")),
        ),
        (
            json!({"sessionUpdate": "agent_message_chunk", "messageId": "m", "content": {"type": "text", "text": "x"}}),
            Some(AgentEvent::Text { message: Some("m".to_owned()), delta: "x".to_owned() }),
        ),
        (
            chunk("agent_thought_chunk", json!({"type": "text", "text": "hm"})),
            Some(AgentEvent::Thought("hm".to_owned())),
        ),
        (chunk("user_message_chunk", json!({"type": "text", "text": "me"})), None),
        (
            json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "ls", "status": "pending"}),
            Some(call("t", Some("ls"), Some(Progress::Pending))),
        ),
        (
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "new", "status": "completed"}),
            Some(call("new", None, Some(Progress::Done))),
        ),
        (json!({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "odd"}), Some(call("t", None, None))),
        (
            json!({"sessionUpdate": "plan", "entries": [{"content": "a", "status": "in_progress"}, {"no": 1}]}),
            Some(AgentEvent::Plan(vec![PlanEntry { text: "a".to_owned(), status: Progress::Running }])),
        ),
        (
            json!({"sessionUpdate": "notice", "severity": "info", "title": "T", "description": "d"}),
            Some(AgentEvent::Notice("T: d".to_owned())),
        ),
        (json!({"sessionUpdate": "usage_update", "used": 1}), None),
        (json!({"sessionUpdate": "usage_update", "used": 1, "size": 2}), Some(usage(None))),
        (
            json!({"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": {"amount": 0.126, "currency": "USD"}}),
            Some(usage(Some("0.13 USD"))),
        ),
        (
            json!({"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": {"amount": 1, "currency": "<!here>"}}),
            Some(usage(None)),
        ),
        (json!({"sessionUpdate": "compaction_update", "status": "in_progress"}), Some(AgentEvent::Compacting)),
        (json!({"sessionUpdate": "compaction_update", "status": "completed"}), None),
        (json!({"sessionUpdate": "of tomorrow"}), None),
        (json!({"sessionUpdate": 7}), None),
        (json!("nonsense"), None),
    ];
    for (update, expected) in cases {
        assert_eq!(Tools::default().event(&update), expected, "{update}");
    }
}

#[test]
fn a_permission_shows_exactly_what_would_be_done() {
    let cases = [
        (json!({"rawInput": {"command": "rm -rf x", "description": "clean"}}), Some("rm -rf x")),
        (json!({"rawInput": {"command": ["git", "push"]}}), Some("git push")),
        (json!({"rawInput": {"command": ["sh", "-c", "rm a b", "it's", ""]}}), Some(r"sh -c 'rm a b' 'it'\''s' ''")),
        (json!({"rawInput": {"command": ["sh", "-c", "a 'b'", ""]}}), Some(r"sh -c 'a '\''b'\''' ''")),
        (
            json!({"rawInput": {"command": "git", "args": ["push"]}}),
            Some("{\n  \"command\": \"git\",\n  \"args\": [\n    \"push\"\n  ]\n}"),
        ),
        (json!({"rawInput": {"command": "ls", "cmd": "rm"}}), Some("{\n  \"command\": \"ls\",\n  \"cmd\": \"rm\"\n}")),
        (json!({"rawInput": {"file_path": "/a"}}), Some("{\n  \"file_path\": \"/a\"\n}")),
        (json!({"kind": "edit", "rawInput": {"file_path": "/etc/passwd", "content": "…"}}), Some("/etc/passwd")),
        (
            json!({"kind": "move", "rawInput": {"path": "a", "to": "b"}}),
            Some("{\n  \"path\": \"a\",\n  \"to\": \"b\"\n}"),
        ),
        (json!({"rawInput": {"query": "a"}}), Some("{\n  \"query\": \"a\"\n}")),
        (json!({"rawInput": {}, "locations": [{"path": "/a"}]}), Some("/a")),
        (json!({"kind": "delete", "locations": [{"path": "/a"}, {"line": 1}, {"path": "/b"}]}), Some("/a\n/b")),
        (json!({"content": [{"type": "diff", "path": "/b", "newText": ""}]}), Some("/b")),
        (json!({"title": "Something"}), None),
    ];
    for (call, expected) in cases {
        assert_eq!(detail(&call, text_of(&call, "kind")).as_deref(), expected, "{call}");
    }
    let long = "é".repeat(1_000_000);
    assert_eq!(
        detail(&json!({"rawInput": {"command": long}}), None),
        Some(long),
        "nobody can decide about half a command"
    );
}

#[test]
fn a_permission_that_names_only_the_call_is_filled_in_from_before() {
    let mut tools = Tools::default();
    let begun =
        json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "Run ls", "rawInput": {"command": "ls"}});
    tools.event(&begun);
    let options = json!([
        {"optionId": "a", "name": "Always", "kind": "allow_always"},
        {"optionId": "b", "name": "Maybe", "kind": "of tomorrow"},
        {"name": "without id"},
    ]);
    let request = tools.permission("1".into(), &json!({"toolCall": {"toolCallId": "t"}, "options": options})).unwrap();
    assert_eq!((request.title.as_str(), request.detail.as_deref()), ("Run ls", Some("ls")));
    let kinds: Vec<_> = request.options.iter().map(|option| (option.id.as_str(), option.kind)).collect();
    assert_eq!(kinds, [("a", OptionKind::AllowAlways), ("b", OptionKind::Other)]);
    let twice = json!([{"optionId": "a", "kind": "allow_once"}, {"optionId": "a", "kind": "reject_once"}]);
    for unclear in [json!([]), json!([{"name": "without id"}]), json!("all"), twice] {
        let params = json!({"toolCall": {"toolCallId": "t"}, "options": unclear});
        assert_eq!(tools.permission("2".into(), &params), None, "{params}");
    }
}

#[test]
fn the_kind_of_a_call_stays_when_it_is_not_said_again() {
    for (kind, expected) in [("edit", "a"), ("move", "{\n  \"path\": \"a\",\n  \"to\": \"b\"\n}")] {
        let mut tools = Tools::default();
        let input = json!({"path": "a", "to": "b"});
        tools.event(&json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "T", "kind": kind}));
        let options = json!([{"optionId": "a", "kind": "allow_once"}]);
        let params = json!({"toolCall": {"toolCallId": "t", "rawInput": input}, "options": options});
        assert_eq!(tools.permission("1".into(), &params).unwrap().detail.as_deref(), Some(expected), "{kind}");
    }
}

#[test]
fn a_turn_ends_as_its_stop_reason_says() {
    let cases = [
        ("end_turn", Outcome::Completed),
        ("cancelled", Outcome::Cancelled),
        ("refusal", Outcome::Refused),
        ("max_tokens", Outcome::Truncated),
        ("max_turn_requests", Outcome::Truncated),
        ("of tomorrow", Outcome::Completed),
    ];
    for (reason, expected) in cases {
        assert_eq!(outcome(&json!({"stopReason": reason})), expected, "{reason}");
    }
}

#[test]
fn what_is_remembered_of_calls_is_bounded_and_the_last_ones_are_known() {
    let mut tools = Tools::default();
    let called = |n: usize, bytes: usize| {
        let command = format!("{n}{}", "x".repeat(bytes));
        json!({"sessionUpdate": "tool_call", "toolCallId": n.to_string(), "rawInput": {"command": command}})
    };
    let again = json!({"sessionUpdate": "tool_call_update", "toolCallId": "0", "title": "still there"});
    tools.event(&called(0, 1));
    for n in 1..3 * REMEMBERED {
        tools.event(&called(n, 1));
        tools.event(&again);
        tools.event(&json!({"sessionUpdate": "tool_call_update", "toolCallId": "of nothing", "status": "failed"}));
        assert!(tools.0.len() <= REMEMBERED);
    }
    let mut asked = |id: &str| {
        let params = json!({"toolCall": {"toolCallId": id}, "options": [{"optionId": "a", "kind": "allow_once"}]});
        let request = tools.permission("1".into(), &params).unwrap();
        (request.title, request.detail)
    };
    assert_eq!(asked("0"), ("still there".to_owned(), Some("0x".to_owned())));
    assert_eq!(asked("1").1, None, "that was long ago");
    for n in 0..40 {
        tools.event(&called(n % 20, REMEMBERED_BYTES / 4));
        let held: usize = tools.0.iter().map(Known::size).sum();
        assert!(held <= REMEMBERED_BYTES * 3 / 2, "{held}");
    }
    tools.event(&called(7, 3 * REMEMBERED_BYTES));
    assert_eq!(tools.0.len(), 1 + 3, "the last one, whatever its size, and what fits beside it");
}
