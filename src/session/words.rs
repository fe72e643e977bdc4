//! What people read from us, as Markdown. One place, so that it sounds like one voice.

mod files;
mod interrupted;
mod lists;
mod moving;
mod offers;
mod options;
mod pieces;
mod standing;

use std::time::Duration;

use crate::backend::error::BackendError;
use crate::domain::access::Denied;
use crate::domain::agent::Usage;
use crate::domain::command::Misuse;
use crate::domain::ids::{ChannelId, UserId};
use crate::duration::spoken;

use super::policy::StartRefused;

pub(super) use files::*;
pub(super) use interrupted::*;
pub(super) use lists::*;
pub(super) use moving::*;
pub(super) use offers::*;
pub(super) use options::*;
pub(super) use standing::*;

/// The status line while an agent has not said anything yet.
pub(super) const THINKING: &str = "is thinking…";
/// While an agent shortens what it remembers.
pub(super) const COMPACTING: &str = "is tidying up what it remembers…";
/// The status line while an agent is being started.
pub(super) const STARTING: &str = "is starting the agent…";
/// Below an answer that is still growing.
pub(super) const WRITING: &str = "_still working_";
/// The button that stops a turn.
pub(super) const STOP: &str = "Stop";
/// The turn was stopped on request.
pub(super) const STOPPED: &str = "_Stopped._";
/// A message was changed that the agent has been given.
pub(super) const EDITED_TOO_LATE: &str =
    "The agent works on your message as it was before. If the change matters, write it as a new message.";
/// A message came after one that was said later, and that the agent has been given.
pub(super) const OVERTAKEN: &str =
    "Slack brought me your message after a later one, on which the agent works already. It comes after that.";
/// A message was deleted that the agent has been given.
pub(super) const DELETED_TOO_LATE: &str = "The agent works on the message that you have deleted.";
/// The turn was stopped in favour of a newer message.
pub(super) const SUPERSEDED: &str = "_Stopped for the newer message._";
/// The turn was cut off by our own restart.
pub(super) const RESTARTING: &str =
    "_Hitchline is restarting, so this turn was interrupted. Your session is kept: send a message to go on._";
/// The agent finished and said nothing.
pub(super) const NOTHING_SAID: &str = "_The agent finished without saying anything._";
/// The agent declined.
pub(super) const REFUSED: &str = "_The agent declined to answer this._";
/// The agent's own limit cut the answer short.
pub(super) const TRUNCATED: &str = "_The answer is cut short by the agent's own limit._";
/// The answer grew beyond what we keep.
pub(super) const TOO_LONG: &str = "_The answer was longer than Hitchline passes on; the rest is left out._";
/// `stop` when nothing runs.
pub(super) const NOTHING_RUNS: &str = "Nothing is running here.";
/// A command that needs a session, where there is none.
pub(super) const NO_SESSION: &str = "There is no session in this thread. Mention me with your question to start one.";
/// `new` where a session lives already.
pub(super) const SESSION_EXISTS: &str =
    "This conversation has a session already. `!end` ends it; a new thread starts another one.";
/// Too many messages wait.
pub(super) const QUEUE_FULL: &str = "Too many messages are waiting in this thread already, so the newest are not taken. Send them again when the agent has caught up.";
/// A button whose question is settled.
pub(super) const STALE_BUTTON: &str = "This has been settled already, or the session behind it is gone.";
/// Commands that need a session, given as a slash command.
pub(super) const THREADS_ONLY: &str = "This works inside a session's thread, where Slack offers no slash commands: write it there with an exclamation mark, such as `!status`.";
/// An agent's question that Slack will never show.
pub(super) const NOT_ASKED: &str =
    "_The agent asked for permission, but Slack did not take the question, so the answer was no._";

/// A question that an agent asked with a tool, and that Slack will never show.
pub(super) const QUESTION_NOT_ASKED: &str =
    "_The agent asked a question, but Slack did not take it, so the agent goes on without an answer._";

/// A command used wrongly.
pub(super) fn misused(misuse: &Misuse) -> String {
    format!("I did not do that: {misuse}. `!help` lists what I know; to say it to the agent, put other words first.")
}

/// A slash command used wrongly.
pub(super) fn misused_slash(misuse: &Misuse, command: &str) -> String {
    format!("I did not do that: {misuse}. `{command} help` lists what I know.")
}

/// A session that was not started.
pub(super) fn not_started(refused: &StartRefused) -> String {
    format!("I did not start a session: {refused}.")
}

/// To somebody who has as many sessions as one person may have.
pub(super) fn too_many_sessions(max: u32, idle_expiry: Option<Duration>) -> String {
    let waiting = idle_expiry.map_or_else(String::new, |expiry| {
        format!(" One that nobody uses for {} no longer counts, though it can still be used.", spoken(expiry))
    });
    format!(
        "I did not start a session: you have {max} already, as many as one person may have (`sessions.max_per_user`). \
         `!sessions` lists them; `end`, written in its thread, ends one.{waiting}"
    )
}

/// A thread for a new session that Slack did not let us open.
pub(super) fn no_thread(code: &str) -> String {
    format!("I could not open a thread here ({code}). Invite me to this channel, then try again.")
}

/// The same when it may work a little later.
pub(super) const NO_THREAD_NOW: &str =
    "Slack does not take my messages at the moment, so I could not open a thread here. Try again in a while.";

/// `end` worked; so many messages were waiting.
pub(super) fn ended(waiting: usize) -> String {
    format!("The session has ended.{} Mention me to start a new one.", not_passed_on(waiting))
}

