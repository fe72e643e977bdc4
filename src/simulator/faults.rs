//! What goes wrong on purpose, and when.

use serde::Deserialize;

/// A fault as the control API takes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    #[serde(flatten)]
    pub(super) fault: Fault,
    /// How often it strikes; once when neither this nor `rate` is given.
    times: Option<u32>,
    /// Strikes this share of the times, from 0 to 1, until it is cleared.
    rate: Option<f64>,
    /// Only calls of this method, or events of this type.
    method: Option<String>,
    /// Only in this channel.
    channel: Option<String>,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(super) enum Fault {
    /// HTTP 429 with this many seconds in `Retry-After`.
    #[serde(rename = "http_429")]
    Http429 {
        #[serde(default = "one")]
        retry_after: u64,
    },
    /// HTTP 500 with an HTML body.
    #[serde(rename = "http_500")]
    Http500,
    /// The call takes effect, and its connection is cut before the answer.
    LostReply,
    /// `ok: false` with this error.
    ApiError { error: String },
    /// The answer comes this late.
    Slow { ms: u64 },
    /// An event is not delivered.
    DropEvent,
    /// An event is delivered this late.
    DelayEvent { ms: u64 },
    /// An event is delivered twice, with two envelopes.
    DuplicateEvent,
    /// An event is delivered over every socket, each time with an envelope of its own, and once more over any of them.
    EventEverywhere,
    /// `disconnect` with `refresh_requested`.
    Refresh {
        #[serde(default = "ten_seconds")]
        close_ms: u64,
    },
    /// `disconnect` with `warning`.
    Warning {
        #[serde(default = "ten_seconds")]
        close_ms: u64,
    },
    /// `disconnect` with `too_many_websockets`, then the end of the connection.
    TooMany,
    /// `disconnect` with `link_disabled`, then the end of the connection.
    LinkDisabled,
    /// The connections of all sockets are aborted.
    Cut,
    /// All sockets stay open and say nothing any more.
    Silence,
    /// The upgrade succeeds and `hello` never comes.
    NoHello,
    /// The server sends no pings.
    NoPing,
    /// A text frame with anything in it.
    Garbage {
        #[serde(default)]
        text: String,
    },
    /// The socket is closed right after its upgrade.
    CloseBeforeHello,
    /// All open streams end by themselves.
    StreamExpired,
    /// A stream can't be started here.
    StreamUnsupported,
    /// A person stopped the stream.
    StoppedByUser,
    /// HTTP 500 instead of the upgrade.
    WsRefused,
    /// A file's download is sent to another address.
    FileElsewhere { to: String },
    /// A file's download is a page on which to log in, although the token is right.
    FileLogin,
    /// A file's download has no end.
    FileEndless,
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A call of the Web API.
    Call,
    /// The delivery of an event.
    Event,
    /// The opening of a socket.
    Opening,
    /// All sockets, at once; the next one when there is none.
    Sockets,
    /// The streams that are open, at once.
    Streams,
}

/// The faults that are still to strike.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    next: u64,
}

#[derive(Debug)]
struct Armed {
    order: Order,
    left: Left,
}

#[derive(Debug)]
enum Left {
    Times(u32),
    Rate(f64),
}

impl Fault {
    /// Where it strikes.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Http429 { .. }
            | Self::Http500
            | Self::LostReply
            | Self::ApiError { .. }
            | Self::Slow { .. }
            | Self::StreamUnsupported
            | Self::StoppedByUser
            | Self::FileElsewhere { .. }
            | Self::FileLogin
            | Self::FileEndless => Place::Call,
            Self::DropEvent | Self::DelayEvent { .. } | Self::DuplicateEvent | Self::EventEverywhere => Place::Event,
            Self::NoHello | Self::CloseBeforeHello | Self::WsRefused => Place::Opening,
            Self::Refresh { .. }
            | Self::Warning { .. }
            | Self::TooMany
            | Self::LinkDisabled
            | Self::Cut
            | Self::Silence
            | Self::NoPing
            | Self::Garbage { .. } => Place::Sockets,
            Self::StreamExpired => Place::Streams,
        }
    }

    /// Whether it can strike a call of this method at all.
    fn suits(&self, method: &str) -> bool {
        match self {
            Self::StreamUnsupported => method == "chat.startStream",
            Self::StoppedByUser => matches!(method, "chat.appendStream" | "chat.stopStream"),
            Self::FileElsewhere { .. } | Self::FileLogin | Self::FileEndless => method == "files.download",
            _ => true,
        }
    }
}

