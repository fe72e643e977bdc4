//! Secrets and their `_file` twins, which are one setting: the higher layer wins, and both in one layer is an error.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

use super::layer::{Layer, Table};
use super::{Findings, Settings};
use crate::secret::{ExposeSecret, SecretString};

/// The secrets: section, key, and the key of the twin.
const SECRETS: [(&str, &str, &str); 3] = [
    ("slack", "bot_token", "bot_token_file"),
    ("slack", "app_token", "app_token_file"),
    ("http", "token", "token_file"),
];

/// The secrets of a backend, whatever its kind: key, and the key of the twin.
const BACKEND_SECRETS: [(&str, &str); 2] = [("api_key", "api_key_file"), ("password", "password_file")];

/// Leaves only the highest layer's form of each secret in the layers, lowest first.
pub(super) fn settle_twins(layers: &mut [Layer], findings: &mut Findings) {
    for (section, key, twin) in SECRETS {
        settle(layers, &[section], (key, twin), findings);
    }
    let mut names: Vec<String> = Vec::new();
    for layer in layers.iter_mut() {
        names.extend(section_mut(&mut layer.0, "backends").into_iter().flat_map(|backends| backends.keys().cloned()));
    }
    names.sort();
    names.dedup();
    for name in names {
        for pair in BACKEND_SECRETS {
            settle(layers, &["backends", &name], pair, findings);
        }
    }
}

/// The same for one secret, in the table at `path`.
fn settle(layers: &mut [Layer], path: &[&str], (key, twin): (&str, &str), findings: &mut Findings) {
    let section = path.join(".");
    let mut set_above = false;
    for layer in layers.iter_mut().rev() {
        let table = path.iter().try_fold(&mut layer.0, |table, name| section_mut(table, name));
        let Some(table) = table else { continue };
        if let (Some(value), true) = (table.get(key), table.contains_key(twin)) {
            let place = value.origin().unwrap_or("one place").to_owned();
            findings.problem(
                format!("{section}.{key}"),
                format!("stands beside {section}.{twin} (in {place}); keep one of the two"),
            );
            table.remove(twin);
        }
        if set_above {
            table.remove(key);
            table.remove(twin);
        }
        set_above |= table.contains_key(key) || table.contains_key(twin);
    }
}

/// The first secret that Slack gave out, with where it was set; the simulator needs none.
pub(super) fn first_slack_secret(values: &Table) -> Option<(String, String)> {
    SECRETS.iter().filter(|(section, ..)| *section == "slack").find_map(|(section, key, twin)| {
        let ValueKind::Table(table) = &values.get(*section)?.kind else { return None };
        let (name, value) = [key, twin].into_iter().find_map(|name| Some((name, table.get(*name)?)))?;
        Some((format!("{section}.{name}"), value.origin().unwrap_or("the configuration").to_owned()))
    })
}

/// Warns when the configuration file holds a secret that others than its owner may read.
pub(super) fn warn_of_open_file(file: &Path, values: &Table, findings: &mut Findings) {
    let origin = file.to_str();
    let holds = |(section, key, _): &(&str, &str, &str)| match &values.get(*section)?.kind {
        ValueKind::Table(table) => {
            table.get(*key).filter(|value| value.origin() == origin).map(|_| format!("{section}.{key}"))
        }
        _ => None,
    };
    let backends = || backend_secret(values, |value| value.origin() == origin);
    if let Some(key) = SECRETS.iter().find_map(holds).or_else(backends)
        && is_open(file)
    {
        findings.warning(key, open_file(file));
    }
}

/// The key path of the first secret of a backend that `fits`.
fn backend_secret(values: &Table, fits: impl Fn(&Value) -> bool) -> Option<String> {
    let ValueKind::Table(backends) = &values.get("backends")?.kind else { return None };
    backends.iter().find_map(|(name, backend)| {
        let ValueKind::Table(table) = &backend.kind else { return None };
        let (key, _) = BACKEND_SECRETS.iter().find(|(key, _)| table.get(*key).is_some_and(&fits))?;
        Some(format!("backends.{name}.{key}"))
    })
}

/// Reads the files of secrets into the settings.
pub(super) fn read(settings: &mut Settings, findings: &mut Findings) {
    let slack = &mut settings.slack;
    read_one("slack.bot_token_file", slack.bot_token_file.as_ref(), &mut slack.bot_token, findings);
    read_one("slack.app_token_file", slack.app_token_file.as_ref(), &mut slack.app_token, findings);
    let http = &mut settings.http;
    read_one("http.token_file", http.token_file.as_ref(), &mut http.token, findings);
    for (name, backend) in &mut settings.backends {
        let Some((key, None, file)) = backend.secret() else { continue };
        let mut secret = None;
        read_one(&format!("backends.{name}.{key}_file"), file, &mut secret, findings);
        if let Some(secret) = secret {
            backend.set_secret(secret);
        }
    }
}

fn read_one(key: &str, file: Option<&PathBuf>, secret: &mut Option<SecretString>, findings: &mut Findings) {
    let Some(path) = file.filter(|_| secret.is_none()) else { return };
    match std::fs::read_to_string(path).map(SecretString::from) {
        Ok(text) if text.expose_secret().trim().is_empty() => {
            findings.problem(key, format!("{} is empty; write the secret into it", path.display()));
        }
        Ok(text) => *secret = Some(without_newline(text.expose_secret()).into()),
        Err(error) => findings.problem(key, cannot_read(path, &error)),
    }
    if is_open(path) {
        findings.warning(key, open_file(path));
    }
}

/// What is said of a file that can't be read.
pub(super) fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    if error.kind() == std::io::ErrorKind::InvalidData {
        return format!("{path} is no UTF-8 text; save it as such");
    }
    format!("{path} can't be read: {error}; name a file that this user may read")
}

/// What is said of a file with secrets that others may read.
pub(super) fn open_file(path: &Path) -> String {
    let path = path.display();
    format!("{path} holds a secret and may be read by others than its owner; `chmod 600 {path}`")
}

/// Whether others than the owner may read a file.
pub(super) fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// One newline at the end is the editor's; anything else is the secret's own.
fn without_newline(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

fn section_mut<'a>(table: &'a mut Table, section: &str) -> Option<&'a mut Table> {
    match table.get_mut(section) {
        Some(Value { kind: ValueKind::Table(table), .. }) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_secret() {
        for (text, secret) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            assert_eq!(without_newline(text), secret, "{text:?}");
        }
    }

    #[test]
    fn the_list_names_every_secret_of_the_schema() {
        let schema = Settings::schema();
        let mut found = Vec::new();
        for (section, reference) in schema["properties"].as_object().unwrap() {
            let path = reference["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
            let Some(table) = path.and_then(|path| schema.pointer(path)?["properties"].as_object()) else { continue };
            for twin in table.keys().filter(|key| key.ends_with("token_file")) {
                found.push(format!("{section}.{twin}"));
            }
        }
        let backends = schema["$defs"].as_object().unwrap().values().filter_map(|node| node["properties"].as_object());
        for twin in
            backends.flat_map(|table| table.keys()).filter(|key| *key == "api_key_file" || *key == "password_file")
        {
            assert!(BACKEND_SECRETS.iter().any(|(_, known)| known == twin), "{twin}");
        }
        let mut listed: Vec<_> = SECRETS.iter().map(|(section, _, twin)| format!("{section}.{twin}")).collect();
        listed.sort();
        found.sort();
        assert_eq!(found, listed);
    }
}
