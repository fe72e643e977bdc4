//! What follows when nothing can be stored: the sockets are closed, so that Slack does not count our silence against the app, and opened
//! again as soon as a commit works.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Readiness;
use crate::clock::Clock;
use crate::inbox::Refusals;
use crate::slack::{LinkStatus, SocketParts, sockets};
use crate::store::{Store, StoreError};

/// The pause between two attempts to store something.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How long a commit may take that shows that messages could be stored, as long as that of a message.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// Watches whether messages can be stored.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) refusals: Refusals,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Whether sockets are to be open.
    pub(super) open: watch::Sender<bool>,
    pub(super) clock: Clock,
}

impl Storage {
    /// Whether messages can be stored as far as is known before the first one.
    pub(super) fn is_open_at_start(store: &Store) -> bool {
        store.takes_events().is_ok()
    }

    /// Closes and opens the sockets until it is dropped.
    pub(super) async fn watch(self) {
        loop {
            if *self.open.borrow() {
                self.refusals.too_many().await;
            }
            self.close();
            while let Err(error) = self.try_store().await {
                tracing::debug!(%error, "Nothing can be stored yet");
                self.say(&error);
                self.clock.sleep(TRY_EVERY).await;
            }
            self.reopen();
        }
    }

    fn close(&self) {
        tracing::error!(
            "Messages can't be stored: the connections to Slack are closed until they can, which /readyz explains"
        );
        self.open.send_replace(false);
    }

    fn reopen(&self) {
        tracing::warn!("Messages can be stored again: the connections to Slack are opened");
        self.refusals.forget();
        self.readiness.send_modify(|readiness| readiness.storage = None);
        self.open.send_replace(true);
    }

    async fn try_store(&self) -> Result<(), String> {
        self.store.takes_events().map_err(|error| error.to_string())?;
        let tried = self.clock.timeout(COMMIT_DEADLINE, self.store.try_commit()).await;
        let late = |_elapsed| "the disk takes longer than 2 s for a commit".to_owned();
        tried.map_err(late)?.map_err(|error: StoreError| error.to_string())
    }

    fn say(&self, error: &str) {
        let reason = format!("store: {error}");
        self.readiness.send_if_modified(|readiness| {
            let is_news = readiness.storage.as_ref() != Some(&reason);
            readiness.storage = Some(reason);
            is_news
        });
    }
}

/// Keeps a link connected while `open` says so, until `close`.
pub(super) async fn keep_link(
    parts: SocketParts,
    status: watch::Sender<LinkStatus>,
    close: CancellationToken,
    mut open: watch::Receiver<bool>,
) {
    while close.run_until_cancelled(open.wait_for(|open| *open)).await.is_some_and(|open| open.is_ok()) {
        let leave = close.child_token();
        let shut = async {
            let shut = open.wait_for(|open| !*open).await.is_ok();
            if !shut {
                // Whoever decides is gone, with the rest: the link ends when it is told to.
                std::future::pending::<()>().await;
            }
            leave.cancel();
        };
        let link = sockets::run(parts.clone(), status.clone(), leave.clone());
        tokio::pin!(link);
        tokio::select! {
            biased;
            () = &mut link => {}
            () = shut => link.await,
        }
        status.send_replace(LinkStatus::default());
    }
}
