//! `files.*`

use serde_json::{Value, json};

use super::chat::{thread, writable};
use super::{Call, Failure, Reply};
use crate::simulator::changes::Draft;
use crate::simulator::core::lock;
use crate::simulator::files::LARGEST;
use crate::simulator::ids::BOT_USER;

pub(super) fn dispatch(method: &str, call: &Call<'_>) -> Reply {
    match method {
        "files.getUploadURLExternal" => reserve(call),
        "files.completeUploadExternal" => complete(call),
        "files.info" => info(call),
        "files.delete" => delete(call),
        _ => Err(super::unknown(method)),
    }
}

/// Where a file's content is to be sent.
fn reserve(call: &Call<'_>) -> Reply {
    let name = call.required("filename")?;
    let length =
        call.args.number("length").filter(|length| (1..=LARGEST).contains(length)).ok_or("invalid_arguments")?;
    let at = call.core.tick(&mut call.core.world());
    let (id, secret) = lock(&call.core.files).reserve(BOT_USER, name, length, at);
    Ok(json!({"upload_url": format!("{}/upload/v1/{secret}", call.core.base()), "file_id": id}))
}

/// Shows files that have come, in a message. Doing it twice shows them twice: what Slack does then is not known, and this is the worst.
fn complete(call: &Call<'_>) -> Reply {
    let wanted: Vec<(&str, Option<&str>)> = named(call)?;
    let channel = call.args.text("channel_id").or(call.args.text("channels"));
    let objects = titled(call, &wanted)?;
    if let Some(channel) = channel {
        show(call, channel, &objects)?;
    }
    let files: Vec<Value> = wanted.iter().map(|(id, title)| json!({"id": id, "title": title})).collect();
    Ok(json!({"files": files}))
}

fn named<'a>(call: &Call<'a>) -> Result<Vec<(&'a str, Option<&'a str>)>, Failure> {
    let files = call.args.json("files").and_then(Value::as_array).filter(|files| !files.is_empty());
    let named = |file: &'a Value| Some((file["id"].as_str()?, file["title"].as_str()));
    let files = files.and_then(|files| files.iter().map(named).collect::<Option<Vec<_>>>());
    files.ok_or_else(|| "invalid_arguments".into())
}

fn titled(call: &Call<'_>, wanted: &[(&str, Option<&str>)]) -> Result<Value, Failure> {
    let base = call.core.base();
    let mut files = lock(&call.core.files);
    if wanted.iter().any(|(id, _)| files.get(id).is_none()) {
        return Err("file_not_found".into());
    }
    for (id, title) in wanted {
        files.share(id, *title, None);
    }
    Ok(wanted.iter().filter_map(|(id, _)| files.get(id)).map(|file| file.slack(&base)).collect())
}

fn show(call: &Call<'_>, channel: &str, objects: &Value) -> Result<(), Failure> {
    let mut world = call.core.world();
    let channel = writable(&mut world, channel)?;
    let draft = Draft {
        channel: channel.clone(),
        user: BOT_USER.to_owned(),
        text: call.args.text("initial_comment").unwrap_or_default().to_owned(),
        thread_ts: thread(call, &world, &channel)?,
        files: Some(objects.clone()),
        ..Draft::default()
    };
    let ts = call.core.post(&mut world, draft);
    call.core.note_shares(objects, &channel, ts);
    Ok(())
}

fn info(call: &Call<'_>) -> Reply {
    let id = call.required("file")?;
    let files = lock(&call.core.files);
    let file = files.get(id).ok_or("file_not_found")?;
    Ok(json!({"file": file.slack(&call.core.base())}))
}

fn delete(call: &Call<'_>) -> Reply {
    let deleted = lock(&call.core.files).delete(call.required("file")?);
    if deleted { Ok(json!({})) } else { Err("file_not_found".into()) }
}
