//! Where the link delivers to: it remembers what came, and fails when the text asks for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hitchline::domain::inbound::{Inbound, What};
use hitchline::domain::ports::{Deliver, NotStored, Receipt};
use tokio::sync::Semaphore;

/// A first delivery of "refuse …" is not stored, one of "crash …" panics, and "hold …" waits until it is let go.
#[derive(Debug)]
pub(crate) struct Inbox {
    seen: Mutex<BTreeMap<String, usize>>,
    held: Semaphore,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { seen: Mutex::default(), held: Semaphore::new(0) }
    }

    /// How often a text was delivered.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.seen().get(text).copied().unwrap_or(0)
    }

    /// Lets one delivery go on that is held, or will be.
    pub(crate) fn let_go(&self) {
        self.held.add_permits(1);
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, text: &str) -> usize {
        let mut seen = self.seen();
        let times = seen.entry(text.to_owned()).or_default();
        *times += 1;
        *times
    }
}

#[async_trait]
impl Deliver for Inbox {
    async fn deliver(&self, inbound: Inbound) -> Result<Receipt, NotStored> {
        let What::Message(message) = inbound.what else { return Ok(Receipt::Ignored) };
        let (wish, _) = message.text.split_once(' ').unwrap_or_default();
        match (wish, self.count(&message.text)) {
            ("refuse", 1) => return Err(NotStored("the disk is full".to_owned())),
            ("crash", 1) => panic!("this delivery was asked to crash"),
            ("hold", _) => self.held.acquire().await.unwrap().forget(),
            _ => {}
        }
        Ok(Receipt::Stored)
    }
}
