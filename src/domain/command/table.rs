//! The one table of commands, their aliases, and the directives of the echo backend.

use super::args::{connect, discover, new, optional, remember, stop};
use super::{Command, Misuse, Reading};
use crate::domain::agent::OptionCategory;

/// One row of the table of commands.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The command's name and its aliases, the name first.
    pub words: &'static [&'static str],
    /// What may follow; empty when nothing does.
    pub usage: &'static str,
    /// What it does, for `help`.
    pub does: &'static str,
    /// Whether its name, outside a session, may be followed by arguments without any mark.
    pub(super) bare_outside: bool,
    make: fn(&str) -> Result<Command, Misuse>,
}

impl Row {
    const fn new(
        words: &'static [&'static str],
        usage: &'static str,
        does: &'static str,
        make: fn(&str) -> Result<Command, Misuse>,
    ) -> Self {
        Self { words, usage, does, bare_outside: false, make }
    }

    const fn also_bare(self) -> Self {
        Self { bare_outside: true, ..self }
    }

    /// The command with these arguments.
    pub(super) fn read(&self, args: &str) -> Reading {
        if self.usage.is_empty() && !args.is_empty() {
            return Reading::Misused(Misuse::TakesNothing(self.words[0]));
        }
        (self.make)(args).map_or_else(Reading::Misused, Reading::Command)
    }
}

/// Every command, with its aliases.
pub const COMMANDS: &[Row] = &[
    Row::new(&["help", "?"], "", "says what you can do here", |_| Ok(Command::Help)),
    Row::new(
        &["new", "start", "create"],
        "[--dir PATH] [--agent NAME] [text]",
        "starts a session, with a first prompt if you give one",
        new,
    )
    .also_bare(),
    Row::new(&["status", "info"], "", "tells how this conversation's session stands", |_| Ok(Command::Status)),
    Row::new(&["stop"], "[all]", "stops the running turn; with `all` also drops the messages that wait", stop),
    Row::new(&["end", "close", "quit", "disconnect"], "", "ends this conversation's session for good", |_| {
        Ok(Command::End)
    }),
    Row::new(&["list", "ls"], "", "lists your sessions in this channel", |_| Ok(Command::List)).also_bare(),
    Row::new(&["sessions"], "", "lists your sessions everywhere; for an admin, everybody's", |_| Ok(Command::Sessions)),
    Row::new(&["work-status"], "", "tells what your sessions are doing", |_| Ok(Command::WorkStatus)),
    Row::new(
        &["connect", "attach", "join"],
        "ID",
        "lets a session of yours go on here; the first characters of its id are enough",
        connect,
    )
    .also_bare(),
    Row::new(&["breakout"], "[NAME]", "gives this thread's session a private channel of its own", |args| {
        Ok(Command::Breakout(optional(args)))
    }),
    Row::new(&["discover"], "[N]", "lists the newest sessions that the agent itself knows", discover),
    Row::new(&["projects"], "", "lists the directories that have sessions", |_| Ok(Command::Projects)),
    Row::new(&["model"], "[VALUE]", "shows the agent's models, or chooses one", |args| {
        Ok(Command::Choose(OptionCategory::Model, optional(args)))
    }),
    Row::new(&["mode"], "[VALUE]", "shows the agent's ways of working, or chooses one", |args| {
        Ok(Command::Choose(OptionCategory::Mode, optional(args)))
    }),
    Row::new(&["config"], "", "shows the settings of this conversation", |_| Ok(Command::Config)),
    Row::new(&["remember"], "TEXT", "writes a note into this workspace's notebook", remember),
    Row::new(&["recall"], "[WORDS]", "finds notes by their words", |args| Ok(Command::Recall(args.to_owned()))),
];

/// Directives of the echo backend; they are prompts, and none of them is a command.
pub const ECHO_DIRECTIVES: &[&str] = &["stream", "sleep", "tool", "plan", "ask", "long", "markdown", "fail", "vanish"];

pub(super) fn find(word: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.words.iter().any(|name| name.eq_ignore_ascii_case(word)))
}
