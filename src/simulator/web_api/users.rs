//! `users.*`

use serde_json::{Value, json};

use super::{Call, Reply};
use crate::simulator::world::User;

/// `users.info`
pub(super) fn info(call: &Call<'_>) -> Reply {
    let world = call.core.world();
    let user = world.user(call.required("user")?).ok_or("user_not_found")?;
    Ok(json!({"user": user.slack()}))
}

/// `users.list`, in one page
pub(super) fn list(call: &Call<'_>) -> Value {
    let members: Vec<_> = call.core.world().users.iter().map(User::slack).collect();
    json!({"members": members, "cache_ts": 0, "response_metadata": {"next_cursor": ""}})
}

/// `users.lookupByEmail`
pub(super) fn by_email(call: &Call<'_>) -> Reply {
    let email = call.required("email")?;
    let world = call.core.world();
    let user = world.users.iter().map(User::slack).find(|user| user["profile"]["email"] == email);
    Ok(json!({"user": user.ok_or("users_not_found")?}))
}
