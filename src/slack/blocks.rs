//! Message contents as Slack wants them: a plain text for notifications, and blocks for the message itself.

mod list;

use serde_json::{Value, json};

use super::button;
use super::markdown::{Piece, code_block, escape, pieces};
use super::text::unescape;
use crate::domain::agent::OptionKind;
use crate::domain::inbound::Button;
use crate::domain::outgoing::{ApprovalCard, ApprovalState, Body};
use crate::domain::visible::visible;

/// What a section or a context holds, in characters as they are sent: after escaping.
const SECTION: usize = 3_000;
/// How long a title is shown, so that the headline and the marks around it fit too.
const TITLE: usize = 2_800;
/// A button's label.
const LABEL: usize = 75;
/// Stands where something was left out.
const CUT: &str = " … cut";
/// The buttons of one actions block.
const BUTTONS: usize = 25;

/// The text and the blocks of a message.
pub fn content(body: &Body) -> (String, Value) {
    match body {
        Body::Text(text) => (text.clone(), Value::Array(text_blocks(text))),
        Body::Plain(text) => (text.clone(), Value::Array(Vec::new())),
        Body::Approval(card) => approval(card),
        Body::List(rows) => list::list(rows),
    }
}

/// Sections of markup, and between them the code that markup can't hold.
fn text_blocks(text: &str) -> Vec<Value> {
    let block = |piece| match piece {
        Piece::Markup(text) => section(text),
        Piece::Code(code) => preformatted(&unescape(code)),
    };
    pieces(text).into_iter().map(block).collect()
}

/// A section that shows all of its text. With blocks, an edited message bears no mark of it.
fn section(text: &str) -> Value {
    json!({"type": "section", "expand": true, "text": mrkdwn(text)})
}

/// Markup, in which Slack makes no link and no mention of plain words.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "verbatim": true, "text": text})
}

/// Code as data: nothing in it can be taken for markup.
fn preformatted(code: &str) -> Value {
    let text = json!({"type": "text", "text": code});
    json!({"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [text]}]})
}

fn approval(card: &ApprovalCard) -> (String, Value) {
    let (headline, mut blocks, verdict) = if card.is_question() {
        (question_headline(card), question(card), answer(card))
    } else {
        (headline(card), request(card), verdict(card))
    };
    if card.attached {
        blocks.push(context(&format!("All of it: `{}`, SHA-256 `{}`", card.file_name(), card.hash())));
    }
    blocks.push(context(&verdict));
    if matches!(card.state, ApprovalState::Open { .. }) && !card.options.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons(card)}));
        blocks.extend((card.options.len() > BUTTONS).then(|| context("… cut: only the first choices are shown.")));
    }
    let title = cut(&card.title, TITLE, |title| escape(&visible(title)));
    (format!("{headline}: {title}"), Value::Array(blocks))
}

/// What a permission is asked for. A title that is all there is may be the command itself: it is shown once, and as exactly.
fn request(card: &ApprovalCard) -> Vec<Value> {
    let title = card.detail.as_ref().map(|_| format!("\n*{}*", cut(&card.title, TITLE, shown_title)));
    let mut blocks = vec![section(&format!("{}{}", headline(card), title.unwrap_or_default()))];
    blocks.extend(text_blocks(&command_block(card)));
    blocks
}

/// A question of the agent's own: it is about no permission, and may have several lines.
fn question(card: &ApprovalCard) -> Vec<Value> {
    let text = plain_text(&cut(&card.title, TITLE, visible));
    vec![context(question_headline(card)), json!({"type": "section", "expand": true, "text": text})]
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [mrkdwn(text)]})
}

/// Text in which nothing means anything.
fn plain_text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn question_headline(card: &ApprovalCard) -> &'static str {
    match card.state {
        ApprovalState::Open { .. } => "The agent asks",
        ApprovalState::Decided { .. } => "The agent asked",
        ApprovalState::Expired => "The agent asked and got no answer",
        ApprovalState::Withdrawn | ApprovalState::CutOff => "The agent no longer asks",
    }
}

/// Who may answer, or what became of it.
fn answer(card: &ApprovalCard) -> String {
    match &card.state {
        ApprovalState::Open { expires_after_s } => {
            let minutes = expires_after_s.div_ceil(60);
            format!("<@{}> or an admin answers; the agent waits {minutes} min for that.", card.requester)
        }
        ApprovalState::Expired => "Nobody answered in time.".to_owned(),
        ApprovalState::Withdrawn => "Nobody needs to answer this any more.".to_owned(),
        ApprovalState::Decided { .. } | ApprovalState::CutOff => verdict(card),
    }
}

