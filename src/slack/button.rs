//! Our buttons on the wire: an action id and a value.

use crate::domain::ids::ApprovalId;
use crate::domain::inbound::Button;

const APPROVAL: &str = "hitchline.approval";

/// The action id and the value of a button. Action ids differ within a message, as Slack wants it.
pub fn encode(button: &Button) -> (String, String) {
    let Button::Approval { id, option } = button;
    (format!("{APPROVAL}.{option}"), format!("{id}:{option}"))
}

/// The button behind an action id and a value, if it is one of ours.
pub fn decode(action_id: &str, value: &str) -> Option<Button> {
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
        let button = Button::Approval { id: ApprovalId::new(), option: 3 };
        let (action_id, value) = encode(&button);
        assert_eq!(decode(&action_id, &value), Some(button));
    }

    #[test]
    fn forged_and_foreign_values_are_nothing() {
        let id = ApprovalId::new();
        for (action_id, value) in [
            ("other", format!("{id}:0")),
            ("hitchline.approval.1", format!("{id}:0")),
            ("hitchline.approval.0", "x:0".to_owned()),
            ("hitchline.approval.0", format!("{id}")),
        ] {
            assert_eq!(decode(action_id, &value), None, "{action_id} {value}");
        }
    }
}
