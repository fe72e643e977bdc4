//! From the app token to an open WebSocket.

use std::time::Duration;

use reqwest::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Method, StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::{Host, Url};

use crate::clock::Clock;
use crate::http_client::{HttpClient, cause};
use crate::secret::SecretString;
use crate::slack::api;
use crate::slack::error::{ApiError, ApiErrorKind};
use crate::slack::link::Loss;
use crate::slack::wire::LONGEST_FRAME;

/// How long the WebSocket handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An open WebSocket over the client's own connection.
pub(super) type WebSocket = WebSocketStream<Upgraded>;

/// Why no connection came about, for the link and for the log.
#[derive(Debug)]
pub(super) struct NotOpen {
    pub(super) loss: Loss,
    pub(super) why: String,
}

/// Asks for an address, which works once, and connects to it.
pub(super) async fn dial(
    http: &HttpClient,
    api_url: &Url,
    app_token: &SecretString,
    clock: &Clock,
) -> Result<WebSocket, NotOpen> {
    let address = api::open(http, api_url, app_token).await.map_err(|error| refused(&error))?;
    let url = http_address(address).map_err(broken)?;
    let handshake = clock.timeout(HANDSHAKE, upgrade(http, url)).await;
    let stream = handshake.map_err(|_late| broken("the handshake took too long"))?.map_err(broken)?;
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST_FRAME)).max_frame_size(Some(LONGEST_FRAME));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

async fn upgrade(http: &HttpClient, url: Url) -> Result<Upgraded, String> {
    let key = generate_key();
    let request = http.request(Method::GET, url).headers(headers(&key)?);
    let response = request.send().await.map_err(cause)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("the server answered the handshake with {}", response.status()));
    }
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("the server did not accept the handshake's key".to_owned());
    }
    response.upgrade().await.map_err(cause)
}

fn headers(key: &str) -> Result<HeaderMap, String> {
    let key = HeaderValue::from_str(key).map_err(|error| error.to_string())?;
    Ok(HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (SEC_WEBSOCKET_KEY, key),
    ]))
}

/// The address as the HTTP client wants it. Without TLS only to this machine: the ticket in it is a credential.
fn http_address(mut url: Url) -> Result<Url, &'static str> {
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" if is_loopback(&url) => "http",
        _ => return Err("Slack's answer names an address that is neither encrypted nor on this machine"),
    };
    url.set_scheme(scheme).map_err(|()| "Slack's answer names an address that can't be used")?;
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn refused(error: &ApiError) -> NotOpen {
    let loss = match &error.kind {
        // A token without `connections:write` is as useless as one that was revoked.
        ApiErrorKind::Auth | ApiErrorKind::Permanent => Loss::Auth(error.code.clone()),
        ApiErrorKind::Rate(after) => Loss::Rate(*after),
        _ => Loss::Transient,
    };
    NotOpen { loss, why: error.to_string() }
}

fn broken(why: impl Into<String>) -> NotOpen {
    NotOpen { loss: Loss::Transient, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_travels_encrypted_or_not_at_all() {
        let address = |url: &str| http_address(Url::parse(url).unwrap()).map(String::from);
        assert_eq!(address("wss://h.example/link/?ticket=1"), Ok("https://h.example/link/?ticket=1".into()));
        assert_eq!(address("ws://127.0.0.1:8/link/?ticket=1"), Ok("http://127.0.0.1:8/link/?ticket=1".into()));
        assert_eq!(address("ws://[::1]:8/"), Ok("http://[::1]:8/".into()));
        for bad in ["ws://h.example/", "http://127.0.0.1/", "ws://127.0.0.1.example/"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
