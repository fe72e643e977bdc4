//! One source's values as a tree, each leaf labelled with where it came from, and the merging of several by the `config` crate.

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::Environment;

/// A table of labelled values.
pub(super) type Table = Map<String, Value>;

/// What our variables begin with, and what separates the parts of a key in them.
pub(super) const PREFIX: &str = "HITCHLINE__";
pub(super) const SEPARATOR: &str = "__";
/// Names that people already have, with the keys they stand for.
const KNOWN_NAMES: [(&str, [&str; 2]); 4] = [
    ("SLACK_BOT_TOKEN", ["slack", "bot_token"]),
    ("SLACK_BOT_TOKEN_FILE", ["slack", "bot_token_file"]),
    ("SLACK_APP_TOKEN", ["slack", "app_token"]),
    ("SLACK_APP_TOKEN_FILE", ["slack", "app_token_file"]),
];

/// The key under which a whole layer is handed to the `config` crate.
///
/// The crate reads a layer's outermost keys as path expressions: a quoted `"a.b"` would become two. One level down it takes them as
/// they are.
const ROOT: &str = "settings";

/// The values of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(pub(super) Table);

/// Why a TOML text can't be read. Of the text, in which a secret may stand, it quotes a key at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Counted from 1.
    pub(super) line: usize,
    /// What the parser said.
    pub(super) message: String,
}

impl Layer {
    /// Reads a TOML text; `origin` names it in what is said about its values.
    pub(super) fn from_toml(text: &str, origin: &str) -> Result<Self, SyntaxError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| syntax_error(text, &error))?;
        Ok(Self(labelled_table(table, &origin.to_owned())))
    }

    /// The names that people already have.
    pub(super) fn from_known_names(environment: &Environment) -> Self {
        let mut layer = Self::default();
        for (name, key) in KNOWN_NAMES {
            // Compose files pass on a variable that is not set as an empty one.
            if let Some(value) = environment.get(name).filter(|value| !value.is_empty()) {
                insert(&mut layer.0, &key.map(str::to_owned), labelled_text(value, name));
            }
        }
        layer
    }

    /// Our own variables: `HITCHLINE__SECTION__KEY`.
    pub(super) fn from_environment(environment: &Environment) -> Self {
        let mut layer = Self::default();
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(PREFIX) {
                insert(&mut layer.0, &key_parts(key), labelled_text(value, name));
            }
        }
        layer
    }

    /// Sets one key.
    pub(super) fn set<const N: usize>(&mut self, key: [&str; N], value: &str, origin: &str) {
        insert(&mut self.0, &key.map(str::to_owned), labelled_text(value, origin));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from([(ROOT.to_owned(), Value::new(None, ValueKind::Table(self.0.clone())))]))
    }
}

/// Lays each layer over the ones before it.
pub(super) fn merge(layers: Vec<Layer>) -> Result<Table, ConfigError> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    builder.build()?.get_table(ROOT)
}

/// Where the value of a section's key came from.
pub(super) fn origin<'a>(values: &'a Table, section: &str, key: &str) -> Option<&'a str> {
    let ValueKind::Table(table) = &values.get(section)?.kind else { return None };
    table.get(key)?.origin()
}

/// Whether a value came from one of our variables, where everything is text.
pub(super) fn is_from_environment(value: &Value) -> bool {
    value.origin().is_some_and(|origin| origin.starts_with(PREFIX))
}

/// Variables are written in capitals and keys in small letters; only the names of an agent's own variables are kept as they are.
fn key_parts(key: &str) -> Vec<String> {
    let mut parts: Vec<String> = key.split(SEPARATOR).map(str::to_lowercase).collect();
    if let [section, _, table, _] = parts.as_slice()
        && section == "backends"
        && table == "env"
        && let Some(name) = key.rsplit(SEPARATOR).next()
    {
        name.clone_into(&mut parts[3]);
    }
    parts
}

