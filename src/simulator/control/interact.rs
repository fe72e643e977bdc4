//! Buttons, slash commands and Stop.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Body, DONE, Done, Refused, channel, user};
use crate::simulator::core::{Core, lock};
use crate::simulator::envelopes::Question;
use crate::simulator::ids::{APP, TEAM, TEAM_NAME, Ts};
use crate::simulator::message::{Message, StreamState};
use crate::simulator::response_url::Target;
use crate::simulator::shapes::{self, Pressed};
use crate::simulator::world::World;

#[derive(Debug, Deserialize)]
pub(super) struct Click {
    user: String,
    channel: String,
    ts: Ts,
    action_id: String,
    block_id: Option<String>,
    /// Sent in place of the element's own value; for a menu, the chosen option's.
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Command {
    user: String,
    channel: String,
    #[serde(rename = "command")]
    name: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stop {
    user: String,
    channel: String,
    thread_ts: Ts,
}

/// `POST /sim/click`
pub(super) async fn click(State(core): State<Arc<Core>>, Body(click): Body<Click>) -> Answer<Value> {
    let question = press(&core, &click)?;
    let (acked, _) = answered(&core, question).await;
    Ok(Json(json!({"ok": true, "acked": acked})))
}

fn press(core: &Core, click: &Click) -> Result<Option<Question>, Refused> {
    let mut world = core.world();
    let at = core.tick(&mut world);
    let person = user(&world, &click.user)?;
    let channel = channel(&world, &click.channel)?;
    let message = channel.message(click.ts).filter(|message| !message.deleted);
    let message = message.ok_or_else(|| Refused::missing("message", click.ts))?;
    if message.ephemeral_to.as_ref().is_some_and(|only| *only != click.user) {
        return Err(Refused::bad(format!("{} does not see this message", click.user)));
    }
    let action = action(message, click, at).ok_or_else(|| Refused::missing("element", &click.action_id))?;
    let target = Target {
        channel: click.channel.clone(),
        user: click.user.clone(),
        thread_ts: message.thread_ts,
        message: Some(click.ts),
    };
    let pressed = Pressed {
        message,
        channel,
        user: shapes::actor(&person.id, &person.name, &person.team),
        action,
        response_url: &response_url(core, "actions", target),
    };
    let payload = shapes::block_actions(&pressed, &trigger_id(at)).to_string();
    Ok(core.envelopes.question("interactive", &payload, false))
}

/// The action of the pressed element, if the message has it.
fn action(message: &Message, click: &Click, at: Ts) -> Option<Value> {
    let blocks = message.blocks.as_ref()?.as_array()?;
    let in_block = |block: &&Value| click.block_id.as_ref().is_none_or(|id| block["block_id"] == id.as_str());
    let (block, element) = blocks
        .iter()
        .filter(in_block)
        .flat_map(|block| elements(block).map(move |element| (block, element)))
        .find(|(_, element)| element["action_id"] == click.action_id.as_str())?;
    let mut action = json!({
        "type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"], "action_ts": at,
    });
    if let Some(text) = element.get("text") {
        action["text"] = text.clone();
    }
    if element.get("options").is_some() {
        let chosen = click.value.as_deref()?;
        let option = element["options"].as_array()?.iter().find(|option| option["value"] == chosen)?;
        action["selected_option"] = option.clone();
    } else if let Some(value) = click.value.as_deref().or(element["value"].as_str()) {
        action["value"] = value.into();
    }
    Some(action)
}

/// The interactive elements of a block: those of an actions block, or a section's accessory.
fn elements(block: &Value) -> impl Iterator<Item = &Value> {
    block["elements"].as_array().into_iter().flatten().chain(block.get("accessory"))
}

/// `POST /sim/command`
pub(super) async fn command(State(core): State<Arc<Core>>, Body(command): Body<Command>) -> Answer<Value> {
    let target =
        Target { channel: command.channel.clone(), user: command.user.clone(), thread_ts: None, message: None };
    let question = run(&core, &command, &target)?;
    let (acked, response) = answered(&core, question).await;
    if let Some(response) = &response {
        core.answer(&target, response);
    }
    core.feed.push("command_response", json!({
        "channel": command.channel, "user": command.user, "command": command.name, "acked": acked, "response": response,
    }));
    let mut answer = json!({"ok": true, "acked": acked});
    if let Some(response) = response {
        answer["response"] = response;
    }
    Ok(Json(answer))
}

fn run(core: &Core, command: &Command, target: &Target) -> Result<Option<Question>, Refused> {
    let mut world = core.world();
    let at = core.tick(&mut world);
    let person = user(&world, &command.user)?;
    let channel = channel(&world, &command.channel)?;
    if !command.name.starts_with('/') {
        return Err(Refused::bad(format!("a command starts with a slash, unlike {}", command.name)));
    }
    let name = if channel.is_im() { "directmessage" } else { channel.name.as_str() };
    let payload = json!({
        "token": "legacy", "team_id": TEAM, "team_domain": TEAM_NAME.to_lowercase(), "channel_id": channel.id,
        "channel_name": name, "user_id": person.id, "user_name": person.name, "command": command.name, "text": command.text,
        "api_app_id": APP, "is_enterprise_install": "false", "response_url": response_url(core, "commands", target.clone()),
        "trigger_id": trigger_id(at),
    });
    Ok(core.envelopes.question("slash_commands", &payload.to_string(), true))
}

/// `POST /sim/stop`: the open streams of the thread end, and the app hears of it.
pub(super) async fn stop(State(core): State<Arc<Core>>, Body(stop): Body<Stop>) -> Answer<Done> {
    let mut world = core.world();
    user(&world, &stop.user)?;
    channel(&world, &stop.channel)?;
    let streams = streams_of(&world, &stop);
    for ts in &streams {
        core.end_stream(&mut world, &stop.channel, *ts, StreamState::Stopped);
    }
    let at = core.tick(&mut world);
    let event = shapes::session_stopped(&stop.user, &stop.channel, stop.thread_ts, &streams, at);
    core.emit(&event, &stop.channel, at);
    Ok(DONE)
}

fn streams_of(world: &World, stop: &Stop) -> Vec<Ts> {
    let here = |ts: &Ts| world.message(&stop.channel, *ts).is_some_and(|message| message.root() == stop.thread_ts);
    let open = world.open_streams.iter().filter(|(_, channel, _)| *channel == stop.channel);
    open.map(|&(_, _, ts)| ts).filter(here).collect()
}

/// Waits for the acknowledgement: whether it came, and what it said.
async fn answered(core: &Core, question: Option<Question>) -> (bool, Option<Value>) {
    let Some(question) = question else { return (false, None) };
    match core.clock.timeout(core.timing.answer_within, question.answer).await {
        Ok(Ok(answer)) => (true, answer),
        Ok(Err(_)) | Err(_) => (false, None),
    }
}

fn response_url(core: &Core, kind: &str, target: Target) -> String {
    let path = lock(&core.response_urls).issue(target, core.clock.now());
    format!("http://{}/{kind}/{TEAM}/{path}", core.address)
}

fn trigger_id(at: Ts) -> String {
    format!("{}.{}.simulator", at.0, at.seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clicked(action_id: &str, block_id: Option<&str>, value: Option<&str>) -> Option<Value> {
        let mut message = Message::new("C1", Ts(1), "U0BOT", String::new());
        message.blocks = Some(json!([
            {"type": "section", "block_id": "s", "accessory": {"type": "button", "action_id": "more", "value": "m"}},
            {"type": "actions", "block_id": "a", "elements": [
                {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}},
                {"type": "static_select", "action_id": "pick", "options": [{"value": "x"}, {"value": "y"}]}
            ]}
        ]));
        let (block_id, value) = (block_id.map(str::to_owned), value.map(str::to_owned));
        let (user, channel) = ("U1".to_owned(), "C1".to_owned());
        let click = Click { user, channel, ts: Ts(1), action_id: action_id.to_owned(), block_id, value };
        action(&message, &click, Ts(2))
    }

    #[test]
    fn a_click_finds_its_element_wherever_it_is() {
        let yes = clicked("yes", None, None).unwrap();
        assert_eq!((&yes["block_id"], &yes["value"], &yes["text"]["text"]), (&json!("a"), &json!("1"), &json!("Yes")));
        assert_eq!(clicked("more", Some("s"), None).unwrap()["value"], "m");
        assert_eq!(clicked("pick", None, Some("y")).unwrap()["selected_option"], json!({"value": "y"}));
        assert_eq!(clicked("yes", None, Some("2")).unwrap()["value"], "2");
    }

    #[test]
    fn a_click_on_nothing_is_nothing() {
        assert_eq!(clicked("no", None, None), None);
        assert_eq!(clicked("yes", Some("s"), None), None);
        assert_eq!(clicked("pick", None, Some("z")), None);
    }
}
