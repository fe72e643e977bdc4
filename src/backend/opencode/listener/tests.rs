use serde_json::json;

use super::*;
use crate::domain::ids::RequestId;

fn event(kind: &str, mut properties: Value) -> Value {
    if properties.get("sessionID").is_none() {
        properties["sessionID"] = "ses_1".into();
    }
    json!({"id": "evt_1", "type": kind, "properties": properties})
}

fn asked() -> Value {
    event(
        "message.part.updated",
        json!({"part": {"id": "prt_0", "type": "text", "text": "hello", "messageID": "msg_1"}}),
    )
}

fn answer(id: &str, parent: &str) -> Value {
    event("message.updated", json!({"info": {"id": id, "parentID": parent, "role": "assistant", "time": {}}}))
}

fn complete(id: &str, parent: &str) -> Value {
    event("message.updated", json!({"info": {"id": id, "parentID": parent, "time": {"completed": 1}}}))
}

fn error(name: &str) -> Value {
    event("session.error", json!({"error": {"name": name, "data": {"message": "no"}}}))
}

fn part(message: &str, id: &str, text: &str) -> Value {
    event("message.part.updated", json!({"part": {"id": id, "type": "text", "text": text, "messageID": message}}))
}

fn idle() -> Value {
    event("session.idle", json!({}))
}

fn read(listener: &mut Listener, events: &[Value]) -> Vec<Heard> {
    events.iter().flat_map(|event| listener.read(event)).collect()
}

fn listener() -> Listener {
    Listener::new("ses_1".to_owned(), "hello".to_owned(), None)
}

fn texts(heard: &[Heard]) -> Vec<&str> {
    let text = |heard| match heard {
        &Heard::Agent(AgentEvent::Text { ref delta, .. }) => Some(delta.as_str()),
        _ => None,
    };
    heard.iter().filter_map(text).collect()
}

#[test]
fn a_turn_is_told_from_its_prompt_to_its_end() {
    let mut listener = listener();
    let delta =
        event("message.part.delta", json!({"messageID": "msg_2", "partID": "prt_1", "field": "text", "delta": "Hi"}));
    let events = [
        asked(),
        answer("msg_2", "msg_1"),
        part("msg_2", "prt_1", ""),
        delta,
        part("msg_2", "prt_1", "Hi you"),
        complete("msg_2", "msg_1"),
        idle(),
    ];
    let heard = read(&mut listener, &events);
    assert_eq!(heard.first(), Some(&Heard::Began));
    assert_eq!(texts(&heard), ["Hi", " you"]);
    assert_eq!(heard.last(), Some(&Heard::Over(Outcome::Completed)));
}

#[test]
fn what_belongs_to_another_turn_or_session_is_not_ours() {
    let foreign = |mut event: Value| {
        event["properties"]["sessionID"] = "ses_2".into();
        event
    };
    let mut listener = listener();
    // The late end of a turn that was cancelled, and its last words.
    let before = [idle(), answer("msg_0b", "msg_0a"), part("msg_0b", "prt_9", "late"), idle()];
    assert_eq!(read(&mut listener, &before), []);
    let after =
        [foreign(asked()), asked(), complete("msg_0b", "msg_0a"), part("msg_0b", "prt_9", "late"), foreign(idle())];
    assert_eq!(read(&mut listener, &after), [Heard::Began]);
    assert_eq!(listener.read(&idle()), [Heard::Unsure], "a turn that failed is told to be over twice");
    assert_eq!(read(&mut listener, &[answer("msg_2", "msg_1"), idle()]), [Heard::Unsure], "it has not answered yet");
    assert_eq!(listener.read(&json!({"type": "server.heartbeat", "properties": {}})), []);
}

#[test]
fn an_error_decides_how_the_turn_ends() {
    let mut listener = listener();
    let heard = read(&mut listener, &[asked(), error("MessageAbortedError"), idle()]);
    assert_eq!(heard, [Heard::Began, Heard::Ending(Outcome::Cancelled), Heard::Over(Outcome::Cancelled)]);
}

/// Another message of the server's own, and what the agent says to it.
fn going_on() -> [Value; 4] {
    [
        event("message.updated", json!({"info": {"id": "msg_5", "role": "user"}})),
        part("msg_5", "prt_5", "Continue if you have next steps."),
        answer("msg_6", "msg_5"),
        part("msg_6", "prt_6", "Done."),
    ]
}

