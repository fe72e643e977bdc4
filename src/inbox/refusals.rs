//! How many deliveries in a row could not be stored. Slack takes an app whose events fail for one that is broken, so that somebody
//! has to close the connections before too many do.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ports::{NotStored, Receipt};

/// So many in a row are no accident.
const TOO_MANY: u32 = 3;

/// A count that all handles share; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<watch::Sender<u32>>);

impl Refusals {
    pub(super) fn count(&self, delivered: &Result<Receipt, NotStored>) {
        match delivered {
            Err(_) => self.0.send_modify(|count| *count = count.saturating_add(1)),
            // What was never to be stored says nothing about the store.
            Ok(Receipt::Ignored) => {}
            Ok(_) => self.forget(),
        }
    }

    /// Waits until too many in a row have been refused. Cancel safe.
    pub async fn too_many(&self) {
        let mut count = self.0.subscribe();
        // The sender is our own: it can't be gone.
        let _reached = count.wait_for(|count| *count >= TOO_MANY).await;
    }

    /// Begins to count again.
    pub fn forget(&self) {
        self.0.send_if_modified(|count| std::mem::take(count) > 0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn refused() -> Result<Receipt, NotStored> {
        Err(NotStored("no room".to_owned()))
    }

    #[test]
    fn only_refusals_in_a_row_are_too_many() {
        let refusals = Refusals::default();
        for (delivered, too_many) in [
            (refused(), false),
            (refused(), false),
            (Ok(Receipt::Stored), false),
            (refused(), false),
            (Ok(Receipt::Ignored), false),
            (refused(), false),
            (refused(), true),
            (refused(), true),
            (Ok(Receipt::Duplicate), false),
        ] {
            refusals.count(&delivered);
            assert_eq!(refusals.too_many().now_or_never().is_some(), too_many, "{delivered:?}");
        }
    }
}
