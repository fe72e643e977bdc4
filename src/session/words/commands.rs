//! What commands answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::Listed;
use crate::backend::error::BackendError;
use crate::domain::agent::{AgentCommand, AgentOption, OptionCategory, OptionValue};
use crate::domain::command::COMMANDS;
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::UserId;
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::domain::session::SessionRecord;
use crate::duration::spoken;
use crate::session::config::WhenBusy;
use crate::session::policy::Policy;
use crate::session::roster::{Doing, Overview};
use crate::store::Note;

/// How many of an agent's commands `help` tells.
const AGENT_COMMANDS: usize = 40;
/// How much of a description is shown, in characters.
const DESCRIPTION: usize = 120;
/// How much of a note is shown, in characters.
const NOTE: usize = 300;

/// On the button that brings a session here.
pub(in crate::session) const CONNECT: &str = "Connect";
/// On the button that chooses a value.
pub(in crate::session) const CHOOSE: &str = "Choose";
/// A stop that was asked for in another place than its turn runs in.
pub(in crate::session) const STOPPING: &str = "Stopping.";
/// A press by somebody who may not prompt.
pub(in crate::session) const PRESS_DENIED: &str = "You may not decide this.";
/// A turn runs, and can be stopped.
pub(in crate::session) const TURN_RUNS: &str = "A turn is running.";
/// A note was written.
pub(in crate::session) const REMEMBERED: &str = "Noted. `recall` finds it again, for everybody in this workspace.";
/// Too many slow commands at once.
pub(in crate::session) const TOO_MUCH_AT_ONCE: &str =
    "Too much is being asked of the agents right now. Try again in a while.";

// === Help ===

/// What can be done here.
pub(in crate::session) fn help(in_session: bool, command: &str, offered: &[AgentCommand]) -> String {
    let intro = if in_session {
        "Everything you write in this thread goes to the agent. These words are for me when they are the whole message; with `!` before them they always are:"
    } else {
        "Mention me with a question to start a session in a thread. Inside a thread no mention is needed. These words are for me:"
    };
    let rows = COMMANDS.iter().map(|row| {
        let aliases = row.words[1..].iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let also = if aliases.is_empty() { String::new() } else { format!(" (also {aliases})") };
        let usage = format!("{} {}", row.words[0], row.usage);
        format!("- `{}` {}{also}", usage.trim_end(), row.does)
    });
    let rows = rows.collect::<Vec<_>>().join("\n");
    format!(
        "{intro}\n\n{rows}\n\nOutside of threads all of them follow `{command}`: `{command} new` and `{command} connect` open a thread.{}",
        agents_help(offered)
    )
}

fn agents_help(offered: &[AgentCommand]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    let row = |command: &AgentCommand| {
        let usage = format!(
            "!{} {}",
            command.name,
            command.hint.as_deref().map_or(String::new(), |hint| format!("[{}]", line(hint, DESCRIPTION)))
        );
        format!("- {} {}", code(usage.trim_end()), line(&command.description, DESCRIPTION))
    };
    let rows = offered.iter().take(AGENT_COMMANDS).map(row).collect::<Vec<_>>().join("\n");
    let rest = match offered.len().saturating_sub(AGENT_COMMANDS) {
        0 => String::new(),
        more => format!("\n- and {more} more"),
    };
    format!("\n\nThe agent's own commands, each with `!` before it:\n\n{rows}{rest}")
}

// === How things stand ===

/// How a session stands; `places` are those at which messages of whoever asks wait.
pub(in crate::session) fn status(overview: &Overview, places: &[usize], chosen: &[(String, String)]) -> String {
    let Overview { record, doing: state, waiting } = overview;
    let state = if *state == Doing::Working { "working" } else { "idle" };
    let mut told = format!(
        "Session `{}` with `{}` in {}: {state}, {waiting} message(s) waiting.",
        record.id.short(),
        record.backend,
        dir(&record.working_dir)
    );
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    let _infallible = match places.as_slice() {
        [] => Ok(()),
        [one] => write!(told, " Yours is number {one}."),
        [first @ .., last] => write!(told, " Yours are numbers {} and {last}.", first.join(", ")),
    };
    for (name, value) in chosen {
        let _infallible = write!(told, " {}: {}.", line(name, DESCRIPTION), line(value, DESCRIPTION));
    }
    told
}

