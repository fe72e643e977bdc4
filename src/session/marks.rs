//! Marks on the messages that wait for their turn, so that their authors see that they have been heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, Ts};
use crate::domain::ports::Mark;
use crate::scope::OnCrash;

use super::manager::Inner;
use super::reply::QUIET;

impl Inner {
    /// Marks a message until its turn comes, with which `off` ends, unless that is about to. In a flood the newest bear no mark.
    pub(super) fn mark_waiting(self: &Arc<Self>, key: &ConversationKey, ts: &Ts, off: oneshot::Receiver<()>) {
        let Ok(place) = self.marks.clone().try_acquire_owned() else { return };
        let (inner, channel, ts) = (self.clone(), key.channel.clone(), ts.clone());
        self.parts.scope.spawn("mark", OnCrash::Log, async move {
            inner.keep_marked(&channel, &ts, off).await;
            drop(place);
        });
    }

    /// One after the other, so that the mark that is taken off is not put on after that.
    async fn keep_marked(&self, channel: &ChannelId, ts: &Ts, mut off: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            _ = &mut off => return,
            () = self.parts.clock.sleep(QUIET) => {}
        }
        self.mark(channel, ts, true).await;
        // What still waits when we stop keeps its mark, until its turn comes after the restart.
        if self.parts.scope.finish().run_until_cancelled(off).await.is_some() {
            self.mark(channel, ts, false).await;
        }
    }

    async fn mark(&self, channel: &ChannelId, ts: &Ts, on: bool) {
        if let Err(error) = self.parts.slack.mark(channel, ts, Mark::Waiting, on).await {
            tracing::debug!(channel.id = %channel, %error, "A message's mark could not be changed");
        }
    }

    /// Takes the mark off a message whose turn has come.
    pub(super) fn unmark(self: &Arc<Self>, key: &ConversationKey, seq: i64, ts: &Ts) {
        self.slots().unmark(key, ts);
        // An earlier process may have marked what it left.
        if seq <= self.left_until.load(Ordering::Relaxed) {
            let (inner, channel, ts) = (self.clone(), key.channel.clone(), ts.clone());
            self.parts.scope.spawn("mark", OnCrash::Log, async move { inner.mark(&channel, &ts, false).await });
        }
    }
}
