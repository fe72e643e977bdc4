//! Our buttons on the wire: an action id and a value.

use crate::domain::ids::{ApprovalId, TurnId};
use crate::domain::inbound::Button;

const APPROVAL: &str = "hitchline.approval";
const STOP: &str = "hitchline.stop";

/// The action id and the value of a button. Action ids differ within a message, as Slack wants it.
pub fn encode(button: &Button) -> (String, String) {
    match button {
        Button::Approval { id, option } => (format!("{APPROVAL}.{option}"), format!("{id}:{option}")),
        Button::Stop { turn } => (STOP.to_owned(), turn.to_string()),
    }
}

/// The button behind an action id and a value, if it is one of ours.
pub fn decode(action_id: &str, value: &str) -> Option<Button> {
    if action_id == STOP {
        return TurnId::parse(value).map(|turn| Button::Stop { turn });
    }
    let place = action_id.strip_prefix(APPROVAL)?.strip_prefix('.')?;
    let (id, option) = value.split_once(':')?;
    let same_place = place == option;
    let approval = Button::Approval { id: ApprovalId::parse(id)?, option: option.parse().ok()? };
    same_place.then_some(approval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_survive_the_way_there_and_back() {
        for button in [Button::Approval { id: ApprovalId::new(), option: 3 }, Button::Stop { turn: TurnId::new() }] {
            let (action_id, value) = encode(&button);
            assert_eq!(decode(&action_id, &value), Some(button));
        }
    }

    #[test]
    fn forged_and_foreign_values_are_nothing() {
        let id = ApprovalId::new();
        for (action_id, value) in [
            ("other", format!("{id}:0")),
            ("hitchline.approval.1", format!("{id}:0")),
            ("hitchline.approval.0", "x:0".to_owned()),
            ("hitchline.approval.0", format!("{id}")),
            ("hitchline.stop", "x".to_owned()),
        ] {
            assert_eq!(decode(action_id, &value), None, "{action_id} {value}");
        }
    }
}
