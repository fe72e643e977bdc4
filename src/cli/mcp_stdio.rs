//! `hitchline mcp-stdio`: MCP over standard streams on one side, over HTTP on the other.
//!
//! Each line from the agent becomes a request to the daemon, and what that answers becomes lines. It holds no state but the version of the
//! protocol, and decides nothing: what a request may do follows from the token.

mod events;
mod message;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use self::events::Events;
use self::message::{Message, Version, headers};
use super::{Exit, Failure, output};
use crate::clock::Clock;
use crate::domain::agent::ToolAccess;
use crate::http_client::{Config, HttpClient, Owner, cause};
use crate::secret::{ExposeSecret, SecretString};
use crate::settings::Environment;

/// The longest line from the agent, and the longest answer, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;
/// How many lines may wait. When it is full, the agent waits.
const LINES: usize = 16;
/// How many requests may be on their way; a further one is refused.
const REQUESTS: usize = 32;
/// How long answers may take after the agent's last word.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// The code of an answer that never came: an error of the server's own, as JSON-RPC reserves them.
const NOT_REACHED: i32 = -32000;

/// Passes on what the agent says until it says no more.
pub(super) async fn mcp_stdio(environment: &Environment) -> Result<Exit, Failure> {
    let variable = |name: &str| {
        let unset = || {
            Failure::new(Exit::Usage, format!("{name} is not set; the daemon sets it for the agents that it starts"))
        };
        environment.get(name).cloned().ok_or_else(unset)
    };
    let (url, token) = (variable(ToolAccess::URL)?, SecretString::from(variable(ToolAccess::TOKEN)?));
    let mut client =
        Owner::build(&Config::default(), true).map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?;
    let bridge = Bridge { http: client.lend(), url: url.into(), token, version: Arc::default() };
    bridge.run(lines()).await;
    client.release();
    Ok(Exit::Done)
}

/// The lines of stdin, from a thread of their own: reading can't be broken off.
fn lines() -> mpsc::Receiver<Vec<u8>> {
    let (send, lines) = mpsc::channel(LINES);
    tokio::task::spawn_blocking(move || {
        let mut input = BufReader::new(std::io::stdin().lock());
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut line);
            if line.len() as u64 == LONGEST {
                // What follows would be taken for a line of its own.
                return output::complain(&format!("a line of {LONGEST} bytes or more is no message: it ends here"));
            }
            let is_over = !matches!(read, Ok(read) if read > 0);
            if is_over || send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The way to the daemon.
#[derive(Clone)]
struct Bridge {
    http: HttpClient,
    url: Arc<str>,
    token: SecretString,
    version: Arc<Version>,
}

impl Bridge {
    async fn run(self, mut lines: mpsc::Receiver<Vec<u8>>) {
        let (mut requests, mut by_id) = (JoinSet::new(), HashMap::<String, AbortHandle>::new());
        while let Some(line) = lines.recv().await {
            while requests.try_join_next().is_some() {}
            by_id.retain(|_, request| !request.is_finished());
            let Some(message) = Message::read(&line) else { continue };
            if let Some(cancelled) = message.cancels() {
                // Its connection goes with it, and that is what the daemon notices.
                if let Some(request) = by_id.remove(&cancelled.to_string()) {
                    request.abort();
                }
                continue;
            }
            if requests.len() >= REQUESTS {
                tell(message.refusal(NOT_REACHED, "too many requests are on their way"));
                continue;
            }
            let (bridge, id) = (self.clone(), message.id.clone());
            let request = requests.spawn(async move { bridge.pass_on(&message).await });
            by_id.extend(id.map(|id| (id.to_string(), request)));
        }
        // The agent says no more. It may still read, but not for long: nobody is left to cancel what waits for a person.
        let _late =
            Clock::system().timeout(LAST_ANSWERS, async { while requests.join_next().await.is_some() {} }).await;
        requests.shutdown().await;
    }

    /// Sends one message, and writes whatever comes back.
    async fn pass_on(&self, message: &Message) {
        if let Err(why) = self.exchange(message).await {
            tell(message.refusal(NOT_REACHED, &why));
        }
    }

    async fn exchange(&self, message: &Message) -> Result<(), String> {
        let request = self
            .http
            .post(&*self.url)
            .bearer_auth(self.token.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        let request = headers(message, &self.version)
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.body(message.text.clone()).send().await;
        let answer = answer.map_err(|error| format!("Hitchline can't be reached: {}", cause(error)))?;
        if answer.status() == StatusCode::ACCEPTED {
            return Ok(());
        }
        if is_events(&answer) { self.stream(answer, message).await } else { self.whole(answer, message).await }
    }

    /// An answer in one piece. One that is no JSON is a refusal.
    async fn whole(&self, answer: Response, message: &Message) -> Result<(), String> {
        let status = answer.status();
        let body = read(answer).await?;
        match serde_json::from_slice(&body) {
            Ok(answer) if message.is_answered_by(&answer) => self.answer(&answer, message),
            _ => return Err(format!("Hitchline answered {status}: {}", String::from_utf8_lossy(&body).trim())),
        }
        Ok(())
    }

    /// An answer with something before it.
    async fn stream(&self, mut answer: Response, message: &Message) -> Result<(), String> {
        let (mut events, mut is_answered) = (Events::default(), message.id.is_none());
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            for event in events.push(&piece, LONGEST)? {
                if let Ok(event) = serde_json::from_str(&event) {
                    is_answered |= message.is_answered_by(&event);
                    self.answer(&event, message);
                }
            }
        }
        if is_answered { Ok(()) } else { Err("Hitchline stopped before it had answered".to_owned()) }
    }

    fn answer(&self, answer: &Value, message: &Message) {
        self.version.learn(message, answer);
        tell(Some(answer.clone()));
    }
}

fn is_events(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

async fn read(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        body.extend_from_slice(&piece);
        if body.len() as u64 > LONGEST {
            return Err("the answer is too long".to_owned());
        }
    }
    Ok(body)
}

fn broken(error: reqwest::Error) -> String {
    format!("the answer broke off: {}", cause(error))
}

/// Writes a message to the agent, if there is one to write. An agent that does not read has gone.
fn tell(message: Option<Value>) {
    if let Some(message) = message {
        let _gone = output::print(&message.to_string());
    }
}
