//! `conversations.*`

use serde_json::{Value, json};

use super::chat::conversation;
use super::{Call, Failure, Reply, unknown};
use crate::simulator::core::Core;
use crate::simulator::ids::{BOT_USER, Ts, slack_id};
use crate::simulator::message::Message;
use crate::simulator::shapes;
use crate::simulator::world::{Channel, Kind, World};

/// How many conversations a page has when the call does not say.
const CHANNELS: usize = 100;
/// Longest channel name.
const NAME_LIMIT: usize = 80;

/// The methods of this group.
pub(super) fn dispatch(method: &str, call: &Call<'_>) -> Reply {
    match method {
        "conversations.info" => info(call),
        "conversations.list" => list(call, false),
        "conversations.history" => history(call),
        "conversations.replies" => replies(call),
        "conversations.members" => members(call),
        "conversations.open" => open(call),
        "conversations.join" => join(call),
        "conversations.create" => create(call),
        "conversations.invite" => invite(call),
        "conversations.setTopic" => set_topic(call),
        "conversations.rename" => rename(call),
        "conversations.archive" => archive(call),
        "conversations.leave" => leave(call),
        _ => Err(unknown(method)),
    }
}

fn info(call: &Call<'_>) -> Reply {
    let world = call.core.world();
    let channel = known(call, &world)?;
    let mut object = channel.slack();
    if call.args.flag("include_num_members") {
        object["num_members"] = channel.members.len().into();
    }
    Ok(json!({"channel": object}))
}

/// `conversations.list`, and `users.conversations` when only the bot's own are wanted.
pub(super) fn list(call: &Call<'_>, own: bool) -> Reply {
    let types = call.args.list("types");
    let wanted = |channel: &&Channel| {
        let kind = match channel.slack_type() {
            "im" => "im",
            "group" => "private_channel",
            _ => "public_channel",
        };
        let of_type = if types.is_empty() { kind == "public_channel" } else { types.iter().any(|name| name == kind) };
        of_type
            && (!own || channel.has_member(BOT_USER))
            && !(channel.is_archived && call.args.flag("exclude_archived"))
    };
    let world = call.core.world();
    let mut rest = world.channels.iter().filter(wanted);
    if let Some(last) = call.args.text("cursor") {
        rest.find(|channel| channel.id == last).ok_or("invalid_cursor")?;
    }
    let page: Vec<_> = rest.by_ref().take(limit(call, CHANNELS)).collect();
    let next = rest.next().and(page.last()).map(|last| last.id.as_str()).unwrap_or_default();
    let channels: Vec<_> = page.iter().map(|channel| channel.slack()).collect();
    Ok(json!({"channels": channels, "response_metadata": {"next_cursor": next}}))
}

fn history(call: &Call<'_>) -> Reply {
    let window = Window::read(call, 100)?;
    let world = call.core.world();
    let channel = readable(call, &world)?;
    let top_level = channel.messages().rev().filter(|message| message.thread_ts.is_none());
    let (messages, has_more) = window.page(top_level);
    Ok(json!({"messages": messages, "has_more": has_more.is_some(), "response_metadata": cursor(has_more)}))
}

fn replies(call: &Call<'_>) -> Reply {
    let window = Window::read(call, 1_000)?;
    let world = call.core.world();
    let channel = readable(call, &world)?;
    let named = call.args.ts("ts").ok().flatten().ok_or("thread_not_found")?;
    let root = channel.message(named).map(Message::root).ok_or("thread_not_found")?;
    let mut thread = channel.thread(root);
    // The root comes first on every page, whatever the window.
    let first = thread.next().filter(|root| root.is_there() && window.shows(root.ts)).ok_or("thread_not_found")?;
    let (replies, has_more) = window.page(thread);
    let messages: Vec<_> = std::iter::once(window.object(first)).chain(replies).collect();
    Ok(json!({"messages": messages, "has_more": has_more.is_some(), "response_metadata": cursor(has_more)}))
}

fn cursor(next: Option<Ts>) -> Value {
    json!({"next_cursor": next.map(|ts| ts.to_string()).unwrap_or_default()})
}

/// How many items a page has: what the call asks for, else `usual`.
fn limit(call: &Call<'_>, usual: usize) -> usize {
    call.args.number("limit").unwrap_or(usual).clamp(1, 1_000)
}

