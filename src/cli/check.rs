//! `hitchline check`.

use super::arguments::Source;
use super::{Exit, Failure, load_and_check, output};
use crate::settings::Environment;

/// Reports every problem of the configuration at once.
pub(super) fn check(arguments: &Source, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = load_and_check(&arguments.flags(), environment)?;
    for warning in &loaded.findings.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    if !loaded.findings.is_ok() {
        return Err(Failure::from_problems(&loaded.findings.problems));
    }
    let what = loaded.file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
    output::print(&format!("{what} is good"))?;
    Ok(Exit::Done)
}
