//! Tools for agents, with the built binary: an agent reaches its own conversation, by HTTP and over standard streams.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::api::Api;
use super::harness::{Running, Slack, exit_code, text, until};
use super::package::Package;
use super::process::Process;
use super::program::program;

const GENERAL: &str = "C0GENERAL";
const ALICE: &str = "U0ALICE";
const BOB: &str = "U0BOB";

/// The official client library, which knows nothing of us: the line that has sessions, and the one that has none any more.
const OLDER: Package = Package {
    folder: "mcp-sdk",
    spec: "@modelcontextprotocol/sdk@1.32.2",
    holds: "node_modules/@modelcontextprotocol/sdk/package.json",
};
const NEWEST: Package = Package {
    folder: "mcp-client",
    spec: "@modelcontextprotocol/client@2.4.0",
    holds: "node_modules/@modelcontextprotocol/client/package.json",
};
/// An agent that people use.
const OPENCODE: Package =
    Package { folder: "opencode", spec: "opencode-ai@1.18.33", holds: "node_modules/opencode-linux-x64/bin/opencode" };

/// A daemon whose agent calls tools, and the file in which it notes what it is told.
struct House {
    slack: Slack,
    daemon: Running,
    dir: tempfile::TempDir,
}

impl House {
    /// With an agent that can do this; without Python none.
    fn open(capabilities: &str, http: &str) -> Option<Self> {
        let python = program("python3")?;
        let dir = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
        let log = dir.path().join("heard");
        let command = [python.to_str().unwrap(), script, "--caps", capabilities, "--log", log.to_str().unwrap()];
        let slack = Slack::start();
        let daemon = slack.daemon_with_tools(dir.path().to_str().unwrap(), &command, http);
        Some(Self { slack, daemon, dir })
    }

    /// Says something to the agent in a new thread; the thread.
    fn ask(&self, user: &str, text: &str) -> String {
        self.slack.say(user, GENERAL, None, &format!("@hitchline {text}"))
    }

    fn wait(&self, thread: &str, contains: &str) -> Value {
        let ours = [("channel", GENERAL), ("thread_ts", thread), ("user", "U0BOT"), ("final", "true")];
        self.slack.wait(&[&ours[..], &[("text_contains", contains)]].concat())
    }

    /// Where the last session that began reaches its tools.
    fn server(&self) -> Value {
        let heard = std::fs::read_to_string(self.dir.path().join("heard")).unwrap();
        let messages = heard.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut servers = messages.filter_map(|message| message["params"]["mcpServers"].get(0).cloned());
        servers.next().expect("no session got any tools")
    }

    fn texts(&self, thread: &str) -> Vec<String> {
        self.slack.replies(GENERAL, thread).iter().map(text).collect()
    }

    /// A thread in which a turn goes on until it is stopped.
    fn keep_busy(&self) -> String {
        let thread = self.ask(ALICE, "wait");
        let ours = [("channel", GENERAL), ("thread_ts", thread.as_str()), ("user", "U0BOT")];
        self.slack.wait(&[&ours[..], &[("text_contains", "waiting")]].concat());
        thread
    }

    fn stop_turn(&self, thread: &str) {
        self.slack.say(ALICE, GENERAL, Some(thread), "!stop");
        self.slack.wait(&[("channel", GENERAL), ("thread_ts", thread), ("text_contains", "Stopped")]);
    }

