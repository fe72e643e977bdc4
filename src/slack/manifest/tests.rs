use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::*;

fn default() -> Value {
    manifest(&Config::default())
}

/// The manifest that lies in the repository is the one that the command writes; a change of scopes must show in a diff.
#[test]
fn the_manifest_in_the_repository_is_the_default_one() {
    assert_eq!(yaml(&default()), include_str!("../../../deploy/slack-manifest.yaml"));
}

// holds: T30
#[test]
fn every_scope_serves_something_and_every_event_has_its_scope() {
    let scopes: BTreeSet<&str> = SCOPES.iter().map(|(scope, _)| *scope).collect();
    assert_eq!(scopes.len(), SCOPES.len(), "no scope twice");
    assert!(SCOPES.iter().all(|(_, needed_by)| !needed_by.is_empty()));
    for event in EVENTS {
        let needs = match event.strip_prefix("message.") {
            Some(kind) => format!("{kind}:history"),
            None if *event == "app_mention" => "app_mentions:read".to_owned(),
            None => "chat:write".to_owned(),
        };
        assert!(scopes.contains(needs.as_str()), "{event} needs {needs}");
    }
}

#[test]
fn the_manifest_stays_within_slacks_limits() {
    let manifest = default();
    let length = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap().chars().count();
    for (pointer, limit) in [
        ("/display_information/name", 35),
        ("/display_information/description", 140),
        ("/features/bot_user/display_name", 80),
        ("/features/agent_view/agent_description", 300),
        ("/features/slash_commands/0/command", 32),
        ("/features/slash_commands/0/description", 2_000),
        ("/features/slash_commands/0/usage_hint", 1_000),
    ] {
        assert!((1..=limit).contains(&length(pointer)), "{pointer}");
    }
    assert!(url(&manifest).len() < 8_000, "an address that browsers and proxies take");
}

#[test]
fn with_socket_mode_no_address_of_ours_is_named() {
    let manifest = default();
    assert_eq!(manifest["settings"]["socket_mode_enabled"], true);
    assert_eq!(manifest["settings"]["interactivity"], json!({"is_enabled": true}));
    assert!(!manifest.to_string().contains("url"), "{manifest}");
}

#[test]
fn the_slash_command_is_the_configured_one() {
    let config = Config { command: "/ask".to_owned(), ..Config::default() };
    assert_eq!(manifest(&config)["features"]["slash_commands"][0]["command"], "/ask");
}

#[test]
fn no_text_is_taken_for_anything_else_in_yaml() {
    let value = json!({"a": ["yes", "1", "# no", "x: y", "\"\\", "a\u{85}b\u{2028}c\nd", "é😀", ""],
        "b": {}, "c": [], "d": {"e": 1, "f": null, "g": [{"h": true, "i": [[]]}]}});
    let expected = r##"a:
  - "yes"
  - "1"
  - "# no"
  - "x: y"
  - "\"\\"
  - "a\u0085b\u2028c\nd"
  - "\u00E9\U0001F600"
  - ""
b: {}
c: []
d:
  e: 1
  f: null
  g:
    - h: true
      i:
        - []
"##;
    assert_eq!(yaml(&value), expected);
    assert_eq!(yaml(&json!("x")), "\"x\"");
}

#[test]
fn the_address_carries_the_whole_manifest_strictly_encoded() {
    let mut manifest = default();
    manifest["display_information"]["name"] = json!("a b+c&d=é#%");
    let url = url(&manifest);
    let (start, encoded) = url.split_once("manifest_json=").unwrap();
    assert_eq!(start, "https://api.slack.com/apps?new_app=1&");
    let strict = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
    assert!(encoded.chars().all(strict), "{encoded}");
    assert!(encoded.contains("a%20b%2Bc%26d%3D%C3%A9%23%25"), "{encoded}");
    let decoded = percent_decode_str(encoded).decode_utf8().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&decoded).unwrap(), manifest);
}
