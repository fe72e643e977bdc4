//! `hitchline dlq`: what the running daemon has given up.

use reqwest::Method;

use super::arguments::{Asking, DlqWhat, OneDeadLetter};
use super::daemon::Daemon;
use super::sessions::{minute, printable, show};
use super::{Exit, Failure, table};
use crate::admin::{DeadLetter, Named};
use crate::settings::Environment;

/// Does something with dead letters.
pub(super) async fn dlq(what: &DlqWhat, environment: &Environment) -> Result<Exit, Failure> {
    let find = |asking: &Asking| Daemon::find(&asking.source.flags(), environment);
    match what {
        DlqWhat::List(asking) => {
            let answer = find(asking)?.ask(Method::GET, "dlq").await?;
            show(asking, &answer, |letters: Vec<DeadLetter>| table(&letters))
        }
        DlqWhat::Retry(OneDeadLetter { id, asking }) => {
            let answer = find(asking)?.ask(Method::POST, &format!("dlq/{id}/retry")).await?;
            show(asking, &answer, |retried: Named| format!("{} is tried once more", retried.id))
        }
        DlqWhat::Drop(OneDeadLetter { id, asking }) => {
            let answer = find(asking)?.ask(Method::DELETE, &format!("dlq/{id}")).await?;
            show(asking, &answer, |dropped: Named| format!("{} is dropped", dropped.id))
        }
    }
}

fn table(letters: &[DeadLetter]) -> String {
    let head = ["ID", "SINCE", "KIND", "CONVERSATION", "WHO", "ATTEMPTS", "REASON"];
    table::table(letters, "no dead letters", head, row)
}

fn row(letter: &DeadLetter) -> [String; 7] {
    [
        letter.id.clone(),
        minute(letter.since),
        letter.kind.clone(),
        letter.conversation.clone(),
        letter.author.clone().unwrap_or_else(|| "-".to_owned()),
        letter.attempts.to_string(),
        printable(&letter.reason),
    ]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_letter_and_no_escape_sequences() {
        let letter = DeadLetter {
            id: "m12".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            kind: "message".to_owned(),
            conversation: "T1/C1/1.2".to_owned(),
            author: Some("U1".to_owned()),
            attempts: 3,
            reason: "broken\u{1b}[2J".to_owned(),
        };
        let ours = DeadLetter { id: "o3".to_owned(), author: None, attempts: 0, ..letter.clone() };
        let shown = table(&[letter, ours]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert_eq!(lines[1], "m12  1970-01-01 00:00Z  message  T1/C1/1.2     U1   3         broken [2J");
        assert_eq!(lines[2], "o3   1970-01-01 00:00Z  message  T1/C1/1.2     -    0         broken [2J");
        assert_eq!(table(&[]), "no dead letters");
    }
}
