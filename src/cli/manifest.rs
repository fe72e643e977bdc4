//! `hitchline manifest`.

use super::arguments::{Manifest, ManifestFormat};
use super::{Exit, Failure, output};
use crate::settings::{Environment, sources};
use crate::slack::manifest;

/// Writes the manifest of the Slack app that the configuration needs. It is asked for before there is an app, and so before there
/// are tokens or a file.
pub(super) fn manifest(arguments: &Manifest, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = sources::load(&arguments.file.flags(), environment)?;
    if !loaded.findings.is_ok() {
        return Err(Failure::from_problems(&loaded.findings.problems));
    }
    let manifest = manifest::manifest(&loaded.settings.slack);
    output::print(&match arguments.format {
        ManifestFormat::Json => format!("{manifest:#}"),
        ManifestFormat::Yaml => manifest::yaml(&manifest),
        ManifestFormat::Url => manifest::url(&manifest),
    })?;
    Ok(Exit::Done)
}
