//! What people do, as the socket would deliver it.

use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::{ApprovalId, Ts};
use hitchline::domain::inbound::{Author, Button, ChannelKind, Click, Inbound, Message, ReplyUrl, Slash, What};

/// Our own workspace.
pub(crate) const HOME: &str = "T1";
/// Where we may work.
pub(crate) const CHANNEL: &str = "C1";

pub(crate) fn key(thread: &Ts) -> ConversationKey {
    ConversationKey { team: HOME.into(), channel: CHANNEL.into(), thread: thread.clone() }
}

pub(crate) fn by(user: &str, name: &str, what: What) -> Inbound {
    Inbound {
        keys: vec![format!("{name} by {user}")],
        team: HOME.into(),
        channel: CHANNEL.into(),
        channel_kind: ChannelKind::Channel,
        author: Author { user: user.into(), team: Some(HOME.into()), bot: None },
        what,
    }
}

fn message(user: &str, ts: &Ts, thread: Option<&Ts>, text: &str, mention: bool) -> Inbound {
    let message = Message { ts: ts.clone(), thread: thread.cloned(), text: text.into(), mention, files: Vec::new() };
    by(user, &format!("message {ts}"), What::Message(message))
}

/// A message at the top level that mentions nobody.
pub(crate) fn written(user: &str, ts: &Ts, text: &str) -> Inbound {
    message(user, ts, None, text, false)
}

pub(crate) fn mention(user: &str, ts: &Ts, text: &str) -> Inbound {
    message(user, ts, None, text, true)
}

pub(crate) fn reply(user: &str, thread: &Ts, ts: &Ts, text: &str) -> Inbound {
    message(user, ts, Some(thread), text, false)
}

pub(crate) fn mention_in(user: &str, thread: &Ts, ts: &Ts, text: &str) -> Inbound {
    message(user, ts, Some(thread), text, true)
}

/// A press of an option; its answer goes to `reply`.
pub(crate) fn press(user: &str, thread: &Ts, at: &Ts, id: ApprovalId, option: usize, reply: &str) -> Inbound {
    let click = Click {
        message: at.clone(),
        ephemeral: false,
        thread: Some(thread.clone()),
        button: Button::Approval { id, option },
        reply: Some(ReplyUrl(reply.into())),
    };
    by(user, &format!("press {reply}"), What::Click(click))
}

/// A press of a list's button; the list stands in a thread, or in none, for one person alone.
pub(crate) fn choose(user: &str, thread: Option<&Ts>, button: Button, reply: &str) -> Inbound {
    let click = Click {
        message: "8000.000001".into(),
        ephemeral: true,
        thread: thread.cloned(),
        button,
        reply: Some(ReplyUrl(reply.into())),
    };
    by(user, &format!("press {reply}"), What::Click(click))
}

pub(crate) fn slash(user: &str, text: &str, reply: &str) -> Inbound {
    by(user, &format!("slash {reply}"), What::Slash(Slash { text: text.into(), reply: ReplyUrl(reply.into()) }))
}

pub(crate) fn stop(user: &str, thread: &Ts, name: &str) -> Inbound {
    by(user, &format!("stop {name}"), What::Stop { thread: thread.clone() })
}
