//! Lists: a section for each row, with its button beside it.

use serde_json::{Value, json};

use super::{CUT, SECTION, context, section, shown_label};
use crate::domain::outgoing::{List, ListButton, ListRow};
use crate::slack::button;

/// How many rows are shown. Slack takes 50 blocks in a message; above the rows stands one, below them may stand another.
const ROWS: usize = 45;
/// How many characters the blocks of a message may have together, with some room: beyond about 13,200 Slack refuses it with
/// `msg_blocks_too_long` (measured by users; slackapi/bolt-js issue 2509).
const MESSAGE: usize = 12_000;
/// A button's value (docs.slack.dev/reference/block-kit/block-elements/button-element).
const VALUE: usize = 2_000;

/// The fallback text and the blocks of a list.
pub(super) fn list(list: &List) -> (String, Value) {
    let mut blocks: Vec<Value> =
        (!list.text.trim().is_empty()).then(|| section(&cut_markup(&list.text))).into_iter().collect();
    let shown = fitting(list);
    blocks.extend(list.rows[..shown].iter().map(row));
    let left_out = list.rows.len() - shown;
    if left_out > 0 {
        let rest = format!("… cut: {left_out} more can't be shown here.");
        blocks.push(context(&rest));
    }
    let lines = list.rows[..shown].iter().map(|row| row.text.as_str());
    let text = std::iter::once(list.text.as_str()).chain(lines).collect::<Vec<_>>().join("\n");
    (cut_markup(text.trim()), Value::Array(blocks))
}

/// How many rows from the first one on fit into a message.
fn fitting(list: &List) -> usize {
    let mut left = MESSAGE - list.text.chars().count().min(SECTION);
    let fits = |row: &&ListRow| {
        let rest = left.checked_sub(length(row));
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    list.rows.iter().take(ROWS).take_while(fits).count()
}

fn length(row: &ListRow) -> usize {
    let button = row.button.as_ref().map_or(0, |shown| shown.label.len() + button::encode(&shown.button).1.len());
    row.text.chars().count().min(SECTION) + button
}

fn row(row: &ListRow) -> Value {
    let text = if row.text.trim().is_empty() { "?" } else { &row.text };
    let mut block = section(&cut_markup(text));
    if let Some(accessory) = row.button.as_ref().and_then(accessory) {
        block["accessory"] = accessory;
    }
    block
}

/// The button of a row; none when what it stands for is longer than a button can carry.
fn accessory(shown: &ListButton) -> Option<Value> {
    let (action_id, value) = button::encode(&shown.button);
    let mut button = json!({
        "type": "button",
        "action_id": action_id,
        "value": value,
        "text": {"type": "plain_text", "text": shown_label(&shown.label), "emoji": false},
    });
    if shown.danger {
        button["style"] = json!("danger");
    }
    (value.chars().count() <= VALUE).then_some(button)
}

/// Markup that fits into a section; it is never cut within a link, a mention or an entity, and what is left out is mentioned.
fn cut_markup(text: &str) -> String {
    if text.chars().count() <= SECTION {
        return text.to_owned();
    }
    let room = SECTION - CUT.chars().count();
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    let mut kept = &text[..end];
    for (open, close) in [('<', '>'), ('&', ';')] {
        if let Some(at) = kept.rfind(open)
            && !kept[at..].contains(close)
        {
            kept = &kept[..at];
        }
    }
    format!("{kept}{CUT}")
}
