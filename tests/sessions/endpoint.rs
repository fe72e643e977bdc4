//! What agents ask for over HTTP, from the request to the ports: files, whose bytes leave this machine, and questions that are taken back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hitchline::backend::Outcome;
use hitchline::clock::Clock;
use hitchline::domain::ids::{ChannelId, SessionId, Ts, UserId};
use hitchline::domain::outgoing::{ApprovalState, Place};
use hitchline::domain::ports::{Grant, People, Profile, Reactions, Upload, WriteError, WriteErrorKind};
use hitchline::mcp::{Desk, Mcp, Parts};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::agent::locked;
use super::people;
use super::puppet::Puppet;
use super::world::World;

/// What else agents may do is none of these tests' business.
struct Nothing;

fn not_here() -> WriteError {
    WriteError { kind: WriteErrorKind::Permanent, call: "test", code: "not_here".into() }
}

#[async_trait]
impl Reactions for Nothing {
    async fn react(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        Err(not_here())
    }
}

#[async_trait]
impl People for Nothing {
    async fn profile(&self, _: &UserId) -> Result<Profile, WriteError> {
        Err(not_here())
    }
}

/// An endpoint for the agents of a world.
struct Endpoint {
    mcp: Mcp,
    address: String,
    _serving: JoinSet<()>,
}

impl Endpoint {
    async fn open(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (clock, close, program) = (Clock::system(), CancellationToken::new(), "/bin/hitchline".into());
        let mcp = Mcp::new(Parts { address, sessions: false, idle: Duration::from_mins(1), program, clock, close });
        mcp.open(Desk {
            manager: world.manager.clone(),
            read: world.slack.clone(),
            reactions: Arc::new(Nothing),
            people: Arc::new(Nothing),
        });
        let (routes, mut serving) = (mcp.routes(), JoinSet::new());
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { mcp, address: address.to_string(), _serving: serving }
    }

    /// Uploads a file as the agent that has this way in; whether it worked, and what the agent is told.
    async fn upload(&self, grant: &Grant, path: &str) -> (bool, String) {
        self.call(grant, "upload", &json!({"path": path})).await
    }

    /// Calls a tool under the id 1.
    async fn call(&self, grant: &Grant, tool: &str, arguments: &Value) -> (bool, String) {
        let params = json!({"name": tool, "arguments": arguments});
        let answer = self.send(grant, &json!({"id": 1, "method": "tools/call", "params": params})).await;
        let (_, content) = answer.split_once("\r\n\r\n").unwrap();
        let result = &serde_json::from_str::<Value>(content).unwrap_or_else(|_| panic!("{answer}"))["result"];
        (result["isError"] != true, result["content"][0]["text"].as_str().unwrap().to_owned())
    }

    /// Sends a message; what is answered, head and body.
    async fn send(&self, grant: &Grant, message: &Value) -> String {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let (address, token) = (self.address.clone(), grant.access.token.clone());
        spawn_blocking(move || post(&address, &token, &message.to_string())).await.unwrap()
    }
}

