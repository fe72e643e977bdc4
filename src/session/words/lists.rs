//! Lists: our own sessions, and those that the agents know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::pieces::{about, ago, code, dir};
use crate::backend::Listed;
use crate::backend::error::BackendError;
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::UserId;
use crate::domain::session::SessionRecord;

/// Too many slow commands at once.
pub(in crate::session) const TOO_MUCH_AT_ONCE: &str =
    "Too much is being asked of the agents right now. Try again in a while.";

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
pub(super) fn place(markup: Markup, key: &ConversationKey) -> String {
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

pub(super) fn with_trouble(told: String, failed: &[String]) -> String {
    failed.iter().fold(told, |told, trouble| format!("{told}\n\n{trouble}"))
}
