//! The one place that writes to stdout and stderr.

use std::io::{self, ErrorKind, Write};

use super::{Exit, Failure};
use crate::telemetry;

/// Writes `text` to stdout and ends the line if it has no end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    complete(write_line(&mut io::stdout().lock(), "", text))
}

/// Writes what clap says, which is help, a version or a mistake, in colours where they are wanted.
pub(super) fn print_by_clap(said: &clap::Error) -> Result<(), Failure> {
    complete(said.print().and_then(|()| io::stdout().flush()))
}

/// Writes a line of the daemon's to stdout. The daemon goes on when nobody can read it.
pub(super) fn announce(line: &str) {
    if let Err(failure) = print(line) {
        complain(&failure.message);
    }
}

/// Tells a person how something goes that takes its time, on stderr: stdout is for its result.
pub(super) fn progress(line: &str) {
    let _closed_pipe = write_line(&mut io::stderr().lock(), "", line);
}

/// A reader that went away has read enough. Anything else has lost what was asked for.
fn complete(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Internal, format!("stdout can't be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Tells a person what went wrong, on stderr, each line with our name before it.
pub(super) fn complain(text: &str) {
    // The log comes first. Where nobody reads it, nobody would read this either, and we would wait for ever.
    if !telemetry::flush() {
        return;
    }
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        let _closed_pipe = write_line(&mut stderr, "hitchline: ", line);
    }
}

fn write_line(out: &mut impl Write, start: &str, text: &str) -> io::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{start}{text}{end}")?;
    out.flush()
}
