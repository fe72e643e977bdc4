//! Edits and deletions of people's messages.
//!
//! Slack tells both with events of the type `message`, in which the message itself stands a level deeper. `message_changed` also comes
//! when a link is unfurled, when a thread grows, and with each piece of a stream: what counts is a newer mark of an edit.

use serde_json::Value;

use super::Decoded::{self, Ignored};
use super::{Identity, MESSAGES, author, inbound, is_own, key, said, text};
use crate::domain::ids::Ts;
use crate::domain::inbound::What;

/// What stands in place of a deleted message that has replies.
const TOMBSTONE: &str = "tombstone";

/// `message_changed`
pub(super) fn changed(payload: &Value, event: &Value, me: &Identity) -> Decoded {
    let (now, before) = (&event["message"], &event["previous_message"]);
    if text(now, "subtype") == TOMBSTONE {
        return gone(payload, event, text(now, "ts"), me);
    }
    if let Err(reason) = of_a_person(now, me) {
        return Ignored(reason);
    }
    let (user, ts, edited) = (text(now, "user"), text(now, "ts"), &now["edited"]);
    let newer = Ts::from(text(edited, "ts")) > Ts::from(text(&before["edited"], "ts"));
    if !newer || text(edited, "user") != user || text(now, "text") == text(before, "text") {
        return Ignored("no_edit");
    }
    let channel = text(event, "channel");
    if ts.is_empty() || channel.is_empty() || ["", ts].iter().all(|same| *same != text(before, "ts")) {
        return Ignored("incomplete");
    }
    let mut keys: Vec<_> = key("event", text(payload, "event_id")).collect();
    keys.push(format!("edit:{channel}:{ts}:{}", text(edited, "ts")));
    inbound(me, keys, event, author(payload, now, user, ""), What::Edited(said(now, me)))
}

/// `message_deleted`
pub(super) fn deleted(payload: &Value, event: &Value, me: &Identity) -> Decoded {
    gone(payload, event, text(event, "deleted_ts"), me)
}

/// The message `ts` is gone; what it was stands beside it.
fn gone(payload: &Value, event: &Value, ts: &str, me: &Identity) -> Decoded {
    let before = &event["previous_message"];
    if let Err(reason) = of_a_person(before, me) {
        return Ignored(reason);
    }
    let channel = text(event, "channel");
    if ts.is_empty() || channel.is_empty() {
        return Ignored("incomplete");
    }
    let mut keys: Vec<_> = key("event", text(payload, "event_id")).collect();
    keys.push(format!("delete:{channel}:{ts}"));
    let thread = Some(text(before, "thread_ts")).filter(|root| !root.is_empty() && *root != ts);
    let what = What::Deleted { ts: ts.into(), thread: thread.map(Ts::from) };
    inbound(me, keys, event, author(payload, before, text(before, "user"), ""), what)
}

/// Whether a message is one that a person wrote; else why not.
fn of_a_person(message: &Value, me: &Identity) -> Result<(), &'static str> {
    let (user, bot) = (text(message, "user"), text(message, "bot_id"));
    if is_own(me, user, bot) {
        return Err("own");
    }
    if !bot.is_empty() || !MESSAGES.contains(&text(message, "subtype")) {
        return Err("subtype");
    }
    if user.is_empty() { Err("incomplete") } else { Ok(()) }
}
