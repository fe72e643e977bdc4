//! Commands: which words they are, and when a message is one.
//!
//! People must never lose a prompt to a command: a bare word is one only when it is the whole message. With arguments it needs
//! `/hitch` or `!`; outside a session also a message that begins with `new`, `connect` or `list`, as long as what follows is something that
//! the command takes.

mod args;
mod table;

use super::agent::{AgentCommand, OptionCategory};

pub use table::{COMMANDS, ECHO_DIRECTIVES, Row};

use table::find;

/// What a person wants of us rather than of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say what can be done.
    Help,
    /// Start a session here.
    New(NewArgs),
    /// Show the person's own sessions in this channel.
    List,
    /// Show all sessions that the person may see.
    Sessions,
    /// Show the directories that have sessions.
    Projects,
    /// Bring a session here: the beginning of our id, or the agent's own name for it.
    Connect(String),
    /// Say how things stand.
    Status,
    /// End the session.
    End,
    /// Cancel the running turn.
    Stop {
        /// Whether what waits behind it is dropped too.
        waiting_too: bool,
    },
    /// Give the session a channel of its own, under this name if one is given.
    Breakout(Option<String>),
    /// Show the newest sessions that the agent itself knows, so many.
    Discover(usize),
    /// Show the settings of this conversation.
    Config,
    /// Write something into the workspace's notebook.
    Remember(String),
    /// Show the notes in which these words occur; the newest, when there are none.
    Recall(String),
    /// Show the person's own sessions and what they do.
    WorkStatus,
    /// Show what the agent lets people choose of this kind, or choose a value.
    Choose(OptionCategory, Option<String>),
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

/// How a message came, as far as it matters for what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Written in a conversation that has a session, with or without a mention.
    InSession,
    /// A mention where there is no session yet.
    Outside,
    /// A message without a mention where there is no session yet.
    Unmentioned,
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
    /// Something else after a command than it takes.
    #[error("after `{command}` comes {takes}")]
    Takes {
        /// The command.
        command: &'static str,
        /// What it takes, in words.
        takes: &'static str,
    },
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
    let (head, args) = split(text);
    match (entry, head.strip_prefix('!')) {
        (Entry::Slash, _) => explicit(head.trim_start_matches('!'), args)
            .unwrap_or_else(|| Reading::Misused(Misuse::Unknown(head.to_owned()))),
        // A `!word` that is no command is the agent's.
        (_, Some(word)) => explicit(word, args).unwrap_or_else(|| Reading::Prompt(text.to_owned())),
        (_, None) => bare(text, head, args, entry),
    }
}

/// A prompt as its agent understands it, when it is one of the agent's own commands with our mark: `!compact now` is `/compact now`.
pub fn for_agent(text: &str, commands: &[AgentCommand]) -> Option<String> {
    let (head, _) = split(text.trim_start());
    let word = head.strip_prefix('!')?;
    let command = commands.iter().find(|command| command.name == word)?;
    let args = &text.trim_start()[head.len()..];
    Some(format!("/{}{args}", command.name))
}

/// The first word, and what comes after it.
fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(head, args)| (head, args.trim()))
}

fn bare(text: &str, head: &str, args: &str, entry: Entry) -> Reading {
    let prompt = || Reading::Prompt(text.to_owned());
    let Some(row) = find(head) else { return prompt() };
    if args.is_empty() {
        return row.read(args);
    }
    // Only the name itself: "create a parser" and "join both tables" are prompts.
    if entry != Entry::Outside || !row.bare_outside || !head.eq_ignore_ascii_case(row.words[0]) {
        return prompt();
    }
    match row.read(args) {
        // So are "list the open issues" and "connect the two modules".
        Reading::Misused(Misuse::TakesNothing(_) | Misuse::Takes { .. }) => prompt(),
        reading => reading,
    }
}

fn explicit(word: &str, args: &str) -> Option<Reading> {
    find(word).map(|row| row.read(args))
}

#[cfg(test)]
mod tests;
