//! A connection that acknowledges only what it is told to. The daemon has no use for such a thing; `probe` learns by it what Slack
//! does with what stays unacknowledged.

use std::fmt;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::dial::{self, WebSocket};
use crate::clock::Clock;
use crate::http_client::HttpClient;
use crate::secret::SecretString;
use crate::slack::wire::{self, Envelope, Frame, Kind, Retry};

/// How long the greeting may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long a connection may be silent: Slack pings every few seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the server may take to answer our goodbye.
const CLOSING: Duration = Duration::from_secs(1);

/// Where a [`Listener`] connects, and with what.
#[derive(Clone)]
pub struct Entrance {
    /// The borrowed client.
    pub http: HttpClient,
    /// The Web API's base, ending in `/api/`.
    pub api_url: Url,
    /// The app-level token.
    pub app_token: SecretString,
    /// Time.
    pub clock: Clock,
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").field("api_url", &self.api_url.as_str()).finish_non_exhaustive()
    }
}

/// An open and greeted connection.
#[derive(Debug)]
pub struct Listener {
    socket: WebSocket,
    clock: Clock,
}

/// Something that Slack delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// By this id it is acknowledged.
    pub envelope_id: String,
    /// An event's text, or the `action_id` of a pressed button; empty for anything else.
    pub said: String,
    /// Whether it came before.
    pub retry: Retry,
}

/// There is no connection, or none any more; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoConnection(String);

impl Listener {
    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// [`NoConnection`] when Slack takes no connection, or does not greet it.
    pub async fn open(entrance: &Entrance) -> Result<Self, NoConnection> {
        let dialed = dial::dial(&entrance.http, &entrance.api_url, &entrance.app_token, &entrance.clock).await;
        let socket = dialed.map_err(|not_open| NoConnection(not_open.why))?;
        let clock = entrance.clock.clone();
        let mut listener = Self { socket, clock: clock.clone() };
        let greeted = clock.timeout(GREETING, listener.greeting()).await;
        greeted.map_err(|_late| NoConnection("Slack does not greet".to_owned()))??;
        Ok(listener)
    }

    async fn greeting(&mut self) -> Result<(), NoConnection> {
        while !matches!(wire::read(&self.text().await?), Frame::Hello(_)) {}
        Ok(())
    }

    /// The next delivery. Cancel safe.
    ///
    /// # Errors
    /// [`NoConnection`] when the connection ends, or Slack asks to leave it.
    pub async fn next(&mut self) -> Result<Delivery, NoConnection> {
        loop {
            let text = self.text().await?;
            match wire::read(&text) {
                Frame::Envelope(envelope) => return Ok(delivery(envelope, wire::retry(&text))),
                Frame::Disconnect(reason) => {
                    return Err(NoConnection(format!("Slack asks to leave: {}", reason.name())));
                }
                Frame::Hello(_) | Frame::Odd(..) => {}
            }
        }
    }

    /// Acknowledges a delivery.
    ///
    /// # Errors
    /// [`NoConnection`] when the connection is broken.
    pub async fn acknowledge(&mut self, envelope_id: &str) -> Result<(), NoConnection> {
        let frame = Message::Text(wire::ack(envelope_id).into());
        self.socket.send(frame).await.map_err(|error| NoConnection(error.to_string()))
    }

    /// Says goodbye; what is unacknowledged stays so.
    pub async fn close(mut self) {
        let clock = self.clock.clone();
        let goodbye = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _dropped = clock.timeout(CLOSING, goodbye).await;
    }

    async fn text(&mut self) -> Result<String, NoConnection> {
        loop {
            let frame = self.clock.timeout(SILENCE, self.socket.next()).await;
            match frame.map_err(|_silent| NoConnection("Slack has fallen silent".to_owned()))? {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                // The answer to a ping was queued as it was read.
                Some(Ok(Message::Ping(_))) => {
                    self.socket.flush().await.map_err(|error| NoConnection(error.to_string()))?;
                }
                Some(Ok(Message::Close(_))) | None => return Err(NoConnection("Slack closed it".to_owned())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(NoConnection(error.to_string())),
            }
        }
    }
}

fn delivery(envelope: Envelope, retry: Retry) -> Delivery {
    let said = match envelope.kind {
        Kind::Event => &envelope.payload["event"]["text"],
        Kind::Interactive => &envelope.payload["actions"][0]["action_id"],
        Kind::Slash => &Value::Null,
    };
    let said = said.as_str().unwrap_or_default().to_owned();
    Delivery { envelope_id: envelope.id, said, retry }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(kind: Kind, payload: Value) -> String {
        delivery(Envelope { id: "e".to_owned(), kind, payload }, Retry::default()).said
    }

    #[test]
    fn a_delivery_says_what_was_written_or_pressed() {
        assert_eq!(said(Kind::Event, json!({"event": {"type": "message", "text": "hello"}})), "hello");
        assert_eq!(said(Kind::Interactive, json!({"actions": [{"action_id": "press"}]})), "press");
        assert_eq!(said(Kind::Event, json!({"event": {"type": "reaction_added"}})), "");
        assert_eq!(said(Kind::Slash, json!({"text": "hello"})), "");
    }
}
