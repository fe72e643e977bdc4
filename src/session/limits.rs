//! How many sessions a person may have.

use std::time::Duration;

use crate::domain::ports::{Intent, Limit};
use crate::domain::session::SessionRecord;

use super::manager::Inner;
use super::words;

impl Inner {
    /// The turn with which a session begins, if its creator may have one more.
    pub(super) fn begin(&self, record: SessionRecord) -> Intent {
        Intent { limit: self.limit(), ..Intent::begin(record) }
    }

    /// How many sessions a person may have now.
    pub(super) fn limit(&self) -> Option<Limit> {
        let policy = &self.parts.policy;
        let now_ms = self.parts.clock.wall_ms();
        let since = |expiry: Duration| now_ms.saturating_sub(i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX));
        // Where none expires, all that are open count.
        policy.max_per_user.map(|max| Limit { max, since_ms: policy.idle_expiry.map_or(i64::MIN, since) })
    }

    /// What somebody is told who has as many sessions as one person may have.
    pub(super) fn too_many_sessions(&self) -> String {
        let policy = &self.parts.policy;
        words::too_many_sessions(policy.max_per_user.unwrap_or_default(), policy.idle_expiry)
    }
}
