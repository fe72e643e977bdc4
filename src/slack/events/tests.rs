use super::*;
use serde_json::json;

use crate::domain::access::{Denied, Gate, Rules};
use crate::domain::inbound::Button;

fn me() -> Identity {
    Identity { team: "T1".into(), user: "UBOT".into(), bot: Some("BBOT".into()) }
}

fn event(event: &Value) -> Decoded {
    let payload = json!({"event_id": "Ev1", "team_id": "T1", "event": event});
    decode(&Envelope { id: "e".into(), kind: Kind::Event, payload }, &me())
}

fn inbound(decoded: Decoded) -> Inbound {
    let Decoded::Inbound(inbound) = decoded else { panic!("{decoded:?}") };
    *inbound
}

fn message(extra: &Value) -> Value {
    let mut message = json!({
        "type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "text": "<@UBOT> hi", "ts": "2.0",
        "client_msg_id": "m1", "team": "T1",
    });
    message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    message
}

#[test]
fn a_mention_and_its_twin_share_a_key() {
    let first = inbound(event(&message(&json!({}))));
    let twin = inbound(event(&message(&json!({"type": "app_mention", "channel_type": null}))));
    assert_eq!(first.keys, ["message:C1:2.0", "event:Ev1", "gesture:U1:m1"]);
    assert!(first.keys.iter().any(|key| twin.keys.contains(key)));
    assert_eq!((first.channel_kind, twin.channel_kind), (ChannelKind::Channel, ChannelKind::Unknown));
    let What::Message(said) = first.what else { panic!("not a message") };
    assert_eq!((said.text.as_str(), said.mention, said.thread), ("hi", true, None));
}

// holds: T-3
#[test]
fn what_nobody_meant_for_us_is_passed_over() {
    let cases = [
        (json!({"user": "UBOT"}), "own"),
        (json!({"bot_id": "BBOT", "user": "U9"}), "own"),
        (json!({"subtype": "message_changed"}), "incomplete"),
        (json!({"subtype": "message_deleted"}), "incomplete"),
        (json!({"subtype": "message_replied"}), "subtype"),
        (json!({"subtype": "channel_join"}), "subtype"),
        (json!({"subtype": "bot_message"}), "subtype"),
        (json!({"subtype": "bot_message", "bot_id": "BBOT", "user": null}), "own"),
        (json!({"subtype": "bot_message", "bot_id": "B2", "user": "UBOT"}), "own"),
        (json!({"edited": {"ts": "3.0"}}), "edit"),
        (json!({"text": ""}), "empty"),
        (json!({"type": "app_mention", "text": ""}), "empty"),
        (json!({"user": null}), "incomplete"),
        (json!({"type": "reaction_added"}), "event_type"),
    ];
    for (extra, reason) in cases {
        assert_eq!(event(&message(&extra)), Ignored(reason), "{extra}");
    }
    let no_event = |kind: &str| Envelope { id: "e".into(), kind: Kind::Event, payload: json!({"type": kind}) };
    assert_eq!(decode(&no_event("something_new"), &me()), Ignored("event_type"));
    assert_eq!(decode(&no_event("app_rate_limited"), &me()), Decoded::LeftOut);
}

#[test]
fn what_is_read_back_is_what_was_delivered_under_the_same_keys() {
    let place = |kind, shared| Joined { team: "T1".into(), channel: "C1".into(), kind, shared };
    let delivered = message(&json!({}));
    let mut stands_there = delivered.clone();
    for missing in ["channel", "channel_type"] {
        stands_there.as_object_mut().unwrap().remove(missing);
    }
    let mut expected = inbound(event(&delivered));
    let read = |message: &Value, place: &Joined| read_back(message, place, &me());
    let channel = place(ChannelKind::Channel, false);
    let there = inbound(read(&stands_there, &channel));
    assert!(there.keys.iter().all(|key| expected.keys.contains(key)) && there.keys.len() == 2, "{:?}", there.keys);
    expected.keys.clone_from(&there.keys);
    assert_eq!(there, expected);
    stands_there["edited"] = json!({"ts": "3.0", "user": "U1"});
    stands_there["text"] = json!("<@UBOT> better");
    let edited = inbound(read(&stands_there, &place(ChannelKind::Direct, false)));
    let What::Message(said) = edited.what else { panic!("not a message") };
    assert_eq!((said.text.as_str(), edited.channel_kind), ("better", ChannelKind::Direct));
    stands_there["team"] = Value::Null;
    assert!(inbound(read(&stands_there, &place(ChannelKind::Channel, true))).author.team.is_some(), "a stranger's");
    for (extra, reason) in
        [(json!({"user": "UBOT"}), "own"), (json!({"subtype": "tombstone", "hidden": true}), "subtype")]
    {
        assert_eq!(read(&message(&extra), &channel), Ignored(reason), "{extra}");
    }
}

