//! A Slack app and a test's eyes, by hand: plain HTTP and WebSocket, so that no code of the crate is on both sides.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hitchline::simulator::{APP_TOKEN, BOT_TOKEN, Config, Simulator, start};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

/// How long anything that must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Bench {
    pub(crate) simulator: Simulator,
    pub(crate) http: reqwest::Client,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self { simulator: start(config).await.unwrap(), http: http() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    /// Calls a Web API method with the right token and returns the JSON.
    pub(crate) async fn api(&self, method: &str, args: Value) -> Value {
        self.try_api(method, &args).await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn try_api(&self, method: &str, args: &Value) -> reqwest::Result<reqwest::Response> {
        let token = if method.starts_with("apps.") { APP_TOKEN } else { BOT_TOKEN };
        self.http.post(self.url(&format!("/api/{method}"))).bearer_auth(token).json(args).send().await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    /// Posts to the control API; anything but success fails the test.
    pub(crate) async fn sim(&self, path: &str, body: Value) -> Value {
        let response = self.http.post(self.url(&format!("/sim/{path}"))).json(&body).send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Alice writes in #general; returns the `ts`.
    pub(crate) async fn alice(&self, text: &str) -> String {
        let body = json!({"user": "U0ALICE", "channel": "C0GENERAL", "text": text});
        self.sim("messages", body).await["ts"].as_str().unwrap().to_owned()
    }

    /// What the page has been told, from the beginning to the first line that `last` stands in.
    pub(crate) async fn told(&self, last: &str) -> Vec<Value> {
        let mut events = self.http.get(self.url("/sim/events?since=0")).send().await.unwrap();
        let mut seen = String::new();
        while !seen.contains(last) {
            seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
        }
        seen.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.sim("faults", fault).await;
    }

    pub(crate) async fn ticket(&self) -> String {
        let opened = self.api("apps.connections.open", json!({})).await;
        assert_eq!(opened["ok"], true, "{opened}");
        opened["url"].as_str().unwrap().to_owned()
    }

    /// An open socket, before anything was read from it.
    pub(crate) async fn socket(&self) -> Socket {
        Socket(connect(&self.ticket().await).await.unwrap())
    }

    /// A greeted socket.
    pub(crate) async fn connected(&self) -> Socket {
        let mut socket = self.socket().await;
        assert_eq!(socket.json().await["type"], "hello");
        socket
    }

    /// Asks until the answer pleases.
    pub(crate) async fn until(&self, path: &str, pleases: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if pleases(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{path} never pleased"))
    }
}

pub(crate) struct Socket(WebSocketStream<TcpStream>);

/// Opens a socket; the error says what the server answered.
pub(crate) async fn connect(url: &str) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let address = url::Url::parse(url).unwrap().socket_addrs(|| None).unwrap()[0];
    client_async(url, TcpStream::connect(address).await?).await.map(|(socket, _)| socket)
}

impl Socket {
    /// The next frame; `None` when the socket has ended.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(SOON, self.0.next()).await.expect("a frame or the end");
        next.and_then(Result::ok).filter(|frame| !frame.is_close())
    }

    /// The next text frame.
    pub(crate) async fn text(&mut self) -> String {
        let reading = async {
            loop {
                if let Message::Text(text) = self.frame().await.expect("a text frame, not the end") {
                    return text.to_string();
                }
            }
        };
        // Pings come more often than this.
        tokio::time::timeout(SOON, reading).await.expect("a text frame soon")
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next envelope, acknowledged.
    pub(crate) async fn acked(&mut self) -> Value {
        let envelope = self.json().await;
        self.send(&json!({"envelope_id": envelope["envelope_id"]})).await;
        envelope
    }

    /// Ends as the sockets of a killed process do: at once, and without a word.
    pub(crate) fn kill(self) {
        self.0.get_ref().set_zero_linger().unwrap();
    }

    /// Reads until the socket has ended.
    pub(crate) async fn ended(&mut self) {
        while self.frame().await.is_some() {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one client of these tests; nothing of the crate's own is on this side"
)]
fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .timeout(SOON)
        .build()
        .unwrap()
}
