//! `chat.*` without the streams.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Call, Failure, Reply};
use crate::simulator::ClientMsgId;
use crate::simulator::block_kit;
use crate::simulator::changes::{Content, Draft};
use crate::simulator::ids::{BOT_USER, Ts};
use crate::simulator::message::Message;
use crate::simulator::world::{Channel, World};

/// Longer texts are cut by `chat.postMessage`.
const TEXT_CUT: usize = 40_000;
/// Longer texts are refused by `chat.update`.
const UPDATE_LIMIT: usize = 4_000;
/// Longest `markdown_text`.
pub(super) const MARKDOWN_LIMIT: usize = 12_000;

/// How long a `client_msg_id` is remembered where it is honoured.
const HONOURED_FOR: Duration = Duration::from_mins(10);

/// `chat.postMessage`
pub(super) fn post(call: &Call<'_>) -> Reply {
    let content = content(call)?;
    let mut world = call.core.world();
    let channel = writable(&mut world, call.required("channel")?)?;
    let thread_ts = thread(call, &world, &channel)?;
    let client_msg_id = call.args.text("client_msg_id");
    if let Some(first) = posted_before(call, world.channel(&channel), client_msg_id)? {
        return Ok(json!({"channel": channel, "ts": first.ts, "message": first.slack()}));
    }
    let draft = Draft {
        client_msg_id: client_msg_id.map(str::to_owned),
        channel: channel.clone(),
        user: BOT_USER.to_owned(),
        text: cut(content.text.unwrap_or_default()),
        thread_ts,
        blocks: content.blocks,
        metadata: content.metadata,
        ..Draft::default()
    };
    let ts = call.core.post(&mut world, draft);
    let message = world.message(&channel, ts).map(Message::slack);
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

/// The message that was posted with the same `client_msg_id`, where and as long as that counts.
fn posted_before<'w>(
    call: &Call<'_>,
    channel: Option<&'w Channel>,
    id: Option<&str>,
) -> Result<Option<&'w Message>, Failure> {
    match (call.core.personality.now().client_msg_id, id) {
        (ClientMsgId::Ignored, _) | (_, None) => Ok(None),
        (ClientMsgId::Rejected, Some(_)) => Err("invalid_arg_name".into()),
        (ClientMsgId::Honoured, Some(id)) => {
            let first = channel.and_then(|channel| channel.posted_as(id));
            Ok(first.filter(|first| call.core.age(first.ts) < HONOURED_FOR))
        }
    }
}

/// `chat.postEphemeral`
pub(super) fn post_ephemeral(call: &Call<'_>) -> Reply {
    let content = content(call)?;
    let user = call.required("user")?;
    let mut world = call.core.world();
    let channel = writable(&mut world, call.required("channel")?)?;
    if !world.channel(&channel).is_some_and(|channel| channel.has_member(user)) {
        return Err("user_not_in_channel".into());
    }
    let thread_ts = thread(call, &world, &channel)?;
    if thread_ts.and_then(|root| world.message(&channel, root)).is_some_and(|root| root.replies.is_empty()) {
        // Slack says yes and shows it to nobody: a thread is there for people once it has replies.
        return Ok(json!({"message_ts": call.core.tick(&mut world)}));
    }
    let draft = Draft {
        channel,
        user: BOT_USER.to_owned(),
        text: cut(content.text.unwrap_or_default()),
        thread_ts,
        blocks: content.blocks,
        ephemeral_to: Some(user.to_owned()),
        ..Draft::default()
    };
    Ok(json!({"message_ts": call.core.post(&mut world, draft)}))
}

/// `chat.update`
pub(super) fn update(call: &Call<'_>) -> Reply {
    let content = content(call)?;
    let limit = if call.args.text("markdown_text").is_some() { MARKDOWN_LIMIT } else { UPDATE_LIMIT };
    if content.text.as_ref().is_some_and(|text| text.chars().count() > limit) {
        return Err("msg_too_long".into());
    }
    let mut world = call.core.world();
    let channel = conversation(call, &world)?;
    let ts = own_message(call, &world, &channel, "cant_update_message")?;
    if world.message(&channel, ts).is_some_and(Message::is_streaming) {
        return Err("streaming_state_conflict".into());
    }
    call.core.edit(&mut world, &channel, ts, content, BOT_USER);
    let message = world.message(&channel, ts);
    let text = message.map(|message| message.text.clone());
    Ok(json!({"channel": channel, "ts": ts, "text": text, "message": message.map(Message::slack)}))
}

