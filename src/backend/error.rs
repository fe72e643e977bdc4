//! What can go wrong with an agent, and what that means for its session.

use std::time::Duration;

/// An error of a backend. Its [`kind`](BackendError::kind) decides; its text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The session was ended, by us or by a person.
    #[error("the session has ended")]
    Ended,
    /// The backend does not know the session and can't restore it.
    #[error("the agent does not know this session any more")]
    Unknown,
    /// A turn is running in this session.
    #[error("the agent is still working")]
    Busy,
    /// The agent wants credentials. The text names how, never what.
    #[error("the agent is not signed in: {0}")]
    Auth(String),
    /// This prompt is refused; others may work.
    #[error("the agent refused the message: {0}")]
    Rejected(String),
    /// Something took too long.
    #[error("the agent did not {phase} within {}", crate::duration::rounded(*after))]
    Timeout {
        /// What it should have done.
        phase: Phase,
        /// How long it was given.
        after: Duration,
    },
    /// Network, overload, an internal error: it may work later.
    #[error("{0}")]
    Transient(String),
    /// The agent's process died.
    #[error("the agent's process ended ({exit})")]
    Crashed {
        /// How it ended, such as `exit code 1`.
        exit: String,
        /// The last lines of its stderr, redacted.
        stderr: String,
    },
    /// The agent speaks another version, or no protocol at all.
    #[error("the agent does not speak our protocol: {0}")]
    Protocol(String),
    /// The agent can't do this.
    #[error("the agent can't do this: {0}")]
    Unsupported(&'static str),
    /// We are stopping.
    #[error("Hitchline is restarting")]
    ShuttingDown,
}

/// What an agent was doing when its time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Starting, or creating a session.
    Create,
    /// Saying anything at all during a turn.
    Inactivity,
    /// Finishing a turn.
    Turn,
    /// Ending.
    End,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "start",
            Self::Inactivity => "say anything",
            Self::Turn => "finish",
            Self::End => "end",
        })
    }
}

/// What an error means for the session. Unknown causes are transient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The session is gone for good: its mapping is deactivated.
    Permanent,
    /// The mapping stays; a later message may work.
    Transient,
}

impl BackendError {
    /// What it means for the session.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ended | Self::Unknown => Kind::Permanent,
            _ => Kind::Transient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_times_that_they_can_picture() {
        let cases = [(200, "200ms"), (999, "999ms"), (1_000, "1s"), (1_600, "2s"), (30_000, "30s"), (600_000, "10m")];
        for (millis, expected) in cases {
            let error = BackendError::Timeout { phase: Phase::Create, after: Duration::from_millis(millis) };
            assert_eq!(error.to_string(), format!("the agent did not start within {expected}"));
        }
    }
}
