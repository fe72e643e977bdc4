//! Where messages for a session go.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;

use super::connection::{Listener, Reply};
use super::convert;
use super::gate::{self, Credit};
use super::offers::Menu;
use crate::domain::agent::Decision;

/// How many messages of an agent may wait for the turn. The gate admits no more; one that finds it full is dropped, a request answered.
const INBOX: usize = gate::CREDITS as usize;

/// What an agent sends during a turn.
pub(super) enum Incoming {
    /// An update; its credit is held until it has been handed on.
    Update(Value, Credit),
    /// It wants a decision; the credit is held until the question has been handed on.
    Permission(Value, Box<Reply>, Credit),
}

/// Where messages for a session go: to the running turn, or into the menu of what it offers. Without a turn all else means nothing, such as
/// a history that is replayed.
#[derive(Debug, Default)]
pub(super) struct Desk {
    turn: Mutex<Option<mpsc::Sender<Incoming>>>,
    /// What the agent offers: it tells so at any time, during turns and between them.
    menu: Mutex<Menu>,
}

impl Desk {
    pub(super) fn open(&self) -> mpsc::Receiver<Incoming> {
        let (sender, receiver) = mpsc::channel(INBOX);
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    pub(super) fn close(&self) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes what an update says about what is offered; says whether it did.
    fn take_offer(&self, params: &Value) -> bool {
        params.get("update").is_some_and(|update| self.menu().updated(update))
    }

    pub(super) fn menu(&self) -> MutexGuard<'_, Menu> {
        self.menu.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message to the turn; gives it back when it can't.
    fn hand_on(&self, incoming: Incoming) -> Option<Incoming> {
        match &*self.turn.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(turn) => turn.try_send(incoming).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(incoming),
        }
    }
}

impl Desk {
    pub(super) fn update(&self, params: Value, credit: Credit) {
        if self.take_offer(&params) {
            return;
        }
        // Late updates between turns are common and mean nothing.
        drop(self.hand_on(Incoming::Update(params, credit)));
    }

    pub(super) fn permission(&self, params: Value, reply: Reply, credit: Credit) {
        if let Some(Incoming::Permission(_, reply, _)) =
            self.hand_on(Incoming::Permission(params, Box::new(reply), credit))
        {
            reply.send(convert::decision(&Decision::Cancelled));
        }
    }
}

impl Listener for Desk {
    fn answered(&self, answer: &Value) {
        self.menu().answered(answer);
    }
}
