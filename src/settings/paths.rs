//! Makes paths absolute: those of the file from its folder, those of a variable or a flag from where we were started; `~` is HOME.

use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

use super::Findings;
use super::layer::Table;

/// What paths are taken from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    /// The configuration file, when there is one.
    pub(super) file: Option<&'a Path>,
    /// HOME.
    pub(super) home: Option<&'a str>,
}

/// Makes every path in the merged values absolute.
pub(super) fn resolve(base: Base<'_>, values: &mut Table, findings: &mut Findings) {
    for (section, value) in values {
        resolve_value(base, section, section, value, findings);
    }
}

fn resolve_value(base: Base<'_>, key: &str, name: &str, value: &mut Value, findings: &mut Findings) {
    let origin = value.origin().map(str::to_owned);
    match &mut value.kind {
        // The agents' own variables are theirs.
        ValueKind::Table(_) if name == "env" => {}
        ValueKind::Table(table) => {
            for (inner, value) in table {
                resolve_value(base, &format!("{key}.{inner}"), inner, value, findings);
            }
        }
        ValueKind::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                // Of a command only the program is a path, and only when it is written as one.
                let name = if name == "command" && index > 0 { "argument" } else { name };
                resolve_value(base, &format!("{key}[{index}]"), name, item, findings);
            }
        }
        ValueKind::String(text) if is_path(name, key, text) => match absolute(base, text, origin.as_deref()) {
            Some(path) => *text = path,
            None => findings.problem(key, "`~` is HOME, which is not set; write the whole path"),
        },
        _ => {}
    }
}

fn is_path(name: &str, key: &str, text: &str) -> bool {
    let program = name == "command" && key.starts_with("backends.") && text.contains('/');
    !text.is_empty() && (program || name.ends_with("_file") || ["dir", "working_dir", "roots"].contains(&name))
}

fn absolute(base: Base<'_>, text: &str, origin: Option<&str>) -> Option<String> {
    let path = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let below = Path::new(rest.trim_start_matches('/'));
            Path::new(base.home?).components().chain(below.components()).collect()
        }
        _ => PathBuf::from(text),
    };
    let from_file = base.file.filter(|file| file.to_str() == origin).and_then(Path::parent);
    let path = from_file.map_or_else(|| path.clone(), |folder| folder.join(&path));
    let path = std::path::absolute(&path).unwrap_or(path);
    Some(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::layer::Layer;
    use super::*;

    fn resolved(text: &str, home: Option<&str>) -> (Table, Findings) {
        let mut values = Layer::from_toml(text, "/etc/hitchline/h.toml").unwrap().0;
        let mut findings = Findings::default();
        resolve(Base { file: Some(Path::new("/etc/hitchline/h.toml")), home }, &mut values, &mut findings);
        (values, findings)
    }

    #[test]
    fn a_path_is_taken_from_the_files_folder() {
        let cases = [
            ("store.dir = 'state'", "/etc/hitchline/state"),
            ("store.dir = '/var/lib/h'", "/var/lib/h"),
            ("store.dir = '~'", "/home/ann"),
            ("store.dir = '~/h'", "/home/ann/h"),
            ("store.dir = '~bob'", "/etc/hitchline/~bob"),
            ("slack.bot_token_file = 'bot'", "/etc/hitchline/bot"),
            ("slack.command = '/hitch'", "/hitch"),
            ("access.roots = ['~/code', 'x']", "/home/ann/code /etc/hitchline/x"),
            ("backends.a.command = ['./run', './me']", "/etc/hitchline/run ./me"),
            ("backends.a.command = ['agent']", "agent"),
            ("backends.a.env = { x_file = 'a', dir = 'b' }", ""),
        ];
        for (text, expected) in cases {
            let (values, findings) = resolved(text, Some("/home/ann"));
            assert!(findings.is_ok(), "{text}");
            assert_eq!(texts(&values).join(" "), expected, "{text}");
        }
    }

    fn texts(table: &Table) -> Vec<String> {
        let visible = table.iter().filter(|(name, _)| *name != "env");
        visible.flat_map(|(_, value)| leaf_texts(value)).collect()
    }

    fn leaf_texts(value: &Value) -> Vec<String> {
        match &value.kind {
            ValueKind::Table(table) => texts(table),
            ValueKind::Array(items) => items.iter().flat_map(leaf_texts).collect(),
            other => vec![other.to_string()],
        }
    }

    #[test]
    fn a_tilde_without_home_is_a_problem() {
        let (_, findings) = resolved("store.dir = '~/x'", None);
        assert_eq!(findings.problems[0].key, "store.dir");
    }
}
