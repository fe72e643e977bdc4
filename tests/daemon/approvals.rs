//! What an agent wants to do: seen exactly, decided by those who may, once, and written down.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harness::{Running, until, with_config};
use super::program::program;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";
const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");

/// An agent of ours has proposed a command to U0ALICE.
struct Proposed {
    place: Place,
    daemon: Running,
    thread: String,
    card: String,
}

impl Proposed {
    /// `more`: lines of a section of the configuration.
    fn new(command: &str, section: &str, more: &str) -> Option<Self> {
        let python = program("python3")?;
        let place = Place::new();
        drop(place.slack.daemon_with(&place.dir, &[python.to_str().unwrap(), AGENT], "1s"));
        let config = std::fs::read_to_string(format!("{}/hitchline.toml", place.dir)).unwrap();
        let daemon = with_config(&place.dir, &config.replace(section, &format!("{section}\n{more}")));
        let thread = place.begin(&format!("propose {command}"));
        let card = place.slack.wait_for_buttons(CHANNEL, &thread);
        Some(Self { place, daemon, thread, card })
    }

    /// The card as it is now.
    fn shown(&self) -> Value {
        let replies = self.place.slack.replies(CHANNEL, &self.thread);
        replies.into_iter().find(|message| message["ts"] == self.card.as_str()).unwrap()
    }

    /// A message beside it that shows the same buttons, and keeps them; its time stamp.
    fn copy_buttons(&self) -> String {
        let buttons = json!([self.shown()["blocks"].as_array().unwrap().last()]);
        let message = json!({"channel": CHANNEL, "thread_ts": self.thread, "text": "a copy", "blocks": buttons});
        self.place.slack.call("chat.postMessage", &message);
        let replies = self.place.slack.replies(CHANNEL, &self.thread);
        let copy = replies.iter().find(|message| message["text"] == "a copy").unwrap();
        copy["ts"].as_str().unwrap().to_owned()
    }

    fn press(&self, user: &str, option: usize) {
        self.place.slack.click(user, CHANNEL, &self.card, option);
    }

    /// Waits until somebody alone is told this.
    fn wait_told(&self, user: &str, part: &str) {
        let told = self.place.slack.wait(&[("channel", CHANNEL), ("text_contains", part)]);
        assert_eq!(told["ephemeral_to"], user, "{told}");
    }

    /// Waits until the agent has been answered, and has said so.
    fn wait_answered(&self, option: &str) {
        self.place.wait_for(&self.thread, &format!(r#""optionId": "{option}""#));
        until("no buttons", || self.place.slack.buttons(CHANNEL, &self.thread, &self.card).is_empty());
    }

    /// How the one question was settled: how, by whom, with which option of which kind, and about what.
    fn audited(&self) -> [Value; 5] {
        let entries = self.place.json(&["audit", "list"]);
        assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
        ["outcome", "decider", "option", "kind", "command_sha256"].map(|key| entries[0][key].clone())
    }
}

fn hash(text: &str) -> String {
    let digits: Vec<String> = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

// holds: K-5
#[test]
fn f_56_a_decision_is_made_once_by_whoever_asked_and_everybody_else_is_told() {
    let command = "rm \u{202e}-rf \u{1b}[2K*";
    let Some(asked) = Proposed::new(command, "[sessions]", "") else { return };
    assert_eq!(asked.place.slack.buttons(CHANNEL, &asked.thread, &asked.card), ["Always", "Yes", "No"]);
    let shown = asked.shown()["blocks"].to_string();
    assert!(shown.contains(r"rm \\u{202E}-rf \\u{001B}[2K*"), "{shown}");
    let copy = asked.copy_buttons();
    asked.press("U0BOB", 1);
    asked.wait_told("U0BOB", "Only the person who asked, or an admin, can decide this.");
    asked.place.slack.click("U0ALICE", CHANNEL, &copy, 1);
    asked.wait_answered("yes");
    assert!(asked.shown().to_string().contains("<@U0ALICE> chose: Yes"));
    asked.place.slack.click("U0ALICE", CHANNEL, &copy, 0);
    asked.wait_told("U0ALICE", "This has been settled already");
    let expected = [json!("decided"), json!("U0ALICE"), json!("Yes"), json!("allow_once"), json!(hash(command))];
    assert_eq!(asked.audited(), expected);
    assert_eq!(asked.daemon.stop(), 0);
}

// holds: K-5
#[test]
fn an_admin_decides_about_a_command_that_comes_whole_as_a_file() {
    let command = format!("echo {}; rm -rf x", "y".repeat(3_500));
    let Some(asked) = Proposed::new(&command, "[access]", "admins = [\"U0BOB\"]") else { return };
    let file = || {
        let replies = asked.place.slack.replies(CHANNEL, &asked.thread);
        replies.into_iter().find_map(|message| Some(message["files"].as_array()?.first()?.clone()))
    };
    until("the file", || file().is_some());
    let file = file().unwrap();
    let (_, content) = asked.place.slack.exchange(&format!("GET /sim/files/{}", file["id"].as_str().unwrap()), "", "");
    assert_eq!(content, command);
    let shown = asked.shown()["blocks"].to_string();
    assert!(shown.contains(&hash(&command)) && shown.contains(file["name"].as_str().unwrap()), "{shown}");
    assert!(shown.contains("all of it is in the file below") && !shown.contains("rm -rf x"), "{shown}");
    asked.press("U0BOB", 2);
    asked.wait_answered("cancel");
    let expected = [json!("decided"), json!("U0BOB"), json!("No"), json!("reject_once"), json!(hash(&command))];
    assert_eq!(asked.audited(), expected);
    assert_eq!(asked.daemon.stop(), 0);
}

#[test]
fn f_55_what_nobody_decides_is_rejected_and_a_late_press_is_told_so() {
    let Some(asked) = Proposed::new("ls", "[sessions]", "approval_timeout = \"2s\"") else { return };
    let copy = asked.copy_buttons();
    // The option that rejects this time, whatever it is called and wherever it stands.
    asked.wait_answered("cancel");
    assert!(asked.shown().to_string().contains("Nobody decided in time, so it was rejected."));
    asked.place.slack.click("U0ALICE", CHANNEL, &copy, 1);
    asked.wait_told("U0ALICE", "This has been settled already");
    assert_eq!(asked.audited(), [json!("expired"), json!(null), json!(null), json!(null), json!(hash("ls"))]);
    assert_eq!(asked.daemon.stop(), 0);
}
