//! Deliveries into the domain's words, or a reason to pass them over. Pure.

mod changes;

use serde_json::{Value, json};

use super::button;
use super::text::plain;
use super::wire::{Envelope, Kind};
use crate::domain::ids::{BotId, TeamId, Ts, UserId};
use crate::domain::inbound::{Author, ChannelKind, Click, File, FileAt, Inbound, Message, ReplyUrl, Slash, What};
use crate::domain::ports::Joined;

/// Who we are in the workspace, as Slack tells at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our workspace.
    pub team: TeamId,
    /// Our bot's user.
    pub user: UserId,
    /// Our bot, where Slack names it.
    pub bot: Option<BotId>,
}

/// What a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Something that a person did.
    Inbound(Box<Inbound>),
    /// Not for us; acknowledged and counted under this reason.
    Ignored(&'static str),
    /// Slack leaves deliveries out, because there were too many in an hour
    /// (`docs.slack.dev/reference/events/app_rate_limited`).
    LeftOut,
}

use Decoded::Ignored;

/// Message subtypes that are a person's message all the same.
pub(super) const MESSAGES: [&str; 4] = ["", "file_share", "thread_broadcast", "me_message"];

/// Reads a delivery.
pub fn decode(envelope: &Envelope, me: &Identity) -> Decoded {
    match envelope.kind {
        Kind::Event => event(&envelope.payload, me),
        Kind::Slash => slash(&envelope.payload, me),
        Kind::Interactive => interactive(&envelope.payload, me),
    }
}

/// Reads a message that was asked for, as if it had just been delivered. What it says is its newest form.
pub(super) fn read_back(message: &Value, place: &Joined, me: &Identity) -> Decoded {
    let mut event = message.clone();
    event["channel"] = place.channel.as_str().into();
    if let Some(event) = event.as_object_mut() {
        event.remove("edited");
    }
    let payload = json!({"is_ext_shared_channel": place.shared});
    let mut decoded = self::message(&payload, &event, me);
    if let Decoded::Inbound(inbound) = &mut decoded {
        inbound.channel_kind = place.kind;
    }
    decoded
}

fn event(payload: &Value, me: &Identity) -> Decoded {
    // It has no event inside.
    if text(payload, "type") == "app_rate_limited" {
        return Decoded::LeftOut;
    }
    let event = &payload["event"];
    match text(event, "type") {
        "message" => match text(event, "subtype") {
            "message_changed" => changes::changed(payload, event, me),
            "message_deleted" => changes::deleted(payload, event, me),
            _ => message(payload, event, me),
        },
        "app_mention" => message(payload, event, me),
        "agent_session_stopped" => stopped(payload, event, me),
        _ => Ignored("event_type"),
    }
}

fn message(payload: &Value, event: &Value, me: &Identity) -> Decoded {
    let (subtype, bot) = (text(event, "subtype"), text(event, "bot_id"));
    // Of bots, those that the configuration lists may prompt: for the gate to decide.
    let by_a_bot = subtype == "bot_message" && !bot.is_empty();
    if !by_a_bot && !MESSAGES.contains(&subtype) {
        return Ignored("subtype");
    }
    // A mention that was added by editing: the message itself has been handled or passed over.
    if event["edited"].is_object() || event["hidden"] == true {
        return Ignored("edit");
    }
    let (user, ts, channel) = (text(event, "user"), text(event, "ts"), text(event, "channel"));
    if is_own(me, user, bot) {
        return Ignored("own");
    }
    // An integration has no user.
    let user = if user.is_empty() { bot } else { user };
    if user.is_empty() || ts.is_empty() || channel.is_empty() {
        return Ignored("incomplete");
    }
    // Slack has been seen to deliver a message again without its text. Were it kept, its whole form would be a duplicate of it.
    if text(event, "text").is_empty() && files(event).is_empty() {
        return Ignored("empty");
    }
    let mut keys = vec![format!("message:{channel}:{ts}")];
    keys.extend(key("event", text(payload, "event_id")));
    keys.extend(key(&format!("gesture:{user}"), text(event, "client_msg_id")));
    inbound(me, keys, event, author(payload, event, user, bot), What::Message(said(event, me)))
}

/// Whether a message is ours, by its user or its bot.
pub(super) fn is_own(me: &Identity, user: &str, bot: &str) -> bool {
    user == me.user.as_str() || me.bot.as_ref().is_some_and(|own| own.as_str() == bot)
}

/// What a message says, and where it stands.
fn said(message: &Value, me: &Identity) -> Message {
    let ts = text(message, "ts");
    let plain = plain(text(message, "text"), me.user.as_str());
    let thread = Some(text(message, "thread_ts")).filter(|root| !root.is_empty() && *root != ts);
    Message {
        ts: ts.into(),
        thread: thread.map(Ts::from),
        mention: plain.mention || text(message, "type") == "app_mention",
        text: plain.text,
        files: files(message),
    }
}

/// The files that hang on a message: Slack allows ten, and no more than twice that are of interest.
fn files(message: &Value) -> Vec<File> {
    message["files"].as_array().into_iter().flatten().take(20).map(file).collect()
}

