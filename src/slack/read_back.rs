//! What was said while nobody listened, a page at a time.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::api::{Call, Encoding, Urgency};
use super::error::ApiError;
use super::events::{self, Decoded, Identity};
use super::history::NO_THREAD;
use super::surface::Surface;
use crate::domain::ids::Ts;
use crate::domain::inbound::ChannelKind;
use crate::domain::ports::{Joined, ReadBack, ReadPage, Reading, WriteError};

/// How much one page holds (docs.slack.dev/reference/methods/conversations.history recommends at most 200).
const PAGE: usize = 200;
/// Every kind of place (docs.slack.dev/reference/methods/users.conversations).
const TYPES: &str = "public_channel,private_channel,mpim,im";

#[async_trait]
impl ReadBack for Surface {
    fn now_us(&self) -> i64 {
        self.api.now_us()
    }

    async fn channels(&self, cursor: Option<&str>) -> Result<ReadPage<Joined>, WriteError> {
        let args = json!({"types": TYPES, "exclude_archived": true, "limit": PAGE});
        let answer = self.read("users.conversations", "", args, cursor).await?;
        Ok(page(&answer, "channels", |channel| joined(channel, &self.me)))
    }

    async fn said_since(
        &self,
        channel: &Joined,
        thread: Option<&Ts>,
        since: &Ts,
        cursor: Option<&str>,
    ) -> Result<ReadPage<Reading>, WriteError> {
        let mut args = json!({"channel": channel.channel, "oldest": since, "limit": PAGE});
        let method = match thread {
            None => "conversations.history",
            Some(thread) => {
                args["ts"] = json!(thread);
                "conversations.replies"
            }
        };
        let answer = match self.read(method, channel.channel.as_str(), args, cursor).await {
            Err(error) if error.code == NO_THREAD => json!({}),
            answer => answer?,
        };
        let mut page = page(&answer, "messages", |message| Some(reading(message, channel, &self.me)));
        // A thread's root stands on each of its pages, however old it is.
        page.items.retain(|message| message.ts > *since);
        Ok(page)
    }
}

impl Surface {
    async fn read(
        &self,
        method: &'static str,
        place: &str,
        mut args: Value,
        cursor: Option<&str>,
    ) -> Result<Value, ApiError> {
        if let Some(cursor) = cursor {
            args["cursor"] = json!(cursor);
        }
        self.api.call(Call { method, encoding: Encoding::Form, place, urgency: Urgency::Wait, args }).await
    }
}

fn page<T>(answer: &Value, name: &str, item: impl Fn(&Value) -> Option<T>) -> ReadPage<T> {
    let items = answer[name].as_array().into_iter().flatten().filter_map(item).collect();
    let next = answer["response_metadata"]["next_cursor"].as_str().filter(|next| !next.is_empty());
    ReadPage { items, next: next.map(str::to_owned), cut: answer["has_more"] == true && next.is_none() }
}

/// A channel, as `users.conversations` describes it. Its letter promises nothing, its flags do.
fn joined(channel: &Value, me: &Identity) -> Option<Joined> {
    let id = channel["id"].as_str().filter(|id| !id.is_empty())?;
    let kind = match (channel["is_im"] == true, channel["is_mpim"] == true) {
        (true, _) => ChannelKind::Direct,
        (_, true) => ChannelKind::Group,
        _ => ChannelKind::Channel,
    };
    Some(Joined { team: me.team.clone(), channel: id.into(), kind, shared: channel["is_ext_shared"] == true })
}

fn reading(message: &Value, channel: &Joined, me: &Identity) -> Reading {
    let ts = |name: &str| message[name].as_str().filter(|ts| !ts.is_empty()).map(Ts::from);
    let inbound = match events::read_back(message, channel, me) {
        Decoded::Inbound(inbound) => Some(inbound),
        Decoded::Ignored(_) | Decoded::LeftOut => None,
    };
    Reading { ts: ts("ts").unwrap_or_else(|| "".into()), inbound, latest_reply: ts("latest_reply") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Identity {
        Identity { team: "T1".into(), user: "UBOT".into(), bot: Some("BBOT".into()) }
    }

    #[test]
    fn the_flags_say_what_kind_of_place_it_is() {
        let kind = |channel: Value| joined(&channel, &me()).map(|joined| (joined.kind, joined.shared));
        let cases = [
            (json!({"id": "C1", "is_channel": true}), Some((ChannelKind::Channel, false))),
            (json!({"id": "C1", "is_group": true, "is_private": true}), Some((ChannelKind::Channel, false))),
            (json!({"id": "C1", "is_channel": true, "is_ext_shared": true}), Some((ChannelKind::Channel, true))),
            (json!({"id": "C1", "is_im": true}), Some((ChannelKind::Direct, false))),
            (json!({"id": "G1", "is_mpim": true, "is_group": true}), Some((ChannelKind::Group, false))),
            (json!({"is_im": true}), None),
        ];
        for (channel, expected) in cases {
            assert_eq!(kind(channel.clone()), expected, "{channel}");
        }
    }

    #[test]
    fn a_page_says_whether_and_where_it_goes_on() {
        let read = |answer: Value| {
            let page = page(&answer, "messages", Value::as_i64);
            (page.items, page.next, page.cut)
        };
        let cases = [
            (json!({"messages": [1, 2]}), (vec![1, 2], None, false)),
            (
                json!({"messages": [1], "has_more": false, "response_metadata": {"next_cursor": ""}}),
                (vec![1], None, false),
            ),
            (
                json!({"messages": [1], "has_more": true, "response_metadata": {"next_cursor": "n"}}),
                (vec![1], Some("n".to_owned()), false),
            ),
            (json!({"messages": [1], "has_more": true}), (vec![1], None, true)),
            (json!({}), (Vec::new(), None, false)),
        ];
        for (answer, expected) in cases {
            assert_eq!(read(answer.clone()), expected, "{answer}");
        }
    }
}
