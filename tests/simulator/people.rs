//! What people do, and what the app hears of it.

use serde_json::json;

use crate::client::{Bench, Socket};

async fn twins(socket: &mut Socket) -> [serde_json::Value; 2] {
    [socket.acked().await, socket.acked().await]
}

#[tokio::test]
async fn a_mention_makes_twin_events() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let ts = bench.alice("@hitchline a < b").await;
    let [message, mention] = twins(&mut socket).await;
    assert_ne!(message["payload"]["event_id"], mention["payload"]["event_id"]);
    let (message, mention) = (&message["payload"]["event"], &mention["payload"]["event"]);
    assert_eq!((&message["type"], &mention["type"]), (&json!("message"), &json!("app_mention")));
    assert_eq!((&message["ts"], &mention["ts"]), (&json!(ts), &json!(ts)));
    assert_eq!(mention["text"], "<@U0BOT> a &lt; b");
    assert_eq!(message["client_msg_id"], mention["client_msg_id"]);
    assert!(mention.get("channel_type").is_none());
}

#[tokio::test]
async fn one_of_the_twins_can_be_suppressed() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    for suppressed in ["message", "app_mention"] {
        let body = json!({"user": "U0BOB", "channel": "C0RANDOM", "text": "@hitchline", "suppress": [suppressed]});
        bench.sim("messages", body).await;
        assert_ne!(socket.acked().await["payload"]["event"]["type"], suppressed);
    }
}

#[tokio::test]
async fn people_from_outside_are_marked() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    bench.sim("messages", json!({"user": "U0CAROL", "channel": "C0GENERAL", "text": "hello"})).await;
    let payload = socket.acked().await["payload"].take();
    assert_eq!((&payload["is_ext_shared_channel"], &payload["event"]["user_team"]), (&json!(true), &json!("T0OTHER")));
}

#[tokio::test]
async fn replies_edits_deletions_and_reactions_are_heard() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let root = bench.alice("root").await;
    socket.acked().await;
    let reply = json!({"user": "U0BOB", "channel": "C0GENERAL", "text": "reply", "thread_ts": root});
    let reply = bench.sim("messages", reply).await["ts"].clone();
    let event = socket.acked().await["payload"]["event"].take();
    assert_eq!((&event["thread_ts"], &event["parent_user_id"]), (&json!(root), &json!("U0ALICE")));

    let target = |extra: serde_json::Value| {
        let mut body = json!({"user": "U0BOB", "channel": "C0GENERAL", "ts": reply});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    bench.sim("edit", target(json!({"text": "@hitchline reply"}))).await;
    let [changed, mention] = twins(&mut socket).await.map(|mut envelope| envelope["payload"]["event"].take());
    assert_eq!(
        (&changed["subtype"], &changed["previous_message"]["text"]),
        (&json!("message_changed"), &json!("reply"))
    );
    assert_eq!((&mention["type"], &mention["ts"]), (&json!("app_mention"), &reply));

    bench.sim("react", target(json!({"name": "eyes"}))).await;
    assert_eq!(socket.acked().await["payload"]["event"]["reaction"], "eyes");
    bench.sim("delete", target(json!({}))).await;
    let deleted = socket.acked().await["payload"]["event"].take();
    assert_eq!((&deleted["subtype"], &deleted["deleted_ts"]), (&json!("message_deleted"), &reply));
    let thread = bench.get(&format!("/sim/messages?channel=C0GENERAL&thread_ts={root}")).await;
    assert_eq!(thread["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_click_sends_block_actions_and_waits_for_the_ack() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let blocks = json!([{"type": "actions", "elements": [
        {"type": "button", "action_id": "allow", "value": "7", "text": {"type": "plain_text", "text": "Allow"}}
    ]}]);
    let posted =
        bench.api("chat.postMessage", json!({"channel": "C0GENERAL", "text": "May I?", "blocks": blocks})).await;
    assert_eq!(socket.acked().await["payload"]["event"]["bot_id"], "B0BOT");
    let click = json!({"user": "U0ALICE", "channel": "C0GENERAL", "ts": posted["ts"], "action_id": "allow"});
    let (clicked, envelope) = tokio::join!(bench.sim("click", click), socket.acked());
    assert_eq!(clicked, json!({"ok": true, "acked": true}));
    let payload = &envelope["payload"];
    assert_eq!((&envelope["type"], &payload["type"]), (&json!("interactive"), &json!("block_actions")));
    assert_eq!((&payload["actions"][0]["value"], &payload["user"]["id"]), (&json!("7"), &json!("U0ALICE")));
    assert_eq!(payload["message"]["ts"], posted["ts"]);

    // The click's URL replaces the message.
    let replaced = json!({"replace_original": true, "text": "Allowed"});
    let response = bench.http.post(payload["response_url"].as_str().unwrap()).json(&replaced).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "ok");
    let found = bench.get("/sim/wait?channel=C0GENERAL&text_is=Allowed").await;
    assert_eq!(found["messages"][0]["ts"], posted["ts"]);
}