/// What a session does, in a few words.
pub(in crate::session) fn doing(doing: Doing, waiting: usize) -> String {
    let state = match doing {
        Doing::Ended => "ended",
        Doing::Asleep => "asleep",
        Doing::Idle => "idle",
        Doing::Working => "working",
    };
    if waiting == 0 { state.to_owned() } else { format!("{state}, {waiting} waiting") }
}

/// The settings that hold in a conversation.
pub(in crate::session) fn config(
    policy: &Policy,
    record: Option<&SessionRecord>,
    backend: &str,
    working_dir: &Path,
) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let whose = record.map_or_else(
        || "A session that starts here would have".to_owned(),
        |record| format!("Session `{}` has", record.id.short()),
    );
    let after = |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), spoken);
    let mut told = format!("{whose}:\n\n- agent: `{backend}`\n- directory: {}", dir(working_dir));
    for (option, value) in record.into_iter().flat_map(|record| &record.options) {
        let _infallible = write!(told, "\n- chosen: {} is {}", code(option), code(value));
    }
    let busy = match policy.when_busy {
        WhenBusy::Queue => "it waits for its turn",
        WhenBusy::Interrupt => "the turn is stopped for it",
    };
    let limit = policy.max_per_user.map_or_else(|| "no limit".to_owned(), |max| max.to_string());
    let _infallible = write!(
        told,
        "\n- a message during a turn: {busy}\n- start: at most {}\n- a turn: at most {}, and {} without a word from the agent\n\
         - a decision: at most {}, then it is rejected\n- released when nobody uses it: {}\n- sessions for each person: {limit}\n\
         - a mention or direct message starts one: {}\n- a new thread in a channel needs a mention: {}",
        spoken(policy.create_timeout(backend)),
        spoken(policy.turn_timeout),
        spoken(policy.inactivity_timeout),
        spoken(policy.approval_timeout),
        after(policy.idle_expiry),
        yes(policy.auto_session),
        yes(policy.require_mention),
    );
    told
}

/// `stop all`.
pub(in crate::session) fn stopped_all(stopped: bool, dropped: usize) -> String {
    let turn = if stopped { "Stopping." } else { "Nothing is running here." };
    match dropped {
        0 => format!("{turn} No message was waiting."),
        1 => format!("{turn} The message that was waiting is dropped."),
        many => format!("{turn} The {many} messages that were waiting are dropped."),
    }
}

// === Lists ===

/// Above the sessions in a channel.
pub(in crate::session) fn list_title(empty: bool) -> &'static str {
    if empty {
        "You have no sessions in this channel. `sessions` lists those elsewhere."
    } else {
        "Your sessions in this channel:"
    }
}

/// Above all sessions that somebody may see.
pub(in crate::session) fn sessions_title(empty: bool, admin: bool) -> &'static str {
    match (empty, admin) {
        (true, false) => "You have no sessions. Mention me with your question to start one.",
        (false, false) => "Your sessions:",
        (true, true) => "There are no sessions.",
        (false, true) => "All sessions, the last used first:",
    }
}

/// Above the sessions that work or could.
pub(in crate::session) fn work_title(sessions: usize, working: usize) -> String {
    if sessions == 0 {
        sessions_title(true, false).to_owned()
    } else {
        format!("Of your sessions, {working} of {sessions} are working:")
    }
}

/// A session of ours in a list.
pub(in crate::session) fn session_row(record: &SessionRecord, state: Option<&str>, now_ms: i64) -> String {
    let state = state.map_or_else(String::new, |state| format!("{state}, "));
    format!(
        "`{}` with `{}` in {}: {state}used {}{}",
        record.id.short(),
        record.backend,
        dir(&record.working_dir),
        ago(now_ms, record.last_active_ms),
        about(&record.description)
    )
}

/// A session that an agent knows, in a list.
pub(in crate::session) fn listed_row(backend: &str, listed: &Listed, now_ms: i64) -> String {
    let place = listed.working_dir.as_deref().map_or_else(String::new, |path| format!(" in {}", dir(path)));
    let used = listed.updated_ms.map_or_else(String::new, |used| format!(", used {}", ago(now_ms, used)));
    let title = about(listed.title.as_deref().unwrap_or_default());
    format!("{} with `{backend}`{place}{used}{title}", code(&listed.backend_ref.0))
}

