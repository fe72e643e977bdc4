//! `hitchline config`.

use super::arguments::ConfigWhat;
use super::{Exit, Failure, output};
use crate::settings::{DEFAULT_FILE, Environment, Settings, show, sources};

/// Shows a configuration, or what one looks like.
pub(super) fn config(what: &ConfigWhat, environment: &Environment) -> Result<Exit, Failure> {
    let internal = |error: &dyn std::error::Error| Failure::new(Exit::Internal, error.to_string());
    let text = match what {
        ConfigWhat::Default => DEFAULT_FILE.to_owned(),
        ConfigWhat::Schema => serde_json::to_string_pretty(&Settings::schema()).map_err(|error| internal(&error))?,
        ConfigWhat::Show(source) => {
            let loaded = sources::load(&source.flags(), environment)?;
            if !loaded.findings.is_ok() {
                return Err(Failure::from_problems(&loaded.findings.problems));
            }
            show::to_toml(&loaded.settings).map_err(|error| internal(&error))?
        }
    };
    output::print(&text)?;
    Ok(Exit::Done)
}
