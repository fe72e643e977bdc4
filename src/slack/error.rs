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
    /// The channel is gone, archived, or closed to us.
    PlaceClosed,
    /// A message's layout is refused, or its length.
    Unfit {
        /// Whether it is its length.
        too_long: bool,
    },
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

use ApiErrorKind::{Already, Auth, MessageGone, Permanent, PlaceClosed, StoppedByUser, Stream};

/// How long to wait when Slack says "too fast" without saying how long; also the shortest wait.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that is believed: beyond it, what stands in between is broken rather than busy.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

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
            "is_inactive",
            "channel_is_limited_access",
            "user_not_found",
            "user_not_visible",
            "user_not_in_channel",
            "thread_not_found",
            "cannot_reply_to_message",
            "no_text",
            "invalid_chunks",
            "markdown_text_conflict",
            "metadata_too_large",
            "too_many_attachments",
            "view_too_large",
            "invalid_name",
            "invalid_name_maxlength",
            "invalid_name_punctuation",
            "invalid_name_required",
            "invalid_name_specials",
            "name_taken",
            "cant_invite",
            "failed_for_some_users",
            "ura_max_channels",
            "user_is_bot",
            "user_is_restricted",
            "user_is_ultra_restricted",
            "not_reactable",
            "thread_locked",
            "too_many_emoji",
            "too_many_reactions",
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
            "file_not_found",
            "file_uploads_disabled",
            "file_uploads_except_images_disabled",
            "posting_to_channel_denied",
            "snippet_too_large",
            "storage_limit_reached",
        ],
    ),
    // A private channel that we are not in is none for us.
    (PlaceClosed, &["channel_not_found", "invalid_channel", "not_in_channel", "is_archived"]),
    (ApiErrorKind::Unfit { too_long: true }, &["msg_too_long", "msg_blocks_too_long", "msg_blocks_too_many"]),
    (ApiErrorKind::Unfit { too_long: false }, &["invalid_blocks", "invalid_blocks_format", "block_mismatch"]),
    (MessageGone, &["message_not_found", "cant_update_message", "cant_delete_message", "edit_window_closed"]),
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
    (
        Already,
        &[
            "already_reacted",
            "no_reaction",
            "already_in_channel",
            "already_archived",
            "file_deleted",
            "cant_invite_self",
        ],
    ),
    (UNCERTAIN, &["internal_error", "fatal_error", "request_timeout"]),
    // It has seen the `client_msg_id` before, and does not find the message or its channel: whether it is there, only a look can say.
    (UNCERTAIN, &["duplicate_message_not_found", "duplicate_channel_not_found"]),
];

/// It may have taken effect all the same, as the codes' documentation says.
const UNCERTAIN: ApiErrorKind = ApiErrorKind::Transient { uncertain: true };

/// Codes that say "too fast".
const RATE_CODES: &[&str] = &["ratelimited", "rate_limited", "message_limit_exceeded", "team_quota_exceeded"];

/// Where a code means something else than it does for other methods.
const EXCEPTIONS: &[(&str, &str, ApiErrorKind)] = &[
    // The stream is still being ended; the edit works once it is.
    ("chat.update", "streaming_state_conflict", ApiErrorKind::Transient { uncertain: false }),
    // The token is good for everything else: this workspace or server just has no streams.
    ("chat.startStream", "not_allowed_token_type", Stream),
    ("chat.startStream", "unknown_method", Stream),
];

impl ApiError {
    /// The error behind an `ok: false`. `retry_after` is the header's value, where there is one.
    pub fn from_code(method: &'static str, code: &str, retry_after: Option<Duration>) -> Self {
        let kind = if RATE_CODES.contains(&code) {
            ApiErrorKind::Rate(retry_after.unwrap_or_default().clamp(SHORTEST_WAIT, LONGEST_WAIT))
        } else {
            exception(method, code).or_else(|| listed(code)).unwrap_or(ApiErrorKind::Transient { uncertain: false })
        };
        Self { kind, method, code: code.to_owned() }
    }

    /// A call that was not made, because by our own account it would come too fast.
    pub(super) fn paced(method: &'static str, wait: Duration) -> Self {
        Self { kind: ApiErrorKind::Rate(wait), method, code: "not sent yet, to keep to the method's rate".to_owned() }
    }

    /// There is more to read than is worth it.
    pub(super) fn too_long(method: &'static str) -> Self {
        Self { kind: Permanent, method, code: "there is too much to look through".to_owned() }
    }

    /// A call whose answer did not come, or made no sense.
    pub(super) fn lost(method: &'static str, uncertain: bool, code: impl Into<String>) -> Self {
        Self { kind: ApiErrorKind::Transient { uncertain }, method, code: code.into() }
    }
}

