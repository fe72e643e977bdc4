//! The simulator's control API, and the operator's listener, as plain as HTTP gets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails the test that called it")]

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::process::{DEADLINE, eventually};

/// The simulator's control API.
pub(crate) struct Api(pub(crate) String);

impl Api {
    /// Writes as a person; returns the message's time stamp.
    pub(crate) fn say(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> String {
        let said =
            self.post("/sim/messages", &json!({"user": user, "channel": channel, "thread_ts": thread, "text": text}));
        said["ts"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Waits for a message that matches; returns the newest one.
    pub(crate) fn wait(&self, filters: &[(&str, &str)]) -> Value {
        let found = self.get("/sim/wait", filters);
        let newest = found["messages"].as_array().and_then(|messages| messages.last());
        newest.unwrap_or_else(|| panic!("{filters:?}: {found:#}")).clone()
    }

    /// Waits until the bot has said exactly this in a thread; the person may have said the same.
    pub(crate) fn wait_for_answer(&self, channel: &str, thread: &str, text: &str) {
        self.wait(&[("channel", channel), ("thread_ts", thread), ("user", "U0BOT"), ("text_is", text)]);
    }

    /// Waits until the agent is seen to work in a thread.
    pub(crate) fn wait_for_turn(&self, channel: &str, ts: &str) {
        let working = eventually(DEADLINE, || {
            let calls = self.calls("assistant.threads.setStatus");
            let ours = |call: &Value| call["args"]["channel_id"] == channel && call["args"]["thread_ts"] == ts;
            calls.iter().any(ours).then_some(())
        });
        assert!(working.is_some(), "no turn began");
    }

    /// The bot's messages in a thread.
    pub(crate) fn replies(&self, channel: &str, thread: &str) -> Vec<Value> {
        let all = self.get("/sim/messages", &[("channel", channel), ("thread_ts", thread)]);
        let messages = all["messages"].as_array().unwrap().iter();
        messages.filter(|message| message["user"] == "U0BOT" && message["deleted"] != true).cloned().collect()
    }

    /// Waits for a message with buttons in a thread; returns its time stamp.
    pub(crate) fn wait_for_buttons(&self, channel: &str, thread: &str) -> String {
        let card = eventually(DEADLINE, || {
            let with_buttons = |message: &Value| !buttons_of(message).is_empty();
            self.replies(channel, thread).into_iter().find(with_buttons)
        });
        card.expect("no buttons appeared")["ts"].as_str().unwrap().to_owned()
    }

    /// The words on the buttons of a message in a thread.
    pub(crate) fn buttons(&self, channel: &str, thread: &str, ts: &str) -> Vec<String> {
        let message = self.replies(channel, thread).into_iter().find(|message| message["ts"] == ts);
        let buttons = buttons_of(&message.expect("the message is gone"));
        buttons.iter().map(|button| button["text"]["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Presses a button of a message, by its place.
    pub(crate) fn click(&self, user: &str, channel: &str, ts: &str, option: usize) {
        self.press(user, channel, ts, &format!("hitchline.approval.{option}"));
    }

    /// Presses the first button of a kind in a message.
    pub(crate) fn press(&self, user: &str, channel: &str, ts: &str, action: &str) {
        let clicked =
            self.post("/sim/click", &json!({"user": user, "channel": channel, "ts": ts, "action_id": action}));
        assert_eq!(clicked["acked"], true, "{clicked}");
    }

    /// Presses the button `label` of a list in a thread.
    pub(crate) fn choose(&self, user: &str, channel: &str, thread: &str, label: &str) {
        let found = eventually(DEADLINE, || {
            self.replies(channel, thread).into_iter().find_map(|message| {
                let blocks = message["blocks"].as_array().into_iter().flatten();
                let button = blocks.map(|block| &block["accessory"]).find(|button| button["text"]["text"] == label)?;
                Some((message["ts"].clone(), button["action_id"].clone(), button["value"].clone()))
            })
        });
        let (ts, action, value) = found.unwrap_or_else(|| panic!("no button {label:?} appeared"));
        let click = json!({"user": user, "channel": channel, "ts": ts, "action_id": action, "value": value});
        let clicked = self.post("/sim/click", &click);
        assert_eq!(clicked["acked"], true, "{clicked}");
    }

    /// Changes a person's own message.
    pub(crate) fn edit(&self, user: &str, channel: &str, ts: &str, text: &str) {
        let edited = self.post("/sim/edit", &json!({"user": user, "channel": channel, "ts": ts, "text": text}));
        assert!(edited.get("error").is_none(), "{edited}");
    }

    /// Deletes a person's own message.
    pub(crate) fn delete(&self, user: &str, channel: &str, ts: &str) {
        let deleted = self.post("/sim/delete", &json!({"user": user, "channel": channel, "ts": ts}));
        assert!(deleted.get("error").is_none(), "{deleted}");
    }

    /// Gives the slash command.
    pub(crate) fn command(&self, user: &str, channel: &str, text: &str) {
        let order = json!({"user": user, "channel": channel, "command": "/hitch", "text": text});
        let answered = self.post("/sim/command", &order);
        assert_eq!(answered["acked"], true, "{answered}");
    }

    /// Calls a method of the Web API as the bot.
    pub(crate) fn call(&self, method: &str, args: &Value) {
        let headers = "Content-Type: application/json\r\nAuthorization: Bearer xoxb-simulator\r\n";
        let (_, answer) = self.exchange(&format!("POST /api/{method}"), headers, &args.to_string());
        assert!(answer.contains("\"ok\":true"), "{method}: {answer}");
    }

    /// How often deliveries of a message have been acknowledged.
    pub(crate) fn acks(&self, ts: &str) -> u64 {
        let sent = self.get("/sim/envelopes", &[]);
        let of_it = sent["envelopes"].as_array().unwrap().iter().filter(|envelope| envelope["ts"] == ts);
        of_it.map(|envelope| envelope["acks"].as_u64().unwrap()).sum()
    }

    pub(crate) fn calls(&self, method: &str) -> Vec<Value> {
        self.get("/sim/calls", &[("method", method)])["calls"].as_array().unwrap().clone()
    }

    /// Waits until a method has been called so often, and no more.
    pub(crate) fn wait_for_calls(&self, method: &str, times: usize) {
        let reached = eventually(DEADLINE, || (self.calls(method).len() >= times).then_some(()));
        let calls = self.calls(method);
        assert!(reached.is_some() && calls.len() == times, "{method}: {calls:?}");
    }

    /// Sends the daemon a frame that Slack would not send.
    pub(crate) fn inject(&self, what: &Value) {
        self.post("/sim/inject", what);
    }

    pub(crate) fn fault(&self, fault: &Value) {
        let set = self.post("/sim/faults", fault);
        assert!(set.get("id").is_some(), "{set}");
    }

    pub(crate) fn clear_faults(&self) {
        self.request("DELETE /sim/faults", "");
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.request(&format!("GET {path}?{}", query.join("&")), "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.request(&format!("POST {path}"), &body.to_string())
    }

    fn request(&self, line: &str, body: &str) -> Value {
        let (_, content) = self.exchange(line, "Content-Type: application/json\r\n", body);
        serde_json::from_str(&content).unwrap_or_else(|error| panic!("{line}: {error}: {content}"))
    }

    /// One HTTP exchange, as plain as it gets, so that the tests share no client with what they test; the answer's head and body.
    pub(crate) fn exchange(&self, line: &str, headers: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(DEADLINE * 2)).unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            self.0,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        let content = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunk(content)
        } else {
            content.to_owned()
        };
        (head.to_owned(), content)
    }
}

fn buttons_of(message: &Value) -> Vec<Value> {
    let blocks = message["blocks"].as_array().into_iter().flatten();
    let elements = blocks.filter(|block| block["type"] == "actions").filter_map(|block| block["elements"].as_array());
    elements.flatten().cloned().collect()
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn unchunk(mut content: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = content.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        content = &rest[size + 2..];
    }
    whole
}
