//! Sessions that go on elsewhere: `connect` and `breakout`.

use super::lists::{place, with_trouble};
use super::pieces::{DESCRIPTION, code, dir, line};
use crate::backend::error::BackendError;
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::UserId;
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::domain::session::SessionRecord;

/// On the button that brings a session here.
pub(in crate::session) const CONNECT: &str = "Connect";

/// A session has been brought here.
pub(in crate::session) fn connected(record: &SessionRecord) -> String {
    format!(
        "Session `{}` with `{}` in {} goes on here. Write here; no mention is needed.",
        record.id.short(),
        record.backend,
        dir(&record.working_dir)
    )
}

/// At the root of a thread for a session that is brought there, in Slack's own markup.
pub(in crate::session) fn connecting_for(user: &UserId) -> String {
    format!("A session for <@{user}>")
}

/// In the conversation that a session left, in its markup.
pub(in crate::session) fn gone_to(markup: Markup, short_id: &str, to: &ConversationKey) -> String {
    let back = match markup {
        Markup::Slack => "A mention of me with",
        Markup::Markdown => "The message",
    };
    format!("Session `{short_id}` goes on in {}. {back} `connect {short_id}` brings it back here.", place(markup, to))
}

/// An id that may mean several.
pub(in crate::session) const CONNECT_AMBIGUOUS: &str = "Several sessions begin like this. Which one?";
/// An id that is too short to mean one.
pub(in crate::session) const CONNECT_TOO_SHORT: &str =
    "Give at least the first 4 characters of the id. `list` shows your sessions.";
/// A session that has ended.
pub(in crate::session) const CONNECT_ENDED: &str = "This session has ended, and an ended session does not come back. Start a new one with a mention and your question.";
/// Somebody else's session.
pub(in crate::session) const CONNECT_NOT_YOURS: &str =
    "This session is somebody else's. Only whoever started it, or an admin, can bring it elsewhere.";
/// A session that has something to do where it is.
pub(in crate::session) const CONNECT_BUSY: &str = "This session is busy right now, so it stays where it is. Wait until it has finished there, or stop it with `!stop all`, and try again.";
/// A session that could not be found where it was a moment ago.
pub(in crate::session) const MOVED_MEANWHILE: &str =
    "This session has just ended, or goes on in another conversation. `!sessions` tells where.";
/// A session that is where it should be.
pub(in crate::session) const CONNECTED_ALREADY: &str = "This session answers here already.";

/// An id that nobody knows.
pub(in crate::session) fn connect_unknown(id: &str, failed: &[String]) -> String {
    let told = format!(
        "I know no session {}, nor does an agent. `list` shows your sessions, `discover` those that the agent itself knows.",
        code(&line(id, DESCRIPTION))
    );
    with_trouble(told, failed)
}

/// An agent that did not bring a session back.
pub(in crate::session) fn not_connected(error: &BackendError) -> String {
    format!("I did not connect this session: {error}. Nothing has changed.")
}

/// `breakout` elsewhere than in a thread.
pub(in crate::session) const BREAKOUT_THREADS_ONLY: &str =
    "This works in a thread: it gives the thread's session a channel of its own.";
/// `breakout` of somebody else's session.
pub(in crate::session) const BREAKOUT_NOT_YOURS: &str =
    "Only whoever started this session, or an admin, can give it a channel of its own.";
/// `breakout` where a new channel would be closed to people.
pub(in crate::session) const BREAKOUT_CHANNELS: &str = "I did not make a channel: people may write to me in certain channels only, and a new one is none of them. Whoever runs me can set `access.channels` to `[\"*\"]`.";
/// `breakout` of a session that works.
pub(in crate::session) const BREAKOUT_BUSY: &str =
    "This session is busy right now. Wait until it has finished, or stop it with `!stop all`, and try again.";

/// A channel that could not be made.
pub(in crate::session) fn no_channel(error: &WriteError) -> String {
    let code = &error.code;
    let advice = match (error.kind, code.as_str()) {
        (_, "missing_scope") => "Whoever runs me has to install my app again with the scope `groups:write`.",
        (_, "name_taken") => "Give it another name: `!breakout NAME`.",
        (_, "restricted_action" | "user_is_restricted" | "not_allowed_token_type") => {
            "An admin of this workspace has to allow apps to make private channels."
        }
        (WriteErrorKind::Permanent, name) if name.starts_with("invalid_name") => {
            "Give it another name: `!breakout NAME`."
        }
        (WriteErrorKind::Permanent | WriteErrorKind::PlaceClosed, _) => "Whoever runs me may know more.",
        _ => "Try again in a while.",
    };
    format!("I did not make a channel: Slack says `{code}`. {advice} The session stays in this thread.")
}

/// In the channel that a session got, in Slack's own markup.
pub(in crate::session) fn broken_out(record: &SessionRecord, from: &ConversationKey) -> String {
    format!(
        "Session `{}` from {} goes on in this channel. Everything that is written in the channel itself goes to the agent; no mention is \
         needed, and each message is answered in its thread. What is written in a thread stays among people, unless I am mentioned. `!help` tells what I understand.",
        record.id.short(),
        place(Markup::Slack, from)
    )
}

/// In the thread whose session got something to do while its channel was made, in Slack's own markup.
pub(in crate::session) fn broken_out_in_vain(to: &ConversationKey) -> String {
    format!(
        "This session has become busy meanwhile and stays here. {} is made but empty; archive it, and try again.",
        place(Markup::Slack, to)
    )
}
