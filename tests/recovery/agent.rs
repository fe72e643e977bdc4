//! The recording agent: this very test program, started again by the daemon. It speaks ACP over its standard streams, and writes down
//! what it is asked, on disk, before it goes on.
//!
//! A prompt holds the mark `q7` and words: `ask` for permission, `slow`, `parts` for an answer too long for one message.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, IoSlice, StdinLock};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use hitchline::clock::Clock;
use rustix::io::{ReadWriteFlags, pwritev2};
use serde_json::{Value, json};

use super::history::{Heard, What};
use super::marks::{self, Line};

/// The log's name in the directory in which the agents work.
const LOG: &str = "agent.log";
/// How many lines an answer of three messages has.
const LONG: u32 = 160;
/// What fills a line.
const FILLER: &str = "says little, and that at some length, so that there is enough to tell";
/// Between two pieces of a slow answer.
const PAUSE: Duration = Duration::from_millis(15);

/// The command by which the daemon starts it. With two threads nothing is printed in front of the first line of ours.
pub(crate) fn command() -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let arguments = ["agent::serves", "--exact", "--ignored", "--nocapture", "--test-threads=2"];
    let arguments = arguments.into_iter().map(ToOwned::to_owned);
    std::iter::once(program.to_str().unwrap().to_owned()).chain(arguments).collect()
}

/// What the agents that worked in `dir` wrote down so far.
pub(crate) fn heard(dir: &Path) -> Vec<Heard> {
    let log = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    // The last line may be cut off: who writes it is killed like everybody.
    log.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Heard> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| u32::try_from(entry[name].as_u64()?).ok();
    let what = match entry["what"].as_str()? {
        "Begin" => What::Begin,
        "Act" => What::Act,
        _ => What::End,
    };
    Some(Heard { pid: number("pid")?, at_ms: entry["at_ms"].as_i64()?, what, number: number("number")? })
}

#[test]
#[ignore = "the daemon starts it as its agent"]
fn serves() {
    let log = OpenOptions::new().create(true).append(true).read(true).open(LOG).unwrap();
    let mut agent = Agent { input: std::io::stdin().lock(), log, clock: Clock::system(), asked: 0 };
    while let Some(message) = agent.next() {
        agent.handle(&message);
    }
}

struct Agent {
    input: StdinLock<'static>,
    log: File,
    clock: Clock,
    asked: u32,
}

impl Agent {
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.input.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    fn handle(&mut self, message: &Value) {
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => {
                let capabilities = json!({"loadSession": true, "sessionCapabilities": {"close": {}}});
                answer(id, &json!({"protocolVersion": 1, "agentCapabilities": capabilities, "authMethods": []}));
            }
            "session/new" => answer(id, &json!({"sessionId": format!("s{}", fastrand::u64(..))})),
            "session/load" | "session/close" => answer(id, &json!({})),
            "session/prompt" => {
                let session = params["sessionId"].as_str().unwrap();
                let text = params["prompt"].as_array().unwrap().iter().filter_map(|block| block["text"].as_str());
                let stop = self.turn(session, &text.collect::<Vec<_>>().join("\n"));
                answer(id, &json!({"stopReason": stop}));
            }
            _ => {}
        }
    }

    /// Plays a turn; returns how it ended.
    fn turn(&mut self, session: &str, text: &str) -> &'static str {
        let number = marks::asked(text).unwrap();
        self.note(What::Begin, session, number);
        let asks = |word: &str| text.rsplit('q').next().is_some_and(|asked| asked.contains(word));
        if asks("ask") && !self.may(session, number) {
            self.note(What::End, session, number);
            return "cancelled";
        }
        let lines = if asks("parts") { LONG } else { 2 };
        for first in (0..lines).step_by(40) {
            if asks("slow") {
                std::thread::park_timeout(PAUSE);
            }
            say(session, &text_of(number, first..lines.min(first + 40), lines));
        }
        self.note(What::End, session, number);
        "end_turn"
    }

    /// Asks for permission, and waits for the decision.
    fn may(&mut self, session: &str, number: u32) -> bool {
        self.asked += 1;
        let id = format!("permission {}", self.asked);
        let options = json!([{"optionId": "yes", "name": "Yes", "kind": "allow_once"},
                             {"optionId": "no", "name": "No", "kind": "reject_once"}]);
        let call =
            json!({"toolCallId": id, "title": format!("Do it for q{number}"), "kind": "execute", "status": "pending"});
        send(&json!({"id": id, "method": "session/request_permission",
                     "params": {"sessionId": session, "toolCall": call, "options": options}}));
        self.note(What::Act, session, number);
        loop {
            // Its client is gone: nobody will decide any more.
            let Some(message) = self.next() else { return false };
            if message["id"] == id.as_str() {
                return message["result"]["outcome"]["outcome"] == "selected";
            }
        }
    }

    fn note(&self, what: What, session: &str, number: u32) {
        let (pid, at_ms) = (std::process::id(), self.clock.wall_ms());
        let what = format!("{what:?}");
        let entry = json!({"pid": pid, "at_ms": at_ms, "what": what, "session": session, "number": number});
        write(&self.log, &format!("{entry}\n"));
        self.log.sync_all().unwrap();
    }
}

fn text_of(number: u32, lines: std::ops::Range<u32>, of: u32) -> String {
    let line = |at| format!("{} {FILLER}.\n\n", Line { number, at, of }.mark());
    lines.map(line).collect()
}

fn say(session: &str, text: &str) {
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    send(&json!({"method": "session/update", "params": {"sessionId": session, "update": update}}));
}

fn answer(id: &Value, result: &Value) {
    send(&json!({"id": id, "result": result}));
}

fn send(message: &Value) {
    let mut message = message.clone();
    message["jsonrpc"] = "2.0".into();
    write(&std::io::stdout(), &format!("{message}\n"));
}

/// Writes by a system call that the daemon never makes: one that is aimed at the daemon's calls must not hit its agent.
fn write(to: &impl AsFd, text: &str) {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        // When nobody reads any more, there is nothing left to do but to look for the end of the input.
        let Ok(written) = pwritev2(to, &[IoSlice::new(left)], u64::MAX, ReadWriteFlags::empty()) else { return };
        left = &left[written..];
    }
}
