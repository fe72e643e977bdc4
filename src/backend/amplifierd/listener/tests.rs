use serde_json::json;

use super::*;

fn event(name: &str, data: &Value) -> Value {
    json!({"event": name, "data": data, "session_id": "s", "correlation_id": "prompt_s_2", "sequence": 1})
}

fn listener() -> Listener {
    Listener::new("s".to_owned(), "prompt_s_2".to_owned(), "hello".to_owned(), 0)
}

fn block(text: &str) -> Value {
    event("content_block:end", &json!({"block": {"type": "text", "text": text}, "block_index": 0}))
}

/// The texts that were heard, each message on a line of its own.
fn texts(heard: &[Heard]) -> Vec<String> {
    let text = |heard: &Heard| match heard {
        Heard::Agent(AgentEvent::Text { delta, .. }) => Some(delta.clone()),
        _ => None,
    };
    heard.iter().filter_map(text).collect()
}

fn read(listener: &mut Listener, events: &[Value]) -> Vec<Heard> {
    events.iter().flat_map(|event| listener.read(event)).collect()
}

fn transcript(texts: &[&str]) -> Value {
    let answers = texts.iter().map(|text| json!({"role": "assistant", "content": text}));
    let asked = json!({"role": "user", "content": "hello"});
    let messages: Vec<Value> = [asked].into_iter().chain(answers).collect();
    json!({"status": "idle", "transcript": messages})
}

#[test]
fn a_turn_as_it_was_recorded() {
    let mut listener = listener();
    let path = json!({"path": "/etc/hostname"});
    let heard = read(
        &mut listener,
        &[
            event("prompt:submit", &json!({"prompt": "hello"})),
            event("execution:start", &json!({})),
            event("content_block:start", &json!({"block_type": "thinking"})),
            event("content_block:end", &json!({"block": {"type": "thinking", "thinking": "hmm"}})),
            event("content_block:start", &json!({"block_type": "text"})),
            block("Let me read."),
            event(
                "content_block:end",
                &json!({"block": {"type": "tool_call", "id": "tc_1", "name": "read", "input": path}}),
            ),
            event("tool:pre", &json!({"tool_name": "read", "tool_call_id": "tc_1", "tool_input": path})),
            event("tool:post", &json!({"tool_name": "read", "tool_call_id": "tc_1", "result": {"success": true}})),
            block("It is a name."),
            event("orchestrator:complete", &json!({"status": "success"})),
            event("prompt:complete", &json!({"status": "success"})),
        ],
    );
    let text = |block: usize, text: &str| {
        Heard::Agent(AgentEvent::Text { message: Some(format!("block-{block}")), delta: text.to_owned() })
    };
    let tool = |status| {
        let (id, title) = ("tc_1".to_owned(), Some("read".to_owned()));
        Heard::Agent(AgentEvent::Tool(ToolCall { id, title, status: Some(status) }))
    };
    let said: Vec<Heard> = heard.into_iter().filter(|heard| *heard != Heard::Began).collect();
    assert_eq!(
        said,
        [
            Heard::Agent(AgentEvent::Thought("hmm".to_owned())),
            text(0, "Let me read."),
            tool(Progress::Running),
            tool(Progress::Done),
            text(1, "It is a name."),
            Heard::Ending(Outcome::Completed),
            Heard::Over(Outcome::Completed),
        ]
    );
    assert!(listener.is_whole());
    assert_eq!(listener.verdict(Outcome::Completed), Outcome::Completed);
}

#[test]
fn events_of_another_session_or_turn_are_not_ours() {
    let of = |session: &str, turn: Value| json!({"event": "prompt:complete", "data": {"status": "success"}, "session_id": session, "correlation_id": turn});
    for event in
        [of("child", json!("prompt_s_2")), of("s", json!("prompt_s_1")), of("s", Value::Null), json!({}), json!([1])]
    {
        assert_eq!(listener().read(&event), [], "{event}");
    }
    let shown =
        json!({"event": "display_message", "data": {"message": "careful"}, "session_id": "s", "correlation_id": null});
    assert_eq!(listener().read(&shown), [Heard::Agent(AgentEvent::Notice("careful".to_owned()))]);
}

