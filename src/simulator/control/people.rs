//! What people do: write, edit, delete, react, join.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Body, DONE, Done, Query, Refused, channel, user};
use crate::simulator::changes::{Content, Draft};
use crate::simulator::core::{Core, Suppress, lock};
use crate::simulator::ids::{BOT_USER, TEAM, Ts, slack_id, uuid};
use crate::simulator::shapes;
use crate::simulator::world::{Channel, Kind, World};

/// A message as a person writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Post {
    user: String,
    channel: String,
    text: String,
    thread_ts: Option<Ts>,
    client_msg_id: Option<String>,
    /// Ids of files that were brought, and other file objects, shown as they are.
    files: Option<Value>,
    #[serde(default)]
    suppress: Vec<Twin>,
}

/// One of the two events a mention makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Twin {
    Message,
    AppMention,
}

/// A message, and who does something to it.
#[derive(Debug, Deserialize)]
pub(super) struct Target {
    user: String,
    channel: String,
    ts: Ts,
}

#[derive(Debug, Deserialize)]
pub(super) struct Edit {
    #[serde(flatten)]
    target: Target,
    text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct React {
    #[serde(flatten)]
    target: Target,
    name: String,
    #[serde(default)]
    remove: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewUser {
    name: String,
    team_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewChannel {
    name: String,
    #[serde(default)]
    is_private: bool,
    /// Whether the bot is in it.
    #[serde(default = "yes")]
    bot: bool,
}

fn yes() -> bool {
    true
}

/// `POST /sim/messages`
pub(super) async fn post(State(core): State<Arc<Core>>, Body(post): Body<Post>) -> Answer<Value> {
    let mut world = core.world();
    user(&world, &post.user)?;
    channel(&world, &post.channel)?;
    if let Some(root) = post.thread_ts {
        world.message(&post.channel, root).ok_or_else(|| Refused::missing("message", root))?;
    }
    let files = post.files.map(|files| core.attached(files)).transpose().map_err(|id| Refused::missing("file", id))?;
    let draft = Draft {
        text: typed(&world, &post.text),
        user: post.user,
        channel: post.channel.clone(),
        thread_ts: post.thread_ts,
        files: files.clone(),
        client_msg_id: Some(post.client_msg_id.unwrap_or_else(uuid)),
        suppress: Suppress {
            message: post.suppress.contains(&Twin::Message),
            app_mention: post.suppress.contains(&Twin::AppMention),
        },
        ..Draft::default()
    };
    let ts = core.post(&mut world, draft);
    if let Some(files) = &files {
        core.note_shares(files, &post.channel, ts);
    }
    Ok(Json(json!({"ts": ts, "channel": post.channel})))
}

/// A file that a person brings, and of what type it says it is.
#[derive(Debug, Deserialize)]
pub(super) struct NewFile {
    user: String,
    name: String,
    mimetype: Option<String>,
}

/// `POST /sim/files`; the body is the content.
pub(super) async fn add_file(
    State(core): State<Arc<Core>>,
    Query(new): Query<NewFile>,
    content: Bytes,
) -> Answer<Value> {
    let mut world = core.world();
    user(&world, &new.user)?;
    let at = core.tick(&mut world);
    let id = lock(&core.files).add(&new.user, &new.name, new.mimetype.as_deref(), content, at);
    Ok(Json(json!({"id": id})))
}

/// `POST /sim/edit`
pub(super) async fn edit(State(core): State<Arc<Core>>, Body(Edit { target, text }): Body<Edit>) -> Answer<Done> {
    let mut world = core.world();
    own_message(&world, &target)?;
    let content = Content { text: Some(typed(&world, &text)), ..Content::default() };
    core.edit(&mut world, &target.channel, target.ts, content, &target.user);
    Ok(DONE)
}

/// `POST /sim/delete`
pub(super) async fn delete(State(core): State<Arc<Core>>, Body(target): Body<Target>) -> Answer<Done> {
    let mut world = core.world();
    own_message(&world, &target)?;
    core.delete(&mut world, &target.channel, target.ts);
    Ok(DONE)
}

/// `POST /sim/react`
pub(super) async fn react(State(core): State<Arc<Core>>, Body(react): Body<React>) -> Answer<Done> {
    let React { target, name, remove } = react;
    let mut world = core.world();
    user(&world, &target.user)?;
    channel(&world, &target.channel)?;
    let done = core.react(&mut world, (&target.channel, target.ts), &target.user, &name, !remove);
    done.map(|()| DONE).map_err(Refused::bad)
}

/// `POST /sim/users`; the new person is in all public channels.
pub(super) async fn add_user(State(core): State<Arc<Core>>, Body(new): Body<NewUser>) -> Answer<Value> {
    let mut world = core.world();
    let id = world.add_user(&new.name, new.team_id.as_deref().unwrap_or(TEAM));
    for channel in &mut world.channels {
        if !channel.is_im() && !channel.is_private {
            channel.members.push(id.clone());
        }
    }
    if let Some(user) = world.user(&id) {
        core.feed.push("user", json!({"user": user.shown()}));
    }
    Ok(Json(json!({"id": id})))
}

/// `POST /sim/channels`; everybody is in it.
pub(super) async fn add_channel(State(core): State<Arc<Core>>, Body(new): Body<NewChannel>) -> Answer<Value> {
    let mut world = core.world();
    if world.channel_named(&new.name).is_some() {
        return Err(Refused::bad(format!("there is a channel {} already", new.name)));
    }
    let in_it = |id: &String| new.bot || id != BOT_USER;
    let members = world.users.iter().map(|user| user.id.clone()).filter(in_it).collect();
    let mut channel = Channel::new(&slack_id("C"), &new.name, Kind::Channel, members);
    channel.is_private = new.is_private;
    channel.created = core.tick(&mut world);
    let (id, created) = (channel.id.clone(), channel.created);
    if new.bot {
        core.emit(&shapes::member_joined(BOT_USER, &channel, None, created), &id, created);
    }
    core.show_channel(&channel);
    world.add_channel(channel);
    Ok(Json(json!({"id": id})))
}

/// Says no unless the person wrote the message, and it is still there.
fn own_message(world: &World, target: &Target) -> Result<(), Refused> {
    user(world, &target.user)?;
    let message = channel(world, &target.channel)?.message(target.ts).filter(|message| !message.deleted);
    let message = message.ok_or_else(|| Refused::missing("message", target.ts))?;
    if message.user == target.user {
        return Ok(());
    }
    Err(Refused::bad(format!("{} did not write this message", target.user)))
}

fn typed(world: &World, text: &str) -> String {
    shapes::typed(text, |name| world.users.iter().find(|user| user.name == name).map(|user| user.id.clone()))
}
