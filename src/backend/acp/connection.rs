//! The protocol crate, and all that we know of it: a connection over two pipes, on which either side may ask the other.
//!
//! Messages stay JSON here. The crate's types are closed where agents are not: one unknown stop reason or kind of option would cost
//! the whole message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_client_protocol::{
    Agent, Builder, Client, ConnectionTo, Dispatch, Error, Lines, RequestCancellation, Responder, UntypedMessage,
    on_receive_dispatch,
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::classify::RpcError;
use super::gate::{self, Books, Credit};

/// Where an agent's messages go. It is called from the reading loop, so it may not wait.
pub(super) trait Inbox: Send + Sync + 'static {
    /// A `session/update`. As long as its credit lives, it counts as not consumed.
    fn update(&self, params: Value, credit: Credit);

    /// A `session/request_permission`. As long as its credit lives, it counts as not consumed.
    fn permission(&self, params: Value, reply: Reply, credit: Credit);
}

/// Who hears of the answer to a request before whoever asked: in its place among the updates. It may not wait.
pub(super) trait Listener: Send + Sync + 'static {
    /// The request succeeded with this.
    fn answered(&self, answer: &Value);
}

/// The listeners of requests that are not answered yet, by the request's id.
#[derive(Clone, Default)]
struct Listeners(Arc<Mutex<HashMap<String, Arc<dyn Listener>>>>);

impl Listeners {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Listener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listeners").field(&self.all().len()).finish()
    }
}

/// Forgets a listener when nobody waits for the answer any more.
struct Listening {
    listeners: Listeners,
    id: String,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listeners.all().remove(&self.id);
    }
}

/// The way back for one request of the agent. Dropping it answers with an error.
#[derive(Debug)]
pub(super) struct Reply(Responder<Value>);

/// Tells whether the agent took a request back; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Withdrawal(RequestCancellation);

/// The sending half of a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    peer: ConnectionTo<Agent>,
    listeners: Listeners,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The agent answered with an error.
    Answered(RpcError),
    /// The connection ended first.
    Closed,
}

impl Reply {
    /// Answers the request. The id goes back as it came, whatever its type.
    pub(super) fn send(self, answer: Value) {
        if self.0.respond(answer).is_err() {
            tracing::debug!("An agent that is gone got no answer");
        }
    }

    pub(super) fn withdrawal(&self) -> Withdrawal {
        Withdrawal(self.0.cancellation())
    }
}

impl Withdrawal {
    /// Waits until the agent takes the request back; may never end.
    pub(super) async fn happens(&self) {
        self.0.cancelled().await;
    }
}

impl Connection {
    /// Asks the agent; the question is on its way when this returns. Dropping the future tells the agent that nobody waits any more.
    pub(super) fn request(
        &self,
        method: &str,
        params: Value,
    ) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
        let sent = self.peer.send_request(UntypedMessage { method: method.to_owned(), params });
        let connection = self.clone();
        async move { sent.block_task().await.map_err(|error| connection.failure(error)) }
    }

    /// As [`request`](Self::request); `listener` hears of the answer first.
    pub(super) fn request_heard(
        &self,
        method: &str,
        params: Value,
        listener: Arc<dyn Listener>,
    ) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
        let prepared = self.peer.prepare_request(UntypedMessage { method: method.to_owned(), params });
        let listening = Listening { listeners: self.listeners.clone(), id: prepared.id().to_string() };
        self.listeners.all().insert(listening.id.clone(), listener);
        let sent = prepared.block_task();
        let connection = self.clone();
        async move {
            let answer = sent.await;
            drop(listening);
            answer.map_err(|error| connection.failure(error))
        }
    }

    /// Asks the agent for something whose answer nobody waits for.
    pub(super) fn request_unheard(&self, method: &str, params: Value) {
        let prepared = self.peer.prepare_request(UntypedMessage { method: method.to_owned(), params });
        if prepared.detach().is_err() {
            tracing::debug!("An agent that is gone was not asked");
        }
    }

    /// Tells the agent something. Without an agent nothing happens.
    pub(super) fn notify(&self, method: &str, params: Value) {
        let message = UntypedMessage { method: method.to_owned(), params };
        if self.peer.send_notification(message).is_err() {
            tracing::debug!("An agent that is gone was not notified");
        }
    }

    fn failure(&self, error: Error) -> Failure {
        let ours = agent_client_protocol::is_incoming_transport_closed(&error)
            || agent_client_protocol::is_connection_terminated(&error)
            || self.peer.termination().is_some();
        if ours {
            return Failure::Closed;
        }
        Failure::Answered(RpcError { code: error.code.into(), message: error.message, data: error.data })
    }
}

/// Runs a connection until the agent closes its output, breaks a rule of the gate, or the future is dropped.
///
/// `connected` gets the sending half as soon as there is one.
pub(super) async fn serve<W, R>(
    stdin: W,
    stdout: R,
    inbox: Arc<dyn Inbox>,
    books: Books,
    connected: oneshot::Sender<Connection>,
) where
    W: AsyncWrite + Unpin + Send + 'static,
    R: AsyncRead + Unpin + Send + 'static,
{
    let listeners = Listeners::default();
    let heard_by = listeners.clone();
    let lines = Lines::new(gate::outgoing(stdin, books.clone()), gate::incoming(stdout, books.clone()));
    // Without the crate's guard for versions: we look at the agent's version ourselves, and early messages do no harm.
    let ended = Builder::new(Client)
        .name("hitchline")
        .on_receive_dispatch(
            async move |message: Dispatch, _connection| receive(message, inbox.as_ref(), &heard_by, &books),
            on_receive_dispatch!(),
        )
        .connect_with(lines, async move |connection: ConnectionTo<Agent>| {
            // Whoever waited for it may be gone; then the connection is dropped soon.
            let _ = connected.send(Connection { peer: connection.clone(), listeners });
            connection.incoming_closed().await;
            Ok(())
        })
        .await;
    if let Err(error) = ended {
        tracing::debug!(code = i32::from(error.code), "The connection to an agent ended with an error");
    }
}

fn receive(message: Dispatch, inbox: &dyn Inbox, listeners: &Listeners, books: &Books) -> Result<(), Error> {
    match message {
        Dispatch::Notification(message) => {
            if message.method == "session/update" {
                let credit = books.received();
                inbox.update(message.params, credit);
            }
            Ok(())
        }
        Dispatch::Request(message, reply) => {
            let credit = books.received();
            if message.method == "session/request_permission" {
                inbox.permission(message.params, Reply(reply), credit);
                return Ok(());
            }
            // An agent that waits for an answer must get one, whatever it asked.
            reply.respond_with_error(Error::method_not_found().data(message.method))
        }
        Dispatch::Response(result, router) => {
            let listener = listeners.all().remove(&router.id().to_string());
            if let (Ok(answer), Some(listener)) = (&result, listener) {
                listener.answered(answer);
            }
            router.route_with_result(result)
        }
    }
}
