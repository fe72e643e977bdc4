//! What people and agents hear of turns that were cut off, and of what is given up.

use crate::domain::inbound::Choice;

/// Asks what is to become of a turn that was cut off.
pub(in crate::session) const ASK_INTERRUPTED: &str =
    "I was interrupted before I could finish this, so it may be half done. What is to become of it?";
/// A turn that was cut off is resumed by itself.
pub(in crate::session) const RESUMED: &str =
    "I was interrupted before I could finish this. The agent goes on where it was.";
/// A turn that was cut off is repeated by itself.
pub(in crate::session) const RETRIED: &str = "I was interrupted before I could finish this, so the agent is asked once more; what it had done already may be done twice.";
/// A turn that was cut off is lost.
pub(in crate::session) const INTERRUPTED: &str = "I was interrupted before I could finish this, so it may be half done. Your session is kept: send a message to go on.";
/// The same where the session has been ended since.
pub(in crate::session) const INTERRUPTED_AND_ENDED: &str =
    "I was interrupted before I could finish this, so it may be half done. The session has ended.";
/// Something was begun too often.
pub(in crate::session) const GIVEN_UP: &str = "Something in Hitchline broke each time this was begun, so it is not tried again by itself. Whoever runs Hitchline can look at it with `hitchline dlq list`.";
/// Something that was stored can't be read.
pub(in crate::session) const UNREADABLE: &str = "A message that waited here can't be read any more, so it was not passed on. Whoever runs Hitchline can look at it with `hitchline dlq list`.";
/// To somebody who wants a turn resumed whose session is gone.
pub(in crate::session) const NOTHING_TO_RESUME: &str =
    "The session behind this has ended, or goes on elsewhere, so it can't be resumed. Retry sends the message anew.";
/// What an agent is told whose turn is resumed; what was asked follows, since the agent may never have seen it.
pub(in crate::session) const GO_ON: &str = "You were interrupted before you could finish: the program that connects you was restarted. Go on with the last request until it is done. See first what is done already, and do not repeat it. In case it did not reach you, the request was:";

/// Why something was given up, for whoever runs us.
pub(in crate::session) fn begun_in_vain(attempts: u32) -> String {
    format!("it was begun {attempts} times and never came to an end")
}

/// What a choice means, and what stands on its button.
pub(in crate::session) fn choice(choice: Choice) -> (&'static str, &'static str) {
    match choice {
        Choice::Resume => ("The agent goes on where it was.", "Resume"),
        Choice::Retry => ("The agent is asked once more; what it had done already may be done twice.", "Retry"),
        Choice::Drop => ("It stays as it is.", "Drop"),
    }
}

/// What was chosen; the person follows.
pub(in crate::session) fn chosen(choice: Choice) -> &'static str {
    match choice {
        Choice::Resume => "I was interrupted before I could finish this. It is resumed.",
        Choice::Retry => "I was interrupted before I could finish this. It is tried once more.",
        Choice::Drop => "I was interrupted before I could finish this. It is dropped.",
    }
}
