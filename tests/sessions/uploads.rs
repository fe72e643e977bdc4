//! A file of an agent's, from the request to the port: the one tool whose effect leaves this machine with bytes in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hitchline::backend::Outcome;
use hitchline::clock::Clock;
use hitchline::domain::ids::{ChannelId, Ts, UserId};
use hitchline::domain::inbound::File;
use hitchline::domain::outgoing::{Label, Place};
use hitchline::domain::ports::{
    Files, Grant, NotFetched, People, Profile, Reactions, Upload, WriteError, WriteErrorKind,
};
use hitchline::mcp::{Desk, Mcp, Parts};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::agent::locked;
use super::people;
use super::world::World;

/// Notes what is uploaded, and does nothing else.
#[derive(Default)]
struct Shelf(Mutex<Vec<(Place, Upload)>>);

fn not_here() -> WriteError {
    WriteError { kind: WriteErrorKind::Permanent, call: "test", code: "not_here".into() }
}

#[async_trait]
impl Files for Shelf {
    async fn fetch(&self, _: &File, _: &Path, _: u64) -> Result<(), NotFetched> {
        Err(NotFetched::Gone)
    }

    async fn upload(&self, to: &Place, file: Upload, _label: &Label) -> Result<(), WriteError> {
        if file.name == "refused" {
            return Err(not_here());
        }
        locked(&self.0).push((to.clone(), file));
        Ok(())
    }
}

#[async_trait]
impl Reactions for Shelf {
    async fn react(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        Err(not_here())
    }
}

#[async_trait]
impl People for Shelf {
    async fn profile(&self, _: &UserId) -> Result<Profile, WriteError> {
        Err(not_here())
    }
}

/// An endpoint for the agents of a world.
struct Endpoint {
    mcp: Mcp,
    address: String,
    shelf: Arc<Shelf>,
    _serving: JoinSet<()>,
}

impl Endpoint {
    async fn open(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (clock, close, program) = (Clock::system(), CancellationToken::new(), "/bin/hitchline".into());
        let mcp = Mcp::new(Parts { address, sessions: false, idle: Duration::from_mins(1), program, clock, close });
        let shelf = Arc::new(Shelf::default());
        mcp.open(Desk {
            manager: world.manager.clone(),
            read: world.slack.clone(),
            reactions: shelf.clone(),
            people: shelf.clone(),
            files: shelf.clone(),
        });
        let (routes, mut serving) = (mcp.routes(), JoinSet::new());
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { mcp, address: address.to_string(), shelf, _serving: serving }
    }

    /// Uploads a file as the agent that has this way in; whether it worked, and what the agent is told.
    async fn upload(&self, grant: &Grant, path: &str) -> (bool, String) {
        let params = json!({"name": "upload", "arguments": {"path": path}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
        let (address, token) = (self.address.clone(), grant.access.token.clone());
        let answer = spawn_blocking(move || post(&address, &token, &body)).await.unwrap();
        let (_, content) = answer.split_once("\r\n\r\n").unwrap();
        let result = &serde_json::from_str::<Value>(content).unwrap_or_else(|_| panic!("{answer}"))["result"];
        (result["isError"] != true, result["content"][0]["text"].as_str().unwrap().to_owned())
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

#[tokio::test]
async fn a_file_goes_into_the_thread_of_whoever_has_the_token() {
    let world = World::new().await;
    let endpoint = Endpoint::open(&world).await;
    let toolbox = endpoint.mcp.toolbox();
    let (one, first) = world.settled_thread("U1", "one").await;
    let (_, other) = world.settled_thread("U2", "two").await;
    // The agents of this world work in the root directory.
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("report.txt"), "done").unwrap();
    std::fs::write(path("refused"), "x").unwrap();

    let (own, foreign) = (toolbox.grant(first.id), toolbox.grant(other.id));
    assert_eq!(endpoint.upload(&own, &path("report.txt")).await, (true, "Uploaded report.txt (4 bytes).".to_owned()));
    let place = Place::from(&people::key(&one));
    let file = Upload { name: "report.txt".into(), bytes: b"done".into() };
    assert_eq!(*locked(&endpoint.shelf.0), [(place.clone(), file)]);
    let (done, told) = endpoint.upload(&own, &path("missing")).await;
    assert!(!done && told.contains("can't be read"), "{told}");
    let (done, told) = endpoint.upload(&own, &path("refused")).await;
    assert!(!done && told.contains("not_here"), "{told}");
    endpoint.upload(&foreign, &path("report.txt")).await;
    let last = locked(&endpoint.shelf.0).pop().unwrap();
    assert_ne!(last.0, place, "another token is another thread");

    world.within(world.manager.end(first.id)).await.unwrap();
    let (done, told) = endpoint.upload(&own, &path("report.txt")).await;
    assert!(!done && told.contains("has ended"), "{told}");
    world.reply("U2", &other.conversation.thread, "more").await;
    world.prompted("more").await.ends(Outcome::Completed);
    world.rest().await;
}