/// Where a session answers and who started it, in the markup of the place where that is read.
pub(in crate::session) fn whereabouts(markup: Markup, key: &ConversationKey, creator: &UserId) -> String {
    match markup {
        Markup::Slack if !key.is_web() => format!("in {}, started by <@{creator}>", place(markup, key)),
        _ => format!("on {}", place(markup, key)),
    }
}

/// A conversation's place, likewise.
fn place(markup: Markup, key: &ConversationKey) -> String {
    match markup {
        _ if key.is_web() => "the web page".to_owned(),
        Markup::Slack => format!("<#{}>", key.channel),
        Markup::Markdown => "Slack".to_owned(),
    }
}

/// A session that an agent knows and that belongs to somebody else here.
pub(in crate::session) const SOMEBODY_ELSES: &str = "_A session of somebody else._";

/// Above the sessions that an agent knows.
pub(in crate::session) fn discovered(backend: &str, count: usize) -> String {
    match count {
        0 => format!("`{backend}` knows no session that could go on here."),
        _ => format!("The newest sessions that `{backend}` knows:"),
    }
}

/// An agent that has no list.
pub(in crate::session) fn no_list(backend: &str) -> String {
    format!("`{backend}` has no list of its sessions. `sessions` lists those that were started here.")
}

/// An agent that did not say what it knows.
pub(in crate::session) fn list_failed(backend: &str, error: &BackendError) -> String {
    format!("`{backend}` did not list its sessions: {error}.")
}

/// The directories that have sessions, and what went wrong with some agents.
pub(in crate::session) fn projects(dirs: &BTreeMap<PathBuf, BTreeMap<String, usize>>, failed: &[String]) -> String {
    let rows = dirs.iter().map(|(path, agents)| {
        let agents =
            agents.iter().map(|(agent, count)| format!("{count} with `{agent}`")).collect::<Vec<_>>().join(", ");
        format!("- {}: {agents}", dir(path))
    });
    let rows = rows.collect::<Vec<_>>().join("\n");
    let told = if rows.is_empty() {
        "No directory that `new --dir` may name has a session.".to_owned()
    } else {
        format!("Directories with sessions:\n\n{rows}")
    };
    with_trouble(told, failed)
}

fn with_trouble(told: String, failed: &[String]) -> String {
    failed.iter().fold(told, |told, trouble| format!("{told}\n\n{trouble}"))
}

// === Connect and breakout ===

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
        (WriteErrorKind::Permanent, _) => "Whoever runs me may know more.",
        _ => "Try again in a while.",
    };
    format!("I did not make a channel: Slack says `{code}`. {advice} The session stays in this thread.")
}