#[test]
fn a_turn_goes_on_after_its_history_was_shortened() {
    let (summary, compaction) = (
        event("message.updated", json!({"info": {"id": "msg_4", "parentID": "msg_3", "summary": true}})),
        event("message.part.updated", json!({"part": {"id": "p", "type": "compaction", "messageID": "msg_3"}})),
    );
    let answers = [asked(), answer("msg_2", "msg_1"), part("msg_2", "prt_1", "Let me see.")];
    for first in [complete("msg_2", "msg_1"), error("ContextOverflowError")] {
        let mut listener = listener();
        let mut heard = read(&mut listener, &answers);
        heard.extend(read(&mut listener, &[first, compaction.clone(), summary.clone()]));
        heard.extend(read(&mut listener, &[part("msg_4", "prt_4", "A summary.")]));
        heard.extend(read(&mut listener, &going_on()));
        heard.extend(read(&mut listener, &[complete("msg_6", "msg_5"), idle()]));
        assert_eq!(texts(&heard), ["Let me see.", "Done."]);
        assert!(heard.contains(&Heard::Agent(AgentEvent::Compacting)), "{heard:?}");
        assert_eq!(heard.last(), Some(&Heard::Over(Outcome::Completed)));
        let endings = heard.iter().filter(|heard| matches!(heard, Heard::Ending(_) | Heard::Over(_))).count();
        assert_eq!(endings, 1, "{heard:?}");
    }
}

#[test]
fn a_history_that_can_not_be_shortened_ends_the_turn() {
    let heard = read(&mut listener(), &[asked(), answer("msg_2", "msg_1"), error("ContextOverflowError"), idle()]);
    let rejected = Outcome::Failed(BackendError::Rejected("no".to_owned()));
    assert_eq!(heard, [Heard::Began, Heard::Over(rejected)]);
}

#[test]
fn decisions_of_sessions_that_work_for_ours_are_asked_for_too() {
    let mut listener = listener();
    let ask = |session: &str, id: &str| {
        event("permission.asked", json!({"id": id, "sessionID": session, "permission": "bash"}))
    };
    let child = json!({"type": "session.created", "properties": {"sessionID": "ses_3", "info": {"id": "ses_3", "parentID": "ses_1"}}});
    assert_eq!(listener.read(&ask("ses_3", "per_0")), []);
    assert_eq!(listener.read(&child), []);
    let heard = read(&mut listener, &[ask("ses_1", "per_1"), ask("ses_3", "per_2"), ask("ses_1", "per_1")]);
    assert_eq!(heard.len(), 2, "each once: {heard:?}");
    let replied = event("permission.replied", json!({"sessionID": "ses_3", "requestID": "per_2", "reply": "once"}));
    let withdrawn = Heard::Agent(AgentEvent::PermissionWithdrawn(RequestId::from("per_2")));
    assert_eq!(read(&mut listener, &[replied.clone(), replied]), [withdrawn]);
}

/// A tool call that runs.
fn call(tool: &str, state: &Value) -> Value {
    let part =
        json!({"id": "prt_3", "type": "tool", "tool": tool, "callID": "call_1", "messageID": "msg_2", "state": state});
    event("message.part.updated", json!({"part": part}))
}

#[test]
fn decisions_of_sessions_that_go_on_with_earlier_work_are_asked_for_too() {
    let ask = event("permission.asked", json!({"id": "per_1", "sessionID": "ses_3", "permission": "bash"}));
    let state = json!({"status": "running", "input": {}, "metadata": {"sessionId": "ses_3"}});
    for (tool, asked) in [("task", 1), ("another", 0)] {
        let mut listener = listener();
        read(&mut listener, &[call(tool, &state)]);
        assert_eq!(read(&mut listener, std::slice::from_ref(&ask)).len(), asked, "{tool}");
    }
}

