//! `/link/`: one socket from its upgrade to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::connections::{MAX_CONNECTIONS, Order, Registered};
use super::core::{Core, lock, socket_order};
use super::faults::{Fault, Place};
use super::ids::APP;
use super::server::Tasks;

/// The host that `hello`, `disconnect` and pings name.
const HOST: &str = "applink-simulator";
/// How long a socket lives by default, as `hello` announces it; nothing here ends it then.
const LIFETIME_SECONDS: u64 = 18_060;
/// The same when the client asked for early reconnects with `debug_reconnects`.
const DEBUG_LIFETIME_SECONDS: u64 = 360;
/// How long the other side may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

type Socket = WebSocketStream<TcpStream>;

/// Why a socket came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed it or went away.
    Client,
    /// The server closes it in order.
    Server(&'static str),
    /// Aborted without a word.
    Cut,
    /// From now on it only seems open.
    Silent,
}

/// What the server does to this socket on purpose.
#[derive(Debug, Default)]
struct Script {
    lifetime: Option<Duration>,
    first_order: Option<Order>,
    no_hello: bool,
    close_before_hello: bool,
}

/// Redeems the ticket and upgrades the connection.
pub(super) async fn upgrade(
    State(core): State<Arc<Core>>,
    Query(query): Query<HashMap<String, String>>,
    axum::Extension(tasks): axum::Extension<Tasks>,
    mut request: Request,
) -> Response {
    let Some(accept) = accept_key(request.headers()) else {
        return (StatusCode::BAD_REQUEST, "this address speaks WebSocket only").into_response();
    };
    let ticket = query.get("ticket").map(String::as_str).unwrap_or_default();
    if !lock(&core.tickets).redeem(ticket, core.clock.now()) {
        return (StatusCode::FORBIDDEN, "unknown, used or expired ticket").into_response();
    }
    let mut script = Script::default();
    match core.strike(&[Place::Opening, Place::Sockets], "", None) {
        Some(Fault::WsRefused) => return (StatusCode::INTERNAL_SERVER_ERROR, "refused by a fault").into_response(),
        Some(Fault::NoHello) => script.no_hello = true,
        Some(Fault::CloseBeforeHello) => script.close_before_hello = true,
        Some(fault) => script.first_order = socket_order(&fault),
        None => {}
    }
    if query.get("debug_reconnects").is_some_and(|value| value == "true") {
        script.lifetime = Some(Duration::from_secs(DEBUG_LIFETIME_SECONDS));
    }
    let Some(pending) = request.extensions_mut().remove::<OnUpgrade>() else {
        return (StatusCode::BAD_REQUEST, "this connection can't be upgraded").into_response();
    };
    tasks.spawn(serve(core, pending, script));
    let switching = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "websocket")];
    (StatusCode::SWITCHING_PROTOCOLS, switching, [(header::SEC_WEBSOCKET_ACCEPT, accept)]).into_response()
}

fn accept_key(headers: &HeaderMap) -> Option<String> {
    let upgrades = headers.get(header::UPGRADE)?.to_str().ok()?.eq_ignore_ascii_case("websocket");
    upgrades.then(|| headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())))?
}

async fn serve(core: Arc<Core>, pending: OnUpgrade, script: Script) {
    let Ok(upgraded) = pending.await else { return };
    let Some(socket) = websocket(upgraded).await else { return };
    let registered = core.envelopes.with_connections(|all| all.open(core.clock.wall_ms()));
    core.announce_connections();
    let id = registered.id;
    let (socket, end) = live(&core, socket, registered, script).await;
    let reason = match end {
        End::Client => "client",
        End::Server(reason) => reason,
        End::Cut => "cut",
        End::Silent => "silence",
    };
    if end == End::Silent {
        swallow(socket).await;
        gone(&core, id, reason);
        return;
    }
    gone(&core, id, reason);
    finish(&core, socket, end).await;
}

fn gone(core: &Core, id: u64, reason: &'static str) {
    core.envelopes.closed(id, reason);
    core.announce_connections();
}

async fn websocket(upgraded: Upgraded) -> Option<Socket> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(WebSocketStream::from_partially_read(parts.io.into_inner(), parts.read_buf.into(), Role::Server, None).await)
}

/// Greets the socket and serves it until something ends it. Reading and writing go on side by side: a client that writes
/// before it reads must not block us both.
async fn live(core: &Arc<Core>, socket: Socket, registered: Registered, script: Script) -> (Socket, End) {
    let (mut sink, mut stream) = socket.split();
    let end = if let Some(end) = greet(core, &mut sink, &registered, &script).await {
        end
    } else {
        let Registered { frames, orders, .. } = registered;
        tokio::select! {
            end = read(core, &mut stream) => end,
            end = write(core, &mut sink, frames, orders, script.lifetime) => end,
            () = core.stop.cancelled() => End::Server("stop"),
        }
    };
    (reunite(sink, stream), end)
}

#[expect(clippy::expect_used, reason = "the halves come from one `split`, so they fit")]
fn reunite(sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>) -> Socket {
    sink.reunite(stream).expect("halves of one socket")
}

