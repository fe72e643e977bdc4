//! Changes to messages, whoever makes them: the app through the Web API or a person through the control API.

use serde_json::Value;

use super::core::{Change, Core, Suppress};
use super::ids::{BOT_USER, Ts};
use super::message::{Edited, Message, Reaction, number_blocks};
use super::shapes;
use super::world::World;

/// A message to be posted. What it leaves open is filled in when it is.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) channel: String,
    pub(super) user: String,
    pub(super) text: String,
    pub(super) thread_ts: Option<Ts>,
    pub(super) blocks: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) files: Option<Value>,
    pub(super) client_msg_id: Option<String>,
    pub(super) ephemeral_to: Option<String>,
    pub(super) stream: Option<super::message::Stream>,
    pub(super) suppress: Suppress,
}

/// New content for a message; `None` keeps what is there, `Some(Null)` removes it.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) text: Option<String>,
    pub(super) blocks: Option<Value>,
    pub(super) metadata: Option<Value>,
}

impl Core {
    /// Posts a message. The channel, and the root if one is named, exist.
    pub(super) fn post(&self, world: &mut World, draft: Draft) -> Ts {
        let ts = self.tick(world);
        let Draft { channel, suppress, .. } = &draft;
        let (channel, suppress) = (channel.clone(), *suppress);
        let message = written(draft, ts, world);
        let clears_status = message.is_bot().then_some(message.thread_ts).flatten();
        world.add_message(message);
        self.announce(world, &channel, ts, Change::New, suppress);
        if let Some(thread) = clears_status {
            self.set_status(world, &channel, thread, "");
        }
        ts
    }

    /// Changes what a message says. False when there is no such message.
    pub(super) fn edit(&self, world: &mut World, channel: &str, ts: Ts, content: Content, editor: &str) -> bool {
        let at = self.tick(world);
        let Some(message) = world.message_mut(channel, ts).filter(|message| !message.deleted) else { return false };
        let previous = message.slack();
        // Slack marks an edit only when a person would see that words were changed, not blocks.
        if content.blocks.is_none() {
            message.edited = Some(Edited { user: editor.to_owned(), ts: at });
        }
        rewrite(message, content, at);
        self.announce(world, channel, ts, Change::Edited(previous), Suppress::default());
        true
    }

    /// Removes a message. False when there is no such message.
    pub(super) fn delete(&self, world: &mut World, channel: &str, ts: Ts) -> bool {
        let Some(message) = world.message_mut(channel, ts).filter(|message| !message.deleted) else { return false };
        let previous = message.slack();
        message.deleted = true;
        let root = message.thread_ts;
        if let Some(root) = root.and_then(|root| world.message_mut(channel, root)) {
            root.replies.retain(|reply| *reply != ts);
        }
        self.announce(world, channel, ts, Change::Deleted(previous), Suppress::default());
        true
    }

    /// Adds or removes a reaction, or says why not, in Slack's words.
    pub(super) fn react(
        &self,
        world: &mut World,
        target: (&str, Ts),
        user: &str,
        name: &str,
        add: bool,
    ) -> Result<(), &'static str> {
        let (channel, ts) = target;
        let at = self.tick(world);
        let message = world.message_mut(channel, ts).filter(|message| !message.deleted).ok_or("message_not_found")?;
        if add {
            add_reaction(&mut message.reactions, user, name)?;
        } else {
            remove_reaction(&mut message.reactions, user, name)?;
        }
        self.feed.message("reaction", message.shown(false));
        let event = shapes::reaction(message, user, name, add, at);
        let heard = world.channel(channel).is_some_and(|channel| channel.has_member(BOT_USER));
        if heard && (self.own_events || user != BOT_USER) {
            self.emit(&event, channel, at);
        }
        Ok(())
    }
}

fn written(draft: Draft, ts: Ts, world: &World) -> Message {
    let mut message = Message::new(&draft.channel, ts, &draft.user, draft.text);
    // A reply to a reply belongs to the root of both.
    message.thread_ts =
        draft.thread_ts.map(|parent| world.message(&draft.channel, parent).map_or(parent, Message::root));
    world.team_of(&draft.user).clone_into(&mut message.team);
    message.blocks = draft.blocks.filter(is_content);
    message.blocks.iter_mut().for_each(number_blocks);
    message.metadata = draft.metadata.filter(is_content);
    message.files = draft.files.filter(is_content);
    message.client_msg_id = draft.client_msg_id;
    message.ephemeral_to = draft.ephemeral_to;
    message.markdown = draft.stream.is_some();
    message.stream = draft.stream;
    message
}

/// Text without blocks removes the old blocks, as `chat.update` does.
fn rewrite(message: &mut Message, content: Content, at: Ts) {
    message.markdown &= content.text.is_none() && content.blocks.is_none();
    match (content.text.is_some(), content.blocks) {
        (_, Some(blocks)) => message.blocks = Some(blocks).filter(is_content),
        (true, None) => message.blocks = None,
        (false, None) => {}
    }
    message.blocks.iter_mut().for_each(number_blocks);
    if let Some(metadata) = content.metadata {
        message.metadata = Some(metadata).filter(is_content);
    }
    if let Some(text) = content.text {
        message.show(text, at);
    }
}

fn is_content(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn add_reaction(reactions: &mut Vec<Reaction>, user: &str, name: &str) -> Result<(), &'static str> {
    let Some(reaction) = reactions.iter_mut().find(|reaction| reaction.name == name) else {
        reactions.push(Reaction { name: name.to_owned(), users: vec![user.to_owned()] });
        return Ok(());
    };
    if reaction.users.iter().any(|other| other == user) {
        return Err("already_reacted");
    }
    reaction.users.push(user.to_owned());
    Ok(())
}

fn remove_reaction(reactions: &mut Vec<Reaction>, user: &str, name: &str) -> Result<(), &'static str> {
    let reaction = reactions.iter_mut().find(|reaction| reaction.name == name).ok_or("no_reaction")?;
    let index = reaction.users.iter().position(|other| other == user).ok_or("no_reaction")?;
    reaction.users.remove(index);
    reactions.retain(|reaction| !reaction.users.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reactions_are_counted_once_for_each_person() {
        let mut reactions = Vec::new();
        assert_eq!(add_reaction(&mut reactions, "U1", "eyes"), Ok(()));
        assert_eq!(add_reaction(&mut reactions, "U1", "eyes"), Err("already_reacted"));
        assert_eq!(add_reaction(&mut reactions, "U2", "eyes"), Ok(()));
        assert_eq!(remove_reaction(&mut reactions, "U3", "eyes"), Err("no_reaction"));
        assert_eq!(remove_reaction(&mut reactions, "U1", "eyes"), Ok(()));
        assert_eq!(remove_reaction(&mut reactions, "U2", "eyes"), Ok(()));
        assert!(reactions.is_empty());
    }

    #[test]
    fn text_alone_removes_blocks_and_blocks_alone_keep_text() {
        let mut message = Message::new("C1", Ts(1), "U1", "old".to_owned());
        let blocks = json!([{"type": "divider", "block_id": "b"}]);
        rewrite(&mut message, Content { blocks: Some(blocks.clone()), ..Content::default() }, Ts(2));
        assert_eq!((message.text.as_str(), &message.blocks), ("old", &Some(blocks)));
        rewrite(&mut message, Content { text: Some("new".to_owned()), ..Content::default() }, Ts(3));
        assert_eq!((message.text.as_str(), &message.blocks), ("new", &None));
    }
}
