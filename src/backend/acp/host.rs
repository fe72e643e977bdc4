//! An agent's process, and the places for sessions in it: one, or several that share it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::agent::RunningAgent;
use super::board::Board;
use super::desk::Desk;
use super::greeting::{Greeting, Handshake, Opening};
use crate::backend::error::BackendError;
use crate::clock::Clock;
use crate::scope::{OnCrash, Scope};

/// An agent's process with its places. When the last handle is dropped, the process is killed.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) agent: RunningAgent,
    pub(super) handshake: Handshake,
    board: Arc<Board>,
    places: Arc<Semaphore>,
    /// How many places there are.
    size: u32,
    /// Held while a session is made: until it has its id, what is said of it can't be told from what is said of another new one.
    making: tokio::sync::Mutex<()>,
    /// Whether it took too long over a session, and gets no further ones.
    is_slow: AtomicBool,
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A session in its place. When it is dropped, the session is closed, or with the last one the process killed.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: String,
    pub(super) host: Arc<Host>,
    pub(super) desk: Arc<Desk>,
    /// `None` when nobody waited for the session any more, and once it was left.
    place: Mutex<Option<Place>>,
    is_left: AtomicBool,
}

impl Host {
    pub(super) fn new(agent: RunningAgent, handshake: Handshake, board: Arc<Board>, size: u32) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1)));
        let is_slow = AtomicBool::new(false);
        Self { agent, handshake, board, places, size, making: tokio::sync::Mutex::default(), is_slow }
    }

    /// A place for one more session, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        let takes_more = self.agent.is_alive() && !self.is_slow.load(Ordering::Relaxed);
        takes_more
            .then(|| self.places.clone().try_acquire_owned().ok())
            .flatten()
            .map(|permit| Place { _permit: permit })
    }

    /// Makes, or brings back, a session in a place. When nobody waits for it any more, nothing is left of it.
    pub(super) async fn seat(
        self: &Arc<Self>,
        place: Place,
        opening: Opening,
        scope: &Scope,
    ) -> Result<Seat, BackendError> {
        let mut waiting = Waiting { host: self, place: Some(place) };
        let seat = self.made(opening, scope).await;
        let place = waiting.place.take();
        seat.map(|seat| seat.at(place))
    }

    async fn made(self: &Arc<Self>, opening: Opening, scope: &Scope) -> Result<Seat, BackendError> {
        if self.size == 1 {
            return self.make(opening).await;
        }
        // The process stays for others: a session that comes too late has to be closed, so somebody must go on waiting for it.
        let (made, seat) = oneshot::channel();
        let host = self.clone();
        scope.spawn("acp session", OnCrash::Log, async move {
            // Where nobody waits for it, it is dropped.
            drop(made.send(host.make(opening).await));
        });
        seat.await.unwrap_or(Err(BackendError::ShuttingDown))
    }

    async fn make(self: &Arc<Self>, opening: Opening) -> Result<Seat, BackendError> {
        let _one_at_a_time = self.making.lock().await;
        let desk = Arc::new(Desk::default());
        let greeting = Greeting { agent: &self.agent, handshake: &self.handshake };
        let id = greeting.session(&opening, &self.board, &desk).await?;
        Ok(Seat { id, host: self.clone(), desk, place: Mutex::default(), is_left: AtomicBool::new(false) })
    }

    /// Whether there is more than one place.
    pub(super) fn is_shared(&self) -> bool {
        self.size > 1
    }

    /// Whether no place is taken; from then on none can be.
    pub(super) fn retire(&self) -> bool {
        let all = self.places.clone().try_acquire_many_owned(self.size);
        all.map(OwnedSemaphorePermit::forget).is_ok()
    }

    /// Whether at most one place is taken.
    pub(super) fn is_alone(&self) -> bool {
        self.places.available_permits() + 1 >= usize::try_from(self.size).unwrap_or(1)
    }

    /// A session could not be made: kills the process unless others live in it, and waits for its end.
    pub(super) async fn give_up(&self, clock: &Clock) {
        if self.size == 1 || self.retire() || !self.agent.is_alive() {
            self.agent.kill(clock).await;
        }
    }
}

/// Somebody who waits for a session, with the place for it.
struct Waiting<'a> {
    host: &'a Host,
    place: Option<Place>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // It is still there only when the session has not come.
        let Some(place) = self.place.take() else { return };
        drop(place);
        self.host.is_slow.store(true, Ordering::Relaxed);
        if self.host.retire() {
            self.host.agent.kill_soon();
        }
    }
}

impl Seat {
    fn at(self, place: Option<Place>) -> Self {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self
    }

    /// Leaves the place, after which nothing that is said of the session counts. Says whether it was the last one in the process.
    pub(super) fn leave(&self) -> bool {
        if self.is_left.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.host.board.forget(&self.id);
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.host.retire()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_left.load(Ordering::Relaxed) {
            return;
        }
        if self.leave() {
            self.host.agent.kill_soon();
        } else {
            self.host.agent.connection().request_unheard("session/close", json!({"sessionId": self.id}));
        }
    }
}