async fn greet(
    core: &Core,
    sink: &mut SplitSink<Socket, Message>,
    registered: &Registered,
    script: &Script,
) -> Option<End> {
    if script.close_before_hello {
        return Some(End::Server("close_before_hello"));
    }
    if let Some(Order::Text(text)) = &script.first_order
        && send(sink, text.clone()).await.is_err()
    {
        return Some(End::Client);
    }
    if script.no_hello {
        return None;
    }
    if send(sink, hello(registered.open, script.lifetime)).await.is_err() {
        return Some(End::Client);
    }
    if registered.open > MAX_CONNECTIONS {
        let sent = send(sink, disconnect("too_many_websockets")).await;
        return Some(if sent.is_ok() { End::Server("too_many_websockets") } else { End::Client });
    }
    core.envelopes.greeted(registered.id);
    if let Some(order) = script.first_order.clone().filter(|order| !matches!(order, Order::Text(_))) {
        core.envelopes.with_connections(|all| all.order(registered.id, order));
    }
    None
}

async fn read(core: &Core, stream: &mut SplitStream<Socket>) -> End {
    while let Some(frame) = stream.next().await {
        match frame {
            Ok(Message::Text(text)) => core.envelopes.take(&text),
            Ok(Message::Close(_)) | Err(_) => break,
            // tungstenite answers pings by itself.
            Ok(_) => {}
        }
    }
    End::Client
}

async fn write(
    core: &Core,
    sink: &mut SplitSink<Socket, Message>,
    mut frames: mpsc::Receiver<Utf8Bytes>,
    mut orders: mpsc::Receiver<Order>,
    lifetime: Option<Duration>,
) -> End {
    let mut pings = true;
    let mut ping_due = core.clock.now() + core.timing.ping_every;
    let mut closing = lifetime.map(|lifetime| (core.clock.now() + lifetime, "lifetime"));
    loop {
        let wrote = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Cut) => return End::Cut,
                Some(Order::Silence) => return End::Silent,
                Some(Order::NoPing) => { pings = false; Ok(()) }
                Some(Order::Text(text)) => send(sink, text).await,
                Some(Order::Disconnect { reason, close_after }) => {
                    closing = Some((core.clock.now() + close_after, reason));
                    send(sink, disconnect(reason)).await
                }
                None => return End::Server("stop"),
            },
            Some(frame) = frames.recv() => send_all(sink, frame, &mut frames).await,
            () = core.clock.sleep_until(ping_due), if pings => {
                ping_due = core.clock.now() + core.timing.ping_every;
                sink.send(Message::Ping(format!("Ping from {HOST}").into())).await
            }
            reason = due(core, closing) => return End::Server(reason),
        };
        if wrote.is_err() {
            return End::Client;
        }
    }
}

/// Comes back with the reason when it is time to close.
async fn due(core: &Core, closing: Option<(std::time::Instant, &'static str)>) -> &'static str {
    match closing {
        Some((at, reason)) => {
            core.clock.sleep_until(at).await;
            reason
        }
        None => std::future::pending().await,
    }
}

type Wrote = Result<(), tokio_tungstenite::tungstenite::Error>;

async fn send(sink: &mut SplitSink<Socket, Message>, text: impl Into<Utf8Bytes>) -> Wrote {
    sink.send(Message::Text(text.into())).await
}

/// Sends all frames that wait, in one write.
async fn send_all(
    sink: &mut SplitSink<Socket, Message>,
    first: Utf8Bytes,
    frames: &mut mpsc::Receiver<Utf8Bytes>,
) -> Wrote {
    sink.feed(Message::Text(first)).await?;
    while let Ok(frame) = frames.try_recv() {
        sink.feed(Message::Text(frame)).await?;
    }
    sink.flush().await
}

/// Ends a socket that is not registered any more.
async fn finish(core: &Core, mut socket: Socket, end: End) {
    match end {
        End::Cut => {
            if let Err(error) = socket.get_ref().set_zero_linger() {
                tracing::debug!(%error, "Could not abort a connection; it is closed instead");
            }
        }
        End::Server(_) => {
            let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            let goodbye = async {
                if socket.close(Some(frame)).await.is_ok() {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            };
            // Clients that drop the connection without an answer are fine, too.
            let _ = core.clock.timeout(CLOSE_WAIT, goodbye).await;
        }
        End::Client => {
            let _ = core.clock.timeout(CLOSE_WAIT, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        }
        End::Silent => {}
    }
}

/// Reads and forgets until the client gives up.
async fn swallow(socket: Socket) {
    let mut stream = socket.into_inner();
    let mut buffer = [0; 4_096];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

fn hello(open: usize, lifetime: Option<Duration>) -> String {
    let seconds = lifetime.map_or(LIFETIME_SECONDS, |lifetime| lifetime.as_secs());
    json!({
        "type": "hello", "num_connections": open,
        "debug_info": {"host": HOST, "build_number": 10, "approximate_connection_time": seconds},
        "connection_info": {"app_id": APP},
    })
    .to_string()
}

fn disconnect(reason: &str) -> String {
    json!({"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}}).to_string()
}
