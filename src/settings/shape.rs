//! Holds the merged values against the schema: unknown keys, values of the wrong kind, words that are none of the known ones.
//!
//! It does so for every room alike, and reports all of it, where a deserializer stops at the first.

use std::collections::BTreeSet;

use config::{Value, ValueKind};
use serde_json::Value as Schema;

use super::layer::{self, Table};
use super::spelling::nearest;
use super::{Findings, Settings};

/// Takes out what does not fit the schema and reports it; a variable's text becomes what its key wants.
pub(super) fn conform(values: &mut Table, findings: &mut Findings) {
    let schema = Settings::schema();
    Walk { root: &schema, findings }.table("", values, &[&schema]);
}

struct Walk<'a> {
    root: &'a Schema,
    findings: &'a mut Findings,
}

impl<'a> Walk<'a> {
    fn table(&mut self, path: &str, table: &mut Table, nodes: &[&'a Schema]) {
        let facets = self.facets(nodes, Some(table));
        let names: Vec<String> = table.keys().cloned().collect();
        for name in names {
            let Some(value) = table.get_mut(&name) else { continue };
            let key = join(path, &name);
            let children = children(&facets, &name);
            let keep = if children.is_empty() {
                let sentence = unknown_key(&name, &known_keys(&facets), origin(value));
                self.findings.problem(key, sentence);
                false
            } else {
                self.value(&key, value, &children)
            };
            if !keep {
                table.remove(&name);
            }
        }
    }

    /// Looks at one value; returns whether it may stay.
    fn value(&mut self, key: &str, value: &mut Value, nodes: &[&'a Schema]) -> bool {
        let facets = self.facets(nodes, None);
        if layer::is_from_environment(value) {
            read_text(value, &facets);
        }
        let misfit =
            misfit(value, &facets).or_else(|| no_duration(value, &facets)).or_else(|| out_of_range(value, &facets));
        if let Some(sentence) = misfit {
            self.findings.problem(key, sentence);
            return false;
        }
        match &mut value.kind {
            ValueKind::Table(table) => self.table(key, table, nodes),
            ValueKind::Array(items) => {
                let nodes: Vec<&Schema> = facets.iter().filter_map(|facet| facet.get("items")).collect();
                let mut index = 0..;
                items.retain_mut(|item| self.value(&format!("{key}[{}]", index.next().unwrap_or(0)), item, &nodes));
            }
            // An agent's variable may be written as a number.
            ValueKind::I64(_) | ValueKind::Float(_) | ValueKind::Boolean(_) if has_type(&facets, "string") => {
                value.kind = ValueKind::String(value.kind.to_string());
            }
            _ => {}
        }
        true
    }

    /// A schema node and everything that it refers to, without the alternatives that the table's own tag rules out.
    fn facets(&self, nodes: &[&'a Schema], table: Option<&Table>) -> Vec<&'a Schema> {
        let mut facets = Vec::new();
        for node in nodes {
            self.collect_facets(node, table, &mut facets);
        }
        facets
    }

    fn collect_facets(&self, node: &'a Schema, table: Option<&Table>, facets: &mut Vec<&'a Schema>) {
        facets.push(node);
        let reference = node.get("$ref").and_then(Schema::as_str).and_then(|path| path.strip_prefix('#'));
        if let Some(target) = reference.and_then(|path| self.root.pointer(path)) {
            self.collect_facets(target, table, facets);
        }
        for part in ["allOf", "anyOf", "oneOf"].iter().filter_map(|name| node.get(name)?.as_array()) {
            let matching: Vec<&Schema> = part.iter().filter(|option| !contradicts(option, table)).collect();
            // A tag that fits nowhere is reported as such, with all its alternatives.
            let options = if matching.is_empty() { part.iter().collect() } else { matching };
            for option in options {
                self.collect_facets(option, table, facets);
            }
        }
    }
}

/// Whether the table has another tag than this alternative asks for.
fn contradicts(option: &Schema, table: Option<&Table>) -> bool {
    let (Some(table), Some(properties)) = (table, option.get("properties").and_then(Schema::as_object)) else {
        return false;
    };
    properties.iter().any(|(name, node)| {
        let tag = node.get("const").and_then(Schema::as_str);
        let own = table.get(name).and_then(|value| value.clone().into_string().ok());
        tag.is_some_and(|tag| own.is_some_and(|own| own != tag))
    })
}

/// The schema nodes of a table's key; none when it is unknown.
fn children<'a>(facets: &[&'a Schema], name: &str) -> Vec<&'a Schema> {
    let named: Vec<&Schema> = facets.iter().filter_map(|facet| facet.get("properties")?.get(name)).collect();
    if !named.is_empty() {
        return named;
    }
    facets.iter().filter_map(|facet| facet.get("additionalProperties")).filter(|node| node.is_object()).collect()
}

fn known_keys<'a>(facets: &[&'a Schema]) -> BTreeSet<&'a str> {
    let properties = facets.iter().filter_map(|facet| facet.get("properties")?.as_object());
    properties.flat_map(|table| table.keys().map(String::as_str)).collect()
}

