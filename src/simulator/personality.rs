//! What is not known of Slack, each with the answers that it may have.
//!
//! Slack documents none of this, and reports of others contradict each other, so an app must get along with each answer. The
//! defaults are how this simulator has always behaved; `hitchline probe` finds out how a real workspace does.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::core::lock;

/// The answers that hold. Changed while it runs, they hold for what happens from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Personality {
    /// What becomes of events while no socket is open.
    pub redelivers_offline: RedeliversOffline,
    /// What `client_msg_id` does when the app posts with one.
    pub client_msg_id: ClientMsgId,
    /// How long, in milliseconds, a message is missing from `conversations.history` and `conversations.replies` after it was
    /// posted. That others see it at once is known; how far the reads lag behind is not.
    pub history_lag_ms: u64,
    /// Whether a click or a command that is not acknowledged comes again, by the schedule of events. No report of it is known,
    /// and none that says it can't be.
    pub retries_clicks: bool,
    /// After so many milliseconds what a person wrote comes as a second `message` event, with another `ts` and the same
    /// `client_msg_id`; no message stands behind it. Seen by others, 39 s apart; how often is not known.
    pub duplicate_ts_twin_ms: Option<u64>,
    /// Whether each event comes twice, with two event ids and the contexts of two teams. Seen by others in channels that two
    /// workspaces share; here it concerns every channel.
    pub connect_twins: bool,
    /// Whether an event that comes again has lost its text. Seen by others; what makes it so is not known.
    pub empty_text_redelivery: bool,
}

/// What becomes of events that happen, or are not acknowledged yet, while no socket is open. Reports say both that they come later
/// and that they don't.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedeliversOffline {
    /// Their schedule runs on: an attempt that finds no socket is used up, a later one may find one.
    #[default]
    Scheduled,
    /// They wait for the next socket, and keep their attempts.
    Kept,
    /// They are gone, also those that wait for another attempt when the last socket closes.
    Never,
}

/// What posting with a `client_msg_id` does. Slack does not document the argument, only errors that name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMsgId {
    /// Nothing.
    #[default]
    Ignored,
    /// A second post with the same id in a channel, within 10 minutes, is answered with the first one's message.
    Honoured,
    /// The call fails with `invalid_arg_name`.
    Rejected,
}

impl Default for Personality {
    fn default() -> Self {
        Self {
            redelivers_offline: RedeliversOffline::Scheduled,
            client_msg_id: ClientMsgId::Ignored,
            history_lag_ms: 0,
            retries_clicks: false,
            duplicate_ts_twin_ms: None,
            connect_twins: false,
            empty_text_redelivery: false,
        }
    }
}

/// The personality that holds, for everybody who acts by it.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding(Arc<Mutex<Personality>>);

impl Holding {
    pub(super) fn new(personality: Personality) -> Self {
        Self(Arc::new(Mutex::new(personality)))
    }

    /// What holds now.
    pub(super) fn now(&self) -> Personality {
        *lock(&self.0)
    }

    /// Changes the fields that `changes` names and returns what holds now. The error is a sentence; nothing is changed then.
    pub(super) fn change(&self, changes: Map<String, Value>) -> Result<Personality, String> {
        let mut holding = lock(&self.0);
        *holding = overlaid(*holding, changes).map_err(|error| error.to_string())?;
        Ok(*holding)
    }
}

fn overlaid(personality: Personality, changes: Map<String, Value>) -> serde_json::Result<Personality> {
    let mut fields = serde_json::to_value(personality)?;
    for (name, value) in changes {
        fields[name] = value;
    }
    serde_json::from_value(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(holding: &Holding, changes: &Value) -> Result<Personality, String> {
        holding.change(changes.as_object().cloned().unwrap())
    }

    #[test]
    fn what_is_not_named_stays() {
        let holding = Holding::default();
        change(&holding, &json!({"history_lag_ms": 250, "client_msg_id": "honoured"})).unwrap();
        change(&holding, &json!({"redelivers_offline": "kept"})).unwrap();
        let expected = Personality {
            redelivers_offline: RedeliversOffline::Kept,
            client_msg_id: ClientMsgId::Honoured,
            history_lag_ms: 250,
            ..Personality::default()
        };
        assert_eq!(holding.now(), expected);
    }

    #[test]
    fn what_is_not_understood_changes_nothing_and_is_named() {
        let holding = Holding::default();
        let cases = [
            (json!({"retries_clicks": true, "history_lag": 1}), "unknown field `history_lag`"),
            (json!({"retries_clicks": true, "redelivers_offline": false}), "invalid type"),
            (json!({"retries_clicks": true, "client_msg_id": "perhaps"}), "unknown variant `perhaps`"),
        ];
        for (changes, expected) in cases {
            let refused = change(&holding, &changes).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(holding.now(), Personality::default());
        }
    }
}
