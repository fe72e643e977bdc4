//! What may follow a command's name.

use super::{Command, Misuse, NewArgs};

/// How many of an agent's sessions are shown when no number is given, and at the most.
const DISCOVER: (usize, usize) = (10, 45);
/// How long a note may be, in characters.
const NOTE: usize = 1_000;

/// The arguments of `new`.
pub(super) fn new(args: &str) -> Result<Command, Misuse> {
    let mut parsed = NewArgs::default();
    let mut rest = args;
    while let Some(option) = option(rest) {
        let end = option.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(option.len());
        let (name, tail) = option.split_at(end);
        let (slot, name) = match name {
            "dir" => (&mut parsed.dir, "--dir"),
            "agent" => (&mut parsed.agent, "--agent"),
            _ => return Err(Misuse::UnknownOption(format!("--{name}"))),
        };
        let (value, tail) = value(tail.strip_prefix('=').unwrap_or(tail)).ok_or(Misuse::MissingValue(name))?;
        *slot = Some(value.to_owned());
        rest = tail;
    }
    rest.clone_into(&mut parsed.text);
    Ok(Command::New(parsed))
}

/// What follows the mark of an option. Where people type, two hyphens may have become a dash.
fn option(text: &str) -> Option<&str> {
    let option = text.strip_prefix("--").or_else(|| text.strip_prefix(['—', '–']))?;
    option.starts_with(char::is_alphabetic).then_some(option)
}

/// A word, or what stands in quotes, straight or curly; and what comes after it.
fn value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let quoted = |open: &[char], close: &[char]| text.strip_prefix(open)?.split_once(close);
    let (value, rest) = quoted(&['"', '“', '„'], &['"', '”', '“'])
        .or_else(|| quoted(&['\'', '‘'], &['\'', '’']))
        .or_else(|| text.split_once(char::is_whitespace))
        .unwrap_or((text, ""));
    (!value.is_empty()).then(|| (value, rest.trim_start()))
}

/// The one id of `connect`. Ids are shown as code, and may be copied with its marks.
pub(super) fn connect(args: &str) -> Result<Command, Misuse> {
    let id = args.trim_matches('`');
    if id.is_empty() || id.contains(char::is_whitespace) {
        return Err(Misuse::Takes { command: "connect", takes: "the id of one session; `list` shows yours" });
    }
    Ok(Command::Connect(id.to_owned()))
}

/// `stop`, or `stop all`.
pub(super) fn stop(args: &str) -> Result<Command, Misuse> {
    match args.to_lowercase().as_str() {
        "" => Ok(Command::Stop { waiting_too: false }),
        "all" => Ok(Command::Stop { waiting_too: true }),
        _ => Err(Misuse::Takes { command: "stop", takes: "nothing, or `all`" }),
    }
}

/// The number of `discover`.
pub(super) fn discover(args: &str) -> Result<Command, Misuse> {
    let (usual, most) = DISCOVER;
    let count = if args.is_empty() { Some(usual) } else { args.parse().ok().filter(|count| *count > 0) };
    let count = count.ok_or(Misuse::Takes { command: "discover", takes: "nothing, or how many, from 1 to 45" })?;
    Ok(Command::Discover(count.min(most)))
}

/// The note of `remember`.
pub(super) fn remember(args: &str) -> Result<Command, Misuse> {
    if args.is_empty() || args.chars().count() > NOTE {
        return Err(Misuse::Takes { command: "remember", takes: "a note of at most 1000 characters" });
    }
    Ok(Command::Remember(args.to_owned()))
}

/// Something that may be left out.
pub(super) fn optional(args: &str) -> Option<String> {
    (!args.is_empty()).then(|| args.to_owned())
}
