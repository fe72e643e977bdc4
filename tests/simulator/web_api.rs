//! The Web API as an app sees it, and what tests see of it.

use std::time::Duration;

use hitchline::clock::Clock;
use hitchline::simulator::{BOT_TOKEN, Config};
use serde_json::{Value, json};

use crate::client::Bench;

#[tokio::test]
async fn sdks_can_start() {
    let bench = Bench::start().await;
    // As slack-go does it: a form with the token in it, and no header.
    let form = [("token", BOT_TOKEN)];
    let response = bench.http.post(bench.url("/api/auth.test")).form(&form).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    let identity: Value = response.json().await.unwrap();
    for field in ["url", "team", "user", "team_id", "user_id", "bot_id"] {
        assert!(identity[field].is_string(), "{field}");
    }
    // As the Python client does it: a JSON content type and no body.
    let request = bench.http.post(bench.url("/api/auth.test")).bearer_auth(BOT_TOKEN);
    let empty: Value =
        request.header("content-type", "application/json;charset=utf-8").send().await.unwrap().json().await.unwrap();
    assert_eq!(empty["ok"], true);
}

#[tokio::test]
async fn a_post_comes_back_whole_and_is_found() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    let waiting = bench.get("/sim/wait?channel=C0GENERAL&user=U0BOT&text_contains=ell");
    let posting = bench.api("chat.postMessage", json!({"channel": "C0GENERAL", "thread_ts": root, "text": "hello"}));
    let (found, posted) = tokio::join!(waiting, posting);
    assert_eq!((&posted["ok"], &posted["channel"]), (&json!(true), &json!("C0GENERAL")));
    assert_eq!((&posted["message"]["text"], &posted["message"]["thread_ts"]), (&json!("hello"), &json!(root)));
    assert_eq!(found["messages"][0]["ts"], posted["ts"]);
    let calls = bench.get("/sim/calls?method=chat.postMessage").await;
    assert_eq!(calls["calls"][0]["response"], json!({"ok": true, "ts": posted["ts"]}));
    assert_eq!(calls["counts"]["chat.postMessage"], 1);
}

#[tokio::test]
async fn a_wait_in_vain_shows_what_was_seen() {
    let bench = Bench::start().await;
    bench.alice("something else").await;
    let response =
        bench.http.get(bench.url("/sim/wait?channel=C0GENERAL&text_is=never&timeout_ms=10")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 408);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["error"], &body["seen"][0]["text"]), (&json!("timeout"), &json!("something else")));
}

#[tokio::test]
async fn refusals_have_slacks_names() {
    let bench = Bench::start().await;
    let theirs = bench.alice("hers").await;
    let private = bench.sim("channels", json!({"name": "private", "bot": false})).await["id"].clone();
    let many: Vec<_> = (0..51).map(|_| json!({"type": "divider"})).collect();
    let cases = [
        ("chat.postMessage", json!({"channel": "C0NONE", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": private, "text": "x"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": "C0GENERAL"}), "no_text"),
        (
            "chat.postMessage",
            json!({"channel": "C0GENERAL", "text": "x", "markdown_text": "y"}),
            "markdown_text_conflict",
        ),
        ("chat.postMessage", json!({"channel": "C0GENERAL", "blocks": many}), "invalid_blocks"),
        ("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x", "thread_ts": "1.000000"}), "thread_not_found"),
        ("chat.update", json!({"channel": "C0GENERAL", "ts": theirs, "text": "x"}), "cant_update_message"),
        ("chat.update", json!({"channel": "C0GENERAL", "ts": theirs, "text": "x".repeat(4_001)}), "msg_too_long"),
        ("chat.delete", json!({"channel": "C0GENERAL", "ts": "1.000000"}), "message_not_found"),
        ("reactions.remove", json!({"channel": "C0GENERAL", "timestamp": theirs, "name": "eyes"}), "no_reaction"),
        ("reactions.add", json!({"channel": "C0GENERAL", "timestamp": theirs, "name": ":eyes:"}), "invalid_name"),
        ("conversations.create", json!({"name": "general", "is_private": true}), "name_taken"),
        ("conversations.create", json!({"name": "Not this"}), "invalid_name_specials"),
        ("conversations.create", json!({"name": "--"}), "invalid_name_punctuation"),
        ("conversations.create", json!({"name": "x".repeat(81)}), "invalid_name_maxlength"),
        ("conversations.invite", json!({"channel": "C0GENERAL", "users": "U0BOB"}), "already_in_channel"),
        ("conversations.invite", json!({"channel": "C0GENERAL", "users": "U0BOT"}), "cant_invite_self"),
        ("conversations.invite", json!({"channel": private, "users": "U0BOB"}), "not_in_channel"),
        ("conversations.replies", json!({"channel": "C0GENERAL", "ts": "1.000000"}), "thread_not_found"),
        ("users.info", json!({"user": "U0NOBODY"}), "user_not_found"),
        ("files.upload", json!({}), "unknown_method"),
    ];
    for (method, args, error) in cases {
        let answer = bench.api(method, args).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)), "{method}");
    }
}

