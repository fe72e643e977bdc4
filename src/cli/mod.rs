//! The command line: what may be asked for, and with which exit code it ends.

mod arguments;
mod audit;
mod check;
mod config;
mod daemon;
mod dlq;
mod healthcheck;
mod manifest;
mod mcp_stdio;
mod output;
mod pages;
mod probe;
mod run;
mod sessions;
mod table;

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use crate::settings::check::check;
use crate::settings::sources::{self, Flags, LoadError, Loaded};
use crate::settings::{Environment, Problem};
use arguments::{Arguments, Command};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// The daemon is not well, or says no (the commands that ask it).
    Unhealthy,
    /// The command line makes no sense.
    Usage,
    /// Something broke that should not.
    Internal,
    /// Another instance owns the state directory, or its disk is full: another time it may work.
    Occupied,
    /// The configuration or the store needs a person.
    Configuration,
    /// Stopped by the third SIGINT.
    Interrupted,
    /// Stopped by the third SIGTERM.
    Terminated,
}

impl Exit {
    /// The number that the caller of the process sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unhealthy => 1,
            Self::Usage => 64,
            Self::Internal => 70,
            Self::Occupied => 75,
            Self::Configuration => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// An end that a person must be told about.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Every problem on a line of its own.
    fn from_problems(problems: &[Problem]) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::new(Exit::Configuration, lines.join("\n"))
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let exit = match &error {
            LoadError::SimulatorWithToken { .. } => Exit::Usage,
            LoadError::Unreadable { .. } | LoadError::Syntax { .. } | LoadError::Merge(_) => Exit::Configuration,
        };
        Self::new(exit, error.to_string())
    }
}

/// Does what the arguments ask for.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and the version come this way too, and go to stdout.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return told(output::print_by_clap(&error).map(|()| exit));
        }
    };
    told(dispatch(arguments.command, &environment).await)
}

/// Tells a person of a failure.
fn told(ended: Result<Exit, Failure>) -> Exit {
    ended.unwrap_or_else(|failure| {
        output::complain(&failure.message);
        failure.exit
    })
}

/// Says that not even the runtime started.
pub fn cannot_start(error: &std::io::Error) -> Exit {
    output::complain(&format!("the system gives no threads: {error}"));
    Exit::Internal
}

async fn dispatch(command: Command, environment: &Environment) -> Result<Exit, Failure> {
    match command {
        Command::Run(arguments) => run::daemon(&arguments, environment).await,
        Command::Simulator(arguments) => run::simulator(&arguments).await,
        Command::Check(arguments) => check::check(&arguments, environment),
        Command::Manifest(arguments) => manifest::manifest(&arguments, environment),
        Command::Healthcheck(arguments) => healthcheck::healthcheck(&arguments, environment).await,
        Command::Status(arguments) => sessions::status(&arguments, environment).await,
        Command::Sessions(arguments) => sessions::sessions(&arguments.what, environment).await,
        Command::Audit(arguments) => audit::audit(&arguments.what, environment).await,
        Command::Dlq(arguments) => dlq::dlq(&arguments.what, environment).await,
        Command::McpStdio => mcp_stdio::mcp_stdio(environment).await,
        Command::Probe(arguments) => probe::probe(&arguments, environment).await,
        Command::Config(arguments) => config::config(&arguments.what, environment),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man => pages::man(),
    }
}

/// Reads the settings for a daemon, and every problem with them.
fn load_and_check(flags: &Flags, environment: &Environment) -> Result<Loaded, Failure> {
    let mut loaded = sources::load(flags, environment)?;
    if loaded.file.is_none() && !flags.simulator {
        return Err(Failure::new(Exit::Configuration, nothing_found(environment)));
    }
    loaded.read_secrets();
    check(&loaded.settings, flags.simulator, environment, &mut loaded.findings);
    Ok(loaded)
}

/// What to write, and where, when there is no configuration at all.
fn nothing_found(environment: &Environment) -> String {
    let places = sources::usual_places(environment);
    let shown: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    let first = shown.first().cloned().unwrap_or_default();
    let folder = places.first().and_then(|path| path.parent()).unwrap_or(Path::new(".")).display();
    format!(
        "no configuration: there is no {}. Write one with `mkdir -p {folder} && hitchline config default > {first}`, and into it \
         the two tokens and who may prompt; or try things out with `hitchline run --simulator`, which needs none.",
        shown.join(" and no ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_the_documented_ones() {
        let codes = [Exit::Done, Exit::Unhealthy, Exit::Usage, Exit::Internal, Exit::Occupied, Exit::Configuration];
        assert_eq!(codes.map(Exit::code), [0, 1, 64, 70, 75, 78]);
        assert_eq!([Exit::Interrupted, Exit::Terminated].map(Exit::code), [130, 143]);
    }

    #[test]
    fn the_arguments_are_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
