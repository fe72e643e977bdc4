//! `hitchline status` and `hitchline sessions`: what the running daemon says, for people or as JSON.

use std::fmt::Write;

use jiff::Timestamp;
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::arguments::{Asking, OneSession, SessionsWhat};
use super::daemon::Daemon;
use super::{Exit, Failure, output, table};
use crate::admin::{Ended, Status, View};
use crate::domain::visible::hides;
use crate::settings::Environment;

/// How much of an id is shown in a list: enough to type.
const SHORT: usize = 8;
/// How much of a description is shown in a list.
const DESCRIPTION: usize = 50;

/// Tells how the daemon stands.
pub(super) async fn status(asking: &Asking, environment: &Environment) -> Result<Exit, Failure> {
    let answer = Daemon::find(&asking.source.flags(), environment)?.ask(Method::GET, "status").await?;
    show(asking, &answer, |status: Status| describe_status(&status))
}

/// Does something with sessions.
pub(super) async fn sessions(what: &SessionsWhat, environment: &Environment) -> Result<Exit, Failure> {
    let find = |asking: &Asking| Daemon::find(&asking.source.flags(), environment);
    match what {
        SessionsWhat::List(asking) => {
            let answer = find(asking)?.ask(Method::GET, "sessions").await?;
            show(asking, &answer, |sessions: Vec<View>| table(&sessions))
        }
        SessionsWhat::Show(OneSession { id, asking }) => {
            let answer = find(asking)?.ask(Method::GET, &format!("sessions/{id}")).await?;
            show(asking, &answer, |session: View| describe(&session))
        }
        SessionsWhat::End(OneSession { id, asking }) => {
            let answer = find(asking)?.ask(Method::DELETE, &format!("sessions/{id}")).await?;
            show(asking, &answer, |ended: Ended| {
                format!("{} has ended; {} message(s) waited for it", ended.id, ended.waiting)
            })
        }
    }
}

pub(super) fn show<T: DeserializeOwned>(
    asking: &Asking,
    answer: &str,
    text: impl Fn(T) -> String,
) -> Result<Exit, Failure> {
    if asking.json {
        output::print(answer)?;
        return Ok(Exit::Done);
    }
    let unreadable = |error| Failure::new(Exit::Internal, format!("the daemon's answer can't be read: {error}"));
    output::print(&text(serde_json::from_str(answer).map_err(unreadable)?))?;
    Ok(Exit::Done)
}

fn describe_status(status: &Status) -> String {
    let ready = if status.failing.is_empty() { "ready" } else { "not ready" };
    let mut text = format!("hitchline {}: {ready}, {} connection(s) to Slack\n", status.version, status.sockets);
    for reason in &status.failing {
        let _infallible = writeln!(text, "  {reason}");
    }
    if status.catching_up {
        text.push_str("catching up with what was said while nobody listened\n");
    }
    for reason in &status.held {
        let _infallible = writeln!(text, "held back: {reason}");
    }
    match &status.pool {
        Some(pool) => {
            let closed = if pool.closed { "; no turn starts any more" } else { "" };
            let _infallible = writeln!(
                text,
                "{} session(s), {} of them running: {} active, {} draining; {} at work{closed}",
                pool.mapped, pool.total, pool.active, pool.draining, pool.busy
            );
        }
        None => text.push_str("no sessions yet, or no more\n"),
    }
    if status.dead_letters > 0 {
        let _infallible = writeln!(text, "{} dead letter(s): `hitchline dlq list`", status.dead_letters);
    }
    text
}

fn table(sessions: &[View]) -> String {
    let head = ["ID", "STATE", "AGENT", "CREATOR", "LAST USED", "WAITING", "DESCRIPTION"];
    table::table(sessions, "no sessions", head, row)
}

fn row(session: &View) -> [String; 7] {
    let short = |text: &str, limit| text.chars().take(limit).collect::<String>();
    [
        short(&session.id, SHORT),
        session.state.clone(),
        session.agent.clone(),
        session.creator.clone(),
        minute(session.last_active),
        session.waiting.to_string(),
        printable(&short(&session.description, DESCRIPTION)),
    ]
}

fn describe(session: &View) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(text, "{name:15}{}", printable(value));
    };
    line("id", &session.id);
    line("state", &session.state);
    line("conversation", &session.conversation);
    line("agent", &session.agent);
    line("agent's name", session.agent_session.as_deref().unwrap_or("none yet"));
    line("directory", &session.working_dir.to_string_lossy());
    line("description", &session.description);
    line("creator", &session.creator);
    line("created", &session.created.to_string());
    line("last used", &session.last_active.to_string());
    line("waiting", &session.waiting.to_string());
    for (option, value) in &session.options {
        line("option", &format!("{option} = {value}"));
    }
    if let Some(command) = &session.attach {
        line("attach", command);
    }
    text
}

pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// What people wrote, without anything that a terminal would take for a command.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if hides(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Pool;

    fn session(state: &str, description: &str) -> View {
        View {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            state: state.to_owned(),
            conversation: "T1/C1/1.2".to_owned(),
            agent: "echo".to_owned(),
            agent_session: None,
            working_dir: "/src".into(),
            description: description.to_owned(),
            creator: "U1".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            last_active: Timestamp::UNIX_EPOCH,
            waiting: 2,
            options: [("model".to_owned(), "plain".to_owned())].into(),
            attach: Some("tmux -S /s/hl-1.sock attach".to_owned()),
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_session_and_no_escape_sequences() {
        let shown = table(&[session("idle", "fix\u{1b}[2J\nthis"), session("working", "b")]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert_eq!(lines[1], "01234567  idle     echo   U1       1970-01-01 00:00Z  2        fix [2J this");
        assert_eq!(table(&[]), "no sessions");
    }

    #[test]
    fn one_session_is_shown_with_all_that_is_known() {
        let shown = describe(&session("asleep", "d"));
        for part in [
            "0123456789abcdef0123456789abcdef",
            "none yet",
            "/src",
            "T1/C1/1.2",
            "model = plain",
            "attach         tmux -S /s/hl-1.sock attach\n",
            "1970-01-01T00:00:00Z",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    // holds: P-7
    #[test]
    fn the_status_tells_the_pool_in_numbers_and_why_it_is_not_ready() {
        let pool = Pool { mapped: 7, total: 3, active: 0, draining: 3, busy: 1, closed: true };
        let failing = vec!["stopping: no turn starts any more".to_owned()];
        let held = vec!["no room".to_owned()];
        let status = Status {
            version: "1".to_owned(),
            failing,
            sockets: 1,
            catching_up: true,
            held,
            dead_letters: 2,
            pool: Some(pool),
        };
        assert_eq!(
            describe_status(&status),
            "hitchline 1: not ready, 1 connection(s) to Slack\n  stopping: no turn starts any more\n\
             catching up with what was said while nobody listened\nheld back: no room\n\
             7 session(s), 3 of them running: 0 active, 3 draining; 1 at work; no turn starts any more\n\
             2 dead letter(s): `hitchline dlq list`\n"
        );
    }
}