#[tokio::test]
async fn a_stream_grows_and_is_completed() {
    let bench = Bench::start().await;
    let root = bench.alice("go").await;
    let to = json!({"channel": "C0GENERAL", "thread_ts": root, "recipient_user_id": "U0ALICE", "recipient_team_id": "T0SIM"});
    let stream = bench.api("chat.startStream", to).await["ts"].clone();
    let with = |extra: Value| {
        let mut args = json!({"channel": "C0GENERAL", "ts": stream});
        args.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        args
    };
    bench.api("chat.appendStream", with(json!({"markdown_text": "one"}))).await;
    let chunks = json!([{"type": "markdown_text", "text": " two"}, {"type": "task_update", "id": "t", "title": "T", "status": "complete"}]);
    bench.api("chat.appendStream", with(json!({"chunks": chunks}))).await;
    assert_eq!(bench.api("chat.update", with(json!({"text": "x"}))).await["error"], "streaming_state_conflict");
    let early = bench
        .http
        .get(bench.url("/sim/wait?channel=C0GENERAL&user=U0BOT&final=true&timeout_ms=1"))
        .send()
        .await
        .unwrap();
    assert_eq!(early.status().as_u16(), 408);
    let stopped = bench.api("chat.stopStream", with(json!({"markdown_text": " three"}))).await;
    assert_eq!(
        (&stopped["message"]["streaming_state"], &stopped["message"]["text"]),
        (&json!("completed"), &json!("one two three"))
    );
    assert_eq!(
        bench.api("chat.appendStream", with(json!({"markdown_text": "x"}))).await["error"],
        "message_not_in_streaming_state"
    );
    let found = bench.get("/sim/wait?channel=C0GENERAL&user=U0BOT&final=true").await;
    let message = &found["messages"][0];
    let texts: Vec<_> =
        message["versions"].as_array().unwrap().iter().map(|version| version["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["", "one", "one two", "one two three"]);
    assert_eq!((&message["blocks"][0]["type"], &message["streaming"]), (&json!("task_card"), &json!(false)));
    assert_eq!(message["markdown"], true, "a stream stays Markdown once it is over");
    bench.api("chat.update", with(json!({"text": "*four*"}))).await;
    let found = bench.get("/sim/wait?channel=C0GENERAL&user=U0BOT&final=true").await;
    assert_eq!(found["messages"][0]["markdown"], Value::Null, "an update replaces what the stream showed");
}

#[tokio::test]
async fn a_stream_and_a_status_end_by_themselves() {
    let (clock, hand) = Clock::manual(1_700_000_000_000);
    let bench = Bench::with(Config { clock, ..Config::default() }).await;
    let stream_in = |root: &str| json!({"channel": "D0ALICE", "thread_ts": root});
    let root =
        bench.sim("messages", json!({"user": "U0ALICE", "channel": "D0ALICE", "text": "go"})).await["ts"].clone();
    let stream = bench.api("chat.startStream", stream_in(root.as_str().unwrap())).await["ts"].clone();
    let status = json!({"channel_id": "D0ALICE", "thread_ts": root, "status": "is thinking"});
    assert_eq!(bench.api("assistant.threads.setStatus", status).await["ok"], true);
    hand.advance(Duration::from_secs(306));
    let late = json!({"channel": "D0ALICE", "ts": stream, "markdown_text": "late"});
    assert_eq!(bench.api("chat.appendStream", late).await["error"], "message_not_in_streaming_state");
    let mut events = bench.http.get(bench.url("/sim/events?since=0")).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains(r#""status":"""#) {
        seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.contains(r#""status":"is thinking""#));
}

#[tokio::test]
async fn the_page_is_told_how_many_replies_a_message_has() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    let mut replies = Vec::new();
    for text in ["one", "two"] {
        let said = bench
            .sim("messages", json!({"user": "U0BOB", "channel": "C0GENERAL", "thread_ts": root, "text": text}))
            .await;
        replies.push(said["ts"].clone());
    }
    bench.sim("delete", json!({"user": "U0BOB", "channel": "C0GENERAL", "ts": replies[0]})).await;
    bench.alice("the last").await;
    let told = bench.told("the last").await;
    let of_root = told.iter().filter(|event| event["type"] == "message_changed" && event["message"]["ts"] == root);
    let counts: Vec<u64> = of_root.filter_map(|event| event["message"]["reply_count"].as_u64()).collect();
    assert_eq!(counts, [1, 2, 1]);
}

#[tokio::test]
async fn a_private_channel_is_made_for_those_who_are_invited_and_the_page_is_told() {
    let bench = Bench::start().await;
    let mut socket = bench.connected().await;
    let made = bench.api("conversations.create", json!({"name": "fix-7", "is_private": true})).await;
    let channel = &made["channel"];
    assert_eq!((&channel["is_private"], &channel["is_member"]), (&json!(true), &json!(true)));
    let invited = bench.api("conversations.invite", json!({"channel": channel["id"], "users": "U0BOB"})).await;
    assert_eq!(invited["channel"]["id"], channel["id"]);
    let joined = socket.acked().await["payload"]["event"].take();
    assert_eq!((&joined["type"], &joined["user"]), (&json!("member_joined_channel"), &json!("U0BOB")));
    bench.sim("messages", json!({"user": "U0BOB", "channel": channel["id"], "text": "hello"})).await;
    assert_eq!(socket.acked().await["payload"]["event"]["channel_type"], "group");

    let told = bench.told("hello").await;
    let members: Vec<_> =
        told.iter().filter(|event| event["type"] == "channel").map(|event| &event["channel"]["members"]).collect();
    assert_eq!(members, [&json!(["U0BOT"]), &json!(["U0BOT", "U0BOB"])]);
    assert_eq!(bench.api("conversations.archive", json!({"channel": channel["id"]})).await["ok"], true);
    let again = bench.api("conversations.create", json!({"name": "fix-7", "is_private": true})).await;
    assert_eq!(again["error"], "name_taken", "an archived channel keeps its name");
}

#[tokio::test]
async fn history_and_replies_come_in_pages() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    for n in 0..3 {
        bench
            .api("chat.postMessage", json!({"channel": "C0GENERAL", "thread_ts": root, "text": format!("reply {n}")}))
            .await;
    }
    bench.alice("newer").await;
    let history = bench.api("conversations.history", json!({"channel": "C0GENERAL"})).await;
    assert_eq!((&history["messages"][0]["text"], &history["messages"][1]["reply_count"]), (&json!("newer"), &json!(3)));
    let mut texts = Vec::new();
    let mut cursor = String::new();
    loop {
        let args = json!({"channel": "C0GENERAL", "ts": root, "limit": 2, "cursor": cursor});
        let page = bench.api("conversations.replies", args).await;
        assert_eq!(page["messages"][0]["text"], "root");
        texts.extend(page["messages"].as_array().unwrap()[1..].iter().map(|message| message["text"].clone()));
        cursor = page["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(page["has_more"], !cursor.is_empty());
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(texts, ["reply 0", "reply 1", "reply 2"]);
}

#[tokio::test]
async fn conversations_come_by_type_and_in_pages() {
    let bench = Bench::start().await;
    bench.sim("channels", json!({"name": "secret", "is_private": true})).await;
    bench.sim("channels", json!({"name": "elsewhere", "bot": false})).await;
    let types = "public_channel,private_channel,im";
    let (mut kinds, mut cursor) = (Vec::new(), String::new());
    loop {
        let args = json!({"types": types, "limit": 2, "cursor": cursor});
        let page = bench.api("users.conversations", args).await;
        let channels = page["channels"].as_array().unwrap();
        assert!((1..=2).contains(&channels.len()), "{page}");
        kinds.extend(channels.iter().map(|channel| (channel["is_im"] == true, channel["is_private"] == true)));
        cursor = page["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let (public, im, private) = ((false, false), (true, true), (false, true));
    assert_eq!(kinds, [public, public, im, im, private]);
    assert_eq!(bench.api("users.conversations", json!({"cursor": "C0NONE"})).await["error"], "invalid_cursor");
}

#[tokio::test]
async fn metadata_is_shown_to_who_asks_for_it() {
    let bench = Bench::start().await;
    let metadata = json!({"event_type": "answer", "event_payload": {"k": "v"}});
    bench.api("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x", "metadata": metadata})).await;
    for (asked, expected) in [(false, None), (true, Some(&metadata))] {
        let args = json!({"channel": "C0GENERAL", "include_all_metadata": asked});
        let history = bench.api("conversations.history", args).await;
        assert_eq!(history["messages"][0].get("metadata"), expected);
    }
}

#[tokio::test]
async fn an_ephemeral_message_is_shown_to_people_and_hidden_from_history() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    let to = json!({"channel": "C0GENERAL", "user": "U0BOB", "text": "only you", "thread_ts": root});
    // Slack shows such a message in a thread only once the thread has replies, and says nothing of it.
    let lost = bench.api("chat.postEphemeral", to.clone()).await;
    bench.sim("messages", json!({"user": "U0BOB", "channel": "C0GENERAL", "thread_ts": root, "text": "reply"})).await;
    let posted = bench.api("chat.postEphemeral", to).await;
    assert_ne!(lost["message_ts"], posted["message_ts"]);
    let found = bench.get(&format!("/sim/wait?channel=C0GENERAL&thread_ts={root}&text_is=only%20you")).await;
    assert_eq!(
        (&found["messages"][0]["ephemeral_to"], &found["messages"][0]["ts"]),
        (&json!("U0BOB"), &posted["message_ts"])
    );
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
    let replies = bench.api("conversations.replies", json!({"channel": "C0GENERAL", "ts": root})).await;
    assert_eq!(replies["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn markdown_becomes_a_block_and_stays_the_text() {
    let bench = Bench::start().await;
    let posted = bench.api("chat.postMessage", json!({"channel": "U0BOB", "markdown_text": "**hi**"})).await;
    assert_eq!((&posted["channel"], &posted["message"]["text"]), (&json!("D0BOB"), &json!("**hi**")));
    let block = &posted["message"]["blocks"][0];
    assert_eq!((&block["type"], &block["text"]), (&json!("markdown"), &json!("**hi**")));
}
