//! Slack's own published payloads: each is understood or politely passed over.

#![expect(clippy::expect_used, reason = "a helper of a test fails the test that called it")]

use std::path::{Path, PathBuf};

use hitchline::slack::events::{Decoded, Identity, decode};
use hitchline::slack::wire::{self, Frame};
use serde_json::{Value, json};

fn samples(folder: &str) -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/slack-samples").join(folder);
    let mut found = Vec::new();
    collect(&root, &mut found);
    assert!(!found.is_empty(), "no samples in {}", root.display());
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in std::fs::read_dir(folder).expect("the folder of samples").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).expect("a sample");
            found.push((path, serde_json::from_str(&text).expect("a sample is JSON")));
        }
    }
}

/// The samples name every field and leave its value empty: the same payload with the values that a delivery can't be without.
fn filled(mut payload: Value) -> Value {
    let needed = [
        ("user", "U1"),
        ("bot_id", "B1"),
        ("ts", "1.1"),
        ("channel", "C1"),
        ("text", "hi"),
        ("user_id", "U1"),
        ("channel_id", "C1"),
        ("response_url", "https://x"),
    ];
    for place in ["", "/event"] {
        let Some(fields) = payload.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
        fields.remove("edited");
        for (name, value) in needed {
            if fields.get(name).is_some_and(|field| *field == "") {
                fields.insert(name.to_owned(), json!(value));
            }
        }
    }
    payload
}

/// The frame in which a payload comes, read as the socket reads it.
fn decoded(kind: &str, payload: &Value) -> Decoded {
    let me = Identity { team: "T1".into(), user: "UBOT".into(), bot: Some("BBOT".into()) };
    let frame =
        json!({"envelope_id": "e-1", "type": kind, "accepts_response_payload": false, "payload": payload}).to_string();
    match wire::read(&frame) {
        Frame::Envelope(envelope) => decode(&envelope, &me),
        other => panic!("not an envelope: {other:?}"),
    }
}

// holds: T-7, T-3
#[test]
fn every_event_is_understood_or_passed_over() {
    let mut understood = Vec::new();
    for (path, payload) in samples("events") {
        // The samples are bare events; on the wire they stand in a callback, and sometimes they are one already.
        let wrapped = json!({"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": payload["event"]});
        let bare = json!({"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": payload});
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let filled = filled(wrapped.clone());
        let read = [&payload, &wrapped, &bare, &filled].map(|payload| decoded("events_api", payload));
        if read.iter().any(|decoded| matches!(decoded, Decoded::Inbound(_))) {
            understood.push(name);
        }
    }
    for wanted in ["AppMentionPayload", "MessagePayload", "MessageMePayload", "MessageBotPayload"] {
        assert!(understood.iter().any(|name| name == wanted), "{wanted} is not understood: {understood:?}");
    }
    for unwanted in
        ["MessageChangedPayload", "MessageDeletedPayload", "MessageChannelJoinPayload", "ReactionAddedPayload"]
    {
        assert!(!understood.iter().any(|name| name == unwanted), "{unwanted} would start a turn");
    }
}

#[test]
fn every_interaction_and_command_is_understood_or_passed_over() {
    let mut commands = 0;
    for (_, payload) in samples("app-backend") {
        for kind in ["interactive", "slash_commands", "events_api", "something_new"] {
            if kind == "something_new" {
                let frame = json!({"envelope_id": "e-1", "type": kind, "payload": payload}).to_string();
                assert_eq!(wire::read(&frame), Frame::Odd(Some("e-1".to_owned()), "unknown_type"));
                continue;
            }
            let read = [decoded(kind, &payload), decoded(kind, &filled(payload.clone()))];
            commands += read.iter().filter(|decoded| matches!(decoded, Decoded::Inbound(_))).count();
        }
    }
    assert!(commands >= 1, "the slash command is understood");
}
