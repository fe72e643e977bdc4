//! Faults, frames made by hand, and what holds of what is not known of Slack.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Body, DONE, Done, Refused};
use crate::simulator::connections;
use crate::simulator::core::Core;
use crate::simulator::faults::Order;
use crate::simulator::personality::Personality;
use crate::simulator::shapes::Event;

/// Something to be sent to the app as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Inject {
    /// A whole text frame: a string is sent as it is, anything else as JSON.
    Frame(Value),
    /// An inner event, for an envelope of the usual kind.
    Event(Value),
}

/// `POST /sim/faults`
pub(super) async fn order(State(core): State<Arc<Core>>, Body(order): Body<Order>) -> Answer<Value> {
    Ok(Json(json!({"id": core.order_fault(order)})))
}

/// `DELETE /sim/faults`
pub(super) async fn clear(State(core): State<Arc<Core>>) -> Json<Done> {
    core.clear_faults();
    DONE
}

/// `GET /sim/personality`
pub(super) async fn personality(State(core): State<Arc<Core>>) -> Json<Personality> {
    Json(core.personality.now())
}

/// `POST /sim/personality`; what it does not name stays. Answers with what holds now.
pub(super) async fn change_personality(
    State(core): State<Arc<Core>>,
    Body(changes): Body<Map<String, Value>>,
) -> Answer<Personality> {
    core.personality.change(changes).map(Json).map_err(Refused::bad)
}

/// `POST /sim/inject`
pub(super) async fn inject(State(core): State<Arc<Core>>, Body(inject): Body<Inject>) -> Answer<Value> {
    match inject {
        Inject::Frame(frame) => {
            let envelope_id = frame.get("envelope_id").cloned();
            let text = if let Value::String(text) = frame { text } else { frame.to_string() };
            let sent = core.envelopes.with_connections(|all| all.order_newest(connections::Order::Text(text)));
            let answer = envelope_id.map_or_else(|| json!({}), |id| json!({"envelope_id": id}));
            if sent { Ok(Json(answer)) } else { Err(Refused::bad("no socket is open")) }
        }
        Inject::Event(inner) => {
            let at = core.tick(&mut core.world());
            let channel = inner["channel"].as_str().unwrap_or_default().to_owned();
            let envelope_id = core.emit(&Event { inner, shared: false }, &channel, at);
            Ok(Json(envelope_id.map_or_else(|| json!({}), |id| json!({"envelope_id": id}))))
        }
    }
}
