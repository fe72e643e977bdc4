//! The findings for people: each with what it means for Hitchline.

use std::fmt::Write;
use std::time::Duration;

use super::findings::{Clicks, ClientMsgId, Findings, Lag, Metadata, Offline, Redelivery};
use crate::duration::spoken;

/// A post whose answer was lost is looked for again after this long, and then repeated.
const LOOKED_FOR_AFTER_MS: u64 = 3_000;

/// What an answer says, and what it means.
struct Row {
    question: &'static str,
    answer: String,
    meaning: &'static str,
}

/// The findings as text, an answer and its meaning on two lines each.
pub fn table(findings: &Findings) -> String {
    let rows = [
        redelivery(&findings.redelivery),
        offline(&findings.offline),
        client_msg_id(&findings.client_msg_id),
        lag(&findings.lag),
        metadata(&findings.metadata),
        clicks(&findings.clicks),
    ];
    let width = rows.iter().map(|row| row.question.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Row { question, answer, meaning } in rows {
        let _infallible = writeln!(text, "{question:width$}  {answer}\n{:width$}  {meaning}", "");
    }
    if findings.reconnects > 0 {
        let _infallible = writeln!(
            text,
            "The connection was lost {} time(s) meanwhile: what came in that time was missed. Better run it again.",
            findings.reconnects
        );
    }
    text
}

fn redelivery(found: &Redelivery) -> Row {
    let (answer, meaning) = match found {
        Redelivery::Again { after_ms, .. } => {
            let times: Vec<String> = after_ms.iter().copied().map(time).collect();
            let answer = format!("comes again, after {}", times.join(", "));
            (answer, "What can't be stored at once is not lost: it comes again.")
        }
        Redelivery::Once { watched_ms } => {
            let answer = format!("did not come again within {}", time(*watched_ms));
            (answer, "What can't be stored at once is only found by reading the channel again.")
        }
        Redelivery::Unheard => unheard(),
    };
    Row { question: "An event that is not acknowledged", answer, meaning }
}

fn offline(found: &Offline) -> Row {
    let (answer, meaning) = match found {
        Offline::Later { after_ms } => {
            let answer = format!("comes later, {} after the next connection", time(*after_ms));
            (answer, "What is said during a short stop arrives by itself; reading the channel finds the rest.")
        }
        Offline::Gone { watched_ms } => {
            let answer = format!("did not come within {} of the next connection", time(*watched_ms));
            (answer, "What is said while Hitchline is down is only found by reading the channel.")
        }
        Offline::Unheard => unheard(),
    };
    Row { question: "An event while nobody listens", answer, meaning }
}

fn unheard() -> (String, &'static str) {
    let answer = "unknown: the bot hears none of its own messages".to_owned();
    (answer, "Look whether the app has the event message.channels, or message.groups for a private channel.")
}

fn client_msg_id(found: &ClientMsgId) -> Row {
    let (answer, meaning) = match found {
        ClientMsgId::OneMessage => {
            ("make one message".to_owned(), "A post that is repeated soon with the same id can't stand there twice.")
        }
        ClientMsgId::TwoMessages => (
            "make two messages".to_owned(),
            "The id counts for nothing: only the key in the metadata tells a repeated post.",
        ),
        ClientMsgId::SecondRefused { error } => {
            (format!("make one message and an error: {error}"), "A post that is repeated soon can't stand there twice.")
        }
        ClientMsgId::Refused { error } => (
            format!("are refused: {error}"),
            "Posts must go without the id: only the key in the metadata tells a repeated one.",
        ),
        ClientMsgId::Unclear { why } => (format!("unknown: {why}"), "Run it again."),
    };
    Row { question: "Two posts with one client_msg_id", answer, meaning }
}

fn lag(found: &Lag) -> Row {
    let late = "A post whose answer was lost may be looked for too early, and then stands there twice.";
    let (answer, meaning) = match found {
        Lag::Measured { samples, median_ms, worst_ms, history_ms, missing_after_ms } => {
            let history = history_ms.map_or_else(|| "never".to_owned(), time);
            let mut answer = format!(
                "is in its thread after {} (median of {samples}), {} at worst; in its channel after {history}",
                time(*median_ms),
                time(*worst_ms)
            );
            if let Some(ms) = missing_after_ms {
                let _infallible = write!(answer, "; one was not there after {}", time(*ms));
            }
            let in_time = *worst_ms <= LOOKED_FOR_AFTER_MS && missing_after_ms.is_none();
            (answer, if in_time { "A post whose answer was lost is found before it is repeated." } else { late })
        }
        Lag::Missing { after_ms } => (format!("was not in its thread within {}", time(*after_ms)), late),
        Lag::Unclear { why } => (format!("unknown: {why}"), "Look whether the app has the scope channels:history."),
    };
    Row { question: "A message that was posted", answer, meaning }
}

fn metadata(found: &Metadata) -> Row {
    let (answer, meaning) = match found {
        Metadata::ReadBack => ("comes with it".to_owned(), "A post whose answer was lost is known again by its key."),
        Metadata::Missing => {
            ("is missing".to_owned(), "A post whose answer was lost can't be known again, and may stand there twice.")
        }
        Metadata::Unclear { why } => (format!("unknown: {why}"), "Run it again."),
    };
    Row { question: "Its metadata", answer, meaning }
}

fn clicks(found: &Clicks) -> Row {
    let (answer, meaning) = match found {
        Clicks::Again { after_ms } => {
            (format!("comes again, after {}", time(*after_ms)), "A press that can't be stored at once is not lost.")
        }
        Clicks::Once { watched_ms } => {
            let answer = format!("did not come again within {}", time(*watched_ms));
            (answer, "A press during a stop is lost: Slack says so to the person, who presses again.")
        }
        Clicks::NotPressed => ("unknown: nobody pressed in time".to_owned(), "Run it again, and press the button."),
        Clicks::Skipped => ("not asked".to_owned(), "Run it again without --no-click."),
    };
    Row { question: "A press that is not acknowledged", answer, meaning }
}

fn time(ms: impl std::borrow::Borrow<u64>) -> String {
    spoken(Duration::from_millis(*ms.borrow()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        Findings {
            redelivery: Redelivery::Again { after_ms: vec![3_000, 63_000, 363_000], attempts: vec![1, 2, 3] },
            offline: Offline::Gone { watched_ms: 270_000 },
            client_msg_id: ClientMsgId::Refused { error: "invalid_arg_name".to_owned() },
            lag: Lag::Measured {
                samples: 10,
                median_ms: 180,
                worst_ms: 950,
                history_ms: Some(200),
                missing_after_ms: None,
            },
            metadata: Metadata::ReadBack,
            clicks: Clicks::Skipped,
            reconnects: 0,
        }
    }

    #[test]
    fn each_answer_stands_beside_its_meaning() {
        let expected = "\
An event that is not acknowledged  comes again, after 3 s, 1 min 3 s, 6 min 3 s
                                   What can't be stored at once is not lost: it comes again.
An event while nobody listens      did not come within 4 min 30 s of the next connection
                                   What is said while Hitchline is down is only found by reading the channel.
Two posts with one client_msg_id   are refused: invalid_arg_name
                                   Posts must go without the id: only the key in the metadata tells a repeated one.
A message that was posted          is in its thread after 180 ms (median of 10), 950 ms at worst; in its channel after 200 ms
                                   A post whose answer was lost is found before it is repeated.
Its metadata                       comes with it
                                   A post whose answer was lost is known again by its key.
A press that is not acknowledged   not asked
                                   Run it again without --no-click.
";
        assert_eq!(table(&findings()), expected);
    }

    #[test]
    fn a_lost_connection_and_a_late_read_are_told() {
        let lag =
            Lag::Measured { samples: 1, median_ms: 3_001, worst_ms: 3_001, history_ms: None, missing_after_ms: None };
        let text = table(&Findings { reconnects: 2, lag, ..findings() });
        assert!(text.contains("in its channel after never"), "{text}");
        assert!(text.contains("may be looked for too early"), "{text}");
        assert!(text.ends_with(
            "The connection was lost 2 time(s) meanwhile: what came in that time was missed. Better run it again.\n"
        ));
    }
}