    /// Runs an official client through [`every_tool`], and answers its question; what it has to say.
    fn client_calls_every_tool(&self, thread: &str, sdk: &Path, is_newest: bool) -> Value {
        let mut client = client(sdk, is_newest, &self.server(), &every_tool());
        let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let card = self.slack.wait_for_buttons(GENERAL, thread);
        self.slack.click(ALICE, GENERAL, &card, 1);
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        until("the question is settled", || self.slack.buttons(GENERAL, thread, &card).is_empty());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn an_agent_posts_into_its_own_thread_and_goes_on_below() {
    for capabilities in ["close,http", "close"] {
        let Some(house) = House::open(capabilities, "") else { return };
        let other = house.ask(BOB, "hello");
        house.wait(&other, "you said: hello");
        let thread = house.ask(ALICE, r#"tool post {"text": "**look** here"}"#);
        house.wait(&thread, "Posted.");
        // What it said before comes on another way, and may be late on a busy machine; what it says after can't be early.
        let said = house.texts(&thread);
        let place = |text: &str| said.iter().position(|said| said.contains(text));
        assert!(place("before").is_some() && place("*look* here") < place("Posted."), "{capabilities}: {said:?}");
        assert_eq!(house.texts(&other).len(), 1, "nothing went elsewhere");
        let by_http = house.server()["type"] == "http";
        assert_eq!(by_http, capabilities.contains("http"));
        assert_eq!(house.daemon.stop(), 0);
    }
}

#[test]
fn only_the_person_who_asked_and_admins_answer_a_question() {
    let Some(house) = House::open("close,http", "") else { return };
    let thread = house.ask(ALICE, r#"tool ask {"question": "Which way?", "choices": ["left", "right"]}"#);
    let card = house.slack.wait_for_buttons(GENERAL, &thread);
    assert_eq!(house.slack.buttons(GENERAL, &thread, &card), ["left", "right"]);
    house.slack.click(BOB, GENERAL, &card, 0);
    house.slack.wait(&[("channel", GENERAL), ("text_contains", "Only")]);
    house.slack.click(ALICE, GENERAL, &card, 1);
    house.wait(&thread, "right");
    assert!(house.slack.buttons(GENERAL, &thread, &card).is_empty(), "an answered question has no buttons");

    // A stop takes the question with it.
    let stopped = house.ask(ALICE, r#"tool ask {"question": "And now?", "choices": ["left", "right"]}"#);
    let card = house.slack.wait_for_buttons(GENERAL, &stopped);
    house.slack.say(ALICE, GENERAL, Some(&stopped), "!stop");
    house.slack.wait(&[("channel", GENERAL), ("thread_ts", &stopped), ("text_contains", "Stopped")]);
    assert!(house.slack.buttons(GENERAL, &stopped, &card).is_empty(), "a question of a stopped turn has no buttons");
    assert_eq!(house.daemon.stop(), 0);
}

#[test]
fn an_agent_reads_reacts_and_looks_people_up() {
    let Some(house) = House::open("close,http", "") else { return };
    let thread = house.ask(ALICE, r#"tool react {"name": "tada"}"#);
    house.wait(&thread, "Done.");
    let added = house.slack.calls("reactions.add");
    let ours = added.iter().filter(|call| call["args"]["name"] == "tada").collect::<Vec<_>>();
    assert_eq!((ours.len(), &ours[0]["args"]["timestamp"]), (1, &json!(thread)));
    house.slack.say(ALICE, GENERAL, Some(&thread), r#"tool read_thread {"limit": 3}"#);
    let read = text(&house.wait(&thread, "messages"));
    assert!(read.contains("tool react") && read.contains("you"), "{read}");
    house.slack.say(ALICE, GENERAL, Some(&thread), r#"tool lookup_user {"id": "<@U0BOB>"}"#);
    let found = text(&house.wait(&thread, "time_zone"));
    assert!(found.contains("\"name\":\"bob\"") && !found.contains('@'), "{found}");
    house.slack.say(ALICE, GENERAL, Some(&thread), r#"tool post {"text": "hi", "channel": "C0OTHER"}"#);
    house.wait(&thread, "unknown field");
    assert_eq!(house.daemon.stop(), 0);
}

#[test]
fn a_token_is_good_for_nothing_once_its_session_has_ended() {
    let Some(house) = House::open("close,http", "") else { return };
    let thread = house.ask(ALICE, "hello");
    house.wait(&thread, "you said: hello");
    let server = house.server();
    assert_eq!(call(&server, "post", &json!({"text": "from outside of a turn"})), "200");
    house.wait(&thread, "from outside of a turn");
    house.slack.say(ALICE, GENERAL, Some(&thread), "!end");
    house.wait(&thread, "has ended");
    assert_eq!(call(&server, "post", &json!({"text": "too late"})), "401");
    let token = server["headers"][0]["value"].as_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let (code, log) = house.daemon.end(rustix::process::Signal::TERM);
    assert_eq!(code, 0);
    assert!(!log.contains(&token) && !log.contains("from outside"), "no token and no text is logged");
    assert!(log.contains("An agent calls a tool"), "that a tool is called is");
}

#[test]
fn official_clients_of_each_age_list_and_call_every_tool() {
    let (Some(older), Some(newest)) = (OLDER.installed(), NEWEST.installed()) else { return };
    for (capabilities, http) in [("close,http", ""), ("close,http", "mcp_sessions = true"), ("close", "")] {
        let Some(house) = House::open(capabilities, http) else { return };
        std::fs::write(house.dir.path().join("report.txt"), "done").unwrap();
        let thread = house.keep_busy();
        let mut posted = 0;
        for (sdk, is_newest) in [(&older, false), (&newest, true)] {
            let said = house.client_calls_every_tool(&thread, sdk, is_newest);
            check_every_tool(&said);
            // What ended is unknown, and a client that begins anew goes on.
            let has_session = http.contains("mcp_sessions") && !is_newest;
            let again = if has_session { json!([404, "Posted."]) } else { json!([null, null]) };
            assert_eq!(json!([said["again"]["told"], said["again"]["answer"]["content"][0]["text"]]), again, "{said}");
            posted += 1 + usize::from(has_session);
        }
        let count = |is_it: &dyn Fn(&Value) -> bool| {
            house.slack.replies(GENERAL, &thread).iter().filter(|message| is_it(message)).count()
        };
        until("all posts are there", || count(&|message| text(message).contains("from the official client")) == posted);
        assert_eq!(count(&|message| message["files"][0]["name"] == "report.txt"), 2);
        assert!(house.slack.calls("reactions.add").iter().any(|call| call["args"]["name"] == "tada"));
        house.stop_turn(&thread);
        assert_eq!(house.daemon.stop(), 0);
    }
}

/// Looks at what came of [`every_tool`].
fn check_every_tool(said: &Value) {
    let names: Vec<_> = said["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["ask", "lookup_user", "post", "react", "read_thread", "upload"], "{said}");
    let expected = [
        "Posted.",
        "Uploaded report.txt (4 bytes).",
        "Done.",
        "\"name\":\"bob\"",
        "wait",
        "right",
        "not in your working directory",
    ];
    let answers = said["answers"].as_array().unwrap();
    assert_eq!(answers.len(), expected.len(), "{said}");
    for (n, (answer, part)) in answers.iter().zip(expected).enumerate() {
        let told = answer["content"][0]["text"].as_str().unwrap();
        assert!(told.contains(part), "{part}: {said}");
        assert_eq!(answer["isError"] == true, n == expected.len() - 1, "{part}: {said}");
    }
}

#[test]
fn a_client_that_goes_takes_its_question_with_it() {
    let Some(sdk) = OLDER.installed() else { return };
    for capabilities in ["close,http", "close"] {
        let Some(house) = House::open(capabilities, "") else { return };
        let thread = house.keep_busy();
        let mut client = client(&sdk, false, &house.server(), &json!([question()])).spawn().unwrap();
        let card = house.slack.wait_for_buttons(GENERAL, &thread);
        client.kill().unwrap();
        client.wait().unwrap();
        until("the question is withdrawn", || house.slack.buttons(GENERAL, &thread, &card).is_empty());
        house.stop_turn(&thread);
        assert_eq!(house.daemon.stop(), 0);
    }
}

#[test]
fn a_real_agent_posts_when_its_model_says_so() {
    let (Some(python), Some(opencode)) = (program("python3"), OPENCODE.installed()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_llm.py");
    let model = Process::spawn(Command::new(python).arg(script), &[]);
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": format!("http://127.0.0.1:{}/v1", model.line("port: ")), "apiKey": "x"},
        "models": {"mock-1": {}},
    });
    let config = json!({"autoupdate": false, "enabled_providers": ["mock"], "provider": {"mock": provider},
        "model": "mock/mock-1", "small_model": "mock/mock-1"});
    let folder = dir.path().join(".config/opencode");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("opencode.json"), config.to_string()).unwrap();

    let (home, slack) = (dir.path().to_str().unwrap(), Slack::start());
    let command = ["env", &format!("HOME={home}"), opencode.to_str().unwrap(), "acp"];
    let daemon = slack.daemon_with_tools(home, &command, "");
    let thread = slack.say(ALICE, GENERAL, None, "@hitchline MCPCALL please");
    let ours = [("channel", GENERAL), ("thread_ts", thread.as_str()), ("user", "U0BOT"), ("timeout_ms", "60000")];
    slack.wait(&[&ours[..], &[("text_is", "hello from agent")]].concat());
    slack.wait(&[&ours[..], &[("text_contains", "You said")]].concat());
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn our_program_says_what_it_is_started_without() {
    assert_eq!(exit_code(&["mcp-stdio"], &[]), 64);
}

/// An official client that makes these calls and prints what came.
fn client(sdk: &Path, is_newest: bool, server: &Value, calls: &Value) -> Command {
    let mut command = Command::new("node");
    command
        .arg("tests/peers/mcp_client.mjs")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SDK_FOLDER", sdk.ancestors().nth(4).unwrap())
        .env("NEWEST", if is_newest { "yes" } else { "" })
        .env("SERVER", server.to_string())
        .env("CALLS", calls.to_string());
    command
}

fn question() -> Value {
    json!({"name": "ask", "arguments": {"question": "Which way?", "choices": ["left", "right"]}})
}

/// A call of every tool, and one that is refused.
fn every_tool() -> Value {
    json!([
        {"name": "post", "arguments": {"text": "from the official client"}},
        {"name": "upload", "arguments": {"path": "report.txt"}},
        {"name": "react", "arguments": {"name": "tada"}},
        {"name": "lookup_user", "arguments": {"id": BOB}},
        {"name": "read_thread", "arguments": {}},
        question(),
        {"name": "upload", "arguments": {"path": "/etc/hostname"}},
    ])
}

/// Calls a tool as plainly as it gets; the answer's status.
fn call(server: &Value, tool: &str, arguments: &Value) -> String {
    let url = server["url"].as_str().unwrap();
    let header = &server["headers"][0];
    let params = json!({"name": tool, "arguments": arguments});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let headers = format!(
        "{}: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n",
        header["name"].as_str().unwrap(),
        header["value"].as_str().unwrap()
    );
    let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
    let (head, _) = Api(address.to_owned()).exchange("POST /mcp", &headers, &body);
    head.split(' ').nth(1).unwrap().to_owned()
}
