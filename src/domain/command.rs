//! Commands: which words they are, and when a message is one.
//!
//! People must never lose a prompt to a command: a bare word is one only when it is the whole message. With arguments it needs
//! `/hitch` or `!`; outside a session also a mention that begins with `new`.

/// What a person wants of us rather than of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say what can be done.
    Help,
    /// Start a session here.
    New(NewArgs),
    /// Say how things stand.
    Status,
    /// End the session.
    End,
    /// Cancel the running turn, nothing else.
    Stop,
}

/// Arguments of `new`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewArgs {
    /// The directory to work in.
    pub dir: Option<String>,
    /// The backend to use.
    pub agent: Option<String>,
    /// The first prompt; empty for none.
    pub text: String,
}

/// One row of the table of commands.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The command's name and its aliases, the name first.
    pub words: &'static [&'static str],
    /// What may follow.
    pub usage: &'static str,
    /// What it does, for `help`.
    pub does: &'static str,
    /// Whether it takes arguments.
    takes_args: bool,
    make: fn(&str) -> Result<Command, Misuse>,
}

/// Every command, with its aliases.
pub const COMMANDS: &[Row] = &[
    Row {
        words: &["help", "?"],
        usage: "",
        does: "says what you can do here",
        takes_args: false,
        make: |_| Ok(Command::Help),
    },
    Row {
        words: &["new", "start", "create"],
        usage: "[--dir PATH] [--agent NAME] [text]",
        does: "starts a session, with a first prompt if you give one",
        takes_args: true,
        make: |args| new_args(args).map(Command::New),
    },
    Row {
        words: &["status", "info"],
        usage: "",
        does: "tells how this conversation's session stands",
        takes_args: false,
        make: |_| Ok(Command::Status),
    },
    Row {
        words: &["end", "close", "quit", "disconnect"],
        usage: "",
        does: "ends this conversation's session for good",
        takes_args: false,
        make: |_| Ok(Command::End),
    },
    Row {
        words: &["stop"],
        usage: "",
        does: "stops the running turn, and nothing else",
        takes_args: false,
        make: |_| Ok(Command::Stop),
    },
];

/// Directives of the echo backend; they are prompts, and none of them is a command.
pub const ECHO_DIRECTIVES: &[&str] = &["stream", "sleep", "tool", "plan", "ask", "long", "markdown", "fail", "vanish"];

/// How a message came, as far as it matters for what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Written in a conversation that has a session, with or without a mention.
    InSession,
    /// A mention or a DM where there is no session yet.
    Outside,
    /// After the slash command.
    Slash,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A command.
    Command(Command),
    /// A command that is used wrongly.
    Misused(Misuse),
    /// Words for the agent.
    Prompt(String),
}

/// How a command was used wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// An option that the command does not have.
    #[error("`{0}` is no option of this command")]
    UnknownOption(String),
    /// An option without its value.
    #[error("`{0}` needs a value")]
    MissingValue(&'static str),
    /// Words after a command that takes none.
    #[error("`{0}` takes nothing after it")]
    TakesNothing(&'static str),
    /// No command has this name.
    #[error("there is no command `{0}`")]
    Unknown(String),
}

/// Reads a message, from which our mention has been taken out.
pub fn read(text: &str, entry: Entry) -> Reading {
    let text = text.trim();
    if text.is_empty() {
        let empty = if entry == Entry::InSession { Command::Status } else { Command::Help };
        return Reading::Command(empty);
    }
    let (head, args) = text.split_once(char::is_whitespace).map_or((text, ""), |(head, args)| (head, args.trim()));
    match (entry, head.strip_prefix('!')) {
        (Entry::Slash, _) => explicit(head.trim_start_matches('!'), args)
            .unwrap_or_else(|| Reading::Misused(Misuse::Unknown(head.to_owned()))),
        // A `!word` that is no command is the agent's.
        (_, Some(word)) => explicit(word, args).unwrap_or_else(|| Reading::Prompt(text.to_owned())),
        (_, None) => bare(text, head, args, entry),
    }
}

fn bare(text: &str, head: &str, args: &str, entry: Entry) -> Reading {
    let row = find(head)
        .filter(|row| args.is_empty() || (entry == Entry::Outside && row.words[0] == "new" && head_is_name(head)));
    row.map_or_else(|| Reading::Prompt(text.to_owned()), |row| apply(row, args))
}

/// Only `new` itself takes arguments bare; "create a parser" and "start the server" are prompts.
fn head_is_name(head: &str) -> bool {
    head.eq_ignore_ascii_case("new")
}

fn explicit(word: &str, args: &str) -> Option<Reading> {
    find(word).map(|row| apply(row, args))
}

fn apply(row: &Row, args: &str) -> Reading {
    if !row.takes_args && !args.is_empty() {
        return Reading::Misused(Misuse::TakesNothing(row.words[0]));
    }
    (row.make)(args).map_or_else(Reading::Misused, Reading::Command)
}

fn find(word: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.words.iter().any(|name| name.eq_ignore_ascii_case(word)))
}

fn new_args(args: &str) -> Result<NewArgs, Misuse> {
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
    Ok(parsed)
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

#[cfg(test)]
mod tests;
