//! `hitchline audit`: how agents' questions were settled.

use reqwest::Method;

use super::arguments::AuditWhat;
use super::daemon::Daemon;
use super::sessions::{minute, printable, show};
use super::{Exit, Failure, table};
use crate::admin::Settled;
use crate::settings::Environment;

/// How much of a hash a table shows.
const HASH: usize = 12;

/// Lists the audit.
pub(super) async fn audit(what: &AuditWhat, environment: &Environment) -> Result<Exit, Failure> {
    let AuditWhat::List(asking) = what;
    let answer = Daemon::find(&asking.source.flags(), environment)?.ask(Method::GET, "audit").await?;
    show(asking, &answer, |entries: Vec<Settled>| table(&entries))
}

fn table(entries: &[Settled]) -> String {
    let head = ["AT", "OUTCOME", "BY", "OPTION", "FOR", "CONVERSATION", "COMMAND"];
    table::table(entries, "no question has been settled", head, row)
}

fn row(entry: &Settled) -> [String; 7] {
    let nobody = || "-".to_owned();
    [
        minute(entry.at),
        entry.outcome.clone(),
        entry.decider.clone().unwrap_or_else(nobody),
        entry.option.as_deref().map_or_else(nobody, printable),
        entry.requester.clone(),
        entry.conversation.clone(),
        entry.command_sha256.chars().take(HASH).collect(),
    ]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_line_says_who_chose_what_and_what_nobody_chose() {
        let decided = Settled {
            at: Timestamp::UNIX_EPOCH,
            outcome: "decided".to_owned(),
            decider: Some("U2".to_owned()),
            option: Some("Yes\u{1b}[2J".to_owned()),
            kind: Some("allow_once".to_owned()),
            requester: "U1".to_owned(),
            conversation: "T1/C1/1.2".to_owned(),
            session: None,
            turn: None,
            command_sha256: "ba7816bf8f01cfea4141".to_owned(),
        };
        let expired = Settled { outcome: "expired".to_owned(), decider: None, option: None, ..decided.clone() };
        let shown = table(&[decided, expired]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert_eq!(lines[1], "1970-01-01 00:00Z  decided  U2  Yes [2J  U1   T1/C1/1.2     ba7816bf8f01");
        assert_eq!(lines[2], "1970-01-01 00:00Z  expired  -   -        U1   T1/C1/1.2     ba7816bf8f01");
        assert_eq!(table(&[]), "no question has been settled");
    }
}
