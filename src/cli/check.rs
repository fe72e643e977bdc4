//! `hitchline check`.

use super::arguments::ConfigFile;
use super::{Exit, Failure, load_and_check, output};
use crate::settings::Environment;

/// Reports every problem of the configuration at once.
pub(super) fn check(arguments: &ConfigFile, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = load_and_check(&arguments.flags(), environment)?;
    for warning in &loaded.findings.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    if !loaded.findings.is_ok() {
        return Err(Failure::from_problems(&loaded.findings.problems));
    }
    let file = loaded.file.unwrap_or_default();
    output::print(&format!("{} is good", file.display()));
    Ok(Exit::Done)
}
