//! One turn of a session: the prompt, what comes back, and exactly one end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::blocks;
use super::classify::{Asked, classify};
use super::connection::{Failure, Reply};
use super::convert::{self, Tools};
use super::desk::Incoming;
use super::gate::Credit;
use super::quirks::Reading;
use super::session::{CANCEL_GRACE, Core};
use crate::backend::error::BackendError;
use crate::backend::{Answered, Outcome, TURN_CAPACITY, TurnEvent};
use crate::domain::agent::{AgentEvent, Decision, Prompt};
use crate::domain::ids::RequestId;

/// A turn that runs.
pub(super) struct Turn {
    core: Arc<Core>,
    events: mpsc::Sender<TurnEvent>,
    inbox: mpsc::Receiver<Incoming>,
    cancel: CancellationToken,
    tools: Tools,
    reading: Reading,
    /// What the reader has not taken yet, with the credits that it costs. More is taken in only when it is empty.
    ready: VecDeque<(AgentEvent, Option<Credit>)>,
    /// The requests that the agent may take back.
    withdrawals: FuturesUnordered<BoxFuture<'static, RequestId>>,
}

/// What the loop woke up for.
enum Woke {
    Answer(Result<Value, Failure>),
    Gone(BackendError),
    Room,
    Unread,
    Incoming(Incoming),
    Withdrawn(RequestId),
    Cancelled,
    GraceOver,
}

impl Turn {
    pub(super) fn new(
        core: Arc<Core>,
        events: mpsc::Sender<TurnEvent>,
        inbox: mpsc::Receiver<Incoming>,
        cancel: CancellationToken,
    ) -> Self {
        let (tools, reading) = (Tools::default(), Reading::new(core.handshake().quirks));
        let (ready, withdrawals) = (VecDeque::new(), FuturesUnordered::new());
        Self { core, events, inbox, cancel, tools, reading, ready, withdrawals }
    }

    /// Runs the turn to its end. The session takes the next prompt before the reader hears of the end.
    pub(super) async fn run(mut self, prompt: Prompt) {
        let outcome = self.converse(&prompt).await;
        self.core.settle();
        // A reader that went away needs no end.
        let _ = self.events.send(TurnEvent::End(outcome)).await;
    }

    async fn converse(&mut self, prompt: &Prompt) -> Outcome {
        let core = self.core.clone();
        let blocks = blocks::blocks(prompt, core.handshake().accepts).await;
        let params = json!({"sessionId": core.id(), "prompt": blocks});
        let mut answer = Box::pin(core.agent().connection().request("session/prompt", params));
        let mut gone = Box::pin(core.agent().gone());
        let mut grace_over: Option<Instant> = None;
        loop {
            let woke = {
                let clock = &core.shared.parts.clock;
                let grace = async {
                    match grace_over {
                        Some(until) => clock.sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled(), if grace_over.is_none() => Woke::Cancelled,
                    () = grace => Woke::GraceOver,
                    answer = &mut answer => Woke::Answer(answer),
                    () = self.events.closed(), if !self.cancel.is_cancelled() => Woke::Unread,
                    Some(id) = self.withdrawals.next() => Woke::Withdrawn(id),
                    _ = room(&self.events, &self.ready), if !self.ready.is_empty() => Woke::Room,
                    Some(incoming) = self.inbox.recv(), if self.ready.is_empty() => Woke::Incoming(incoming),
                    error = &mut gone => Woke::Gone(error),
                }
            };
            match woke {
                Woke::Answer(answer) => return self.answered(answer).await,
                Woke::Gone(error) => return self.lost(error).await,
                Woke::Room => self.hand_on(),
                // An answer that nobody reads needs no agent.
                Woke::Unread => self.cancel.cancel(),
                Woke::Incoming(incoming) => self.take(incoming),
                Woke::Withdrawn(id) => self.withdrawn(id),
                Woke::Cancelled => {
                    core.agent().connection().notify("session/cancel", json!({"sessionId": core.id()}));
                    core.withdraw_all();
                    grace_over = Some(core.shared.parts.clock.now() + CANCEL_GRACE);
                }
                Woke::GraceOver => {
                    core.stop().await;
                    return Outcome::Cancelled;
                }
            }
        }
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Update(params, credit) => {
                let of_ours = params.get("sessionId").and_then(Value::as_str) == Some(self.core.id());
                let Some(update) = params.get("update").filter(|_| of_ours) else { return };
                let event = self.tools.event(update);
                if let Some(event) = self.reading.read(update, event) {
                    self.ready.push_back((event, Some(credit)));
                }
            }
            Incoming::Permission(params, reply, credit) => self.ask(&params, *reply, credit),
        }
    }

