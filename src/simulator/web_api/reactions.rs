//! `reactions.*`

use serde_json::json;

use super::chat::conversation;
use super::{Call, Reply};
use crate::simulator::ids::BOT_USER;
use crate::simulator::message::Message;

/// `reactions.add` and `reactions.remove`
pub(super) fn change(call: &Call<'_>, add: bool) -> Reply {
    let mut world = call.core.world();
    let channel = conversation(call, &world)?;
    let ts = call.args.ts("timestamp").ok().flatten().ok_or("message_not_found")?;
    let name = call.args.text("name").filter(|name| is_emoji(name)).ok_or("invalid_name")?;
    call.core.react(&mut world, (&channel, ts), BOT_USER, name, add)?;
    Ok(json!({}))
}

/// Whether this may be an emoji's name: it comes without colons, a skin tone behind two.
fn is_emoji(name: &str) -> bool {
    let name = name.split("::skin-tone-").next().unwrap_or_default();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_+-'".contains(c);
    !name.is_empty() && name.chars().all(good)
}

/// `reactions.get`
pub(super) fn get(call: &Call<'_>) -> Reply {
    let world = call.core.world();
    let channel = conversation(call, &world)?;
    let ts = call.args.ts("timestamp").ok().flatten().ok_or("message_not_found")?;
    let message = world.message(&channel, ts).map(Message::slack).ok_or("message_not_found")?;
    Ok(json!({"type": "message", "channel": channel, "message": message}))
}