impl Faults {
    /// Arms a fault and returns its number.
    pub(super) fn arm(&mut self, order: Order) -> u64 {
        let left = match (order.times, order.rate) {
            (None, Some(rate)) => Left::Rate(rate),
            (times, _) => Left::Times(times.unwrap_or(1)),
        };
        self.armed.push(Armed { order, left });
        self.next += 1;
        self.next
    }

    /// A number for a fault that struck at once.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Nothing goes wrong any more.
    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The first armed fault that strikes here, counted down. `roll` draws from 0 to 1.
    pub(super) fn strike(
        &mut self,
        places: &[Place],
        method: &str,
        channel: Option<&str>,
        roll: impl Fn() -> f64,
    ) -> Option<Fault> {
        let index = self.armed.iter().position(|armed| {
            places.contains(&armed.order.fault.place())
                && armed.order.fault.suits(method)
                && armed.order.method.as_deref().is_none_or(|wanted| wanted == method)
                && armed.order.channel.as_deref().is_none_or(|wanted| Some(wanted) == channel)
                && match armed.left {
                    Left::Times(_) => true,
                    Left::Rate(rate) => roll() < rate,
                }
        })?;
        let armed = &mut self.armed[index];
        let fault = armed.order.fault.clone();
        if let Left::Times(times) = &mut armed.left {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.armed.remove(index);
            }
        }
        Some(fault)
    }
}

fn one() -> u64 {
    1
}

fn ten_seconds() -> u64 {
    10_000
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn armed(orders: &[Value]) -> Faults {
        let mut faults = Faults::default();
        for order in orders {
            faults.arm(serde_json::from_value(order.clone()).unwrap());
        }
        faults
    }

    fn call(faults: &mut Faults, method: &str, channel: Option<&str>) -> Option<Fault> {
        faults.strike(&[Place::Call], method, channel, || 0.5)
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_was_told() {
        let mut faults = armed(&[json!({"fault": "http_500", "times": 2}), json!({"fault": "slow", "ms": 5})]);
        assert_eq!(call(&mut faults, "chat.postMessage", None), Some(Fault::Http500));
        assert_eq!(call(&mut faults, "auth.test", None), Some(Fault::Http500));
        assert_eq!(call(&mut faults, "auth.test", None), Some(Fault::Slow { ms: 5 }));
        assert_eq!(call(&mut faults, "auth.test", None), None);
    }

    #[test]
    fn a_fault_keeps_to_its_method_and_channel() {
        let mut faults =
            armed(&[json!({"fault": "http_429", "retry_after": 7, "method": "chat.update", "channel": "C1"})]);
        assert_eq!(call(&mut faults, "chat.postMessage", Some("C1")), None);
        assert_eq!(call(&mut faults, "chat.update", Some("C2")), None);
        assert_eq!(call(&mut faults, "chat.update", Some("C1")), Some(Fault::Http429 { retry_after: 7 }));
    }

    #[test]
    fn a_rate_is_a_share_and_never_runs_out() {
        let mut faults =
            armed(&[json!({"fault": "http_500", "rate": 0.4}), json!({"fault": "lost_reply", "rate": 0.6})]);
        for _ in 0..3 {
            assert_eq!(call(&mut faults, "auth.test", None), Some(Fault::LostReply));
        }
    }

    #[test]
    fn stream_faults_only_strike_streams() {
        let mut faults = armed(&[json!({"fault": "stream_unsupported"}), json!({"fault": "stopped_by_user"})]);
        assert_eq!(call(&mut faults, "chat.postMessage", None), None);
        assert_eq!(call(&mut faults, "chat.appendStream", None), Some(Fault::StoppedByUser));
        assert_eq!(call(&mut faults, "chat.startStream", None), Some(Fault::StreamUnsupported));
    }

    #[test]
    fn faults_of_other_places_wait_for_their_own() {
        let mut faults = armed(&[json!({"fault": "drop_event"}), json!({"fault": "no_hello"})]);
        assert_eq!(call(&mut faults, "auth.test", None), None);
        assert_eq!(faults.strike(&[Place::Event], "message", None, || 0.5), Some(Fault::DropEvent));
        assert_eq!(faults.strike(&[Place::Opening, Place::Sockets], "", None, || 0.5), Some(Fault::NoHello));
    }
}
