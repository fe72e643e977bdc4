//! Takes up what an earlier process left, a bounded part of it at a time.

use std::collections::VecDeque;

use super::read_back::AT_ONCE;
use super::{Outbox, Stopping};

impl Outbox {
    /// Opens a lane for each conversation in the backlog, as there is room.
    pub(super) async fn take_up_backlog(&self) -> Result<(), Stopping> {
        let mut after = None;
        loop {
            self.wait_until(|lanes| lanes.reading_back() < AT_ONCE).await;
            let room = AT_ONCE - self.lanes().reading_back().min(AT_ONCE - 1);
            let page = self.0.insist(|| self.0.store.owing(after.clone(), room)).await?;
            let Some(last) = page.last().cloned() else {
                self.lanes().end_recovery();
                self.0.changed.notify_waiters();
                return Ok(());
            };
            for conversation in page {
                self.push(conversation, VecDeque::new());
            }
            after = Some(last);
        }
    }
}
