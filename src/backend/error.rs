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
    /// This prompt, or this value of an option, is refused; others may work.
    #[error("the agent refused this: {0}")]
    Rejected(String),
    /// Something took too long.
    #[error("the agent did not {phase} within {}", crate::duration::spoken(*after))]
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
    /// Its agents crashed again and again, so for a while none is started.
    #[error("the agent crashed {crashes} times within 10 min ({exit}), and is started again in {}", crate::duration::spoken(*again_in))]
    CrashLoop {
        /// How often.
        crashes: usize,
        /// When it is tried again, from now.
        again_in: Duration,
        /// How the last one ended.
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
    /// Listing the sessions that it knows.
    List,
    /// Setting one of its options.
    Option,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "start",
            Self::Inactivity => "say anything",
            Self::Turn => "finish",
            Self::End => "end",
            Self::List => "list its sessions",
            Self::Option => "set the option",
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
    fn a_time_out_says_what_took_how_long() {
        let text = |phase, ms| BackendError::Timeout { phase, after: Duration::from_millis(ms) }.to_string();
        assert_eq!(text(Phase::Create, 200), "the agent did not start within 200 ms");
        assert_eq!(text(Phase::Create, 30_000), "the agent did not start within 30 s");
        assert_eq!(text(Phase::Inactivity, 600_000), "the agent did not say anything within 10 min");
        assert_eq!(text(Phase::Turn, 5_400_000), "the agent did not finish within 1 h 30 min");
        assert_eq!(text(Phase::End, 1_500), "the agent did not end within 1.5 s");
        assert_eq!(text(Phase::List, 5_000), "the agent did not list its sessions within 5 s");
        assert_eq!(text(Phase::Option, 5_000), "the agent did not set the option within 5 s");
    }
}
