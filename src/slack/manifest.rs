//! The app manifest.

use serde_json::{Value, json};

use super::config::Config;

/// The manifest that a configuration needs.
pub fn manifest(config: &Config) -> Value {
    json!({
        "display_information": { "name": "Hitchline" },
        "features": { "slash_commands": [{ "command": config.command, "description": "Hitchline" }] },
        "settings": { "socket_mode_enabled": true },
    })
}

/// A manifest as YAML, of which JSON is a part.
pub fn yaml(manifest: &Value) -> String {
    manifest.to_string()
}

/// The address that creates an app from a manifest.
pub fn url(manifest: &Value) -> String {
    let text = manifest.to_string();
    let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
    format!("https://api.slack.com/apps?new_app=1&manifest_json={encoded}")
}
