//! What the echo agent does for a prompt, decided from its text alone.

use std::fmt::Write as _;
use std::time::Duration;

use crate::backend::Outcome;
use crate::backend::error::BackendError;
use crate::domain::agent::{AgentEvent, Attachment, OptionKind, PermissionOption, PlanEntry, Progress, ToolCall};

/// The pause between two chunks of `!stream`.
const CHUNK_PAUSE: Duration = Duration::from_millis(50);
/// The most chunks of `!stream`.
const MOST_CHUNKS: u64 = 10_000;
/// The most characters of `!long`.
const MOST_CHARACTERS: usize = 1_000_000;
/// The longest `!sleep`, in seconds.
const LONGEST_SLEEP: u64 = 24 * 60 * 60;

/// All that a turn does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// One after the other.
    pub(super) steps: Vec<Step>,
    /// How the turn ends, unless it is cancelled.
    pub(super) end: Outcome,
    /// What becomes of the session then.
    pub(super) then: Then,
}

/// One thing that a turn does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Says or does something.
    Do(AgentEvent),
    /// Lets time pass.
    Wait(Duration),
    /// Asks for a decision and answers with it.
    Ask,
}

/// What becomes of the session after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It takes the next prompt.
    Stays,
    /// Its process is gone; it can be restored.
    Crashes,
    /// It is gone for good, and nobody is told.
    Vanishes,
}

impl Script {
    /// Reads a prompt. One that names no directive is answered with itself, one that misuses it with how it is used.
    pub(super) fn of(prompt: &str) -> Self {
        let (word, rest) = prompt.trim().split_once(char::is_whitespace).unwrap_or((prompt.trim(), ""));
        directive(word, rest.trim()).unwrap_or_else(|| Self::saying(prompt.to_owned()))
    }

    /// Whether it needs neither time nor a person.
    pub(super) fn is_immediate(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Do(_)))
    }

    /// The same after a plan, which is ticked off line by line.
    pub(super) fn planned(mut self) -> Self {
        self.steps.splice(0..0, plan());
        self
    }

    /// The same, and at last the names of the files that came along.
    pub(super) fn naming(mut self, files: &[Attachment]) -> Self {
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        if !names.is_empty() {
            self.steps.push(say(format!("\n\nFiles: {}", names.join(", "))));
        }
        self
    }

    fn saying(answer: String) -> Self {
        Self::doing(vec![say(answer)])
    }

    fn doing(steps: Vec<Step>) -> Self {
        Self { steps, end: Outcome::Completed, then: Then::Stays }
    }

    fn failing(error: BackendError, then: Then) -> Self {
        Self { steps: Vec::new(), end: Outcome::Failed(error), then }
    }
}

fn directive(word: &str, rest: &str) -> Option<Script> {
    // What follows an argument is ignored, but a tool's name may be of several words.
    let argument = rest.split_whitespace().next().unwrap_or_default();
    let (script, usage) = match word {
        "!stream" => (argument.parse().ok().map(stream), "!stream N` (N chunks, 50 ms apart)"),
        "!sleep" => (argument.parse().ok().map(sleep), "!sleep S` (answers after S seconds)"),
        "!tool" => ((!rest.is_empty()).then(|| tool(rest)), "!tool NAME` (calls a tool, then answers)"),
        "!long" => (argument.parse().ok().map(long), "!long N` (N characters of Markdown)"),
        "/reverse" => ((!rest.is_empty()).then(|| reverse(rest)), "/reverse TEXT` (answers with the text backwards)"),
        "!fail" => (failure(argument), "!fail KIND` (`transient`, `auth` or `crash`)"),
        _ => return without_argument(word),
    };
    Some(script.unwrap_or_else(|| Script::saying(format!("Write `{usage}."))))
}

fn without_argument(word: &str) -> Option<Script> {
    match word {
        "!plan" => Some(Script::saying("did all of the plan".to_owned()).planned()),
        "!ask" => Some(Script::doing(vec![Step::Ask])),
        "!markdown" => Some(Script::saying(MARKDOWN.to_owned())),
        "!vanish" => Some(Script { then: Then::Vanishes, ..Script::saying("This session is gone now.".to_owned()) }),
        _ => None,
    }
}

pub(super) fn say(delta: String) -> Step {
    Step::Do(AgentEvent::Text { message: None, delta })
}

fn stream(chunks: u64) -> Script {
    let chunk = |n| [Step::Wait(CHUNK_PAUSE), say(format!("{n} "))];
    // The first chunk comes at once.
    Script::doing((1..=chunks.min(MOST_CHUNKS)).flat_map(chunk).skip(1).collect())
}

fn sleep(seconds: u64) -> Script {
    let seconds = seconds.min(LONGEST_SLEEP);
    Script::doing(vec![Step::Wait(Duration::from_secs(seconds)), say(format!("slept {seconds} s"))])
}

fn tool(name: &str) -> Script {
    let call = |title: Option<&str>, status| {
        Step::Do(AgentEvent::Tool(ToolCall {
            id: "call-1".to_owned(),
            title: title.map(ToOwned::to_owned),
            status: Some(status),
        }))
    };
    let answer = say(format!("used {name}"));
    Script::doing(vec![call(Some(name), Progress::Running), call(None, Progress::Done), answer])
}