/// `chat.delete`
pub(super) fn delete(call: &Call<'_>) -> Reply {
    let mut world = call.core.world();
    let channel = conversation(call, &world)?;
    let ts = own_message(call, &world, &channel, "cant_delete_message")?;
    call.core.delete(&mut world, &channel, ts);
    Ok(json!({"channel": channel, "ts": ts}))
}

/// `chat.getPermalink`
pub(super) fn permalink(call: &Call<'_>) -> Reply {
    let world = call.core.world();
    let channel = conversation(call, &world)?;
    let ts =
        call.args.ts("message_ts")?.filter(|ts| world.message(&channel, *ts).is_some()).ok_or("message_not_found")?;
    let digits = ts.to_string().replace('.', "");
    Ok(json!({"channel": channel, "permalink": format!("http://{}/archives/{channel}/p{digits}", call.core.address)}))
}

/// The channel a call names, which exists.
pub(super) fn conversation(call: &Call<'_>, world: &World) -> Result<String, Failure> {
    let name = call.required("channel")?;
    world.channel(name).map(|channel| channel.id.clone()).ok_or_else(|| "channel_not_found".into())
}

/// The channel a call wants to write to: by id, by a user's id (their direct messages) or by name.
pub(super) fn writable(world: &mut World, name: &str) -> Result<String, Failure> {
    if world.user(name).is_some() {
        return Ok(world.im_with(name));
    }
    let by_name = || world.channel_named(name.trim_start_matches('#'));
    let channel = world.channel(name).or_else(by_name).ok_or("channel_not_found")?;
    if channel.is_archived {
        return Err("is_archived".into());
    }
    if !channel.has_member(BOT_USER) {
        return Err("not_in_channel".into());
    }
    Ok(channel.id.clone())
}

/// The thread a call wants to write in; its root exists.
pub(super) fn thread(call: &Call<'_>, world: &World, channel: &str) -> Result<Option<Ts>, Failure> {
    let Some(ts) = call.args.ts("thread_ts").map_err(|_| "invalid_thread_ts")? else { return Ok(None) };
    world.message(channel, ts).map(|message| Some(message.root())).ok_or_else(|| "thread_not_found".into())
}

/// The bot's own message that a call names.
fn own_message(call: &Call<'_>, world: &World, channel: &str, refusal: &str) -> Result<Ts, Failure> {
    let ts = call.args.ts("ts").ok().flatten().ok_or("message_not_found")?;
    let message = world.message(channel, ts).filter(|message| !message.deleted).ok_or("message_not_found")?;
    if !message.is_bot() || message.ephemeral_to.is_some() {
        return Err(refusal.into());
    }
    Ok(ts)
}

/// What a call wants said, within Slack's limits.
fn content(call: &Call<'_>) -> Result<Content, Failure> {
    let args = call.args;
    let (text, markdown) = (args.text("text"), args.text("markdown_text"));
    let blocks = args.json("blocks");
    let attachments = args.json("attachments").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if markdown.is_some() && (text.is_some() || blocks.is_some()) {
        return Err("markdown_text_conflict".into());
    }
    if markdown.is_some_and(|markdown| markdown.chars().count() > MARKDOWN_LIMIT) {
        return Err("msg_too_long".into());
    }
    check_blocks(args.0.get("blocks"))?;
    if text.is_none() && markdown.is_none() && !attachments && blocks.is_none_or(|blocks| blocks == &json!([])) {
        return Err("no_text".into());
    }
    let metadata = args.json("metadata").cloned();
    // Slack turns Markdown into blocks and keeps the source as the text.
    let as_block = markdown.map(|markdown| json!([{"type": "markdown", "text": markdown}]));
    let text = markdown.or(args.any_text("text")).map(str::to_owned);
    Ok(Content { text, blocks: as_block.or(blocks.cloned()), metadata })
}

/// Refuses blocks that Slack would refuse.
pub(super) fn check_blocks(blocks: Option<&Value>) -> Result<(), Failure> {
    let blocks = match blocks {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(text)) if text.is_empty() => return Ok(()),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err("invalid_blocks_format".into()),
    };
    block_kit::check(blocks).map_err(|fault| Failure {
        error: fault.code.to_owned(),
        more: json!({"response_metadata": {"messages": [fault.message]}}),
    })
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CUT) {
        text.truncate(end);
    }
    text
}
