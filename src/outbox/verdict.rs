//! What a failed attempt means.

use std::time::Duration;

use crate::domain::ports::WriteErrorKind;

/// What is to be done after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It will never work.
    Never,
    /// It may work as plain text.
    Plainly {
        /// Cut into shorter parts.
        shorter: bool,
    },
    /// The token is not taken.
    Refused,
    /// Again after so long, as Slack says.
    After(Duration),
    /// Again later.
    Backoff,
}

pub(super) fn verdict(kind: WriteErrorKind) -> Verdict {
    match kind {
        WriteErrorKind::Permanent
        | WriteErrorKind::PlaceClosed
        | WriteErrorKind::MessageGone
        | WriteErrorKind::StreamUnavailable
        | WriteErrorKind::StoppedByUser => Verdict::Never,
        WriteErrorKind::Unfit { too_long } => Verdict::Plainly { shorter: too_long },
        WriteErrorKind::Rate { after_ms } => Verdict::After(Duration::from_millis(after_ms)),
        // A token that is not valid may become valid again; nothing is given up because of it.
        WriteErrorKind::Auth => Verdict::Refused,
        WriteErrorKind::Transient { .. } => Verdict::Backoff,
    }
}