fn exception(method: &str, code: &str) -> Option<ApiErrorKind> {
    let entry = EXCEPTIONS.iter().find(|entry| (entry.0, entry.1) == (method, code));
    entry.map(|entry| entry.2)
}

fn listed(code: &str) -> Option<ApiErrorKind> {
    CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind)
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        let kind = match error.kind {
            // Whoever cares that it was so already has asked before.
            Permanent | Already => WriteErrorKind::Permanent,
            PlaceClosed => WriteErrorKind::PlaceClosed,
            ApiErrorKind::Unfit { too_long } => WriteErrorKind::Unfit { too_long },
            MessageGone => WriteErrorKind::MessageGone,
            Stream => WriteErrorKind::StreamUnavailable,
            StoppedByUser => WriteErrorKind::StoppedByUser,
            Auth => WriteErrorKind::Auth,
            ApiErrorKind::Rate(after) => {
                // Rounded up: a moment too early is too early.
                let after_ms = after.as_nanos().div_ceil(1_000_000);
                WriteErrorKind::Rate { after_ms: u64::try_from(after_ms).unwrap_or(u64::MAX) }
            }
            ApiErrorKind::Transient { uncertain } => WriteErrorKind::Transient { uncertain },
        };
        Self { kind, call: error.method, code: error.code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: &'static str, code: &str) -> ApiErrorKind {
        ApiError::from_code(method, code, None).kind
    }

    #[test]
    fn codes_mean_what_the_table_says_and_unknown_ones_may_work_later() {
        let cases = [
            ("invalid_auth", Auth),
            ("token_revoked", Auth),
            ("channel_not_found", PlaceClosed),
            ("is_inactive", Permanent),
            ("msg_too_long", ApiErrorKind::Unfit { too_long: true }),
            ("invalid_blocks", ApiErrorKind::Unfit { too_long: false }),
            ("duplicate_message_not_found", UNCERTAIN),
            ("duplicate_channel_not_found", UNCERTAIN),
            ("message_not_found", MessageGone),
            ("message_not_in_streaming_state", Stream),
            ("stopped_by_user", StoppedByUser),
            ("already_reacted", Already),
            ("no_reaction", Already),
            ("fatal_error", UNCERTAIN),
            ("request_timeout", UNCERTAIN),
            ("service_unavailable", ApiErrorKind::Transient { uncertain: false }),
            ("something_new", ApiErrorKind::Transient { uncertain: false }),
        ];
        for (code, expected) in cases {
            assert_eq!(kind("chat.postMessage", code), expected, "{code}");
        }
    }

    #[test]
    fn a_few_codes_depend_on_the_method() {
        assert_eq!(kind("chat.appendStream", "streaming_state_conflict"), Stream);
        assert_eq!(kind("chat.update", "streaming_state_conflict"), ApiErrorKind::Transient { uncertain: false });
        assert_eq!(kind("auth.test", "not_allowed_token_type"), Auth);
        assert_eq!(kind("chat.startStream", "not_allowed_token_type"), Stream);
    }

    #[test]
    fn too_fast_waits_as_long_as_told_within_reason() {
        let wait = |code: &str, told: Option<u64>| {
            ApiError::from_code("chat.update", code, told.map(Duration::from_secs)).kind
        };
        for code in RATE_CODES {
            assert_eq!(wait(code, Some(7)), ApiErrorKind::Rate(Duration::from_secs(7)), "{code}");
            assert_eq!(wait(code, None), ApiErrorKind::Rate(SHORTEST_WAIT), "{code}");
        }
        assert_eq!(wait("ratelimited", Some(0)), ApiErrorKind::Rate(SHORTEST_WAIT));
        assert_eq!(wait("ratelimited", Some(u64::MAX)), ApiErrorKind::Rate(LONGEST_WAIT));
    }

    #[test]
    fn no_code_means_two_things() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|(_, codes)| *codes).chain(RATE_CODES).copied().collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn callers_learn_the_meaning_the_method_and_the_code() {
        let cases = [
            ("is_archived", WriteErrorKind::PlaceClosed),
            ("not_in_channel", WriteErrorKind::PlaceClosed),
            ("restricted_action", WriteErrorKind::Permanent),
            ("edit_window_closed", WriteErrorKind::MessageGone),
            ("channel_type_not_supported", WriteErrorKind::StreamUnavailable),
            ("stopped_by_user", WriteErrorKind::StoppedByUser),
            ("not_authed", WriteErrorKind::Auth),
            ("rate_limited", WriteErrorKind::Rate { after_ms: 1_000 }),
            ("internal_error", WriteErrorKind::Transient { uncertain: true }),
        ];
        for (code, expected) in cases {
            let error = WriteError::from(ApiError::from_code("chat.update", code, None));
            assert_eq!(error.kind, expected, "{code}");
            assert_eq!(error.to_string(), format!("chat.update: {code}"));
        }
    }
}
