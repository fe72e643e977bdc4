//! Who people are, as Slack tells it.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::api::{Call, Encoding, Urgency};
use super::error::ApiError;
use super::surface::Surface;
use crate::domain::ids::UserId;
use crate::domain::ports::{People, Profile, WriteError};

const METHOD: &str = "users.info";

#[async_trait]
impl People for Surface {
    async fn profile(&self, user: &UserId) -> Result<Profile, WriteError> {
        let args = json!({"user": user});
        let call = Call { method: METHOD, encoding: Encoding::Form, place: "", urgency: Urgency::Wait, args };
        let answer = self.api.call(call).await?;
        profile(&answer["user"]).ok_or_else(|| ApiError::lost(METHOD, false, "the answer names nobody").into())
    }
}

/// A user object as a profile. What somebody left empty is not there.
fn profile(user: &Value) -> Option<Profile> {
    let text = |path: &str| user.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let names = ["/profile/display_name", "/profile/real_name", "/real_name", "/name"];
    Some(Profile {
        id: text("/id")?.into(),
        name: names.into_iter().find_map(text)?.to_owned(),
        title: text("/profile/title").map(ToOwned::to_owned),
        time_zone: text("/tz").map(ToOwned::to_owned),
        is_bot: user["is_bot"] == true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_that_they_chose() {
        let user = json!({"id": "U1", "name": "ada", "real_name": "Ada L", "tz": "Europe/London", "is_bot": false,
            "profile": {"display_name": "Countess", "real_name": "Ada L", "title": "", "email": "ada@example.org"}});
        let expected = Profile {
            id: "U1".into(),
            name: "Countess".to_owned(),
            title: None,
            time_zone: Some("Europe/London".to_owned()),
            is_bot: false,
        };
        assert_eq!(profile(&user), Some(expected));
        let bare =
            profile(&json!({"id": "U2", "name": "bob", "is_bot": true, "profile": {"display_name": ""}})).unwrap();
        assert_eq!((bare.name.as_str(), bare.is_bot), ("bob", true));
        for nobody in [json!({"name": "x"}), json!({"id": "U1"}), Value::Null] {
            assert_eq!(profile(&nobody), None, "{nobody}");
        }
    }
}
