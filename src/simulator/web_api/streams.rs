//! `chat.startStream`, `appendStream`, `stopStream`.

use serde_json::{Value, json};

use super::chat::{MARKDOWN_LIMIT, check_blocks, conversation, thread, writable};
use super::{Call, Failure, Reply};
use crate::simulator::changes::Draft;
use crate::simulator::core::{Change, Core, Suppress};
use crate::simulator::ids::{BOT_USER, Ts};
use crate::simulator::message::{Message, Stream, StreamState, number_blocks};
use crate::simulator::request::Args;
use crate::simulator::world::{Channel, World};

/// Longest title of a task or a plan, in characters.
const TITLE_LIMIT: usize = 256;

/// Something a call adds to a stream.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    /// A task's or a plan's block, found again by its `task_id` or as the only plan.
    Card(Value),
    Blocks(Vec<Value>),
}

/// `chat.startStream`
pub(super) fn start(call: &Call<'_>) -> Reply {
    let pieces = pieces(call.args)?;
    let mut world = call.core.world();
    let channel = writable(&mut world, call.required("channel")?)?;
    let thread_ts = thread(call, &world, &channel)?.ok_or("invalid_thread_ts")?;
    if !world.channel(&channel).is_some_and(Channel::is_im) {
        call.args.text("recipient_user_id").ok_or("missing_recipient_user_id")?;
        call.args.text("recipient_team_id").ok_or("missing_recipient_team_id")?;
    }
    let ends = call.core.clock.now() + call.core.timing.stream_lifetime;
    let mut stream = Stream { state: StreamState::Open, ends, cards: Vec::new() };
    let text = apply(&mut stream, String::new(), pieces);
    let draft = Draft {
        channel: channel.clone(),
        user: BOT_USER.to_owned(),
        text,
        thread_ts: Some(thread_ts),
        blocks: Some(Value::Array(stream.cards.clone())),
        stream: Some(stream),
        ..Draft::default()
    };
    let ts = call.core.post(&mut world, draft);
    world.open_streams.insert((ends, channel.clone(), ts));
    Ok(json!({"channel": channel, "ts": ts}))
}

/// `chat.appendStream`
pub(super) fn append(call: &Call<'_>) -> Reply {
    let pieces = pieces(call.args)?;
    if pieces.is_empty() {
        return Err("no_text".into());
    }
    let mut world = call.core.world();
    let (channel, ts) = open_stream(call, &mut world)?;
    grow(call.core, &mut world, (&channel, ts), pieces, &[]);
    Ok(json!({"channel": channel, "ts": ts}))
}

/// `chat.stopStream`
pub(super) fn stop(call: &Call<'_>) -> Reply {
    let pieces = pieces(call.args)?;
    let blocks = call.args.0.get("blocks");
    check_blocks(blocks)?;
    let last = blocks.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut world = call.core.world();
    let (channel, ts) = open_stream(call, &mut world)?;
    if let Some(message) = world.message_mut(&channel, ts)
        && let Some(metadata) = call.args.json("metadata")
    {
        message.metadata = Some(metadata.clone());
    }
    world.end_stream(&channel, ts, StreamState::Completed);
    grow(call.core, &mut world, (&channel, ts), pieces, &last);
    let message = world.message(&channel, ts).map(Message::slack);
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

/// A person pressed Stop while the call was on its way.
pub(super) fn stopped_by_user(core: &Core, args: &Args) {
    let target = args.text("channel").zip(args.ts("ts").ok().flatten());
    if let Some((channel, ts)) = target {
        core.end_stream(&mut core.world(), channel, ts, StreamState::Stopped);
    }
}

/// The open stream a call names. One whose time is over ends here, if nobody noticed before.
fn open_stream(call: &Call<'_>, world: &mut World) -> Result<(String, Ts), Failure> {
    let channel = conversation(call, world)?;
    let ts = call.args.ts("ts").ok().flatten().ok_or("message_not_found")?;
    let now = call.core.clock.now();
    let stream = world.message(&channel, ts).and_then(|message| message.stream.as_ref());
    if stream.is_some_and(|stream| stream.ends <= now) {
        call.core.end_stream(world, &channel, ts, StreamState::Expired);
    }
    let message = world.message(&channel, ts).filter(|message| !message.deleted).ok_or("message_not_found")?;
    match message.stream.as_ref().map(|stream| stream.state) {
        Some(StreamState::Open) => Ok((channel, ts)),
        Some(StreamState::Stopped) => Err("stopped_by_user".into()),
        Some(StreamState::Completed | StreamState::Expired) => Err("message_not_in_streaming_state".into()),
        None if message.is_bot() => Err("message_not_in_streaming_state".into()),
        None => Err("message_not_owned_by_app".into()),
    }
}

fn grow(core: &Core, world: &mut World, target: (&str, Ts), pieces: Vec<Piece>, last: &[Value]) {
    let (channel, ts) = target;
    let at = core.tick(world);
    let Some(message) = world.message_mut(channel, ts) else { return };
    let previous = message.slack();
    let text = message.text.clone();
    if let Some(stream) = &mut message.stream {
        let text = apply(stream, text, pieces);
        let blocks: Vec<_> = stream.cards.iter().chain(last).cloned().collect();
        message.blocks = (!blocks.is_empty()).then_some(Value::Array(blocks));
        message.blocks.iter_mut().for_each(number_blocks);
        message.show(text, at);
    }
    core.announce(world, channel, ts, Change::Edited(previous), Suppress::default());
}

/// Adds pieces to a stream that shows `text` and returns what it shows then.
fn apply(stream: &mut Stream, mut text: String, pieces: Vec<Piece>) -> String {
    for piece in pieces {
        match piece {
            Piece::Text(more) => text.push_str(&more),
            Piece::Blocks(blocks) => stream.cards.extend(blocks),
            Piece::Card(card) => {
                let same = |other: &&mut Value| other["type"] == card["type"] && other["task_id"] == card["task_id"];
                match stream.cards.iter_mut().find(same) {
                    Some(known) => merge(known, &card),
                    None => stream.cards.push(card),
                }
            }
        }
    }
    text
}

/// Title and status replace, details and output are appended.
fn merge(known: &mut Value, card: &Value) {
    for (name, value) in card.as_object().into_iter().flatten() {
        let appended = matches!(name.as_str(), "details" | "output")
            .then(|| Some(format!("{}{}", known[name].as_str()?, value.as_str()?)))
            .flatten();
        known[name] = appended.map_or_else(|| value.clone(), Value::String);
    }
}

fn pieces(args: &Args) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    if let Some(text) = args.any_text("markdown_text") {
        pieces.push(Piece::Text(within(text, MARKDOWN_LIMIT)?));
    }
    match args.0.get("chunks") {
        None | Some(Value::Null) => {}
        Some(Value::Array(chunks)) => {
            for chunk in chunks {
                pieces.push(piece(chunk)?);
            }
        }
        Some(_) => return Err("invalid_chunks".into()),
    }
    Ok(pieces)
}

