//! Message contents as Slack wants them: a plain text for notifications, and blocks for the message itself.

use serde_json::{Value, json};

use super::button;
use super::markdown::{code_block, escape};
use crate::domain::agent::OptionKind;
use crate::domain::inbound::Button;
use crate::domain::outgoing::{ApprovalCard, ApprovalState, Body};

/// How much of a command is shown; a section holds 3,000 characters.
const DETAIL: usize = 2_400;
/// A button's label.
const LABEL: usize = 75;
/// The buttons of one actions block.
const BUTTONS: usize = 25;

/// The text and the blocks of a message.
pub fn content(body: &Body) -> (String, Value) {
    match body {
        Body::Text(text) => (text.clone(), json!([section(text)])),
        Body::Approval(card) => approval(card),
    }
}

/// A section that shows all of its text. With blocks, an edited message bears no mark of it.
fn section(text: &str) -> Value {
    json!({"type": "section", "expand": true, "text": {"type": "mrkdwn", "text": text}})
}

fn approval(card: &ApprovalCard) -> (String, Value) {
    let title = format!("*{}*", escape(&card.title.replace('*', "∗")));
    let verdict = verdict(card);
    let mut blocks = vec![section(&format!("{}\n{title}", headline(card)))];
    if let Some(detail) = &card.detail {
        blocks.push(section(&detail_block(detail)));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": verdict}]}));
    if matches!(card.state, ApprovalState::Open { .. }) {
        blocks.push(json!({"type": "actions", "elements": buttons(card)}));
    }
    (format!("{}: {}", headline(card), escape(&card.title)), Value::Array(blocks))
}

fn headline(card: &ApprovalCard) -> &'static str {
    match card.state {
        ApprovalState::Open { .. } => "The agent asks for permission",
        ApprovalState::Decided { .. } => "The agent asked for permission",
        ApprovalState::Expired => "The agent asked for permission and got no answer",
        ApprovalState::Withdrawn => "The agent no longer asks for permission",
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
            let label = card.options.get(*option).map_or("?", |(label, _)| label);
            format!("<@{by}> chose: {}", escape(label))
        }
        ApprovalState::Expired => "Nobody decided in time, so it was rejected.".to_owned(),
        ApprovalState::Withdrawn => "The turn ended before anybody decided.".to_owned(),
    }
}

fn detail_block(detail: &str) -> String {
    let shown: String = detail.chars().take(DETAIL).collect();
    let mut block = code_block(&shown);
    if shown.len() < detail.len() {
        block.push_str("\n_The rest is too long to be shown. Allow only what you can see._");
    }
    block
}

fn buttons(card: &ApprovalCard) -> Vec<Value> {
    let options = card.options.iter().enumerate().take(BUTTONS);
    options.map(|(option, (label, kind))| one_button(card, option, label, *kind)).collect()
}

fn one_button(card: &ApprovalCard, option: usize, label: &str, kind: OptionKind) -> Value {
    let (action_id, value) = button::encode(&Button::Approval { id: card.id, option });
    let label: String = label.chars().take(LABEL).collect();
    let mut button = json!({
        "type": "button",
        "action_id": action_id,
        "value": value,
        "text": {"type": "plain_text", "text": if label.trim().is_empty() { "?" } else { &label }, "emoji": false},
    });
    match kind {
        OptionKind::AllowOnce => button["style"] = json!("primary"),
        OptionKind::RejectOnce | OptionKind::RejectAlways => button["style"] = json!("danger"),
        OptionKind::AllowAlways | OptionKind::Other => {}
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
mod tests {
    use super::*;
    use crate::domain::ids::ApprovalId;

    fn card(state: ApprovalState) -> ApprovalCard {
        ApprovalCard {
            id: ApprovalId::parse("0b1e2c3d4e5f60718293a4b5c6d7e8f9").unwrap(),
            requester: "U1".into(),
            title: "Run <rm>".into(),
            detail: Some("rm -rf \u{202e}x ``` <!here>".into()),
            options: vec![
                ("Allow".into(), OptionKind::AllowOnce),
                ("Always".into(), OptionKind::AllowAlways),
                ("Reject".into(), OptionKind::RejectOnce),
            ],
            state,
        }
    }

    #[test]
    fn an_open_request_shows_the_exact_command_and_a_button_for_each_option() {
        let (text, blocks) = content(&Body::Approval(card(ApprovalState::Open { expires_after_s: 600 })));
        assert_eq!(text, "The agent asks for permission: Run &lt;rm&gt;");
        let detail = blocks[1]["text"]["text"].as_str().unwrap();
        assert!(detail.contains("\\u{202E}") && detail.contains("&lt;!here&gt;"), "{detail}");
        assert_eq!(detail.matches("```").count(), 2, "it can't end its own block: {detail}");
        let buttons = blocks[3]["elements"].as_array().unwrap();
        let styles: Vec<_> = buttons.iter().map(|button| button["style"].as_str()).collect();
        assert_eq!(styles, [Some("primary"), None, Some("danger")]);
        assert_eq!(buttons[2]["value"], "0b1e2c3d4e5f60718293a4b5c6d7e8f9:2");
        assert!(buttons[1]["confirm"].is_object() && buttons[0]["confirm"].is_null());
    }

    #[test]
    fn a_settled_request_has_no_buttons_and_says_what_became_of_it() {
        for (state, says) in [
            (ApprovalState::Decided { by: "U2".into(), option: 2 }, "<@U2> chose: Reject"),
            (ApprovalState::Expired, "rejected"),
            (ApprovalState::Withdrawn, "before anybody decided"),
        ] {
            let (_, blocks) = content(&Body::Approval(card(state)));
            let all = blocks.to_string();
            assert!(all.contains(says) && !all.contains("\"actions\""), "{all}");
        }
    }

    #[test]
    fn a_text_stands_in_one_section_that_shows_all_of_it() {
        let (text, blocks) = content(&Body::Text("*hi*".into()));
        assert_eq!(text, "*hi*");
        assert_eq!(blocks, json!([{"type": "section", "expand": true, "text": {"type": "mrkdwn", "text": "*hi*"}}]));
    }
}
