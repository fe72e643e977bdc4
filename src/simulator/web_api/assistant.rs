//! `assistant.threads.*` and `agents.sessions.*`

use serde_json::json;

use super::chat::thread;
use super::{Call, Failure, Reply, unknown};
use crate::simulator::ids::Ts;
use crate::simulator::world::World;

/// The methods of this group.
pub(super) fn dispatch(method: &str, call: &Call<'_>) -> Reply {
    match method {
        "assistant.threads.setStatus" => set_status(call),
        "assistant.threads.setTitle" => set_title(call),
        "assistant.threads.setSuggestedPrompts" => place(call, &call.core.world()).map(|_| json!({})),
        "agents.sessions.setStatus" => set_session_status(call),
        "agents.sessions.rename" => rename_session(call),
        _ => Err(unknown(method)),
    }
}

fn set_status(call: &Call<'_>) -> Reply {
    let status = call.args.any_text("status").ok_or("invalid_arguments")?;
    let mut world = call.core.world();
    let (channel, thread) = place(call, &world)?;
    let thread = thread.ok_or("invalid_thread_ts")?;
    call.core.set_status(&mut world, &channel, thread, status);
    Ok(json!({}))
}

fn set_title(call: &Call<'_>) -> Reply {
    call.required("title")?;
    let (_, thread) = place(call, &call.core.world())?;
    thread.ok_or("invalid_thread_ts")?;
    Ok(json!({}))
}

fn set_session_status(call: &Call<'_>) -> Reply {
    let status = call.required("status")?.to_owned();
    if !matches!(status.as_str(), "active" | "processing" | "suspended" | "closed") {
        return Err("invalid_arguments".into());
    }
    let mut world = call.core.world();
    let place = place(call, &world)?;
    let session = world.sessions.entry(place).or_insert_with(|| json!({"title": call.args.text("title")}));
    session["status"] = status.as_str().into();
    Ok(json!({"status": status, "agent_status": status, "title": session["title"]}))
}

fn rename_session(call: &Call<'_>) -> Reply {
    let title = call.required("title")?.to_owned();
    let mut world = call.core.world();
    let place = place(call, &world)?;
    let session = world.sessions.get_mut(&place).ok_or("not_authorized")?;
    session["title"] = title.as_str().into();
    Ok(json!({"title": title}))
}

/// The channel, and the thread if one is named.
fn place(call: &Call<'_>, world: &World) -> Result<(String, Option<Ts>), Failure> {
    let channel: String = call.required("channel_id")?.to_owned();
    world.channel(&channel).ok_or("channel_not_found")?;
    let thread = thread(call, world, &channel).map_err(|_| "invalid_thread_ts")?;
    Ok((channel, thread))
}
