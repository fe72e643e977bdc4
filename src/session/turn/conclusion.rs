//! How a turn that is over is recorded, and what people read of that.

use super::Cancelling;
use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::session::words;

/// How a turn is recorded, what is added to its answer, and what failed.
pub(super) fn conclude(
    outcome: Outcome,
    cancelling: Option<Cancelling>,
) -> (&'static str, Option<String>, Option<BackendError>) {
    match (outcome, cancelling) {
        // It finished before it heard of the cancellation, or was never cancelled.
        (Outcome::Completed, _) => ("completed", None, None),
        (Outcome::Refused, _) => ("refused", Some(words::REFUSED.to_owned()), None),
        (Outcome::Truncated, _) => ("truncated", Some(words::TRUNCATED.to_owned()), None),
        (_, Some(Cancelling::Ended)) => ("ended", Some(words::STOPPED.to_owned()), None),
        (_, Some(Cancelling::Interrupted)) => ("interrupted", Some(words::RESTARTING.to_owned()), None),
        (_, Some(Cancelling::TimedOut(error))) => ("timed_out", Some(words::failed(&error)), Some(error)),
        (Outcome::Failed(error), _) => ("failed", Some(words::failed(&error)), Some(error)),
        (Outcome::Cancelled, Some(Cancelling::Superseded)) => ("superseded", Some(words::SUPERSEDED.to_owned()), None),
        (Outcome::Cancelled, _) => ("cancelled", Some(words::STOPPED.to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::error::Phase;

    #[test]
    fn the_reason_for_cancelling_outranks_how_the_agent_took_it() {
        let failed = || Outcome::Failed(BackendError::Transient("x".into()));
        let cases = [
            (Outcome::Completed, Some(Cancelling::Stopped), "completed"),
            (Outcome::Cancelled, Some(Cancelling::Stopped), "cancelled"),
            (Outcome::Cancelled, Some(Cancelling::Ended), "ended"),
            (failed(), Some(Cancelling::Ended), "ended"),
            (Outcome::Cancelled, Some(Cancelling::Interrupted), "interrupted"),
            (Outcome::Cancelled, None, "cancelled"),
            (failed(), None, "failed"),
        ];
        for (outcome, cancelling, expected) in cases {
            assert_eq!(conclude(outcome.clone(), cancelling.clone()).0, expected, "{outcome:?}, {cancelling:?}");
        }
        let late = BackendError::Timeout { phase: Phase::Turn, after: Duration::from_secs(1) };
        let (name, _, error) = conclude(Outcome::Cancelled, Some(Cancelling::TimedOut(late.clone())));
        assert_eq!((name, error), ("timed_out", Some(late)));
    }
}
