//! What a message means, decided without I/O.

use crate::domain::command::{self, Command, Entry, Misuse, Reading};
use crate::domain::inbound::{ChannelKind, Message};
use crate::domain::ports::Line;

use super::policy::Policy;
use super::words;

/// What is done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing; the reason is counted.
    Ignore(&'static str),
    /// A command of ours.
    Run(Command),
    /// A command used wrongly.
    Misused(Misuse),
    /// It goes to the agent.
    Prompt(String),
}

impl Decision {
    /// What is meant when a message is taken up once more: the session that it was to begin is there by now.
    pub(super) fn once_more(self) -> Self {
        match self {
            Self::Run(Command::New(args)) if !args.text.is_empty() => Self::Prompt(args.text),
            other => other,
        }
    }

    /// What it waits behind; `mapped` says whether its conversation has a session.
    pub(super) fn line(&self, mapped: bool) -> Line {
        match self {
            Self::Run(Command::Stop { .. }) => Line::AtOnce,
            // A session that begins is followed by its first turn.
            Self::Run(Command::New(_) | Command::Connect(_)) if !mapped => Line::Turn,
            Self::Run(_) | Self::Misused(_) => Line::Command,
            Self::Prompt(_) | Self::Ignore(_) => Line::Turn,
        }
    }
}

/// Whether a message is for us even where no session is.
pub(super) fn is_addressed(message: &Message, kind: ChannelKind, policy: &Policy) -> bool {
    let opens_thread = message.thread.is_none() && !policy.require_mention;
    message.mention || kind == ChannelKind::Direct || opens_thread
}

/// What to do with a message; `mapped` says whether its conversation has a session.
pub(super) fn decide(message: &Message, kind: ChannelKind, mapped: bool, policy: &Policy) -> Decision {
    if !mapped && !is_addressed(message, kind, policy) {
        return Decision::Ignore("not_addressed");
    }
    if message.text.trim().is_empty() && !message.files.is_empty() {
        return prompt(words::FILES_ALONE.to_owned(), mapped, policy);
    }
    if !message.mention && message.text.trim().is_empty() {
        return Decision::Ignore("empty");
    }
    let entry = match (mapped, message.mention) {
        (true, _) => Entry::InSession,
        (false, true) => Entry::Outside,
        (false, false) => Entry::Unmentioned,
    };
    match command::read(&message.text, entry) {
        Reading::Command(command) => Decision::Run(command),
        Reading::Misused(misuse) => Decision::Misused(misuse),
        Reading::Prompt(text) => prompt(text, mapped, policy),
    }
}

fn prompt(text: String, mapped: bool, policy: &Policy) -> Decision {
    if mapped || policy.auto_session { Decision::Prompt(text) } else { Decision::Run(Command::Help) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::inbound::{File, FileAt};
    use crate::session::FilePolicy;
    use crate::session::config::{OnInterrupt, WhenBusy};
    use crate::session::policy::Policy;

    fn policy(auto_session: bool, require_mention: bool) -> Policy {
        Policy {
            backend: "echo".into(),
            auto_session,
            require_mention,
            max_per_user: None,
            idle_expiry: None,
            on_interrupt: OnInterrupt::Ask,
            when_busy: WhenBusy::Queue,
            history_on_loss: true,
            show_usage: false,
            inactivity_timeout: std::time::Duration::ZERO,
            turn_timeout: std::time::Duration::ZERO,
            approval_timeout: std::time::Duration::ZERO,
            files: FilePolicy { dir: "/".into(), largest: 1 },
            command: "/hitch".into(),
            backends: std::collections::BTreeMap::new(),
            routes: std::collections::BTreeMap::new(),
            roots: Vec::new(),
            home: "/".into(),
        }
    }

    fn message(text: &str, mention: bool, thread: bool) -> Message {
        Message {
            ts: "2.0".into(),
            thread: thread.then(|| "1.0".into()),
            text: text.into(),
            mention,
            files: Vec::new(),
        }
    }

    // holds: K-2, K-3
    #[test]
    fn mention_and_follow_up_rules() {
        use ChannelKind::{Channel, Direct};
        let (usual, quiet) = (policy(true, true), policy(true, false));
        let ask = Decision::Prompt("hi".into());
        let ignored = Decision::Ignore("not_addressed");
        let cases = [
            // (policy, message, place, mapped, expected)
            (&usual, message("hi", true, false), Channel, false, ask.clone()),
            (&usual, message("hi", false, false), Channel, false, ignored.clone()),
            (&usual, message("hi", false, true), Channel, false, ignored.clone()),
            (&usual, message("hi", false, true), Channel, true, ask.clone()),
            (&usual, message("hi", false, false), Direct, false, ask.clone()),
            (&quiet, message("hi", false, false), Channel, false, ask.clone()),
            (&quiet, message("hi", false, true), Channel, false, ignored),
            (&usual, message("", true, false), Channel, false, Decision::Run(Command::Help)),
            (&usual, message("", true, true), Channel, true, Decision::Run(Command::Status)),
            (&usual, message("", false, true), Channel, true, Decision::Ignore("empty")),
            (&usual, message("stop", false, true), Channel, true, Decision::Run(Command::Stop { waiting_too: false })),
        ];
        for (policy, message, kind, mapped, expected) in cases {
            assert_eq!(decide(&message, kind, mapped, policy), expected, "{message:?} in {kind:?}, mapped: {mapped}");
        }
    }

    #[test]
    fn without_auto_session_a_mention_is_answered_with_help() {
        let manual = policy(false, true);
        assert_eq!(
            decide(&message("hi", true, false), ChannelKind::Channel, false, &manual),
            Decision::Run(Command::Help)
        );
        assert_eq!(
            decide(&message("hi", false, true), ChannelKind::Channel, true, &manual),
            Decision::Prompt("hi".into())
        );
    }

    // holds: K-2
    #[test]
    fn files_alone_are_a_prompt_where_a_word_would_be_one() {
        let file = File { id: "F1".into(), name: "a".into(), mime: None, size: None, at: FileAt::Ask };
        let with_file = |text, mention, thread| Message { files: vec![file.clone()], ..message(text, mention, thread) };
        let alone = Decision::Prompt(words::FILES_ALONE.into());
        let cases = [
            (with_file("look", true, false), false, Decision::Prompt("look".into())),
            (with_file("", true, false), false, alone.clone()),
            (with_file("", true, true), true, alone.clone()),
            (with_file(" ", false, true), true, alone),
            (with_file("", false, false), false, Decision::Ignore("not_addressed")),
            (with_file("stop", false, true), true, Decision::Run(Command::Stop { waiting_too: false })),
        ];
        for (message, mapped, expected) in cases {
            assert_eq!(decide(&message, ChannelKind::Channel, mapped, &policy(true, true)), expected, "{message:?}");
        }
    }
}
