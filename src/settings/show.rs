//! The effective configuration as TOML, with every secret hidden.

use super::Settings;
use crate::backend::config::Config;
use crate::secret::redact;

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

/// Writes the settings as TOML. Secrets that are set are shown as hidden, and so are the agents' own variables, among which there
/// mostly is an API key.
///
/// # Errors
/// When a setting can't be written as TOML.
pub fn to_toml(settings: &Settings) -> Result<String, toml::ser::Error> {
    let mut table = toml::Table::try_from(settings)?;
    let secrets = [
        ("slack", "bot_token", settings.slack.bot_token.is_some()),
        ("slack", "app_token", settings.slack.app_token.is_some()),
        ("http", "token", settings.http.token.is_some()),
    ];
    for (section, key, is_set) in secrets {
        if let Some(toml::Value::Table(section)) = table.get_mut(section).filter(|_| is_set) {
            section.insert(key.to_owned(), HIDDEN.into());
        }
    }
    let backends = table.get_mut("backends").and_then(toml::Value::as_table_mut);
    for (name, backend) in backends.into_iter().flatten() {
        let secret = settings.backends.get(name).and_then(Config::secret);
        if let (Some((key, Some(_), _)), Some(backend)) = (secret, backend.as_table_mut()) {
            backend.insert(key.to_owned(), HIDDEN.into());
        }
        let variables = backend.get_mut("env").and_then(toml::Value::as_table_mut);
        variables.into_iter().flatten().for_each(|(_, value)| *value = HIDDEN.into());
    }
    // A proxy's ticket in a URL, or a token where none belongs.
    Ok(redact(&toml::to_string(&table)?))
}