/// The part of a conversation that a call asks for.
#[derive(Debug)]
struct Window {
    oldest: Ts,
    latest: Ts,
    inclusive: bool,
    limit: usize,
    /// The last message of the page before.
    after: Option<Ts>,
    /// Slack leaves metadata out unless it is asked for.
    with_metadata: bool,
    /// Only what was posted before this moment can be read yet.
    before: Ts,
}

impl Window {
    fn read(call: &Call<'_>, limit: usize) -> Result<Self, Failure> {
        let bound = |name: &str| match call.args.text(name) {
            // `0` and `now` are common; SDK users also pass whole seconds.
            Some("0" | "now") | None => Ok(None),
            Some(text) => text.parse().map(Some).or(Err(Failure::from("invalid_ts_latest"))),
        };
        let after = call.args.ts("cursor").map_err(|_| "invalid_cursor")?;
        Ok(Self {
            oldest: bound("oldest")?.unwrap_or(Ts(0)),
            latest: bound("latest")?.unwrap_or(Ts(u64::MAX)),
            inclusive: call.args.flag("inclusive"),
            limit: self::limit(call, limit),
            after,
            with_metadata: call.args.flag("include_all_metadata"),
            before: readable_before(call.core),
        })
    }

    fn holds(&self, ts: Ts) -> bool {
        if !self.shows(ts) {
            return false;
        }
        let inside = self.oldest < ts && ts < self.latest;
        inside || (self.inclusive && (ts == self.oldest || ts == self.latest))
    }

    /// Whether the reads have caught up with it.
    fn shows(&self, ts: Ts) -> bool {
        ts < self.before
    }

    /// One page of visible messages, and where the next one starts.
    fn page<'a>(&self, messages: impl Iterator<Item = &'a Message>) -> (Vec<Value>, Option<Ts>) {
        let visible = messages.filter(|message| message.is_there() && message.ephemeral_to.is_none());
        let mut rest = visible.filter(|message| self.holds(message.ts)).peekable();
        if let Some(after) = self.after {
            while rest.next_if(|message| message.ts != after).is_some() {}
            rest.next();
        }
        let page: Vec<_> = rest.by_ref().take(self.limit).collect();
        let next = rest.next().and(page.last().map(|last| last.ts));
        (page.into_iter().map(|message| self.object(message)).collect(), next)
    }

    fn object(&self, message: &Message) -> Value {
        let mut object = message.slack();
        if let Some(fields) = object.as_object_mut().filter(|_| !self.with_metadata) {
            fields.remove("metadata");
        }
        object
    }
}

/// The moment up to which messages can be read: with a lag, so long ago.
fn readable_before(core: &Core) -> Ts {
    match core.personality.now().history_lag_ms {
        0 => Ts(u64::MAX),
        // In whole milliseconds, as the clock goes.
        lag => Ts(u64::try_from(core.clock.wall_ms()).unwrap_or(0).saturating_sub(lag) * 1_000 + 1_000),
    }
}

fn members(call: &Call<'_>) -> Reply {
    let world = call.core.world();
    Ok(json!({"members": known(call, &world)?.members, "response_metadata": {"next_cursor": ""}}))
}

fn open(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let id = match (call.args.text("channel"), call.args.list("users").as_slice()) {
        (Some(channel), _) => channel.to_owned(),
        (None, [user]) if world.user(user).is_some() => world.im_with(user),
        (None, [_]) => return Err("user_not_found".into()),
        (None, _) => return Err("users_list_not_supplied".into()),
    };
    let channel = world.channel(&id).ok_or("channel_not_found")?;
    let object = if call.args.flag("return_im") { channel.slack() } else { json!({"id": id}) };
    Ok(json!({"channel": object, "no_op": true, "already_open": true}))
}

fn join(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let id = conversation(call, &world)?;
    let channel = world.channel_mut(&id).ok_or("channel_not_found")?;
    if channel.is_archived {
        return Err("is_archived".into());
    }
    if channel.is_im() || channel.is_private {
        return Err("method_not_supported_for_channel_type".into());
    }
    if channel.has_member(BOT_USER) {
        let warned = json!({"warnings": ["already_in_channel"]});
        return Ok(json!({"channel": channel.slack(), "warning": "already_in_channel", "response_metadata": warned}));
    }
    add_member(call, &mut world, &id, BOT_USER, None);
    Ok(json!({"channel": world.channel(&id).map(Channel::slack)}))
}