/// A file object. One of another workspace has nothing but an id.
pub(super) fn file(object: &Value) -> File {
    let known = |name: &str| Some(text(object, name)).filter(|text| !text.is_empty()).map(str::to_owned);
    let address = known("url_private_download").or_else(|| known("url_private"));
    let at = match (text(object, "mode"), text(object, "file_access"), address) {
        ("tombstone" | "hidden_by_limit", _, _) | (_, "file_not_found" | "access_denied", _) => FileAt::Gone,
        ("external", _, _) => FileAt::Elsewhere,
        (_, "check_file_info", _) | (_, _, None) => FileAt::Ask,
        (_, _, Some(address)) => FileAt::Address(address),
    };
    File {
        id: text(object, "id").to_owned(),
        name: known("name").or_else(|| known("title")).unwrap_or_else(|| "file".to_owned()),
        mime: known("mimetype"),
        size: object["size"].as_u64(),
        at: if object["is_external"] == true { FileAt::Elsewhere } else { at },
    }
}

fn stopped(payload: &Value, event: &Value, me: &Identity) -> Decoded {
    let (user, thread) = (text(event, "user"), text(event, "thread_ts"));
    if user.is_empty() || thread.is_empty() || text(event, "channel").is_empty() {
        return Ignored("incomplete");
    }
    let keys = key("event", text(payload, "event_id")).collect();
    inbound(me, keys, event, author(payload, event, user, ""), What::Stop { thread: thread.into() })
}

fn inbound(me: &Identity, keys: Vec<String>, event: &Value, author: Author, what: What) -> Decoded {
    Decoded::Inbound(Box::new(Inbound {
        keys,
        team: me.team.clone(),
        channel: text(event, "channel").into(),
        channel_kind: channel_kind(text(event, "channel_type")),
        author,
        what,
    }))
}

fn slash(payload: &Value, me: &Identity) -> Decoded {
    let (user, channel, reply) = (text(payload, "user_id"), text(payload, "channel_id"), text(payload, "response_url"));
    if user.is_empty() || channel.is_empty() || reply.is_empty() {
        return Ignored("incomplete");
    }
    Decoded::Inbound(Box::new(Inbound {
        keys: key("slash", text(payload, "trigger_id")).collect(),
        team: me.team.clone(),
        channel: channel.into(),
        channel_kind: by_prefix(channel),
        author: actor(user, text(payload, "team_id")),
        what: What::Slash(Slash {
            text: plain(text(payload, "text"), me.user.as_str()).text,
            reply: ReplyUrl(reply.into()),
        }),
    }))
}

fn interactive(payload: &Value, me: &Identity) -> Decoded {
    if text(payload, "type") != "block_actions" {
        return Ignored("interaction_type");
    }
    let (action, container) = (&payload["actions"][0], &payload["container"]);
    let (action_id, action_ts) = (text(action, "action_id"), text(action, "action_ts"));
    let Some(button) = button::decode(action_id, text(action, "value")) else { return Ignored("foreign_button") };
    let (user, channel) = (text(&payload["user"], "id"), text(container, "channel_id"));
    let message = text(container, "message_ts");
    if user.is_empty() || channel.is_empty() || message.is_empty() {
        return Ignored("incomplete");
    }
    let thread =
        [container, &payload["message"]].into_iter().map(|place| text(place, "thread_ts")).find(|ts| !ts.is_empty());
    let reply = Some(text(payload, "response_url")).filter(|url| !url.is_empty());
    Decoded::Inbound(Box::new(Inbound {
        keys: vec![format!("click:{message}:{action_id}:{action_ts}:{user}")],
        team: me.team.clone(),
        channel: channel.into(),
        channel_kind: by_prefix(channel),
        author: actor(user, text(&payload["user"], "team_id")),
        what: What::Click(Click {
            message: message.into(),
            ephemeral: container["is_ephemeral"] == true,
            thread: thread.map(Ts::from),
            button,
            reply: reply.map(|url| ReplyUrl(url.to_owned())),
        }),
    }))
}

/// The workspace of a person who may be from elsewhere, when nothing names it: none that anybody could list.
const SOMEBODY_ELSES: &str = "unknown";

fn author(payload: &Value, event: &Value, user: &str, bot: &str) -> Author {
    // In shared channels these name the person's own workspace; `team` does so only sometimes.
    let home = ["user_team", "source_team", "team"].into_iter().map(|name| text(event, name)).find(|id| !id.is_empty());
    let shared = payload["is_ext_shared_channel"] == true;
    Author {
        user: user.into(),
        team: home.or(shared.then_some(SOMEBODY_ELSES)).and_then(team),
        bot: Some(bot).filter(|bot| !bot.is_empty()).map(BotId::from),
    }
}

/// Who gave a command or clicked. Slack always names their workspace, so that whoever comes without one counts as a stranger.
fn actor(user: &str, home: &str) -> Author {
    Author { user: user.into(), team: team(home).or_else(|| team(SOMEBODY_ELSES)), bot: None }
}

fn team(id: &str) -> Option<TeamId> {
    (!id.is_empty()).then(|| id.into())
}

fn channel_kind(kind: &str) -> ChannelKind {
    match kind {
        "channel" | "group" => ChannelKind::Channel,
        "im" => ChannelKind::Direct,
        "mpim" => ChannelKind::Group,
        _ => ChannelKind::Unknown,
    }
}

/// Commands and clicks don't say what kind of place they come from; a DM's id begins with `D`.
fn by_prefix(channel: &str) -> ChannelKind {
    if channel.starts_with('D') { ChannelKind::Direct } else { ChannelKind::Unknown }
}

fn key(kind: &str, id: &str) -> impl Iterator<Item = String> {
    (!id.is_empty()).then(|| format!("{kind}:{id}")).into_iter()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