/// To the author of a message that nobody was left to take.
pub(super) const NOT_PASSED_ON: &str = "I did not pass your message on: the session that answered here has ended, or goes on elsewhere. Mention me to start a new one.";

/// Why a message is given up whose channel is closed to us, for an operator.
pub(super) const PLACE_CLOSED: &str = "its channel is closed to us";

/// To the author of such a message, in a direct message and in Slack's markup.
pub(super) fn place_closed(channel: &ChannelId) -> String {
    format!(
        "I did not pass on what you wrote last in <#{channel}>: I can't write there any more, so its sessions have ended. Whoever runs me \
         finds your message with `hitchline dlq list`, and can have it taken up with `hitchline dlq retry` once I can write there again."
    )
}

/// What became of messages that waited for a session that has ended.
pub(super) fn not_passed_on(waiting: usize) -> String {
    match waiting {
        0 => String::new(),
        1 => " The message that was waiting has not been passed on.".to_owned(),
        many => format!(" The {many} messages that were waiting have not been passed on."),
    }
}

/// The session's memory could not be brought back; the agent was told so many of the thread's messages.
pub(super) fn context_lost(told: usize) -> String {
    let knows = match told {
        0 => "does not remember what was said before".to_owned(),
        1 => "knows only the last message of this thread".to_owned(),
        many => format!("knows only the last {many} messages of this thread"),
    };
    format!("_The agent could not bring this session back, so it starts afresh in the same directory and {knows}._")
}

/// A session was made, without a prompt yet.
pub(super) fn created(short_id: &str, backend: &str) -> String {
    format!("Session `{short_id}` with `{backend}` is ready. Write here; no mention is needed.")
}

/// Why a turn failed, and what to do.
pub(super) fn failed(error: &BackendError) -> String {
    match error {
        BackendError::Ended | BackendError::Unknown => {
            "Session has ended. Start a new one with a mention and your question.".to_owned()
        }
        BackendError::Auth(how) => format!(
            "The agent is not signed in ({how}). Whoever runs Hitchline has to see to that; your session is kept."
        ),
        BackendError::Crashed { exit, stderr } if stderr.trim().is_empty() => {
            format!("The agent's process ended ({exit}). Your session is kept: send your message again.")
        }
        BackendError::Crashed { exit, stderr } => format!(
            "The agent's process ended ({exit}). Your session is kept: send your message again. Its last words were:\n\n{}",
            fenced(stderr.trim())
        ),
        BackendError::CrashLoop { crashes, again_in, exit, stderr } => {
            let last = match stderr.trim() {
                "" => String::new(),
                words => format!(" Its last words were:\n\n{}", fenced(words)),
            };
            // In whole seconds, and never in none.
            let again = spoken(Duration::from_secs(again_in.as_secs() + 1));
            format!(
                "The agent crashed {crashes} times within 10 min ({exit}), so it is left alone for now. Your session is kept: send \
                 your message again in {again}.{last}"
            )
        }
        BackendError::Rejected(why) => format!("The agent did not take this message: {why}. Your session is kept."),
        other => format!("That did not work: {other}. Your session is kept: send your message again."),
    }
}

/// What a session has used so far.
pub(super) fn usage(usage: &Usage) -> String {
    let percent = usage.used.saturating_mul(100).checked_div(usage.size).unwrap_or(0);
    let cost = usage.cost.as_ref().map(|cost| format!(", {cost} so far")).unwrap_or_default();
    format!("_{percent} % of the agent's memory used ({} of {} tokens){cost}_", usage.used, usage.size)
}

/// A block of code, in a fence longer than any in the text.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

/// Somebody who may not prompt.
pub(super) fn denied(why: Denied, user: &UserId) -> String {
    match why {
        Denied::User => format!(
            "You are not on the list of people I listen to. Ask whoever runs me to add `{user}` to `access.users` in my configuration."
        ),
        Denied::Channel => "I may not work in this channel. Whoever runs me can add it to `access.channels`.".to_owned(),
        Denied::External | Denied::Bot => {
            "I only listen to people of my own workspace, unless `access.external_users` and `access.users` say otherwise.".to_owned()
        }
    }
}

/// A press by somebody who may not prompt.
pub(super) const PRESS_DENIED: &str = "You may not decide this.";
/// A click by somebody who may not decide.
pub(super) const NOT_YOURS: &str = "Only the person who asked, or an admin, can decide this.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_left_alone_says_for_how_long_and_why() {
        let error = |stderr: &str| BackendError::CrashLoop {
            crashes: 5,
            again_in: Duration::from_millis(51_500),
            exit: "exit code 7".to_owned(),
            stderr: stderr.to_owned(),
        };
        let expected = "The agent crashed 5 times within 10 min (exit code 7), so it is left alone for now. Your session is kept: send your \
                        message again in 52 s.";
        assert_eq!(failed(&error("")), expected);
        assert_eq!(failed(&error("no key\n")), format!("{expected} Its last words were:\n\n```\nno key\n```"));
    }

    #[test]
    fn a_usage_is_one_line() {
        let line = |used, size, cost: Option<&str>| usage(&Usage { used, size, cost: cost.map(str::to_owned) });
        let expected = "_25 % of the agent's memory used (50 of 200 tokens), 0.02 USD so far_";
        assert_eq!(line(50, 200, Some("0.02 USD")), expected);
        assert_eq!(line(5, 0, None), "_0 % of the agent's memory used (5 of 0 tokens)_");
    }

    #[test]
    fn an_agents_last_words_stay_in_their_block() {
        assert_eq!(fenced("a `b`"), "```\na `b`\n```");
        assert_eq!(fenced("a\n```\nb"), "````\na\n```\nb\n````");
    }
}