fn headline(card: &ApprovalCard) -> &'static str {
    match card.state {
        ApprovalState::Open { .. } => "The agent asks for permission",
        ApprovalState::Decided { .. } => "The agent asked for permission",
        ApprovalState::Expired => "The agent asked for permission and got no answer",
        ApprovalState::Withdrawn | ApprovalState::CutOff => "The agent no longer asks for permission",
    }
}

/// Who may decide, or what became of it.
fn verdict(card: &ApprovalCard) -> String {
    match &card.state {
        ApprovalState::Open { expires_after_s } => {
            let minutes = expires_after_s.div_ceil(60);
            format!("<@{}> or an admin decides; without an answer it is rejected after {minutes} min.", card.requester)
        }
        ApprovalState::Decided { by, option } => {
            let label = card.options.get(*option).map_or_else(|| "?".to_owned(), |(label, _)| shown_label(label));
            format!("<@{by}> chose: {}", escape(&label))
        }
        ApprovalState::Expired => "Nobody decided in time, so it was rejected.".to_owned(),
        ApprovalState::Withdrawn => "Nobody needs to decide this any more.".to_owned(),
        ApprovalState::CutOff => "Expired: Hitchline was restarted before anybody decided.".to_owned(),
    }
}

/// Whether a card has room for its whole command, or question.
pub fn shows_whole(card: &ApprovalCard) -> bool {
    if card.is_question() { fits(&visible(&card.title), TITLE) } else { fits(&shown_command(card.command()), SECTION) }
}

fn fits(shown: &str, limit: usize) -> bool {
    shown.chars().count() <= limit
}

fn shown_command(command: &str) -> String {
    code_block(&visible(command))
}

fn shown_title(title: &str) -> String {
    escape(&visible(title).replace('*', "∗"))
}

fn command_block(card: &ApprovalCard) -> String {
    const REST: &str = "\n_… cut: the rest is too long to be shown. Allow only what you can see._";
    const BELOW: &str = "\n_… cut: all of it is in the file below. Allow only what you have read._";
    let whole = shown_command(card.command());
    if fits(&whole, SECTION) {
        return whole;
    }
    let rest = if card.attached { BELOW } else { REST };
    longest(card.command(), SECTION - rest.chars().count(), shown_command) + rest
}

/// `plain` as `render` shows it, in at most `limit` characters; what is left out is mentioned.
fn cut(plain: &str, limit: usize, render: impl Fn(&str) -> String) -> String {
    let whole = render(plain);
    if whole.chars().count() <= limit {
        return whole;
    }
    longest(plain, limit - CUT.chars().count(), render) + CUT
}

/// The longest beginning of `plain` that takes at most `limit` characters as `render` shows it. More text never takes less room, and
/// no character takes less than one.
fn longest(plain: &str, limit: usize, render: impl Fn(&str) -> String) -> String {
    let ends: Vec<usize> = plain.char_indices().map(|(at, c)| at + c.len_utf8()).take(limit).collect();
    let fitting = ends.partition_point(|end| render(&plain[..*end]).chars().count() <= limit);
    let end = fitting.checked_sub(1).map_or(0, |last| ends[last]);
    render(&plain[..end])
}

fn shown_label(label: &str) -> String {
    let label = if label.trim().is_empty() { "?" } else { label };
    cut(label, LABEL, visible)
}

fn buttons(card: &ApprovalCard) -> Vec<Value> {
    let options = card.options.iter().enumerate().take(BUTTONS);
    options.map(|(option, (label, kind))| one_button(card, option, label, *kind)).collect()
}

fn one_button(card: &ApprovalCard, option: usize, label: &str, kind: OptionKind) -> Value {
    let (action_id, value) = button::encode(&Button::Approval { id: card.id, option });
    let mut button = json!({
        "type": "button",
        "action_id": action_id,
        "value": value,
        "text": plain_text(&shown_label(label)),
    });
    match kind {
        OptionKind::AllowOnce => button["style"] = json!("primary"),
        OptionKind::RejectOnce | OptionKind::RejectAlways => button["style"] = json!("danger"),
        OptionKind::AllowAlways | OptionKind::Choice | OptionKind::Other => {}
    }
    if kind.is_lasting() {
        button["confirm"] = json!({
            "title": {"type": "plain_text", "text": "For good?"},
            "text": {"type": "plain_text", "text": "The agent will not ask again about things like this."},
            "confirm": {"type": "plain_text", "text": "Yes"},
            "deny": {"type": "plain_text", "text": "Not now"},
        });
    }
    button
}

#[cfg(test)]
mod tests;
