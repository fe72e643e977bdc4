//! The simulator as a process of its own, which outlives the daemons that are killed, and what it remembers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::history::{Delivered, Place, Shown};
use super::http::request;
use super::marks;
use super::process::{DEADLINE, Process, eventually};

/// Where people are.
const CHANNELS: [&str; 4] = ["C0GENERAL", "C0RANDOM", "D0ALICE", "D0BOB"];

/// What a note of something that was given up tells whoever has to look at it.
const WHERE_IT_IS: &str = "hitchline dlq list";

pub(crate) struct Slack {
    pub(crate) address: String,
    _process: Process,
}

/// A button that somebody could press.
#[derive(Debug, Clone)]
pub(crate) struct Button {
    channel: String,
    ts: String,
    pub(crate) thread: String,
    action: String,
    pub(crate) value: String,
}

impl Button {
    /// Whether it allows what an agent asks for.
    pub(crate) fn is_yes(&self) -> bool {
        self.action == "hitchline.approval.0"
    }
}

impl Slack {
    pub(crate) fn start() -> Self {
        let process = Process::start(&["simulator", "--listen", "127.0.0.1:0", "--log-level", "warn"], &[]);
        Self { address: process.line("simulator: http://"), _process: process }
    }

    /// Writes as a person; returns the message's time stamp.
    pub(crate) fn say(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> String {
        let message = json!({"user": user, "channel": channel, "thread_ts": thread, "text": text});
        let said = self.post("/sim/messages", &message);
        said["ts"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Settles some of what is unknown of Slack.
    pub(crate) fn behave(&self, personality: &Value) {
        let now = self.post("/sim/personality", personality);
        assert!(now.get("error").is_none(), "{now}");
    }

    /// Lets something go wrong.
    pub(crate) fn fault(&self, fault: &Value) {
        let set = self.post("/sim/faults", fault);
        assert!(set.get("id").is_some(), "{set}");
    }

    pub(crate) fn clear_faults(&self) {
        request(&self.address, "DELETE /sim/faults", "");
    }

    /// Presses a button as somebody who may. Nobody may be there to hear of it.
    pub(crate) fn press(&self, user: &str, button: &Button) {
        let Button { channel, ts, action, value, .. } = button;
        let mut click = json!({"user": user, "channel": channel, "ts": ts, "action_id": action});
        if action.ends_with("interrupted") {
            click["value"] = value.as_str().into();
        }
        self.post("/sim/click", &click);
    }

    /// Gives the slash command. Nobody may be there to hear of it.
    pub(crate) fn command(&self, user: &str, channel: &str, text: &str) {
        self.post("/sim/command", &json!({"user": user, "channel": channel, "command": "/hitch", "text": text}));
    }

    /// The buttons under messages, as they are now.
    pub(crate) fn buttons(&self) -> Vec<Button> {
        self.messages().iter().flat_map(buttons_of).collect()
    }

    /// The bot's messages, oldest first.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.messages().iter().map(shown).collect()
    }

    /// Deliveries of messages so far.
    pub(crate) fn delivered(&self) -> Vec<Delivered> {
        let all = self.get("/sim/envelopes");
        all["envelopes"].as_array().unwrap().iter().filter_map(delivered).collect()
    }

    /// How many connections the daemon holds.
    pub(crate) fn connections(&self) -> usize {
        usize::try_from(self.get("/sim/state")["connections"].as_u64().unwrap()).unwrap()
    }

    /// Over how many connections each message came.
    pub(crate) fn connections_of(&self) -> BTreeMap<String, usize> {
        let all = self.get("/sim/envelopes");
        let mut of: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for record in all["envelopes"].as_array().unwrap() {
            if let (Some(ts), Some(connection)) = (text(record, "ts"), record["connection"].as_u64()) {
                of.entry(ts.to_owned()).or_default().insert(connection);
            }
        }
        of.into_iter().map(|(ts, connections)| (ts, connections.len())).collect()
    }

    /// Waits until every event has been acknowledged; returns the events by their envelopes.
    pub(crate) fn wait_for_acks(&self) -> HashMap<String, String> {
        let acked = eventually(DEADLINE, || {
            let all = self.get("/sim/envelopes");
            let all = all["envelopes"].as_array().unwrap();
            let events = all.iter().filter(|record| record["type"] == "events_api");
            let acked: Option<HashMap<String, String>> = events.map(acked).collect();
            acked
        });
        acked.expect("every event is acknowledged")
    }

    fn messages(&self) -> Vec<Value> {
        let in_channel =
            |channel: &&str| self.get(&format!("/sim/messages?channel={channel}&all=true"))["messages"].take();
        let mut all: Vec<Value> = CHANNELS
            .iter()
            .map(in_channel)
            .flat_map(|messages| messages.as_array().cloned().unwrap_or_default())
            .collect();
        all.retain(|message| {
            message["user"] == "U0BOT" && message["deleted"] != true && message.get("ephemeral_to").is_none()
        });
        all.sort_by(|a, b| a["ts"].as_str().cmp(&b["ts"].as_str()));
        all
    }

    fn get(&self, path: &str) -> Value {
        request(&self.address, &format!("GET {path}"), "")
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        request(&self.address, &format!("POST {path}"), &body.to_string())
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str()
}

fn shown(message: &Value) -> Shown {
    let (channel, ts) = (text(message, "channel").unwrap().to_owned(), text(message, "ts").unwrap().to_owned());
    let thread = text(message, "thread_ts").unwrap_or(&ts).to_owned();
    let answers = message["metadata"]["event_payload"]["answers"].as_str().map(ToOwned::to_owned);
    let growing = message["streaming"] == true;
    let said = text(message, "text").unwrap();
    let (lines, gives_up) = (marks::lines(said), said.contains(WHERE_IT_IS));
    Shown { place: Place { channel, thread }, ts, lines, growing, answers, gives_up }
}

fn buttons_of(message: &Value) -> Vec<Button> {
    let blocks = message["blocks"].as_array().into_iter().flatten();
    let elements = |block: &Value| {
        let of_actions = block["elements"].as_array().cloned().unwrap_or_default();
        of_actions.into_iter().chain(block.get("accessory").cloned()).collect::<Vec<_>>()
    };
    let button = |element: Value| {
        Some(Button {
            channel: text(message, "channel")?.to_owned(),
            ts: text(message, "ts")?.to_owned(),
            thread: text(message, "thread_ts").or(text(message, "ts"))?.to_owned(),
            action: text(&element, "action_id")?.to_owned(),
            value: text(&element, "value")?.to_owned(),
        })
    };
    blocks.flat_map(elements).filter_map(button).collect()
}

/// The envelope and its event, if it was acknowledged.
fn acked(record: &Value) -> Option<(String, String)> {
    record["acked_ms"].as_i64()?;
    Some((text(record, "envelope_id")?.to_owned(), text(record, "event_id")?.to_owned()))
}

fn delivered(record: &Value) -> Option<Delivered> {
    let acked_ms = record["acked_ms"].as_i64();
    Some(Delivered { event: text(record, "event_id")?.to_owned(), ts: text(record, "ts")?.to_owned(), acked_ms })
}
