//! The one place that writes to stdout and stderr.

use std::io::Write;

/// Writes `text` to stdout and ends the line if it has no end. A reader that went away is no failure of ours.
pub(super) fn print(text: &str) {
    let _closed_pipe = write_line(&mut std::io::stdout().lock(), "", text);
}

/// Tells a person what went wrong, on stderr, each line with our name before it.
pub(super) fn complain(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        let _closed_pipe = write_line(&mut stderr, "hitchline: ", line);
    }
}

fn write_line(out: &mut impl Write, start: &str, text: &str) -> std::io::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{start}{text}{end}")?;
    out.flush()
}