#[test]
fn a_failed_turn_says_what_its_provider_said() {
    let cases = [
        ("RateLimitError", BackendError::Transient("the agent's model failed: RateLimitError: no".to_owned())),
        ("AuthenticationError", BackendError::Auth("no".to_owned())),
        ("ContextLengthError", BackendError::Rejected("no".to_owned())),
        ("RuntimeError", BackendError::Transient("the agent's model failed: RuntimeError: no".to_owned())),
    ];
    for (kind, expected) in cases {
        let mut listener = listener();
        let error = event("provider:error", &json!({"error": {"type": kind, "msg": "no"}}));
        let heard = read(&mut listener, &[error, event("prompt:complete", &json!({"status": "error"}))]);
        assert_eq!(heard.last(), Some(&Heard::Over(Outcome::Failed(expected))));
    }
    let heard = read(&mut listener(), &[event("prompt:complete", &json!({"status": "cancelled"}))]);
    assert_eq!(heard, [Heard::Over(Outcome::Cancelled)]);
}

#[test]
fn an_empty_answer_is_an_error_and_work_without_words_is_not() {
    let failed = |listener: &Listener| {
        matches!(listener.verdict(Outcome::Completed), Outcome::Failed(BackendError::Transient(_)))
    };
    let mut listener = listener();
    assert!(failed(&listener));
    listener.read(&event("content_block:end", &json!({"block": {"type": "thinking", "thinking": "hm"}})));
    assert!(failed(&listener), "thinking is no answer");
    assert_eq!(listener.verdict(Outcome::Cancelled), Outcome::Cancelled);
    listener.read(&event("tool:pre", &json!({"tool_name": "write", "tool_call_id": "t"})));
    assert!(!failed(&listener));
}

#[test]
fn pieces_of_a_block_and_the_block_itself_are_one_text() {
    let piece = |data: Value| event("content_block:delta", &data);
    let mut listener = listener();
    let heard = read(
        &mut listener,
        &[
            event("content_block:start", &json!({"block_type": "text"})),
            piece(json!({"delta": "Hel"})),
            piece(json!({"delta": {"text": "lo "}})),
            piece(json!({"text": "you"})),
            piece(json!({"text": "hm", "block_type": "thinking"})),
            block("Hello you."),
            block("Bye."),
        ],
    );
    assert_eq!(texts(&heard), ["Hel", "lo ", "you", ".", "Bye."]);
}

#[test]
fn f_58_after_a_gap_the_record_says_what_is_missing_and_nothing_twice() {
    let cases: [[&[&str]; 4]; 5] = [
        // Said before the gap, said after it, recorded, and what is said then.
        [&["one"], &["three"], &["one", "two", "three"], &["two", "three"]],
        [&["one"], &[], &["one", "two"], &["two"]],
        [&["one", "two"], &[], &["one", "two"], &[]],
        // A record that is not there, or tells something else, leaves what was heard.
        [&["one"], &["three"], &[], &["three"]],
        [&["one"], &["three"], &["another", "two"], &["three"]],
    ];
    for [before, after, recorded, expected] in cases {
        let mut listener = listener();
        for text in before {
            listener.read(&block(text));
        }
        listener.cut();
        assert!(!listener.is_whole());
        assert_eq!(listener.compare(&json!({"status": "executing"}), false), [], "it still runs");
        assert_eq!(texts(&after.iter().flat_map(|text| listener.read(&block(text))).collect::<Vec<_>>()), [""; 0]);
        let record = if recorded.is_empty() { Value::Null } else { transcript(recorded) };
        assert_eq!(texts(&listener.compare(&record, true)), expected, "{before:?} {after:?} {recorded:?}");
        assert!(listener.is_whole());
    }
}

#[test]
fn f_58_a_block_that_was_cut_in_the_middle_is_completed() {
    let mut listener = listener();
    let piece = |text: &str| event("content_block:delta", &json!({"delta": text}));
    assert_eq!(texts(&read(&mut listener, &[piece("Hel")])), ["Hel"]);
    listener.cut();
    assert_eq!(listener.read(&piece("you")), [Heard::Began], "what came between is not known");
    assert_eq!(texts(&listener.compare(&transcript(&["Hello you."]), true)), ["lo you."]);
}

#[test]
fn a_record_tells_how_a_turn_ended_that_nobody_heard() {
    let outcome = |record: &Value| self::listener().compare(record, false).pop();
    assert_eq!(outcome(&transcript(&["Hi."])), Some(Heard::Over(Outcome::Completed)));
    assert!(matches!(outcome(&json!({"status": "failed"})), Some(Heard::Over(Outcome::Failed(_)))));
    assert_eq!(outcome(&json!({"status": "executing"})), None);
    for unknown in [transcript(&[]), json!({"status": "idle"})] {
        assert_eq!(outcome(&unknown), Some(Heard::Lost(not_begun(), Condition::Spent)), "{unknown}");
    }
    let mut listener = listener();
    listener.read(&block("one"));
    listener.cut();
    let ended = listener.compare(&json!({"status": "idle"}), false).pop();
    assert_eq!(ended, Some(Heard::Lost(not_recorded(), Condition::Spent)), "it has begun");
}
