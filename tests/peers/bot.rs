//! A bot in its own process, and the people who talk to it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a bot may take to start or to answer.
const SOON: Duration = Duration::from_secs(30);

/// A running bot; it is killed when it is dropped.
pub(crate) struct Bot(Child);

impl Bot {
    /// Starts a bot and waits until it is connected.
    pub(crate) async fn start(program: impl AsRef<OsStr>, args: &[&str], url: String, sdk: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env("SIMULATOR_URL", url);
        // The SDKs would send even loopback requests through a proxy.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        if let Some(folder) = sdk {
            command.env("SDK_FOLDER", folder);
        }
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(SOON, lines.next_line()).await.expect("the bot is ready in time");
        assert_eq!(ready.unwrap().as_deref(), Some("ready"));
        Self(child)
    }

    pub(crate) async fn end(mut self) {
        self.0.kill().await.unwrap();
    }
}

/// The simulator's control API.
pub(crate) struct People {
    base: String,
    http: reqwest::Client,
}

impl People {
    pub(crate) fn new(base: String) -> Self {
        Self { base, http: http() }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let response = self.http.post(format!("{}/sim/{path}", self.base)).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Waits for a message in #general.
    pub(crate) async fn wait(&self, filter: &str) -> Value {
        let found = self.get(&format!("wait?channel=C0GENERAL&timeout_ms=20000&{filter}")).await;
        assert!(found["messages"].is_array(), "{filter}: {found}");
        found["messages"][0].clone()
    }

    /// Waits until no envelope is left without its acknowledgement.
    pub(crate) async fn all_acknowledged(&self) {
        let asking = async {
            loop {
                let seen = self.get("envelopes").await;
                let envelopes = seen["envelopes"].as_array().unwrap().clone();
                if envelopes.iter().all(|envelope| envelope["acks"].as_u64() >= Some(1)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, asking).await.expect("every envelope is acknowledged");
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}/sim/{path}", self.base)).send().await.unwrap().json().await.unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one client of these tests; nothing of the crate's own is on this side"
)]
fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(SOON).build().unwrap()
}
