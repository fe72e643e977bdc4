//! Help, how things stand, and the notebook.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::pieces::{DESCRIPTION, ago, code, dir, line};
use crate::domain::agent::AgentCommand;
use crate::domain::command::COMMANDS;
use crate::domain::session::SessionRecord;
use crate::duration::spoken;
use crate::session::config::WhenBusy;
use crate::session::policy::Policy;
use crate::session::roster::{Doing, Overview};
use crate::store::Note;

/// How many of an agent's commands `help` tells.
const AGENT_COMMANDS: usize = 40;
/// How much of a note is shown, in characters.
const NOTE: usize = 300;

/// A stop that was asked for in another place than its turn runs in.
pub(in crate::session) const STOPPING: &str = "Stopping.";
/// A turn runs, and can be stopped.
pub(in crate::session) const TURN_RUNS: &str = "A turn is running.";
/// A note was written.
pub(in crate::session) const REMEMBERED: &str = "Noted. `recall` finds it again, for everybody in this workspace.";

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

/// How a session stands; `places` are those at which messages of whoever asks wait.
pub(in crate::session) fn status(overview: &Overview, places: &[usize], chosen: &[(String, String)]) -> String {
    let Overview { record, doing: state, waiting, .. } = overview;
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
    let state = doing.word();
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
