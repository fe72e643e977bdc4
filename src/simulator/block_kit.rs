//! Block Kit's limits, as far as bots that talk run into them (docs.slack.dev/reference/block-kit).

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde_json::Value;

const MAX_BLOCKS: usize = 50;
/// All texts of a message together; Slack does not document it (slackapi/bolt-js issue 2509 has the number).
const MESSAGE_TEXT: usize = 13_200;
const SECTION_TEXT: usize = 3_000;
const FIELDS: RangeInclusive<usize> = 1..=10;
const FIELD_TEXT: usize = 2_000;
const HEADER_TEXT: usize = 150;
const CONTEXT_ELEMENTS: RangeInclusive<usize> = 1..=10;
const ACTIONS: RangeInclusive<usize> = 1..=25;
const BUTTON_TEXT: usize = 75;
const BUTTON_VALUE: usize = 2_000;
const ID: usize = 255;
/// The texts of a button's `confirm`.
const CONFIRM: [(&str, usize); 4] = [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)];

/// What is wrong with blocks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Slack's name of the error.
    pub(super) code: &'static str,
    /// Where and why, as in `response_metadata.messages`.
    pub(super) message: String,
}

/// Says what Slack would refuse `blocks` for.
pub(super) fn check(blocks: &[Value]) -> Result<(), Fault> {
    let invalid = |Wrong { at, why }: Wrong| Fault {
        code: "invalid_blocks",
        message: format!("[ERROR] {why} [json-pointer:/blocks{at}]"),
    };
    count(blocks, &(0..=MAX_BLOCKS)).map_err(invalid)?;
    for (n, block) in blocks.iter().enumerate() {
        check_block(block).map_err(|wrong| invalid(wrong.within(&format!("/{n}"))))?;
    }
    distinct(blocks, "block_id").map_err(invalid)?;
    let length: usize = blocks.iter().map(text_length).sum();
    if length > MESSAGE_TEXT {
        return Err(Fault {
            code: "msg_blocks_too_long",
            message: format!("[ERROR] {length} characters in all blocks"),
        });
    }
    Ok(())
}

/// A rule that is broken, and where.
#[derive(Debug)]
struct Wrong {
    at: String,
    why: String,
}

impl Wrong {
    fn new(at: &str, why: impl Into<String>) -> Self {
        Self { at: at.to_owned(), why: why.into() }
    }

    fn within(self, outer: &str) -> Self {
        Self { at: format!("{outer}{}", self.at), ..self }
    }
}

fn check_block(block: &Value) -> Result<(), Wrong> {
    match block["type"].as_str() {
        None => Err(Wrong::new("", "missing required field: type")),
        Some("section") => check_section(block),
        Some("header") => check_text(block, "text", HEADER_TEXT, &["plain_text"]),
        Some("context") => each(block, "elements", &CONTEXT_ELEMENTS, |element| match element["type"].as_str() {
            Some("image") => Ok(()),
            _ => check_own_text(element, SECTION_TEXT, &["mrkdwn", "plain_text"]),
        }),
        Some("actions") => {
            each(block, "elements", &ACTIONS, check_element)?;
            distinct(block["elements"].as_array().map_or(&[], Vec::as_slice), "action_id")
                .map_err(|wrong| wrong.within("/elements"))
        }
        Some(_) => Ok(()),
    }
}

fn check_section(block: &Value) -> Result<(), Wrong> {
    if block.get("text").is_none() && block.get("fields").is_none() {
        return Err(Wrong::new("", "missing required field: text or fields"));
    }
    if block.get("text").is_some() {
        check_text(block, "text", SECTION_TEXT, &["mrkdwn", "plain_text"])?;
    }
    if block.get("fields").is_some() {
        each(block, "fields", &FIELDS, |field| check_own_text(field, FIELD_TEXT, &["mrkdwn", "plain_text"]))?;
    }
    block.get("accessory").map_or(Ok(()), |element| check_element(element).map_err(|wrong| wrong.within("/accessory")))
}

fn check_element(element: &Value) -> Result<(), Wrong> {
    if element["type"] != "button" {
        return Ok(());
    }
    check_text(element, "text", BUTTON_TEXT, &["plain_text"])?;
    check_length(element, "value", 0..=BUTTON_VALUE)?;
    check_length(element, "action_id", 1..=ID)?;
    if let Some(style) = element["style"].as_str().filter(|style| !["primary", "danger"].contains(style)) {
        return Err(Wrong::new("/style", format!("{style} is no style")));
    }
    let Some(confirm) = element.get("confirm") else { return Ok(()) };
    for (name, limit) in CONFIRM {
        check_text(confirm, name, limit, &["mrkdwn", "plain_text"]).map_err(|wrong| wrong.within("/confirm"))?;
    }
    Ok(())
}

/// Checks the text object in a field.
fn check_text(holder: &Value, name: &str, limit: usize, kinds: &[&str]) -> Result<(), Wrong> {
    check_own_text(&holder[name], limit, kinds).map_err(|wrong| wrong.within(&format!("/{name}")))
}

fn check_own_text(text: &Value, limit: usize, kinds: &[&str]) -> Result<(), Wrong> {
    if !text["type"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
        return Err(Wrong::new("", format!("must be a text object of the type {}", kinds.join(" or "))));
    }
    if !text["text"].is_string() {
        return Err(Wrong::new("", "missing required field: text"));
    }
    check_length(text, "text", 1..=limit)
}