#[tokio::test]
async fn a_command_is_answered_with_its_ack_and_through_its_url() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let command = json!({"user": "U0BOB", "channel": "C0GENERAL", "command": "/hitch", "text": "status"});
    let app = async {
        let envelope = socket.json().await;
        let answer = json!({"text": "all well"});
        socket.send(&json!({"envelope_id": envelope["envelope_id"], "payload": answer})).await;
        envelope
    };
    let (answer, envelope) = tokio::join!(bench.sim("command", command), app);
    assert_eq!(answer, json!({"ok": true, "acked": true, "response": {"text": "all well"}}));
    assert_eq!(envelope["accepts_response_payload"], true);
    let url = envelope["payload"]["response_url"].as_str().unwrap().to_owned();
    for n in 0..6 {
        let later = json!({"text": format!("later {n}"), "response_type": "in_channel"});
        let response = bench.http.post(&url).json(&later).send().await.unwrap();
        assert_eq!(response.status().as_u16(), if n < 5 { 200 } else { 404 });
    }
    let shown = bench.get("/sim/messages?channel=C0GENERAL").await;
    let (first, second) = (&shown["messages"][0], &shown["messages"][1]);
    assert_eq!((&first["text"], &first["ephemeral_to"]), (&json!("all well"), &json!("U0BOB")));
    assert_eq!((&second["text"], second.get("ephemeral_to")), (&json!("later 0"), None));
}

#[tokio::test]
async fn with_no_app_a_command_is_not_acknowledged() {
    let bench = Bench::start().await;
    let command = json!({"user": "U0BOB", "channel": "C0GENERAL", "command": "/hitch"});
    assert_eq!(bench.sim("command", command).await["acked"], false);
}

#[tokio::test]
async fn stop_ends_the_streams_of_the_thread() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let root = bench.alice("go").await;
    let to = json!({"channel": "C0GENERAL", "thread_ts": root, "recipient_user_id": "U0ALICE", "recipient_team_id": "T0SIM"});
    let stream = bench.api("chat.startStream", to).await["ts"].clone();
    bench.sim("stop", json!({"user": "U0ALICE", "channel": "C0GENERAL", "thread_ts": root})).await;
    let stopped = loop {
        let event = socket.acked().await["payload"]["event"].take();
        if event["type"] == "agent_session_stopped" {
            break event;
        }
    };
    assert_eq!(stopped["streaming_message_ts"], json!([stream]));
    let late = json!({"channel": "C0GENERAL", "ts": stream, "markdown_text": "late"});
    assert_eq!(bench.api("chat.appendStream", late).await["error"], "stopped_by_user");
}

/// A message for Bob alone in a thread of Alice's, with a button; returns the root's `ts` and its own.
async fn for_bob(bench: &Bench) -> [serde_json::Value; 2] {
    let root = bench.alice("root").await;
    bench.sim("messages", json!({"user": "U0BOB", "channel": "C0GENERAL", "thread_ts": root, "text": "reply"})).await;
    let button =
        json!({"type": "button", "action_id": "go", "value": "1", "text": {"type": "plain_text", "text": "Go"}});
    let row = json!({"type": "section", "text": {"type": "mrkdwn", "text": "one"}, "accessory": button});
    let to = json!({"channel": "C0GENERAL", "user": "U0BOB", "text": "list", "thread_ts": root, "blocks": [row]});
    [json!(root), bench.api("chat.postEphemeral", to).await["message_ts"].clone()]
}

