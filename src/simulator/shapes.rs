//! JSON of what Slack tells an app: events and interactions.

use serde_json::{Value, json};

use super::ids::{APP, BOT_USER, TEAM, TEAM_NAME, Ts};
use super::message::Message;
use super::world::Channel;

/// An inner event and what its outer layer needs to know.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) inner: Value,
    /// Someone from another team is involved.
    pub(super) shared: bool,
}

/// The payload of an `events_api` envelope around an inner event, as JSON text, in the context of a team.
pub(super) fn event_callback(event_id: &str, event: &Event, at: Ts, team: &str) -> String {
    let shared = event.shared;
    format!(
        concat!(
            r#"{{"token":"legacy","team_id":"{team}","context_team_id":"{team}","context_enterprise_id":null,"api_app_id":"{app}","#,
            r#""type":"event_callback","event_id":"{event_id}","event_time":{time},"#,
            r#""authorizations":[{{"enterprise_id":null,"team_id":"{own}","user_id":"{bot}","is_bot":true,"is_enterprise_install":false}}],"#,
            r#""is_ext_shared_channel":{shared},"event_context":"4-{event_id}","event":{inner}}}"#
        ),
        team = team,
        own = TEAM,
        app = APP,
        bot = BOT_USER,
        event_id = event_id,
        time = at.seconds(),
        shared = shared,
        inner = event.inner,
    )
}

/// `message`, as someone posted it.
pub(super) fn message_posted(message: &Message, channel: &Channel, root_author: Option<&str>) -> Event {
    let mut inner = message.slack();
    inner["channel"] = message.channel.as_str().into();
    inner["channel_type"] = channel.slack_type().into();
    inner["event_ts"] = json!(message.ts);
    if let Some(author) = root_author {
        inner["parent_user_id"] = author.into();
    }
    if message.files.is_some() {
        inner["subtype"] = "file_share".into();
    }
    from_author(inner, message)
}

/// `app_mention`, the twin of a message that names the bot.
pub(super) fn app_mention(message: &Message, at: Ts) -> Event {
    let mut inner = message.slack();
    inner["type"] = "app_mention".into();
    inner["channel"] = message.channel.as_str().into();
    inner["event_ts"] = json!(at);
    from_author(inner, message)
}

/// `message_changed`.
pub(super) fn message_changed(message: &Message, previous: Value, channel: &Channel, at: Ts) -> Event {
    let mut inner = json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "channel": message.channel,
        "channel_type": channel.slack_type(), "ts": at, "event_ts": at,
    });
    inner["message"] = message.slack();
    inner["previous_message"] = previous;
    from_author(inner, message)
}

/// `message_deleted`; of a message that has replies a tombstone is left, and Slack says `message_changed`.
pub(super) fn message_deleted(message: &Message, previous: Value, channel: &Channel, at: Ts) -> Event {
    if !message.replies.is_empty() {
        return message_changed(message, previous, channel, at);
    }
    let inner = json!({
        "type": "message", "subtype": "message_deleted", "hidden": true, "channel": message.channel,
        "channel_type": channel.slack_type(), "ts": at, "event_ts": at, "deleted_ts": message.ts, "previous_message": previous,
    });
    from_author(inner, message)
}

/// `reaction_added` or `reaction_removed`.
pub(super) fn reaction(message: &Message, user: &str, name: &str, added: bool, at: Ts) -> Event {
    let kind = if added { "reaction_added" } else { "reaction_removed" };
    let inner = json!({
        "type": kind, "user": user, "reaction": name, "item_user": message.user, "event_ts": at,
        "item": {"type": "message", "channel": message.channel, "ts": message.ts},
    });
    Event { inner, shared: false }
}

/// `agent_session_stopped`: a person pressed the native Stop button.
pub(super) fn session_stopped(user: &str, channel: &str, thread: Ts, streams: &[Ts], at: Ts) -> Event {
    let inner = json!({
        "type": "agent_session_stopped", "channel": channel, "user": user, "thread_ts": thread,
        "streaming_message_ts": streams, "event_ts": at,
    });
    Event { inner, shared: false }
}

/// `member_joined_channel`.
pub(super) fn member_joined(user: &str, channel: &Channel, inviter: Option<&str>, at: Ts) -> Event {
    let kind = if channel.is_private { "G" } else { "C" };
    let mut inner = json!({
        "type": "member_joined_channel", "user": user, "channel": channel.id, "channel_type": kind, "team": TEAM, "event_ts": at,
    });
    if let Some(inviter) = inviter {
        inner["inviter"] = inviter.into();
    }
    Event { inner, shared: false }
}