    fn ask(&mut self, params: &Value, reply: Reply, credit: Credit) {
        let withdrawal = reply.withdrawal();
        let id = self.core.wait_for_decision(reply);
        // A turn that is over, or about to be, waits for no decision.
        let over = self.cancel.is_cancelled() || self.inbox.is_closed();
        let Some(request) = self.tools.permission(id.clone(), params).filter(|_| !over) else {
            if !over {
                tracing::warn!("An agent asked for a decision and offered no clear choice; its request is refused");
            }
            self.core.answer(&id, &Decision::Cancelled);
            return;
        };
        self.ready.push_back((AgentEvent::Permission(request), Some(credit)));
        self.withdrawals.push(Box::pin(async move {
            withdrawal.happens().await;
            id
        }));
    }

    fn withdrawn(&mut self, id: RequestId) {
        // One that is decided can't be taken back any more.
        if self.core.answer(&id, &Decision::Cancelled) == Answered::Applied {
            self.ready.push_back((AgentEvent::PermissionWithdrawn(id), None));
        }
    }

    /// Hands the first event on, for which there is room.
    fn hand_on(&mut self) {
        if let Some((event, _credit)) = self.ready.pop_front() {
            // There is room, and a reader that has just gone needs nothing.
            let _ = self.events.try_send(TurnEvent::Agent(event));
        }
    }

    /// The agent has answered: all that it said before is in our hands.
    async fn answered(&mut self, answer: Result<Value, Failure>) -> Outcome {
        match answer {
            Err(Failure::Closed) => {
                let error = self.core.agent().gone().await;
                self.lost(error).await
            }
            Ok(answer) => {
                self.drain().await;
                self.core.shared.worked();
                self.unless_cancelled(self.reading.outcome(convert::outcome(&answer)))
            }
            Err(Failure::Answered(error)) => {
                self.drain().await;
                let error = classify(Asked::Prompt(self.core.id()), &error, &self.core.handshake().auth_methods);
                self.unless_cancelled(Outcome::Failed(error))
            }
        }
    }

    /// Agents differ in how they end a turn that was cancelled: some fail, some say that all is done.
    fn unless_cancelled(&self, outcome: Outcome) -> Outcome {
        if self.cancel.is_cancelled() { Outcome::Cancelled } else { outcome }
    }

    async fn lost(&mut self, error: BackendError) -> Outcome {
        self.drain().await;
        self.unless_cancelled(Outcome::Failed(error))
    }

    /// Hands on all that is left, for as long as there is a reader; a stop cuts it short.
    async fn drain(&mut self) {
        // What comes from now on belongs to no turn.
        self.inbox.close();
        loop {
            while !self.ready.is_empty() {
                let room = tokio::select! {
                    room = room(&self.events, &self.ready) => room,
                    () = self.cancel.cancelled() => self.events.capacity() > 0,
                };
                if !room {
                    self.ready.clear();
                    return;
                }
                self.hand_on();
            }
            match self.inbox.try_recv() {
                Ok(incoming) => self.take(incoming),
                Err(_) => return,
            }
        }
    }
}

/// Waits until the first event may be handed on; `false` when nobody reads any more. A big one waits until the reader has taken all before
/// it, so that only one such is held.
async fn room(events: &mpsc::Sender<TurnEvent>, ready: &VecDeque<(AgentEvent, Option<Credit>)>) -> bool {
    let big = ready.front().is_some_and(|(_, credit)| credit.as_ref().is_some_and(Credit::is_big));
    events.reserve_many(if big { TURN_CAPACITY } else { 1 }).await.is_ok()
}
