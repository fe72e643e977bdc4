//! The app manifest: what Slack must know about our app, and no more than what we do.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::config::Config;

/// The bot token's scopes, each with what needs it. Whatever stands here can be asked of a stolen token, so nothing is here in advance.
pub const SCOPES: &[(&str, &str)] = &[
    ("app_mentions:read", "app_mention"),
    ("assistant:write", "agent_view: Slack grants it to every app that says it is an agent"),
    ("channels:history", "message.channels, conversations.replies and conversations.history"),
    ("channels:read", "users.conversations: what is read back after a gap"),
    ("chat:write", "chat.*, streams and assistant.threads.setStatus"),
    ("commands", "the slash command"),
    ("files:read", "files.info and downloads: what people attach goes to the agent"),
    ("files:write", "files.getUploadURLExternal and completeUploadExternal"),
    ("groups:history", "message.groups, conversations.replies and conversations.history"),
    ("groups:read", "users.conversations"),
    ("groups:write", "conversations.create, invite and archive: a channel of its own for a session"),
    ("im:history", "message.im, conversations.replies and conversations.history"),
    ("im:read", "users.conversations"),
    ("mpim:history", "message.mpim, conversations.replies and conversations.history"),
    ("mpim:read", "users.conversations"),
    ("reactions:write", "reactions.add and remove: the mark on a message that waits, and the agents' tool `react`"),
    ("users:read", "users.info: the agents' tool `lookup_user`"),
];

/// The events that reach us; all others we would only pass over.
pub const EVENTS: &[&str] =
    &["agent_session_stopped", "app_mention", "message.channels", "message.groups", "message.im", "message.mpim"];

/// What may stand in an address as it is (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The manifest that a configuration needs. With Socket Mode it names no address of ours.
pub fn manifest(config: &Config) -> Value {
    let scopes: Vec<&str> = SCOPES.iter().map(|(scope, _)| *scope).collect();
    json!({
        "_metadata": {"major_version": 2, "minor_version": 1},
        "display_information": {
            "name": "Hitchline",
            "description": "Ties a thread to an agent session",
        },
        "features": features(config),
        "oauth_config": {"scopes": {"bot": scopes}},
        "settings": {
            "event_subscriptions": {"bot_events": EVENTS},
            "interactivity": {"is_enabled": true},
            "org_deploy_enabled": false,
            "socket_mode_enabled": true,
            "token_rotation_enabled": false,
        },
    })
}

fn features(config: &Config) -> Value {
    json!({
        // Without the messages tab nobody could write to us directly.
        "app_home": {"home_tab_enabled": false, "messages_tab_enabled": true, "messages_tab_read_only_enabled": false},
        "bot_user": {"display_name": "hitchline", "always_online": true},
        "agent_view": {"agent_description": "Runs an agent session in each thread"},
        "slash_commands": [{
            "command": config.command,
            "description": "Agent sessions: start, look, stop, end",
            "usage_hint": "new [--dir PATH] [--agent NAME] [text] | connect ID | list | sessions | status | stop | help",
            // Mentions arrive as ids, which is what access is decided by.
            "should_escape": true,
        }],
    })
}

/// A manifest as YAML: every text in double quotes, so that none can be taken for something else.
pub fn yaml(manifest: &Value) -> String {
    let mut out = String::new();
    match manifest {
        Value::Object(fields) => mapping(&mut out, fields, 0),
        other => out.push_str(&scalar(other)),
    }
    out
}

fn mapping(out: &mut String, fields: &Map<String, Value>, depth: usize) {
    for (name, value) in fields {
        let _infallible = write!(out, "{:depth$}{name}:", "");
        nested(out, value, depth);
    }
}

/// What follows a name: a scalar on its line, or more lines two columns further in.
fn nested(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            mapping(out, fields, depth + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for value in items {
                item(out, value, depth + 2);
            }
        }
        value => {
            let _infallible = writeln!(out, " {}", scalar(value));
        }
    }
}

/// An item: its first field stands behind the dash, the others under it.
fn item(out: &mut String, value: &Value, depth: usize) {
    let mut lines = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut lines, fields, depth + 2),
        value => {
            let _infallible = writeln!(lines, "{:1$}{2}", "", depth + 2, scalar(value));
        }
    }
    let _infallible = write!(out, "{:depth$}- {}", "", &lines[depth + 2..]);
}

/// JSON's scalars and empty containers are YAML too, once the characters that YAML counts as line breaks or not printable are escaped.
fn scalar(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        let code = u32::from(c);
        let _infallible = match code {
            0x20..0x7f => write!(out, "{c}"),
            0..0x1_0000 => write!(out, "\\u{code:04X}"),
            _ => write!(out, "\\U{code:08X}"),
        };
    }
    out
}

/// The address that opens Slack's form for a new app with the manifest in it.
pub fn url(manifest: &Value) -> String {
    let text = manifest.to_string();
    format!("https://api.slack.com/apps?new_app=1&manifest_json={}", utf8_percent_encode(&text, ENCODED))
}

#[cfg(test)]
mod tests;