fn post(address: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A directory with a file in it. The agents of a world work in the root directory.
fn with_file(name: &str, content: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

/// A world with an endpoint, and in it a thread whose agent was asked something; its session, and ours of it.
async fn asked() -> (World, Endpoint, Ts, Arc<Puppet>, SessionId) {
    let world = World::new().await;
    let endpoint = Endpoint::open(&world).await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    let id = world.session_in(&thread).await.expect("it has a session").id;
    (world, endpoint, thread, session, id)
}

#[tokio::test]
async fn a_file_goes_into_the_thread_of_whoever_has_the_token() {
    let world = World::new().await;
    let endpoint = Endpoint::open(&world).await;
    let toolbox = endpoint.mcp.toolbox();
    let (one, first) = world.settled_thread("U1", "one").await;
    let (two, other) = world.settled_thread("U2", "two").await;
    let (_dir, report) = with_file("report.txt", "done");
    let (own, foreign) = (toolbox.grant(first.id), toolbox.grant(other.id));
    assert_eq!(endpoint.upload(&own, &report).await, (true, "Uploaded report.txt (4 bytes).".to_owned()));
    endpoint.upload(&foreign, &report).await;
    let file = Upload { name: "report.txt".into(), bytes: b"done".into() };
    let expected = [&one, &two].map(|thread| (Place::from(&people::key(thread)), file.clone()));
    assert_eq!(*locked(&world.slack.uploads), expected, "another token is another thread");

    let (done, told) = endpoint.upload(&own, "/missing").await;
    assert!(!done && told.contains("can't be read"), "{told}");
    *locked(&world.slack.no_upload) = Some(not_here());
    let (done, told) = endpoint.upload(&own, &report).await;
    assert!(!done && told.contains("not_here"), "{told}");
    world.within(world.manager.end(first.id)).await.unwrap();
    let (done, told) = endpoint.upload(&own, &report).await;
    assert!(!done && told.contains("has ended"), "{told}");
}

#[tokio::test]
async fn a_file_stands_below_what_was_said_and_is_an_answer() {
    for (before, after, expected) in [(None, None, &[][..]), (Some("before"), Some("after"), &["before", "after"][..])]
    {
        let (world, endpoint, thread, session, id) = asked().await;
        let (_dir, report) = with_file("report.txt", "done");
        if let Some(text) = before {
            session.says(text).await;
            world.settle().await;
        }
        let (done, told) = endpoint.upload(&endpoint.mcp.toolbox().grant(id), &report).await;
        assert!(done, "{told}");
        if let Some(text) = after {
            session.says(text).await;
        }
        session.ends(Outcome::Completed);
        world.rest().await;
        world.until_thread_is(&thread, expected).await;
    }
}

#[tokio::test]
async fn a_file_waits_for_the_words_before_it() {
    let (world, endpoint, thread, session, id) = asked().await;
    let (_dir, report) = with_file("report.txt", "done");
    world.slack.slow.send_replace(true);
    session.says("before").await;
    world.settle().await;
    let grant = endpoint.mcp.toolbox().grant(id);
    let letting_go = async {
        world.until("its words to be owed", || world.slack.slow.receiver_count() > 0).await;
        world.settle().await;
        assert!(locked(&world.slack.uploads).is_empty(), "it would stand above them");
        world.slack.slow.send_replace(false);
    };
    let ((done, told), ()) = world.within(async { tokio::join!(endpoint.upload(&grant, &report), letting_go) }).await;
    assert!(done, "{told}");
    assert_eq!(locked(&world.slack.uploads).len(), 1);
    session.ends(Outcome::Completed);
    world.until_thread_is(&thread, &["before"]).await;
}

#[tokio::test]
async fn an_older_client_takes_its_own_question_back() {
    let (world, endpoint, thread, session, id) = asked().await;
    let (own, foreign) = (endpoint.mcp.toolbox().grant(id), endpoint.mcp.toolbox().grant(id));
    let question = json!({"question": "which?", "choices": ["left", "right"]});
    let cancelled = json!({"method": "notifications/cancelled", "params": {"requestId": 1}});
    let taking_back = async {
        world.card(&thread).await;
        endpoint.send(&foreign, &cancelled).await;
        world.settle().await;
        assert!(!is_withdrawn(&world, &thread), "another client's call has the same id");
        endpoint.send(&own, &cancelled).await;
    };
    let ((done, told), ()) =
        world.within(async { tokio::join!(endpoint.call(&own, "ask", &question), taking_back) }).await;
    assert!(!done && told.contains("cancelled"), "{told}");
    world.until("its buttons to go", || is_withdrawn(&world, &thread)).await;
    session.ends(Outcome::Completed);
    world.rest().await;
}

fn is_withdrawn(world: &World, thread: &Ts) -> bool {
    world.slack.cards(thread).iter().all(|(_, card)| card.state == ApprovalState::Withdrawn)
}