/// In the channel that a session got, in Slack's own markup.
pub(in crate::session) fn broken_out(record: &SessionRecord, from: &ConversationKey) -> String {
    format!(
        "Session `{}` from {} goes on in this channel. Everything that is written here goes to the agent; no mention is needed. \
         `!help` tells what I understand.",
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

// === Options ===

/// What an option is about, in a word.
fn kind(category: OptionCategory) -> &'static str {
    match category {
        OptionCategory::Model => "model",
        OptionCategory::Mode => "mode",
        OptionCategory::Other => "option",
    }
}

/// Above the values that can be chosen.
pub(in crate::session) fn menu_title(category: OptionCategory, options: &[AgentOption]) -> String {
    let kind = kind(category);
    match options {
        [] => format!("This agent offers no choice of a {kind}."),
        [one] => format!(
            "{}: {}. Choose another, or write `!{kind} VALUE`:",
            line(&one.name, DESCRIPTION),
            line(&current(one), DESCRIPTION)
        ),
        _ => format!("What this agent offers as its {kind}. Choose, or write `!{kind} VALUE`:"),
    }
}

/// A value in the menu.
pub(in crate::session) fn value_row(option: Option<&AgentOption>, value: &OptionValue, current: bool) -> String {
    let option = option.map_or_else(String::new, |option| format!("{}: ", line(&option.name, DESCRIPTION)));
    let name = line(&value.name, DESCRIPTION);
    let mark = if current { " ✓ now" } else { "" };
    let meaning = value.description.as_deref().map_or_else(String::new, about);
    format!("{option}**{name}** {}{mark}{meaning}", code(&value.value))
}

/// What is chosen of an option now, as the agent calls it.
pub(in crate::session) fn current(option: &AgentOption) -> String {
    let value = option.values.iter().find(|value| value.value == option.current);
    value.map_or_else(|| option.current.clone(), |value| value.name.clone())
}

/// A value that the agent does not offer.
pub(in crate::session) fn no_such_value(category: OptionCategory, typed: &str, options: &[AgentOption]) -> String {
    if options.is_empty() {
        return menu_title(category, options);
    }
    let known =
        options.iter().flat_map(|option| &option.values).map(|value| code(&value.value)).collect::<Vec<_>>().join(", ");
    format!("This agent has no {} {}. It has: {known}.", kind(category), code(&line(typed, DESCRIPTION)))
}

/// A value was chosen.
pub(in crate::session) fn option_set(options: &[AgentOption], option: &str, value: &str) -> String {
    let known = options.iter().find(|known| known.id == option);
    let name = known.map_or(option, |known| &known.name);
    let value = known
        .and_then(|known| known.values.iter().find(|offered| offered.value == value))
        .map_or(value, |known| &known.name);
    format!("{}: {} from now on.", line(name, DESCRIPTION), line(value, DESCRIPTION))
}

/// A value that the agent did not take.
pub(in crate::session) fn option_not_set(error: &BackendError) -> String {
    let advice = match error {
        BackendError::Busy => "Try again when this turn is over, or stop it with `!stop`.",
        _ => "Nothing has changed.",
    };
    format!("That was not chosen: {error}. {advice}")
}

/// An agent that could not be asked what it offers.
pub(in crate::session) fn option_not_reached(error: &BackendError) -> String {
    format!("I could not ask the agent: {error}. Your session is kept.")
}

// === Notebook ===

/// Above the notes that were found.
pub(in crate::session) fn notes_title(query: &str, found: usize) -> String {
    match (query.is_empty(), found) {
        (true, 0) => "The notebook of this workspace is empty. `remember TEXT` writes into it.".to_owned(),
        (false, 0) => format!("No note has all of these words: {}.", code(&line(query, DESCRIPTION))),
        (true, _) => "The newest notes:".to_owned(),
        (false, _) => "Notes, the newest first:".to_owned(),
    }
}

/// A note in a list.
pub(in crate::session) fn note_row(note: &Note, now_ms: i64) -> String {
    format!("{} ({})", line(&note.text, NOTE), ago(now_ms, note.created_ms))
}

// === Pieces ===

/// A description behind a colon, when there is one.
fn about(description: &str) -> String {
    let description = line(description, DESCRIPTION);
    if description.is_empty() { description } else { format!(": {description}") }
}

fn dir(path: &Path) -> String {
    code(&path.display().to_string())
}

/// Text as code, in marks that it can't end.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let marks = "`".repeat(longest + 1);
    let room = if longest > 0 { " " } else { "" };
    format!("{marks}{room}{text}{room}{marks}")
}

/// Somebody's text as one line of at most `most` characters, in which nothing is markup.
fn line(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = words.chars().take(most).collect();
    let rest = if cut.len() < words.len() { "…" } else { "" };
    let mut plain = String::with_capacity(cut.len());
    for c in cut.chars() {
        if "\\`*_~[]<>#|".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain + rest
}

/// How long ago something was.
fn ago(now_ms: i64, then_ms: i64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match u64::try_from(minutes).unwrap_or(0) {
        0 => "just now".to_owned(),
        minutes @ 1..2_880 => {
            format!("{} ago", spoken(Duration::from_mins(if minutes < 120 { minutes } else { minutes / 60 * 60 })))
        }
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_want_them() {
        let at = |minutes: i64| ago(minutes * 60_000, 0);
        for (minutes, expected) in [
            (-5, "just now"),
            (0, "just now"),
            (1, "1 min ago"),
            (119, "1 h 59 min ago"),
            (130, "2 h ago"),
            (2_879, "47 h ago"),
            (2_880, "2 days ago"),
        ] {
            assert_eq!(at(minutes), expected);
        }
    }

    #[test]
    fn what_people_wrote_is_no_markup() {
        assert_eq!(line(" a\n\n# *b* ", 50), "a \\# \\*b\\*");
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a``b"), "``` `a``b ```");
    }
}
