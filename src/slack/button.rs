//! Our buttons on the wire: an action id and a value.

use serde_json::json;

use crate::domain::ids::{ApprovalId, Ts};
use crate::domain::inbound::Button;

const OURS: &str = "hitchline";
const APPROVAL: &str = "approval";

/// The action id and the value of a button. Of the options of one approval, which stand in one block, no two have the same action id.
pub fn encode(button: &Button) -> (String, String) {
    match button {
        Button::Approval { id, option } => (format!("{OURS}.{APPROVAL}.{option}"), format!("{id}:{option}")),
        other => (format!("{OURS}.{}", kind(other)), json!(other).to_string()),
    }
}

/// The button behind an action id and a value, if it is one of ours.
pub fn decode(action_id: &str, value: &str) -> Option<Button> {
    let named = action_id.strip_prefix(OURS)?.strip_prefix('.')?;
    if let Some(place) = named.strip_prefix(APPROVAL) {
        return approval(place.strip_prefix('.')?, value);
    }
    let button: Button = serde_json::from_str(value).ok()?;
    (kind(&button) == named && button.thread().is_none_or(is_ts)).then_some(button)
}

fn approval(place: &str, value: &str) -> Option<Button> {
    let (id, option) = value.split_once(':')?;
    let same_place = place == option;
    let approval = Button::Approval { id: ApprovalId::parse(id)?, option: option.parse().ok()? };
    same_place.then_some(approval)
}

fn kind(button: &Button) -> &'static str {
    match button {
        Button::Approval { .. } => APPROVAL,
        Button::Connect { .. } => "connect",
        Button::Adopt { .. } => "adopt",
        Button::Stop { .. } => "stop",
        Button::Option { .. } => "option",
        Button::Interrupted { .. } => "interrupted",
        Button::Offer { .. } => "offer",
    }
}

/// Whether it looks like a time stamp: `1700000000.000100`.
fn is_ts(ts: &Ts) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    ts.as_str().split_once('.').is_some_and(|(seconds, micros)| digits(seconds) && digits(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{SessionId, TurnId};

    #[test]
    fn buttons_survive_the_way_there_and_back() {
        let session = SessionId::new();
        let thread = Some(Ts::from("1.0"));
        for button in [
            Button::Approval { id: ApprovalId::new(), option: 3 },
            Button::Connect { session, thread: thread.clone() },
            Button::Connect { session, thread: None },
            Button::Adopt { backend: "claude".into(), backend_ref: "{\"é\":\n1}".into(), thread },
            Button::Stop { turn: TurnId::new() },
            Button::Option { session, option: "model".into(), value: "a:b\"c".into() },
        ] {
            let (action_id, value) = encode(&button);
            assert_eq!(decode(&action_id, &value), Some(button));
        }
    }

    // holds: K-5
    #[test]
    fn forged_and_foreign_values_are_nothing() {
        let id = ApprovalId::new();
        let approval = json!(Button::Approval { id, option: 0 }).to_string();
        let connect = |thread: &str| json!({"connect": {"session": SessionId::new(), "thread": thread}}).to_string();
        for (action_id, value) in [
            ("other", format!("{id}:0")),
            ("hitchline.approval.1", format!("{id}:0")),
            ("hitchline.approval.0", "x:0".to_owned()),
            ("hitchline.approval.0", format!("{id}")),
            ("hitchline.approval", approval.clone()),
            ("hitchline.connect", approval),
            ("hitchline.stop", connect("1.0")),
            ("hitchlineconnect", connect("1.0")),
            ("hitchline.connect", connect("")),
            ("hitchline.connect", connect("1.0/x")),
            ("hitchline.connect", "{}".to_owned()),
            ("hitchline.connect", String::new()),
            ("hitchline.stop", r#"{"stop":{"turn":"me"}}"#.to_owned()),
            ("hitchline.something_new", r#"{"something_new":{}}"#.to_owned()),
        ] {
            assert_eq!(decode(action_id, &value), None, "{action_id} {value}");
        }
    }
}