fn reverse(text: &str) -> Script {
    Script::saying(text.chars().rev().collect())
}

fn plan() -> [Step; 3] {
    let lines = ["Read the message", "Repeat it"];
    let plan = |done: usize| {
        let entry = |(n, text): (usize, &&str)| PlanEntry {
            text: (*text).to_owned(),
            status: if n < done { Progress::Done } else { Progress::Pending },
        };
        Step::Do(AgentEvent::Plan(lines.iter().enumerate().map(entry).collect()))
    };
    [plan(0), plan(1), plan(2)]
}

fn failure(kind: &str) -> Option<Script> {
    let script = match kind {
        "transient" => Script::failing(BackendError::Transient("asked to fail for now".to_owned()), Then::Stays),
        "auth" => Script::failing(BackendError::Auth("asked to say so; nothing needs doing".to_owned()), Then::Stays),
        "crash" => Script::failing(crash(), Then::Crashes),
        _ => return None,
    };
    Some(script)
}

/// What is said of a session that was asked to crash.
pub(super) fn crash() -> BackendError {
    BackendError::Crashed { exit: "exit code 1".to_owned(), stderr: "asked to crash".to_owned() }
}

/// The options of `!ask`.
pub(super) fn options() -> Vec<PermissionOption> {
    let option = |id: &str, label: &str, kind| PermissionOption { id: id.to_owned(), label: label.to_owned(), kind };
    vec![
        option("once", "Allow once", OptionKind::AllowOnce),
        option("always", "Allow always", OptionKind::AllowAlways),
        option("no", "Reject", OptionKind::RejectOnce),
    ]
}

/// Answers with `length` characters.
fn long(length: usize) -> Script {
    Script::saying(paragraphs(length.min(MOST_CHARACTERS)))
}

/// Exactly `length` characters of Markdown, in paragraphs that can be told apart.
fn paragraphs(length: usize) -> String {
    let mut text = String::with_capacity(length + 100);
    for n in 1_u32.. {
        if text.len() >= length {
            break;
        }
        // Writing to a string can't fail.
        let _ = write!(text, "**Paragraph {n}.** It says nothing, at some length, and then it ends.\n\n");
    }
    text.truncate(length);
    text
}

const MARKDOWN: &str = r#"# A heading

Some *emphasis*, some **weight**, some `code`, and a [link](https://example.com/).

## A list

1. first
2. second
   - within it

## A table

| what | how many |
|------|---------:|
| apples | 3 |
| pears | 12 |

## Code

```rust
fn main() {
    println!("1 < 2 && 3 > 2");
}
```

> A quotation.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &Script) -> String {
        let text = |step: &Step| match step {
            Step::Do(AgentEvent::Text { delta, .. }) => Some(delta.clone()),
            _ => None,
        };
        script.steps.iter().filter_map(text).collect()
    }

    #[test]
    fn a_directive_says_its_own_text_and_anything_else_is_repeated() {
        let cases = [
            ("hello there", "hello there"),
            ("hello !plan", "hello !plan"),
            ("!unknown", "!unknown"),
            ("!stream x", "Write `!stream N` (N chunks, 50 ms apart)."),
            ("!sleep", "Write `!sleep S` (answers after S seconds)."),
            ("!long -1", "Write `!long N` (N characters of Markdown)."),
            ("!fail", "Write `!fail KIND` (`transient`, `auth` or `crash`)."),
            ("!fail otherwise", "Write `!fail KIND` (`transient`, `auth` or `crash`)."),
            ("!tool", "Write `!tool NAME` (calls a tool, then answers)."),
            ("!stream 3", "1 2 3 "),
            ("!stream 3 please", "1 2 3 "),
            ("!fail crash please", ""),
            ("!plan it well", "did all of the plan"),
            ("!sleep 2", "slept 2 s"),
            (" !tool\n grep -r x ", "used grep -r x"),
            ("/reverse abc", "cba"),
            ("/reverse", "Write `/reverse TEXT` (answers with the text backwards)."),
            ("!plan", "did all of the plan"),
        ];
        for (prompt, expected) in cases {
            assert_eq!(said(&Script::of(prompt)), expected, "{prompt:?}");
        }
    }

    #[test]
    fn a_long_answer_is_as_long_as_asked() {
        for length in [0, 1, 69, 5_000] {
            assert_eq!(said(&Script::of(&format!("!long {length}"))).chars().count(), length);
        }
        assert_eq!(said(&Script::of("!long 99999999999")).len(), MOST_CHARACTERS);
    }

    #[test]
    fn chunks_are_a_pause_apart() {
        let steps = Script::of("!stream 3").steps;
        let pauses = steps.iter().filter(|step| **step == Step::Wait(CHUNK_PAUSE)).count();
        assert_eq!((pauses, steps.len()), (2, 5));
    }

    #[test]
    fn only_what_takes_time_or_a_person_is_not_immediate() {
        for prompt in ["hi", "!tool x", "!plan", "!long 9", "!markdown", "!fail crash", "!vanish"] {
            assert!(Script::of(prompt).is_immediate(), "{prompt}");
        }
        for prompt in ["!stream 2", "!sleep 1", "!ask"] {
            assert!(!Script::of(prompt).is_immediate(), "{prompt}");
        }
    }
}