// holds: T-3
#[test]
fn a_bots_message_comes_as_far_as_the_gate_and_no_further() {
    let rules =
        Rules { users: vec!["*".into()], channels: vec!["*".into()], bots: vec!["B1".into()], ..Rules::default() };
    let gate = Gate::new(rules, "T1".into());
    let admitted = |bot: &str, user: Value| {
        let said = inbound(event(&message(&json!({"subtype": "bot_message", "bot_id": bot, "user": user}))));
        assert_eq!(said.author.bot, Some(bot.into()));
        gate.admit(&said.author, &said.channel, said.channel_kind).map(|admitted| admitted.user().clone())
    };
    assert_eq!(admitted("B1", Value::Null), Ok("B1".into()), "a bot without a user goes by its own id");
    assert_eq!(admitted("B1", json!("U7")), Ok("U7".into()));
    for user in [Value::Null, json!("U7")] {
        assert_eq!(admitted("B2", user), Err(Denied::Bot));
    }
}

#[test]
fn bots_and_people_of_other_workspaces_are_known_as_such() {
    let bot = inbound(event(&message(&json!({"bot_id": "B2"}))));
    assert_eq!(bot.author.bot, Some("B2".into()));
    let external = inbound(event(&message(&json!({"user_team": "T2"}))));
    assert_eq!(external.author.team, Some("T2".into()));
    let author = |shared: bool| {
        let event = message(&json!({"team": null}));
        let payload = json!({"type": "event_callback", "event": event, "is_ext_shared_channel": shared});
        inbound(decode(&Envelope { id: "e".into(), kind: Kind::Event, payload }, &me())).author
    };
    assert_eq!(author(false).team, None);
    assert_eq!(author(true).team, Some("unknown".into()), "whoever may be somebody else is not taken for ours");
}

#[test]
fn a_file_says_where_it_is_to_be_had() {
    let hosted = json!({"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 7, "mode": "hosted",
        "url_private": "https://files.slack.com/1", "url_private_download": "https://files.slack.com/2"});
    let expected = File {
        id: "F1".into(),
        name: "a.png".into(),
        mime: Some("image/png".into()),
        size: Some(7),
        at: FileAt::Address("https://files.slack.com/2".into()),
    };
    assert_eq!(file(&hosted), expected);
    let with = |change: Value| {
        let mut object = hosted.clone();
        object.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        file(&object).at
    };
    assert_eq!(with(json!({"url_private_download": null})), FileAt::Address("https://files.slack.com/1".into()));
    assert_eq!(with(json!({"file_access": "check_file_info"})), FileAt::Ask);
    assert_eq!(with(json!({"mode": "external"})), FileAt::Elsewhere);
    assert_eq!(with(json!({"is_external": true})), FileAt::Elsewhere);
    assert_eq!(
        [with(json!({"mode": "tombstone"})), with(json!({"mode": "hidden_by_limit"}))],
        [FileAt::Gone, FileAt::Gone]
    );
    assert_eq!(file(&json!({"id": "F1", "file_access": "check_file_info"})).at, FileAt::Ask);
    assert_eq!(file(&json!({"id": "F1", "title": "T"})).name, "T");
}

#[test]
fn threads_files_and_broadcasts() {
    let reply = inbound(event(&message(&json!({"thread_ts": "1.0", "subtype": "file_share", "files": [{}, {}]}))));
    assert_eq!(reply.conversation().unwrap().thread, "1.0".into());
    let What::Message(reply) = reply.what else { panic!("not a message") };
    assert_eq!(reply.files.len(), 2);
    // A root that carries its own ts as thread is still a root.
    let What::Message(root) = inbound(event(&message(&json!({"thread_ts": "2.0"})))).what else {
        panic!("not a message")
    };
    assert_eq!(root.thread, None);
}