fn piece(chunk: &Value) -> Result<Piece, Failure> {
    let text = |name: &str| chunk[name].as_str();
    match text("type") {
        Some("markdown_text") => Ok(Piece::Text(within(text("text").ok_or("invalid_chunks")?, MARKDOWN_LIMIT)?)),
        Some("task_update") => {
            let id = text("id").ok_or("invalid_chunks")?;
            within(text("title").unwrap_or_default(), TITLE_LIMIT)?;
            let mut card = chunk.clone();
            card["type"] = "task_card".into();
            card["task_id"] = id.into();
            Ok(Piece::Card(card))
        }
        Some("plan_update") => {
            let title = within(text("title").ok_or("invalid_chunks")?, TITLE_LIMIT)?;
            Ok(Piece::Card(json!({"type": "plan", "title": title})))
        }
        Some("blocks") => {
            check_blocks(chunk.get("blocks"))?;
            Ok(Piece::Blocks(chunk["blocks"].as_array().cloned().ok_or("invalid_chunks")?))
        }
        _ => Err("invalid_chunks".into()),
    }
}

fn within(text: &str, limit: usize) -> Result<String, Failure> {
    if text.chars().count() > limit { Err("msg_too_long".into()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(value: &Value) -> Args {
        Args(value.as_object().cloned().unwrap())
    }

    #[test]
    fn chunks_and_markdown_text_add_up() {
        let call = args(&json!({"markdown_text": "a", "chunks": [
            {"type": "markdown_text", "text": "b"},
            {"type": "task_update", "id": "t1", "title": "Read", "status": "in_progress", "details": "x"},
            {"type": "task_update", "id": "t1", "title": "Read", "status": "complete", "details": "y"},
            {"type": "task_update", "id": "t2", "title": "Write", "status": "pending"},
            {"type": "plan_update", "title": "Plan"},
        ]}));
        let ends = crate::clock::Clock::system().now();
        let mut stream = Stream { state: StreamState::Open, ends, cards: Vec::new() };
        let text = apply(&mut stream, "0".to_owned(), pieces(&call).unwrap());
        assert_eq!(text, "0ab");
        assert_eq!(stream.cards.len(), 3);
        let first = &stream.cards[0];
        assert_eq!((&first["status"], &first["details"]), (&json!("complete"), &json!("xy")));
    }

    #[test]
    fn malformed_and_overlong_chunks_are_refused() {
        let long = "x".repeat(MARKDOWN_LIMIT + 1);
        let cases = [
            (json!({"chunks": "no list"}), "invalid_chunks"),
            (json!({"chunks": [{"type": "surprise"}]}), "invalid_chunks"),
            (json!({"chunks": [{"type": "task_update", "title": "no id"}]}), "invalid_chunks"),
            (json!({"chunks": [{"type": "markdown_text", "text": long}]}), "msg_too_long"),
            (json!({"markdown_text": long}), "msg_too_long"),
        ];
        for (call, error) in cases {
            assert_eq!(pieces(&args(&call)), Err(Failure::from(error)));
        }
    }
}