#[tokio::test]
async fn a_message_for_one_person_alone_is_pressed_by_them_alone_and_its_url_can_remove_it() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let [root, ts] = for_bob(&bench).await;
    let heard = twins(&mut socket).await.map(|mut envelope| envelope["payload"]["event"]["text"].take());
    assert_eq!(heard, ["root", "reply"], "the app hears nothing of what it whispers");
    let click = |user: &str| json!({"user": user, "channel": "C0GENERAL", "ts": ts, "action_id": "go"});
    let refused = bench.http.post(bench.url("/sim/click")).json(&click("U0ALICE")).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    let (clicked, envelope) = tokio::join!(bench.sim("click", click("U0BOB")), socket.acked());
    assert_eq!(clicked["acked"], true);
    let payload = &envelope["payload"];
    let container = json!({
        "type": "message", "message_ts": ts, "channel_id": "C0GENERAL", "is_ephemeral": true, "thread_ts": root,
    });
    assert_eq!((&payload["container"], payload.get("message")), (&container, None));
    assert_eq!((&payload["actions"][0]["value"], &payload["user"]["id"]), (&json!("1"), &json!("U0BOB")));

    let url = payload["response_url"].as_str().unwrap();
    let invalid = json!({"blocks": [{"type": "section"}]});
    assert_eq!(bench.http.post(url).json(&invalid).send().await.unwrap().text().await.unwrap(), "invalid_blocks");
    let removed = bench.http.post(url).json(&json!({"delete_original": true})).send().await.unwrap();
    assert_eq!(removed.text().await.unwrap(), "ok");
    let gone = bench.http.post(bench.url("/sim/click")).json(&click("U0BOB")).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
}

#[tokio::test]
async fn an_edit_is_marked_and_a_deleted_message_with_replies_leaves_a_tombstone() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let root = bench.alice("root").await;
    socket.acked().await;
    let target = |text: &str| json!({"user": "U0ALICE", "channel": "C0GENERAL", "ts": root, "text": text});
    for (text, before) in [("new", "root"), ("newer", "new")] {
        bench.sim("edit", target(text)).await;
        let event = socket.acked().await["payload"]["event"].take();
        assert_eq!((&event["subtype"], &event["hidden"]), (&json!("message_changed"), &json!(true)));
        assert_eq!((&event["message"]["text"], &event["previous_message"]["text"]), (&json!(text), &json!(before)));
        assert_eq!((&event["message"]["ts"], &event["message"]["edited"]["user"]), (&json!(root), &json!("U0ALICE")));
        assert_ne!(event["message"]["edited"], event["previous_message"]["edited"]);
        assert_ne!((&event["ts"], &event["event_ts"]), (&json!(root), &json!(root)));
    }

    let reply = json!({"user": "U0BOB", "channel": "C0GENERAL", "text": "reply", "thread_ts": root});
    bench.sim("messages", reply).await;
    socket.acked().await;
    bench.sim("delete", target("")).await;
    let event = socket.acked().await["payload"]["event"].take();
    assert_eq!((&event["subtype"], &event["previous_message"]["text"]), (&json!("message_changed"), &json!("newer")));
    assert_eq!((&event["message"]["subtype"], &event["message"]["ts"]), (&json!("tombstone"), &json!(root)));
    let thread = bench.api("conversations.replies", json!({"channel": "C0GENERAL", "ts": root})).await;
    assert_eq!(
        (&thread["messages"][0]["subtype"], &thread["messages"][1]["text"]),
        (&json!("tombstone"), &json!("reply"))
    );
}

#[tokio::test]
async fn people_change_only_what_they_wrote() {
    let bench = Bench::start().await;
    let ts = bench.alice("hers").await;
    for (path, who, status) in
        [("edit", "U0BOB", 400), ("delete", "U0BOB", 400), ("delete", "U0ALICE", 200), ("edit", "U0ALICE", 404)]
    {
        let body = json!({"user": who, "channel": "C0GENERAL", "ts": ts, "text": "mine now"});
        let answer = bench.http.post(bench.url(&format!("/sim/{path}"))).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} by {who}");
    }
}
