//! Makes settings of values, and reports what their types refuse, such as a duration without a unit.

use config::{ConfigError, Value, ValueKind};
use serde::Deserialize;

use super::layer::Table;
use super::{Findings, Settings};

/// Makes settings of the merged values; what can't be used is reported and falls back to its default.
///
/// A deserializer stops at the first mistake: so each is taken out and the rest tried again.
pub(super) fn settings(mut values: Table, findings: &mut Findings) -> Settings {
    loop {
        let error = match Settings::deserialize(Value::new(None, ValueKind::Table(values.clone()))) {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        let (key, sentence) = explain(error);
        let removed = remove(&mut values, &key);
        let place =
            removed.as_ref().and_then(Value::origin).map(|origin| format!(" (in {origin})")).unwrap_or_default();
        // The place belongs to what is wrong, not to what to do.
        let (wrong, advice) = sentence.split_at(sentence.find("; ").unwrap_or(sentence.len()));
        findings.problem(key, format!("{wrong}{place}{advice}"));
        if removed.is_none() {
            return Settings::default();
        }
    }
}

/// The key that an error is about, and what it says.
fn explain(error: ConfigError) -> (String, String) {
    match error {
        ConfigError::Type { unexpected, expected, key, .. } => {
            (key.unwrap_or_default(), format!("expected {expected}, found {unexpected}"))
        }
        ConfigError::At { error, key, .. } => (key.unwrap_or_default(), error.to_string()),
        ConfigError::NotFound(key) => (key, "is missing".to_owned()),
        other => (String::new(), other.to_string()),
    }
}

/// Takes out what stands at `key`, or the nearest thing around it.
fn remove(table: &mut Table, key: &str) -> Option<Value> {
    let end = key.find(['.', '[']).unwrap_or(key.len());
    let (first, rest) = (&key[..end], key[end..].trim_start_matches('.'));
    if let Some(value) = table.get_mut(first)
        && let Some(removed) = remove_inside(value, rest)
    {
        return Some(removed);
    }
    table.remove(first)
}

fn remove_inside(value: &mut Value, key: &str) -> Option<Value> {
    match &mut value.kind {
        _ if key.is_empty() => None,
        ValueKind::Table(table) => remove(table, key),
        ValueKind::Array(items) => {
            let (index, rest) = key.strip_prefix('[')?.split_once(']')?;
            let index: usize = index.parse().ok().filter(|index| *index < items.len())?;
            remove_inside(&mut items[index], rest.trim_start_matches('.')).or_else(|| Some(items.remove(index)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::Layer;
    use super::*;

    #[test]
    fn what_stands_around_a_missing_key_is_taken_out() {
        let layer = Layer::from_toml("[[routes]]\nchannel = 'C1'\n[[routes]]\nchannel = 'C2'", "f").unwrap();
        let mut table = layer.0;
        remove(&mut table, "routes[1].channel").unwrap();
        assert_eq!(table["routes"].clone().into_array().unwrap().len(), 2);
        remove(&mut table, "routes[1].channel").unwrap();
        assert!(table.contains_key("routes"));
        remove(&mut table, "routes.x").unwrap();
        assert!(!table.contains_key("routes"));
        assert!(remove(&mut table, "nothing").is_none());
    }
}