fn insert(table: &mut Table, key: &[String], value: Value) {
    match key {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let child = table.entry(first.clone()).or_default();
            if !matches!(child.kind, ValueKind::Table(_)) {
                child.kind = ValueKind::Table(Table::new());
            }
            if let ValueKind::Table(inner) = &mut child.kind {
                insert(inner, rest, value);
            }
        }
    }
}

fn labelled_text(text: &str, origin: &str) -> Value {
    Value::new(Some(&origin.to_owned()), text)
}

fn labelled_table(table: toml::Table, origin: &String) -> Table {
    table.into_iter().map(|(key, value)| (key, labelled(value, origin))).collect()
}

fn labelled(value: toml::Value, origin: &String) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(truth) => ValueKind::Boolean(truth),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.into_iter().map(|item| labelled(item, origin)).collect()),
        toml::Value::Table(table) => ValueKind::Table(labelled_table(table, origin)),
    };
    Value::new(Some(origin), kind)
}

/// What the parser says where a key stands again; then its place is that of the key alone.
const DUPLICATE: &str = "duplicate key";

fn syntax_error(text: &str, error: &toml::de::Error) -> SyntaxError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    let message = error.message().replace('\n', ", ");
    match error.span().and_then(|span| text.get(span)).filter(|_| message == DUPLICATE) {
        Some(key) => SyntaxError { line, message: format!("`{key}` stands here a second time; keep one of the two") },
        None => SyntaxError { line, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn text<'a>(table: &'a Table, key: &[&str]) -> Option<&'a str> {
        let (first, rest) = key.split_first()?;
        match &table.get(*first)?.kind {
            ValueKind::Table(inner) => text(inner, rest),
            ValueKind::String(text) => rest.is_empty().then_some(text),
            _ => None,
        }
    }

    #[test]
    fn variables_become_keys_and_agents_variables_keep_their_case() {
        let layer = Layer::from_environment(&environment(&[
            ("HITCHLINE__SLACK__SOCKETS", "2"),
            ("HITCHLINE__BACKENDS__CLAUDE__ENV__API_Key", "x"),
            ("HITCHLINE_SLACK", "not ours"),
            ("PATH", "/bin"),
        ]));
        assert_eq!(text(&layer.0, &["slack", "sockets"]), Some("2"));
        assert_eq!(text(&layer.0, &["backends", "claude", "env", "API_Key"]), Some("x"));
        assert_eq!(layer.0.len(), 2);
    }

    #[test]
    fn an_empty_known_name_is_not_set() {
        let layer = Layer::from_known_names(&environment(&[("SLACK_BOT_TOKEN", ""), ("SLACK_APP_TOKEN", "xapp-1")]));
        assert_eq!(text(&layer.0, &["slack", "app_token"]), Some("xapp-1"));
        assert_eq!(text(&layer.0, &["slack", "bot_token"]), None);
    }

    #[test]
    fn a_quoted_key_is_not_taken_apart() {
        let layer = Layer::from_toml("\"slack.sockets\" = 3\n\"a[0]\" = 1", "f").unwrap();
        let merged = merge(vec![Layer::default(), layer]).unwrap();
        let mut keys: Vec<_> = merged.keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["a[0]", "slack.sockets"]);
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        for (text, key) in
            [("a = 1\nb = 'x'\nb = 'hush'", "b"), ("[slack]\n[log]\n[slack]", "slack"), ("x = {}\n\n[x]", "x")]
        {
            let error = Layer::from_toml(text, "f").unwrap_err();
            assert_eq!(
                (error.line, error.message),
                (3, format!("`{key}` stands here a second time; keep one of the two"))
            );
        }
    }

    #[test]
    fn a_syntax_error_names_the_line_and_quotes_nothing() {
        let error = Layer::from_toml("[http]\ntoken = \"hush", "f").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(!error.message.contains("hush"), "{}", error.message);
    }
}
