//! The minimal loop: it acknowledges and posts the text back, and stores nothing. What a bridge costs at the very least.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

#[derive(Deserialize)]
struct Opened {
    url: String,
}

#[derive(Deserialize)]
struct Envelope {
    envelope_id: String,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    channel: String,
    thread_ts: String,
    text: String,
}

/// Serves the Slack at `base`, which ends in `/api`, until it goes away.
pub(crate) async fn run(base: &str) -> Result<()> {
    let client = client()?;
    let opened: Opened = client.post(format!("{base}/apps.connections.open")).send().await?.json().await?;
    let address = url::Url::parse(&opened.url)?.socket_addrs(|| None)?;
    let stream = TcpStream::connect(address.as_slice()).await?;
    // Nagle's algorithm would hold back acknowledgements that come in bursts.
    stream.set_nodelay(true)?;
    let (mut socket, _response) = client_async(opened.url, stream).await?;
    let mut posts = JoinSet::new();
    loop {
        tokio::select! {
            frame = socket.next() => {
                let Message::Text(text) = frame.context("the server closed the socket")?? else { continue };
                let Ok(envelope) = serde_json::from_str::<Envelope>(&text) else { continue };
                socket.send(Message::Text(json!({"envelope_id": envelope.envelope_id}).to_string().into())).await?;
                posts.spawn(post(client.clone(), format!("{base}/chat.postMessage"), envelope.payload.event));
            }
            Some(posted) = posts.join_next() => posted??,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what is compared with must not share the crate's own client")]
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().http1_only().tcp_nodelay(true).no_proxy().tls_certs_only([]).build()
}

async fn post(client: reqwest::Client, url: String, event: Event) -> Result<()> {
    let text = event.text.trim_start_matches("<@U0BOT> ");
    let body = json!({"channel": event.channel, "thread_ts": event.thread_ts, "text": text});
    let answer: serde_json::Value = client.post(url).bearer_auth("xoxb-bench").json(&body).send().await?.json().await?;
    if answer["ok"] != true {
        bail!("a reply was refused: {answer}");
    }
    Ok(())
}