/// Checks how long a string is, where it is given.
fn check_length(holder: &Value, name: &str, allowed: RangeInclusive<usize>) -> Result<(), Wrong> {
    let length = holder[name].as_str().map(|text| text.chars().count());
    if length.is_none_or(|length| allowed.contains(&length)) {
        return Ok(());
    }
    let why = format!("must have {} to {} characters", allowed.start(), allowed.end());
    Err(Wrong::new(&format!("/{name}"), why))
}

/// Checks each item of a list, and how many there are.
fn each(
    holder: &Value,
    name: &str,
    allowed: &RangeInclusive<usize>,
    check: impl Fn(&Value) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let items = holder[name].as_array().map_or(&[][..], Vec::as_slice);
    let outer = format!("/{name}");
    count(items, allowed).map_err(|wrong| wrong.within(&outer))?;
    let checked = |(n, item)| check(item).map_err(|wrong: Wrong| wrong.within(&format!("{outer}/{n}")));
    items.iter().enumerate().try_for_each(checked)
}

fn count(items: &[Value], allowed: &RangeInclusive<usize>) -> Result<(), Wrong> {
    if allowed.contains(&items.len()) {
        return Ok(());
    }
    Err(Wrong::new("", format!("must hold {} to {} items", allowed.start(), allowed.end())))
}

fn distinct(items: &[Value], name: &str) -> Result<(), Wrong> {
    let mut seen = HashSet::new();
    let again = items.iter().filter_map(|item| item[name].as_str()).find(|id| !seen.insert(*id));
    again.map_or(Ok(()), |id| Err(Wrong::new("", format!("the {name} {id} stands there twice"))))
}

/// How many characters all texts in a value have together.
fn text_length(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                value => text_length(value),
            })
            .sum(),
        Value::Array(items) => items.iter().map(text_length).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(length: usize) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(length)}})
    }

    fn button(fields: &Value) -> Value {
        let mut button = json!({"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "Yes"}});
        button.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        button
    }

    fn actions(elements: &[Value]) -> Value {
        json!({"type": "actions", "elements": elements})
    }

    fn plain(length: usize) -> Value {
        json!({"type": "plain_text", "text": "x".repeat(length)})
    }

    #[test]
    fn each_limit_is_kept() {
        let with_accessory = |button: Value| {
            let mut block = section(1);
            block["accessory"] = button;
            vec![block]
        };
        let confirm = |length| json!({"confirm": {"title": plain(1), "text": plain(length), "confirm": plain(1), "deny": plain(1)}});
        let value = |length: usize| button(&json!({"value": "x".repeat(length)}));
        let cases = [
            ((0..50).map(|_| section(1)).collect(), (0..51).map(|_| section(1)).collect(), "/blocks]"),
            (vec![section(3_000)], vec![section(3_001)], "/blocks/0/text/text]"),
            (vec![section(1)], vec![section(0)], "/blocks/0/text/text]"),
            (vec![json!({"type": "divider"})], vec![json!({"kind": "divider"})], "/blocks/0]"),
            (
                vec![json!({"type": "section", "fields": [plain(2_000)]})],
                vec![json!({"type": "section"})],
                "/blocks/0]",
            ),
            (
                vec![json!({"type": "header", "text": plain(150)})],
                vec![json!({"type": "header", "text": {"type": "mrkdwn", "text": "x"}})],
                "/blocks/0/text]",
            ),
            (
                vec![json!({"type": "context", "elements": [plain(3_000)]})],
                vec![json!({"type": "context", "elements": []})],
                "/blocks/0/elements]",
            ),
            (with_accessory(value(2_000)), with_accessory(value(2_001)), "/blocks/0/accessory/value]"),
            (
                vec![actions(&[button(&json!({"text": plain(75)}))])],
                vec![actions(&[button(&json!({"text": plain(76)}))])],
                "/blocks/0/elements/0/text/text]",
            ),
            (
                vec![actions(&[button(&json!({})), button(&json!({"action_id": "b"}))])],
                vec![actions(&[button(&json!({})), button(&json!({}))])],
                "/blocks/0/elements]",
            ),
            (
                vec![actions(&[button(&json!({"style": "danger"}))])],
                vec![actions(&[button(&json!({"style": "loud"}))])],
                "/blocks/0/elements/0/style]",
            ),
            (
                vec![actions(&[button(&confirm(300))])],
                vec![actions(&[button(&confirm(301))])],
                "/blocks/0/elements/0/confirm/text/text]",
            ),
            (
                vec![json!({"type": "divider", "block_id": "1"}), json!({"type": "divider", "block_id": "2"})],
                vec![json!({"type": "divider", "block_id": "1"}), json!({"type": "divider", "block_id": "1"})],
                "/blocks]",
            ),
        ];
        for (good, bad, at) in cases {
            assert_eq!(check(&good), Ok(()), "{at}");
            let fault = check(&bad).unwrap_err();
            assert_eq!((fault.code, fault.message.ends_with(at)), ("invalid_blocks", true), "{fault:?}");
        }
    }

    #[test]
    fn all_blocks_together_have_a_limit_too() {
        let fitting: Vec<_> = (0..4).map(|_| section(3_000)).collect();
        assert_eq!(check(&fitting), Ok(()));
        let too_long: Vec<_> = (0..5).map(|_| section(3_000)).collect();
        assert_eq!(check(&too_long).unwrap_err().code, "msg_blocks_too_long");
    }
}