#[test]
fn a_click_on_our_button_and_on_a_foreign_one() {
    let stop = Envelope {
        id: "e".into(),
        kind: Kind::Interactive,
        payload: json!({
            "type": "block_actions", "user": {"id": "U1", "team_id": "T1"}, "response_url": "https://hooks.slack.com/x",
            "container": {"type": "message", "message_ts": "5.0", "channel_id": "C1", "thread_ts": "1.0"},
            "actions": [{"action_id": "hitchline.approval.1", "value": "0b1e2c3d4e5f60718293a4b5c6d7e8f9:1", "action_ts": "6.0"}],
        }),
    };
    let click = inbound(decode(&stop, &me()));
    assert_eq!(click.keys, ["click:5.0:hitchline.approval.1:6.0:U1"]);
    assert_eq!(click.conversation().unwrap().thread, "1.0".into());
    assert_eq!(click.author.team, Some("T1".into()));
    let mut stranger = stop.clone();
    stranger.payload["user"]["team_id"] = Value::Null;
    assert_eq!(inbound(decode(&stranger, &me())).author.team, Some("unknown".into()));
    let mut foreign = stop;
    foreign.payload["actions"][0]["action_id"] = json!("other");
    assert_eq!(decode(&foreign, &me()), Ignored("foreign_button"));
}

#[test]
fn a_slash_command() {
    let mut payload = json!({
        "command": "/hitch", "text": "status &amp; more", "user_id": "U1", "team_id": "T1", "channel_id": "D1",
        "response_url": "https://hooks.slack.com/y", "trigger_id": "1.2.3",
    });
    let decoded = |payload: &Value| {
        inbound(decode(&Envelope { id: "e".into(), kind: Kind::Slash, payload: payload.clone() }, &me()))
    };
    let slash = decoded(&payload);
    assert_eq!(slash.author.team, Some("T1".into()));
    payload["team_id"] = Value::Null;
    assert_eq!(decoded(&payload).author.team, Some("unknown".into()));
    assert_eq!((slash.keys, slash.channel_kind), (vec!["slash:1.2.3".to_owned()], ChannelKind::Direct));
    let What::Slash(slash) = slash.what else { panic!("not a command") };
    assert_eq!(slash.text, "status & more");
    assert!(!format!("{slash:?}").contains("hooks.slack.com"), "the address is a secret");
}

fn edit(now: &Value, before: &Value, outer: &Value) -> Value {
    let inner = |extra: &Value| {
        let mut inner = message(&json!({"channel": null, "channel_type": null}));
        inner.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        inner
    };
    let mut event = json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "channel": "C1", "channel_type": "im", "ts": "9.0",
        "event_ts": "9.0", "message": inner(now), "previous_message": inner(before),
    });
    event.as_object_mut().unwrap().extend(outer.as_object().unwrap().clone());
    event
}

#[test]
fn an_edit_by_its_author_is_told_from_everything_else_that_changes_a_message() {
    let edited = json!({"text": "<@UBOT> new", "edited": {"user": "U1", "ts": "3.0"}, "thread_ts": "1.0"});
    let read = inbound(event(&edit(&edited, &json!({}), &json!({}))));
    assert_eq!(read.keys, ["event:Ev1", "edit:C1:2.0:3.0"]);
    assert_eq!((read.channel_kind, read.author.user.as_str()), (ChannelKind::Direct, "U1"));
    assert_eq!((read.author.team.clone(), read.conversation().unwrap().thread), (Some("T1".into()), "1.0".into()));
    let What::Edited(new) = read.what else { panic!("not an edit") };
    assert_eq!((new.ts.as_str(), new.text.as_str(), new.mention), ("2.0", "new", true));

    let again = |ts: &str| json!({"text": "once more", "edited": {"user": "U1", "ts": ts}});
    let same = |extra: Value| edit(&extra, &extra, &json!({}));
    let passed_over = [
        (same(json!({"attachments": [{"from_url": "https://x"}]})), "no_edit"),
        (same(edited.clone()), "no_edit"),
        (edit(&again("3.0"), &edited, &json!({})), "no_edit"),
        (edit(&json!({"text": "new"}), &json!({}), &json!({})), "no_edit"),
        (edit(&json!({"text": "new", "edited": {"user": "U2", "ts": "3.0"}}), &json!({}), &json!({})), "no_edit"),
        (edit(&edited, &json!({"ts": "1.5"}), &json!({})), "incomplete"),
        (edit(&edited, &json!({}), &json!({"channel": null})), "incomplete"),
        (edit(&json!({"user": "UBOT", "edited": {"user": "UBOT", "ts": "3.0"}}), &json!({}), &json!({})), "own"),
        (edit(&json!({"bot_id": "BBOT", "streaming_state": "in_progress"}), &json!({}), &json!({})), "own"),
        (edit(&json!({"bot_id": "B2", "text": "new"}), &json!({}), &json!({})), "subtype"),
        (edit(&json!({"subtype": "channel_topic"}), &json!({}), &json!({})), "subtype"),
        (edit(&json!({"user": null}), &json!({}), &json!({})), "incomplete"),
    ];
    for (changed, reason) in passed_over {
        assert_eq!(event(&changed), Ignored(reason), "{changed}");
    }
    // A second edit counts by its own mark.
    let second = inbound(event(&edit(&again("4.0"), &edited, &json!({}))));
    assert_eq!(second.keys[1], "edit:C1:2.0:4.0");
}