/// The words that a text may be, when only some are allowed.
fn words<'a>(facets: &[&'a Schema]) -> BTreeSet<&'a str> {
    let single = facets.iter().filter_map(|facet| facet.get("const")?.as_str());
    let several = facets.iter().filter_map(|facet| facet.get("enum")?.as_array()).flatten().filter_map(Schema::as_str);
    single.chain(several).collect()
}

fn has_type(facets: &[&Schema], wanted: &str) -> bool {
    facets.iter().any(|facet| match facet.get("type") {
        Some(Schema::String(name)) => name == wanted,
        Some(Schema::Array(names)) => names.iter().any(|name| name == wanted),
        _ => false,
    })
}

/// Makes of a variable's text what the schema wants: a list of `a, b`, a number, a truth.
fn read_text(value: &mut Value, facets: &[&Schema]) {
    let ValueKind::String(text) = &value.kind else { return };
    let origin = value.origin().map(str::to_owned);
    if has_type(facets, "array") {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        value.kind = ValueKind::Array(items.map(|item| Value::new(origin.as_ref(), item)).collect());
    } else if has_type(facets, "integer")
        && let Ok(number) = text.parse::<i64>()
    {
        value.kind = ValueKind::I64(number);
    } else if has_type(facets, "boolean")
        && let Ok(truth) = value.clone().into_bool()
    {
        value.kind = ValueKind::Boolean(truth);
    }
}

/// Says so when a value is not of the kind, or not one of the words, that the schema wants.
fn misfit(value: &Value, facets: &[&Schema]) -> Option<String> {
    let place = origin(value).map(|origin| format!(" (in {origin})")).unwrap_or_default();
    let (found, fitting): (_, &[&str]) = match &value.kind {
        ValueKind::Table(_) => ("a table", &["object"]),
        ValueKind::Array(_) => ("a list", &["array"]),
        ValueKind::String(_) => ("a text", &["string"]),
        ValueKind::Boolean(_) => ("true or false", &["boolean", "string"]),
        _ => ("a number", &["integer", "number", "string"]),
    };
    let wanted = WANTED.iter().find(|(name, _)| has_type(facets, name));
    if let Some((_, wanted)) = wanted
        && !fitting.iter().any(|name| has_type(facets, name))
    {
        return Some(format!("must be {wanted}, but is {found}{place}"));
    }
    let known = words(facets);
    let ValueKind::String(word) = &value.kind else { return None };
    let fits = known.is_empty() || known.contains(word.as_str());
    let sentence = || match known.len() {
        1 => format!("`{word}` is not supported{place}; only {} is", list(&known, "")),
        _ => format!("`{word}` is not {}{place}", list(&known, " or ")),
    };
    (!fits).then(sentence)
}

/// Says so when a number does not fit into the schema's.
fn out_of_range(value: &Value, facets: &[&Schema]) -> Option<String> {
    let ValueKind::I64(number) = value.kind else { return None };
    let bound = |name| facets.iter().find_map(|facet| facet.get(name)?.as_i64());
    let is_short = facets.iter().any(|facet| facet.get("format").is_some_and(|format| format == "uint32"));
    let most = bound("maximum").or(is_short.then_some(i64::from(u32::MAX)));
    let place = origin(value).map(|origin| format!(" (in {origin})")).unwrap_or_default();
    if bound("minimum").is_some_and(|least| number < least) {
        return Some(format!("`{number}` is too small{place}; write a positive whole number"));
    }
    most.filter(|most| number > *most).map(|most| format!("`{number}` is too large{place}; {most} is the most"))
}

/// Says so when the schema wants a duration and the value is none.
fn no_duration(value: &Value, facets: &[&Schema]) -> Option<String> {
    let wanted = facets.iter().any(|facet| facet.get("x-duration").is_some());
    let text = value.clone().into_string().ok().filter(|_| wanted)?;
    let place = origin(value).map(|origin| format!(" (in {origin})")).unwrap_or_default();
    let known = crate::duration::parse(&text).is_some();
    (!known).then(|| format!("`{text}` is no duration{place}; write one such as 30s, 5m or 1h"))
}

/// The schema's types in people's words.
const WANTED: [(&str, &str); 6] = [
    ("object", "a table of keys"),
    ("array", "a list"),
    ("integer", "a whole number"),
    ("number", "a number"),
    ("boolean", "true or false"),
    ("string", "a text"),
];

/// Where a value came from; a table has it from what stands in it.
fn origin(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::Table(table) => value.origin().or_else(|| table.values().find_map(origin)),
        _ => value.origin(),
    }
}

fn unknown_key(name: &str, known: &BTreeSet<&str>, origin: Option<&str>) -> String {
    let place = origin.map(|origin| format!(" (in {origin})")).unwrap_or_default();
    match nearest(name, known) {
        Some(near) => format!("unknown key{place}; did you mean `{near}`?"),
        None => format!("unknown key{place}; here may stand {}", list(known, " and ")),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn list(words: &BTreeSet<&str>, last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{}{last}{end}", rest.join(", ")),
        Some((end, _)) => end.clone(),
        None => "nothing".to_owned(),
    }
}
