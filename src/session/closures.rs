//! Channels in which nothing can be said any more: Slack is asked once more, and then their sessions end.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{ChannelId, SessionId, TeamId};
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::store::{Closure, SessionFilter, StoreError};

use super::lines::RETRY;
use super::manager::Inner;
use super::words;

/// How often Slack is asked whether a channel is closed to us, when its answers are lost.
const ASKED: u32 = 3;
/// The shortest pause before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Inner {
    /// Begins to end the sessions whose channels are closed to us: nobody can talk to them there.
    pub(super) fn watch_closures(self: &Arc<Self>) {
        let (inner, scope) = (self.clone(), &self.parts.scope);
        scope.keep("closed channels", &self.parts.clock, scope.stop(), move || inner.clone().end_what_is_closed());
    }

    /// An end that has begun is not broken off.
    async fn end_what_is_closed(self: Arc<Self>) {
        let finish = self.parts.scope.finish();
        while let Some((team, channel)) = finish.run_until_cancelled(self.parts.outbox.closed()).await {
            while let Err(error) = self.end_all_in(&team, &channel).await {
                tracing::error!(channel.id = %channel, %error, "The sessions of a channel that is closed to us are not ended yet; trying again");
                self.pause(RETRY).await;
                if finish.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// One refusal ends nothing: we may have been invited again since, and a channel that was just made may not be known everywhere.
    async fn end_all_in(self: &Arc<Self>, team: &TeamId, channel: &ChannelId) -> Result<(), StoreError> {
        let filter = SessionFilter {
            team: Some(team.clone()),
            channel: Some(channel.clone()),
            limit: usize::MAX,
            ..SessionFilter::default()
        };
        let records = self.parts.store.sessions(filter).await?;
        if records.is_empty() || !self.is_closed(team, channel).await {
            return Ok(());
        }
        for record in records {
            tracing::warn!(conversation = %record.conversation, session.id = %record.id, "A session ends: its channel is closed to us");
            self.end_with_channel(record.id, team, channel).await?;
        }
        Ok(())
    }

    /// Whether Slack says that a channel is closed to us. When that can't be told, it is not.
    async fn is_closed(&self, team: &TeamId, channel: &ChannelId) -> bool {
        if team != self.parts.gate.home() {
            tracing::warn!(team.id = %team, channel.id = %channel, "slack.bot_token is for another workspace than a channel; its sessions stay");
            return false;
        }
        let answer = self.ask_whether_closed(channel).await;
        match &answer {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(channel.id = %channel, "A channel that took no message is open to us after all; its sessions stay");
            }
            Err(error) => {
                tracing::warn!(channel.id = %channel, %error, "Whether a channel is closed to us can't be told; its sessions stay");
            }
        }
        matches!(answer, Ok(true))
    }

    async fn ask_whether_closed(&self, channel: &ChannelId) -> Result<bool, WriteError> {
        for _ in 1..ASKED {
            match self.parts.history.is_closed(channel).await {
                Err(error) => match pause_after(error.kind) {
                    Some(pause) => self.pause(pause).await,
                    None => return Err(error),
                },
                answer => return answer,
            }
        }
        self.parts.history.is_closed(channel).await
    }

    /// What waits for the session stays as dead letters: where it was said, nothing can be told.
    async fn end_with_channel(
        self: &Arc<Self>,
        id: SessionId,
        team: &TeamId,
        channel: &ChannelId,
    ) -> Result<(), StoreError> {
        let closure = Closure {
            team: team.clone(),
            channel: channel.clone(),
            reason: words::PLACE_CLOSED.to_owned(),
            notice: words::place_closed(channel),
        };
        let closed = self.parts.store.close_session(id, closure, self.parts.clock.wall_ms()).await?;
        let Some(closed) = closed else { return Ok(()) };
        self.after_end(&closed.conversation, id);
        for notice in closed.notices {
            drop(self.parts.outbox.send(vec![notice]));
        }
        Ok(())
    }
}

/// How long to wait before Slack is asked again; nothing when it would answer the same.
fn pause_after(trouble: WriteErrorKind) -> Option<Duration> {
    match trouble {
        WriteErrorKind::Rate { after_ms } => Some(ASK_AGAIN.max(Duration::from_millis(after_ms))),
        WriteErrorKind::Transient { .. } => Some(ASK_AGAIN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            (WriteErrorKind::Transient { uncertain: false }, seconds(5)),
            (WriteErrorKind::Transient { uncertain: true }, seconds(5)),
            (WriteErrorKind::Rate { after_ms: 1_000 }, seconds(5)),
            (WriteErrorKind::Rate { after_ms: 30_000 }, seconds(30)),
            (WriteErrorKind::Permanent, None),
            (WriteErrorKind::Auth, None),
        ];
        for (trouble, expected) in cases {
            assert_eq!(pause_after(trouble), expected, "{trouble:?}");
        }
    }
}