/// Who acts, as interactions name them.
pub(super) fn actor(user: &str, name: &str, team: &str) -> Value {
    json!({"id": user, "username": name, "name": name, "team_id": team})
}

/// A pressed button or another element of a message.
#[derive(Debug)]
pub(super) struct Pressed<'a> {
    pub(super) message: &'a Message,
    pub(super) channel: &'a Channel,
    pub(super) user: Value,
    pub(super) action: Value,
    pub(super) response_url: &'a str,
}

/// The payload of a `block_actions` interaction.
pub(super) fn block_actions(pressed: &Pressed<'_>, trigger_id: &str) -> Value {
    let Pressed { message, channel, user, action, response_url } = pressed;
    let ephemeral = message.ephemeral_to.is_some();
    let mut container = json!({
        "type": "message", "message_ts": message.ts, "channel_id": channel.id, "is_ephemeral": ephemeral,
    });
    if let Some(thread) = message.thread_ts {
        container["thread_ts"] = json!(thread);
    }
    let mut payload = json!({
        "type": "block_actions", "user": user, "api_app_id": APP, "token": "legacy", "container": container,
        "trigger_id": trigger_id, "team": {"id": TEAM, "domain": TEAM_NAME.to_lowercase()}, "enterprise": null,
        "is_enterprise_install": false, "channel": {"id": channel.id, "name": channel.name}, "state": {"values": {}},
        "response_url": response_url, "actions": [action],
    });
    if !ephemeral {
        payload["message"] = message.slack();
    }
    payload
}

fn from_author(mut inner: Value, message: &Message) -> Event {
    let shared = message.team != TEAM;
    if shared {
        inner["user_team"] = message.team.as_str().into();
        inner["source_team"] = message.team.as_str().into();
    }
    Event { inner, shared }
}

/// Text as a person types it, in the form Slack stores: the three escapes, and `@name` as a mention where `id_of` knows
/// the name.
pub(super) fn typed(text: &str, id_of: impl Fn(&str) -> Option<String>) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped.as_str();
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let starts_word = !out.chars().next_back().is_some_and(char::is_alphanumeric);
        let mention = if starts_word { mention_at(&after[1..], &id_of) } else { None };
        let (written, length) = mention.unwrap_or_else(|| ("@".to_owned(), 0));
        out.push_str(&written);
        rest = &after[1 + length..];
    }
    out.push_str(rest);
    out
}

/// The mention that starts here, and the length of the name it stands for.
fn mention_at(text: &str, id_of: &impl Fn(&str) -> Option<String>) -> Option<(String, usize)> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let name = &text[..length];
    if matches!(name, "here" | "channel" | "everyone") {
        return Some((format!("<!{name}>"), length));
    }
    id_of(name).map(|id| (format!("<@{id}>"), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_is_escaped_and_mentions_are_resolved() {
        let id_of = |name: &str| match name {
            "hitchline" => Some("U0BOT".to_owned()),
            "al-ice" => Some("U1".to_owned()),
            _ => None,
        };
        let cases = [
            ("plain", "plain"),
            ("@hitchline hi", "<@U0BOT> hi"),
            ("hi @hitchline, @al-ice!", "hi <@U0BOT>, <@U1>!"),
            ("a<b && c>d", "a&lt;b &amp;&amp; c&gt;d"),
            ("mail@hitchline", "mail@hitchline"),
            ("@nobody @", "@nobody @"),
            ("@here <@U0BOT>", "<!here> &lt;@U0BOT&gt;"),
            ("@hitchliner", "@hitchliner"),
        ];
        for (text, expected) in cases {
            assert_eq!(typed(text, id_of), expected, "{text}");
        }
    }

    #[test]
    fn an_event_callback_is_json_with_the_outer_fields() {
        let event = Event { inner: json!({"type": "message", "text": "\"quoted\""}), shared: true };
        let payload: Value =
            serde_json::from_str(&event_callback("Ev1", &event, Ts(1_700_000_000_000_001), TEAM)).unwrap();
        assert_eq!(payload["event"], event.inner);
        assert_eq!((&payload["event_id"], &payload["event_time"]), (&json!("Ev1"), &json!(1_700_000_000)));
        assert_eq!(payload["is_ext_shared_channel"], true);
        assert_eq!(payload["authorizations"][0]["user_id"], BOT_USER);
    }
}