fn create(call: &Call<'_>) -> Reply {
    let name = call.args.text("name").ok_or("invalid_name_required")?;
    check_name(name)?;
    let mut world = call.core.world();
    if world.channel_named(name).is_some() {
        return Err("name_taken".into());
    }
    let mut channel = Channel::new(&slack_id("C"), name, Kind::Channel, vec![BOT_USER.to_owned()]);
    channel.is_private = call.args.flag("is_private");
    channel.created = call.core.tick(&mut world);
    let object = channel.slack();
    call.core.show_channel(&channel);
    world.add_channel(channel);
    Ok(json!({"channel": object}))
}

fn invite(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let id = readable(call, &world)?.id.clone();
    let users = call.args.list("users");
    if users.is_empty() {
        return Err("no_user".into());
    }
    if world.channel(&id).is_some_and(|channel| channel.is_archived) {
        return Err("is_archived".into());
    }
    for user in &users {
        if user == BOT_USER {
            return Err("cant_invite_self".into());
        }
        world.user(user).ok_or("user_not_found")?;
        if world.channel(&id).is_some_and(|channel| channel.has_member(user)) {
            return Err("already_in_channel".into());
        }
    }
    for user in &users {
        add_member(call, &mut world, &id, user, Some(BOT_USER));
    }
    Ok(json!({"channel": world.channel(&id).map(Channel::slack)}))
}

fn add_member(call: &Call<'_>, world: &mut World, id: &str, user: &str, inviter: Option<&str>) {
    let at = call.core.tick(world);
    if let Some(channel) = world.channel_mut(id) {
        channel.members.push(user.to_owned());
        call.core.show_channel(channel);
        call.core.emit(&shapes::member_joined(user, channel, inviter, at), id, at);
    }
}

fn set_topic(call: &Call<'_>) -> Reply {
    let topic = call.args.any_text("topic").unwrap_or_default().to_owned();
    let mut world = call.core.world();
    let id = readable(call, &world)?.id.clone();
    let channel = world.channel_mut(&id).ok_or("channel_not_found")?;
    channel.topic = topic;
    Ok(json!({"channel": channel.slack()}))
}

fn rename(call: &Call<'_>) -> Reply {
    let name = call.args.text("name").ok_or("invalid_name_required")?;
    check_name(name)?;
    let mut world = call.core.world();
    if world.channel_named(name).is_some() {
        return Err("name_taken".into());
    }
    let id = readable(call, &world)?.id.clone();
    let channel = world.channel_mut(&id).ok_or("channel_not_found")?;
    name.clone_into(&mut channel.name);
    call.core.show_channel(channel);
    Ok(json!({"channel": channel.slack()}))
}

fn archive(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let id = readable(call, &world)?.id.clone();
    let channel = world.channel_mut(&id).ok_or("channel_not_found")?;
    if std::mem::replace(&mut channel.is_archived, true) {
        return Err("already_archived".into());
    }
    call.core.show_channel(channel);
    Ok(json!({}))
}

fn leave(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let id = readable(call, &world)?.id.clone();
    let channel = world.channel_mut(&id).ok_or("channel_not_found")?;
    channel.members.retain(|member| member != BOT_USER);
    call.core.show_channel(channel);
    Ok(json!({}))
}

fn known<'w>(call: &Call<'_>, world: &'w World) -> Result<&'w Channel, Failure> {
    world.channel(call.required("channel")?).ok_or_else(|| "channel_not_found".into())
}

/// The channel a call names, if the bot is in it.
fn readable<'w>(call: &Call<'_>, world: &'w World) -> Result<&'w Channel, Failure> {
    let channel = known(call, world)?;
    if channel.has_member(BOT_USER) { Ok(channel) } else { Err("not_in_channel".into()) }
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name.chars().count() > NAME_LIMIT {
        return Err("invalid_name_maxlength".into());
    }
    let good = |c: char| c.is_alphanumeric() && !c.is_uppercase() || matches!(c, '-' | '_');
    if !name.chars().all(good) {
        return Err("invalid_name_specials".into());
    }
    if name.chars().any(char::is_alphanumeric) { Ok(()) } else { Err("invalid_name_punctuation".into()) }
}
