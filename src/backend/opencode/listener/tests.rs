use serde_json::json;

use super::*;

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
    event("message.updated", json!({"info": {"id": id, "parentID": parent, "role": "assistant"}}))
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
    Listener::new("ses_1".to_owned(), "hello".to_owned())
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
    let before = [idle(), answer("msg_0", "msg_old"), part("msg_0", "prt_9", "late"), idle()];
    assert_eq!(read(&mut listener, &before), []);
    let after =
        [foreign(asked()), asked(), answer("msg_0", "msg_old"), part("msg_0", "prt_9", "late"), foreign(idle())];
    assert_eq!(read(&mut listener, &after), [Heard::Began]);
    assert_eq!(listener.read(&json!({"type": "server.heartbeat", "properties": {}})), []);
}

#[test]
fn an_error_decides_how_the_turn_ends() {
    let mut listener = listener();
    let aborted =
        event("session.error", json!({"error": {"name": "MessageAbortedError", "data": {"message": "Aborted"}}}));
    let heard = read(&mut listener, &[asked(), aborted, idle()]);
    assert_eq!(heard, [Heard::Began, Heard::Ending(Outcome::Cancelled), Heard::Over(Outcome::Cancelled)]);
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
    })
}

#[test]
fn f_58_after_a_gap_the_record_says_what_is_missing_and_nothing_twice() {
    let mut listener = listener();
    read(&mut listener, &[asked(), answer("msg_2", "msg_1"), part("msg_2", "prt_1", "Hello")]);
    listener.cut();
    let last = json!({"id": "msg_3", "parentID": "msg_1", "role": "assistant", "time": {}});
    let heard = listener.compare(&record("busy", &last), false);
    assert_eq!(texts(&heard), [" you"]);
    assert!(matches!(&heard[1], Heard::Agent(AgentEvent::Permission(request)) if request.id.as_str() == "per_1"));
    let rest = [part("msg_3", "prt_2", "Bye"), idle()];
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