#[test]
fn a_deletion_is_told_whether_the_message_had_replies_or_not() {
    let deleted = |before: &Value, outer: &Value| {
        let mut outer = outer.clone();
        outer["subtype"] = json!("message_deleted");
        edit(&json!({}), before, &outer)
    };
    let plain = deleted(&json!({"thread_ts": "1.0"}), &json!({"deleted_ts": "2.0", "message": null}));
    // In place of a message with replies Slack leaves a message of its own.
    let grave =
        json!({"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted.", "thread_ts": "2.0"});
    let tombstone = edit(&grave, &json!({"thread_ts": "2.0"}), &json!({}));
    for (gone, thread) in [(plain, Some(Ts::from("1.0"))), (tombstone, None)] {
        let read = inbound(event(&gone));
        assert_eq!(read.keys, ["event:Ev1", "delete:C1:2.0"]);
        assert_eq!((read.author.user.as_str(), &read.what), ("U1", &What::Deleted { ts: "2.0".into(), thread }));
    }
    for (gone, reason) in [
        (deleted(&json!({"user": "UBOT"}), &json!({"deleted_ts": "2.0"})), "own"),
        (deleted(&json!({"bot_id": "B2"}), &json!({"deleted_ts": "2.0"})), "subtype"),
        (deleted(&json!({"subtype": "tombstone"}), &json!({"deleted_ts": "2.0"})), "subtype"),
        (deleted(&json!({"user": null}), &json!({"deleted_ts": "2.0"})), "incomplete"),
        (deleted(&json!({}), &json!({})), "incomplete"),
    ] {
        assert_eq!(event(&gone), Ignored(reason), "{gone}");
    }
}

#[test]
fn a_click_on_a_message_for_one_person_alone_finds_its_thread_by_its_button() {
    let press = |button: &Button, container: &Value| {
        let (action_id, value) = button::encode(button);
        let mut payload = json!({
            "type": "block_actions", "user": {"id": "U1", "team_id": "T1"}, "response_url": "https://hooks.slack.com/x",
            "container": {"type": "message", "message_ts": "5.0", "channel_id": "C1", "is_ephemeral": true},
            "actions": [{"type": "button", "action_id": action_id, "value": value, "action_ts": "6.0"}],
        });
        payload["container"].as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        inbound(decode(&Envelope { id: "e".into(), kind: Kind::Interactive, payload }, &me()))
    };
    let session = crate::domain::ids::SessionId::new();
    let asked_in = |thread: Option<&str>| Button::Connect { session, thread: thread.map(Ts::from) };
    let cases = [
        (asked_in(Some("1.0")), json!({}), Some("1.0")),
        (asked_in(Some("1.0")), json!({"thread_ts": "2.0"}), Some("2.0")),
        (asked_in(None), json!({}), None),
        (asked_in(None), json!({"is_ephemeral": false}), Some("5.0")),
    ];
    for (button, container, expected) in cases {
        let click = press(&button, &container);
        assert_eq!(click.conversation().map(|key| key.thread), expected.map(Ts::from), "{container}");
        let What::Click(click) = click.what else { panic!("not a press") };
        assert_eq!((click.button, click.ephemeral), (button, container["is_ephemeral"].is_null()));
    }
}
