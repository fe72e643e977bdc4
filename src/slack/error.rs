//! What Slack's answers mean. Permanent or transient is decided here, once, by code; an unknown code is transient.

use std::time::Duration;

use crate::domain::ports::{WriteError, WriteErrorKind};

/// A Web API call that did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {code}")]
pub struct ApiError {
    /// What it means.
    pub kind: ApiErrorKind,
    /// The method.
    pub method: &'static str,
    /// Slack's code, or what the connection did. Never a token, an address or a message's text.
    pub code: String,
}

/// What a failed call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// It will never work.
    Permanent,
    /// The message to be changed is gone or fixed.
    MessageGone,
    /// Streams don't work here, or this one has ended.
    Stream,
    /// The person pressed Slack's own Stop.
    StoppedByUser,
    /// What was asked for is so already.
    Already,
    /// The token is not, or no longer, valid.
    Auth,
    /// Too fast: wait so long.
    Rate(Duration),
    /// It may work later.
    Transient {
        /// Whether it may have taken effect although no answer came.
        uncertain: bool,
    },
}

use ApiErrorKind::{Already, Auth, MessageGone, Permanent, StoppedByUser, Stream};

/// How long to wait when Slack says "too fast" without saying how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Slack's error codes by what they mean (docs.slack.dev, the methods' error lists).
const CODES: &[(ApiErrorKind, &[&str])] = &[
    (
        Auth,
        &[
            "invalid_auth",
            "not_authed",
            "account_inactive",
            "token_revoked",
            "token_expired",
            "org_login_required",
            "team_access_not_granted",
            "not_allowed_token_type",
            "user_removed_from_team",
            "team_disabled",
            "two_factor_setup_required",
        ],
    ),
    (
        Permanent,
        &[
            "missing_scope",
            "no_permission",
            "access_denied",
            "accesslimited",
            "ekm_access_denied",
            "messages_tab_disabled",
            "not_enabled",
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
            "restricted_action_non_threadable_channel",
            "restricted_action_thread_locked",
            "method_deprecated",
            "deprecated_endpoint",
            "enterprise_is_restricted",
            "channel_not_found",
            "not_in_channel",
            "is_archived",
            "channel_is_limited_access",
            "user_not_found",
            "user_not_in_channel",
            "thread_not_found",
            "cannot_reply_to_message",
            "no_text",
            "msg_too_long",
            "msg_blocks_too_long",
            "msg_blocks_too_many",
            "invalid_blocks",
            "invalid_blocks_format",
            "invalid_chunks",
            "markdown_text_conflict",
            "metadata_too_large",
            "too_many_attachments",
            "block_mismatch",
            "invalid_name",
            "invalid_arguments",
            "invalid_arg_name",
            "invalid_array_arg",
            "invalid_charset",
            "invalid_form_data",
            "invalid_post_type",
            "missing_post_type",
            "missing_argument",
            "missing_args",
            "invalid_thread_ts",
            "unknown_method",
            "used_url",
            "expired_url",
        ],
    ),
    (
        MessageGone,
        &["message_not_found", "cant_update_message", "cant_delete_message", "edit_window_closed", "is_inactive"],
    ),
    (
        Stream,
        &[
            "message_not_in_streaming_state",
            "streaming_state_conflict",
            "message_not_owned_by_app",
            "channel_type_not_supported",
            "missing_recipient_user_id",
            "missing_recipient_team_id",
        ],
    ),
    (StoppedByUser, &["stopped_by_user"]),
    (Already, &["already_reacted", "no_reaction", "already_in_channel", "already_archived"]),
];

impl ApiError {
    /// The error behind an `ok: false`. `retry_after` is the header's value, where there is one.
    pub fn from_code(method: &'static str, code: &str, retry_after: Option<Duration>) -> Self {
        let listed = CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind);
        let kind = match code {
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
                ApiErrorKind::Rate(retry_after.unwrap_or(DEFAULT_WAIT).max(DEFAULT_WAIT))
            }
            // These may have taken effect all the same, as their documentation says.
            "internal_error" | "fatal_error" | "request_timeout" => ApiErrorKind::Transient { uncertain: true },
            _ => listed.unwrap_or(ApiErrorKind::Transient { uncertain: false }),
        };
        Self { kind, method, code: code.to_owned() }
    }

    /// A call whose answer did not come, or made no sense.
    pub(super) fn lost(method: &'static str, uncertain: bool, code: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::Transient { uncertain }, method, code: code.into() }
    }
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        let kind = match error.kind {
            // Whoever cares that it was so already has asked before.
            Permanent | Already => WriteErrorKind::Permanent,
            MessageGone => WriteErrorKind::MessageGone,
            Stream => WriteErrorKind::StreamUnavailable,
            StoppedByUser => WriteErrorKind::StoppedByUser,
            Auth => WriteErrorKind::Auth,
            ApiErrorKind::Rate(after) => {
                WriteErrorKind::Rate { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
            ApiErrorKind::Transient { uncertain } => WriteErrorKind::Transient { uncertain },
        };
        Self { kind, call: error.method, code: error.code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_table_says_and_unknown_ones_may_work_later() {
        let kind = |code: &str| ApiError::from_code("chat.postMessage", code, None).kind;
        assert_eq!(kind("invalid_auth"), Auth);
        assert_eq!(kind("channel_not_found"), Permanent);
        assert_eq!(kind("message_not_found"), MessageGone);
        assert_eq!(kind("message_not_in_streaming_state"), Stream);
        assert_eq!(kind("stopped_by_user"), StoppedByUser);
        assert_eq!(kind("already_reacted"), Already);
        assert_eq!(kind("fatal_error"), ApiErrorKind::Transient { uncertain: true });
        assert_eq!(kind("something_new"), ApiErrorKind::Transient { uncertain: false });
        let rate = ApiError::from_code("chat.update", "rate_limited", Some(Duration::from_secs(7)));
        assert_eq!(rate.kind, ApiErrorKind::Rate(Duration::from_secs(7)));
        assert_eq!(kind("ratelimited"), ApiErrorKind::Rate(DEFAULT_WAIT));
    }

    #[test]
    fn no_code_means_two_things() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|(_, codes)| *codes).copied().collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