#[test]
fn a_request_that_says_nothing_itself_shows_what_its_tool_was_given() {
    let mut listener = listener();
    let ask = |id: &str| {
        event(
            "permission.asked",
            json!({"id": id, "permission": "slack_post", "patterns": ["*"], "metadata": {},
            "tool": {"callID": "call_1", "messageID": "msg_2"}}),
        )
    };
    let detail = |heard: &[Heard]| match heard.last() {
        Some(Heard::Agent(AgentEvent::Permission(request))) => request.detail.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let running = call("slack_post", &json!({"status": "running", "input": {"text": "hi"}}));
    let heard = read(&mut listener, &[running, ask("per_1")]);
    assert_eq!(serde_json::from_str::<Value>(&detail(&heard)).unwrap(), json!({"text": "hi"}));
    let done = call("slack_post", &json!({"status": "completed", "input": {"text": "hi"}}));
    assert_eq!(detail(&read(&mut listener, &[done, ask("per_2")])), "*", "what is over is not kept");
}

#[test]
fn that_a_model_is_asked_again_is_said_once() {
    let retry =
        event("session.status", json!({"status": {"type": "retry", "attempt": 1, "message": "Too many", "next": 1}}));
    let heard =
        read(&mut listener(), &[retry.clone(), retry, event("session.status", json!({"status": {"type": "busy"}}))]);
    assert_eq!(heard, [Heard::Agent(AgentEvent::Notice("The agent's model is asked again: Too many".to_owned()))]);
}

fn record(status: &str, last: &Value) -> Value {
    json!({
        "status": {"type": status},
        "messages": [
            {"info": {"id": "msg_0", "role": "user"}, "parts": [{"id": "a", "type": "text", "text": "hello"}]},
            {"info": {"id": "msg_1", "role": "user"}, "parts": [{"id": "b", "type": "text", "text": "hello"}]},
            {"info": {"id": "msg_2", "parentID": "msg_1", "role": "assistant", "time": {"completed": 1}},
             "parts": [{"id": "prt_1", "type": "text", "text": "Hello you"}]},
            {"info": last, "parts": [{"id": "prt_2", "type": "text", "text": ""}]},
        ],
        "permissions": [{"id": "per_1", "sessionID": "ses_1"}, {"id": "per_2", "sessionID": "ses_2"}],
        "questions": [{"id": "que_1", "sessionID": "ses_1", "questions": []}],
    })
}

#[test]
fn f_58_after_a_gap_the_record_says_what_is_missing_and_nothing_twice() {
    let mut listener = listener();
    let answered_elsewhere = event("permission.asked", json!({"id": "per_0", "permission": "bash"}));
    read(&mut listener, &[asked(), answer("msg_2", "msg_1"), part("msg_2", "prt_1", "Hello"), answered_elsewhere]);
    listener.cut();
    let last = json!({"id": "msg_3", "parentID": "msg_1", "role": "assistant", "time": {}});
    let heard = listener.compare(&record("busy", &last), false);
    assert_eq!(texts(&heard), [" you"]);
    let withdrawn = Heard::Agent(AgentEvent::PermissionWithdrawn(RequestId::from("per_0")));
    assert_eq!(heard[1], withdrawn);
    let asked = heard[2..].iter().map(|heard| match heard {
        Heard::Agent(AgentEvent::Permission(request)) => request.id.as_str(),
        other => panic!("{other:?}"),
    });
    assert_eq!(asked.collect::<Vec<_>>(), ["per_1", "que_1"]);
    let rest = [part("msg_3", "prt_2", "Bye"), complete("msg_3", "msg_1"), idle()];
    let heard = read(&mut listener, &rest);
    assert_eq!((texts(&heard), heard.last()), (vec!["Bye"], Some(&Heard::Over(Outcome::Completed))));
    assert!(!listener.is_whole());
}

#[test]
fn a_record_tells_how_a_turn_ended_that_nobody_heard() {
    let message = |more: Value| {
        let mut last = json!({"id": "msg_3", "parentID": "msg_1", "role": "assistant"});
        last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        listener().compare(&record("idle", &last), false).pop().unwrap()
    };
    assert_eq!(message(json!({"time": {"completed": 5}})), Heard::Over(Outcome::Completed));
    let aborted = json!({"error": {"name": "MessageAbortedError", "data": {}}, "time": {"completed": 5}});
    assert_eq!(message(aborted), Heard::Over(Outcome::Cancelled));
    assert!(matches!(message(json!({"time": {}})), Heard::Lost(BackendError::Transient(_), Condition::Spent)));
    let nothing = json!({"status": null, "messages": [], "permissions": []});
    assert!(matches!(listener().compare(&nothing, false)[..], [Heard::Lost(..)]));
}
