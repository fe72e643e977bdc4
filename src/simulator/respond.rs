//! `/commands/…` and `/actions/…`: answers through a response URL.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::block_kit;
use super::changes::{Content, Draft};
use super::core::{Core, lock};
use super::ids::BOT_USER;
use super::response_url::{Refused, Target};

/// Takes an answer. Like Slack's, the URL answers in plain text.
pub(super) async fn respond(
    State(core): State<Arc<Core>>,
    Path((_team, number, secret)): Path<(String, u64, String)>,
    body: Bytes,
) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    let blocks = message["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    if let Err(fault) = block_kit::check(blocks) {
        return (StatusCode::BAD_REQUEST, fault.code).into_response();
    }
    let target = lock(&core.response_urls).redeem(number, &secret, core.clock.now());
    match target {
        Ok(target) => {
            core.answer(&target, &message);
            "ok".into_response()
        }
        Err(Refused::Expired) => (StatusCode::NOT_FOUND, "expired_url").into_response(),
        Err(Refused::Used) => (StatusCode::NOT_FOUND, "used_url").into_response(),
    }
}

impl Core {
    /// Carries out an answer to a command or a click, sent with the acknowledgement or to a response URL.
    pub(super) fn answer(&self, target: &Target, message: &Value) {
        let flag = |name: &str| message[name] == Value::Bool(true);
        let text = message["text"].as_str().map(str::to_owned);
        let blocks = message.get("blocks").filter(|blocks| blocks.is_array()).cloned();
        let mut world = self.world();
        match target.message {
            Some(ts) if flag("delete_original") => {
                self.delete(&mut world, &target.channel, ts);
            }
            Some(ts) if flag("replace_original") => {
                let content = Content { text, blocks, metadata: None };
                self.edit(&mut world, &target.channel, ts, content, BOT_USER);
            }
            _ if text.is_none() && blocks.is_none() => {}
            _ => {
                let named = message["thread_ts"].as_str().and_then(|ts| ts.parse().ok());
                let thread_ts = named.filter(|ts| world.message(&target.channel, *ts).is_some()).or(target.thread_ts);
                let in_channel = message["response_type"] == "in_channel";
                let draft = Draft {
                    channel: target.channel.clone(),
                    user: BOT_USER.to_owned(),
                    text: text.unwrap_or_default(),
                    blocks,
                    thread_ts,
                    ephemeral_to: (!in_channel).then(|| target.user.clone()),
                    ..Draft::default()
                };
                self.post(&mut world, draft);
            }
        }
    }
}
