//! What is done about a turn that was cut off: decided purely.

use crate::session::attempts::ATTEMPTS;
use crate::session::config::OnInterrupt;
use crate::session::words;
use crate::store::CutOff;

/// What is done about a turn that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// People are asked.
    Ask,
    /// Its session goes on where it was.
    Resume,
    /// Its prompt is sent once more.
    Retry,
    /// It is told to be lost.
    Lost,
    /// The same; its session has been ended, and nothing of it comes back by itself.
    Ended,
    /// It was stopped by a person.
    Stopped,
    /// It was begun too often, or can't be read; this is why it is given up.
    GiveUp(String),
}

impl Plan {
    /// Whether an answer may still come: what is told until then is none.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self, Self::Ask | Self::Resume | Self::Retry)
    }
}

/// What the policy says of a turn.
pub(super) fn plan(policy: OnInterrupt, turn: &CutOff) -> Plan {
    if let Err(why) = &turn.inbound {
        return Plan::GiveUp(why.to_string());
    }
    if turn.stopped {
        return Plan::Stopped;
    }
    if !turn.session_lives {
        return Plan::Ended;
    }
    match policy {
        OnInterrupt::Ask => Plan::Ask,
        OnInterrupt::Drop => Plan::Lost,
        OnInterrupt::Resume | OnInterrupt::Retry if turn.attempts >= ATTEMPTS => {
            Plan::GiveUp(words::begun_in_vain(turn.attempts))
        }
        OnInterrupt::Resume => Plan::Resume,
        OnInterrupt::Retry => Plan::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TurnId;
    use crate::domain::inbound::{Author, ChannelKind, Inbound, What};
    use crate::store::Unreadable;

    fn cut_off(session_lives: bool, attempts: u32) -> CutOff {
        CutOff {
            turn: TurnId::new(),
            seq: 1,
            conversation: crate::domain::conversation::ConversationKey::web("a"),
            session_lives,
            author: "U1".into(),
            attempts,
            stopped: false,
            inbound: Ok(Inbound {
                keys: Vec::new(),
                team: "T1".into(),
                channel: "C1".into(),
                channel_kind: ChannelKind::Channel,
                author: Author { user: "U1".into(), team: None, bot: None },
                what: What::Stop { thread: "1.0".into() },
            }),
            shown: Vec::new(),
        }
    }

    #[test]
    fn the_policy_decides_as_long_as_there_is_something_to_decide() {
        use OnInterrupt::{Ask, Drop, Resume, Retry};
        let given_up = || Plan::GiveUp(words::begun_in_vain(3));
        for (policy, session_lives, attempts, expected) in [
            (Ask, true, 1, Plan::Ask),
            (Ask, true, 9, Plan::Ask),
            (Ask, false, 1, Plan::Ended),
            (Resume, true, 1, Plan::Resume),
            (Resume, true, 2, Plan::Resume),
            (Resume, true, 3, given_up()),
            (Resume, false, 1, Plan::Ended),
            (Retry, true, 2, Plan::Retry),
            (Retry, true, 3, given_up()),
            (Retry, false, 3, Plan::Ended),
            (Drop, true, 1, Plan::Lost),
            (Drop, false, 1, Plan::Ended),
        ] {
            let found = plan(policy, &cut_off(session_lives, attempts));
            assert_eq!(found, expected, "{policy:?}, session lives: {session_lives}, attempts: {attempts}");
        }
        for policy in [Ask, Resume, Retry, Drop] {
            let stopped = CutOff { stopped: true, ..cut_off(true, 1) };
            assert_eq!(plan(policy, &stopped), Plan::Stopped, "{policy:?}");
        }
        let unreadable = CutOff { inbound: Err(Unreadable::Version(7)), ..cut_off(true, 1) };
        assert!(matches!(plan(Ask, &unreadable), Plan::GiveUp(why) if why.contains("version 7")));
    }
}
