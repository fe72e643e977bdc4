//! Who is who, and the way to a socket.

use serde_json::{Value, json};

use super::{Call, Reply};
use crate::simulator::core::lock;
use crate::simulator::ids::{APP, BOT, BOT_NAME, BOT_USER, TEAM, TEAM_NAME};

/// `apps.connections.open`
pub(super) fn open_connection(call: &Call<'_>) -> Value {
    let core = call.core;
    let ticket = lock(&core.tickets).issue(core.clock.now());
    // As opaque as Slack's: 64 hex digits, not the app's id.
    let app = format!("{:064x}", 0x51u8);
    json!({"url": format!("ws://{}/link/?ticket={ticket}&app_id={app}", core.address)})
}

/// `auth.test`
pub(super) fn test(call: &Call<'_>) -> Value {
    json!({
        "url": format!("http://{}/", call.core.address), "team": TEAM_NAME, "user": BOT_NAME, "team_id": TEAM, "user_id": BOT_USER,
        "bot_id": BOT, "app_id": APP, "app_name": BOT_NAME, "is_enterprise_install": false,
    })
}

/// `bots.info`
pub(super) fn bot(call: &Call<'_>) -> Reply {
    if call.args.text("bot").is_some_and(|bot| bot != BOT) {
        return Err("bot_not_found".into());
    }
    Ok(json!({"bot": {
        "id": BOT, "deleted": false, "name": BOT_NAME, "updated": 0, "app_id": APP, "user_id": BOT_USER, "icons": {},
    }}))
}

/// `team.info`
pub(super) fn team() -> Value {
    json!({"team": {"id": TEAM, "name": TEAM_NAME, "domain": TEAM_NAME.to_lowercase(), "email_domain": "", "icon": {}}})
}
