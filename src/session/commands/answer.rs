//! What a command answers, and who sees it.

use std::sync::Arc;

use super::{Asked, Way};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::OwedId;
use crate::domain::inbound::{ChannelKind, ReplyUrl};
use crate::domain::outgoing::{Body, List, ListButton, ListRow, Op, Owed, Place};
use crate::domain::ports::WriteError;
use crate::scope::OnCrash;
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;

/// How many answers an address takes.
const REPLIES: usize = 5;

/// A command's answer.
pub(super) struct Answer {
    to: Audience,
    bodies: Vec<Body>,
}

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Whoever asked: nobody else cares.
    Asker,
    /// The conversation, when it was asked there.
    Conversation,
    /// The conversation, however it was asked: something has changed for everybody.
    Everybody,
}

impl Answer {
    /// Whoever asked sees it without our words.
    pub(super) fn nothing() -> Self {
        Self { to: Audience::Asker, bodies: Vec::new() }
    }

    /// Something has changed for everybody.
    pub(super) fn change(body: Body) -> Self {
        Self { to: Audience::Everybody, bodies: vec![body] }
    }
}

impl Inner {
    /// An answer that only concerns whoever asked.
    pub(super) fn tell(&self, markdown: &str) -> Answer {
        Answer { to: Audience::Asker, bodies: self.text(markdown) }
    }

    /// The same as a list.
    pub(super) fn tell_list(&self, markdown: &str, rows: Vec<ListRow>) -> Answer {
        Answer { to: Audience::Asker, bodies: vec![self.rows_below(markdown, rows)] }
    }

    /// An answer that is part of the conversation.
    pub(super) fn tell_all(&self, markdown: &str) -> Answer {
        Answer { to: Audience::Conversation, bodies: self.text(markdown) }
    }

    /// The same as a list.
    pub(super) fn tell_all_list(&self, markdown: &str, rows: Vec<ListRow>) -> Answer {
        Answer { to: Audience::Conversation, bodies: vec![self.rows_below(markdown, rows)] }
    }

    /// An answer that says what has changed for everybody.
    pub(super) fn announce(&self, markdown: &str) -> Answer {
        Answer { to: Audience::Everybody, bodies: self.text(markdown) }
    }

    /// A row of a list, from Markdown.
    pub(super) fn row(&self, markdown: &str, button: Option<ListButton>) -> ListRow {
        ListRow { text: self.markup(markdown), button }
    }

    /// Slack's markup for one line of Markdown.
    pub(super) fn markup(&self, markdown: &str) -> String {
        self.parts.render.parts(Markup::Slack, markdown).into_iter().next().unwrap_or_default()
    }

    fn text(&self, markdown: &str) -> Vec<Body> {
        self.parts.render.parts(Markup::Slack, markdown).into_iter().map(Body::Text).collect()
    }

    fn rows_below(&self, markdown: &str, rows: Vec<ListRow>) -> Body {
        Body::List(List { text: self.markup(markdown), rows })
    }

    /// Answers a command, and marks it as handled.
    pub(super) async fn give(self: &Arc<Self>, asked: &Asked<'_>, answer: Answer) -> Result<Delivered, Later> {
        let Answer { to, bodies } = answer;
        if bodies.is_empty() {
            return self.done(asked.key, asked.seq).await;
        }
        match (&asked.way, to) {
            (Way::Message { kind: ChannelKind::Direct | ChannelKind::Web, .. }, _)
            | (Way::Message { .. }, Audience::Conversation)
            | (_, Audience::Everybody) => {
                let owed = bodies.into_iter().map(|body| post(asked.key, body)).collect();
                return Ok(self.answer_with(asked.key, asked.seq, owed).await);
            }
            (Way::Message { thread, .. }, Audience::Asker) => {
                let place = Place { channel: asked.key.channel.clone(), thread: thread.clone() };
                self.whisper(place, asked, bodies);
            }
            (Way::Reply(to), _) => self.reply(to.clone(), bodies),
        }
        self.done(asked.key, asked.seq).await
    }

    fn whisper(self: &Arc<Self>, place: Place, asked: &Asked<'_>, bodies: Vec<Body>) {
        let (slack, user) = (self.parts.slack.clone(), asked.by.user().clone());
        self.aside(async move {
            for body in bodies {
                slack.whisper(&place, &user, &body).await?;
            }
            Ok(())
        });
    }

    fn reply(self: &Arc<Self>, to: Option<ReplyUrl>, bodies: Vec<Body>) {
        let Some(to) = to else { return };
        let slack = self.parts.slack.clone();
        self.aside(async move {
            for body in bodies.iter().take(REPLIES) {
                slack.respond(&to, body).await?;
            }
            Ok(())
        });
    }

    /// Answers one person alone, at most once; nothing waits for it.
    pub(in crate::session) fn respond(self: &Arc<Self>, to: Option<ReplyUrl>, markdown: &str) {
        self.reply(to, vec![self.first_part(Markup::Slack, markdown)]);
    }

    /// What fits into one private message.
    pub(in crate::session) fn first_part(&self, markup: Markup, markdown: &str) -> Body {
        Body::Text(self.parts.render.parts(markup, markdown).into_iter().next().unwrap_or_default())
    }

    /// Makes a call to Slack that nothing waits for, at most once; it is left out when too many are on their way.
    pub(super) fn aside(self: &Arc<Self>, call: impl Future<Output = Result<(), WriteError>> + Send + 'static) {
        let Ok(place) = self.asides.clone().try_acquire_owned() else {
            return tracing::warn!("Too many private answers are on their way; one is left out");
        };
        self.parts.scope.spawn("private answer", OnCrash::Log, async move {
            if let Err(error) = call.await {
                tracing::warn!(%error, "A private answer did not arrive");
            }
            drop(place);
        });
    }
}

/// A row that posts `body` into a conversation, and belongs to no turn.
pub(super) fn post(key: &ConversationKey, body: Body) -> Owed {
    Owed { id: OwedId::new(), conversation: key.clone(), turn: None, op: Op::Post(body) }
}
