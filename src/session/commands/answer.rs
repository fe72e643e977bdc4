//! What a command answers, and who sees it.

use std::sync::Arc;

use super::{Asked, Way};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::OwedId;
use crate::domain::inbound::{ChannelKind, ReplyUrl};
use crate::domain::outgoing::{Answers, Body, List, ListButton, ListRow, Op, Owed, Place};
use crate::domain::ports::WriteError;
use crate::scope::OnCrash;
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;

/// How many answers an address takes.
const REPLIES: usize = 5;

/// A command's answer.
pub(super) struct Answer {
    to: Audience,
    content: Content,
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

/// What an answer says, as Markdown.
enum Content {
    Nothing,
    Text(String),
    /// In the markup of the place already.
    Marked(String),
    List(String, Vec<Row>),
}

/// A row of a list.
pub(super) struct Row {
    pub(super) text: String,
    /// What stands below it as it is, in the markup of the place.
    pub(super) note: Option<String>,
    pub(super) button: Option<ListButton>,
}

impl Row {
    /// A row of Markdown alone.
    pub(super) fn new(text: impl Into<String>, button: Option<ListButton>) -> Self {
        Self { text: text.into(), note: None, button }
    }
}

impl Answer {
    /// Whoever asked sees it without our words.
    pub(super) fn nothing() -> Self {
        Self { to: Audience::Asker, content: Content::Nothing }
    }

    /// It only concerns whoever asked.
    pub(super) fn aside(markdown: impl Into<String>) -> Self {
        Self { to: Audience::Asker, content: Content::Text(markdown.into()) }
    }

    /// The same as a list.
    pub(super) fn aside_list(markdown: impl Into<String>, rows: Vec<Row>) -> Self {
        Self { to: Audience::Asker, content: Content::List(markdown.into(), rows) }
    }

    /// It is part of the conversation.
    pub(super) fn open(markdown: impl Into<String>) -> Self {
        Self { to: Audience::Conversation, content: Content::Text(markdown.into()) }
    }

    /// The same as a list.
    pub(super) fn open_list(markdown: impl Into<String>, rows: Vec<Row>) -> Self {
        Self { to: Audience::Conversation, content: Content::List(markdown.into(), rows) }
    }

    /// It says what has changed for everybody.
    pub(super) fn change(markdown: impl Into<String>) -> Self {
        Self { to: Audience::Everybody, content: Content::Text(markdown.into()) }
    }

    /// The same in the markup of the place.
    pub(super) fn marked_change(text: String) -> Self {
        Self { to: Audience::Everybody, content: Content::Marked(text) }
    }
}

impl Inner {
    /// Answers a command, and marks it as handled.
    pub(super) async fn give(self: &Arc<Self>, asked: &Asked<'_>, answer: Answer) -> Result<Delivered, Later> {
        let Answer { to, content } = answer;
        let bodies = self.bodies(asked.at.markup(), content);
        if bodies.is_empty() {
            return self.done(asked.key, asked.seq).await;
        }
        match (&asked.way, to) {
            (Way::Message { kind: ChannelKind::Direct | ChannelKind::Web, .. }, _)
            | (Way::Message { .. }, Audience::Conversation)
            | (_, Audience::Everybody) => {
                let row = |body| Owed { answers: asked.message.clone().map(Answers::Finally), ..post(&asked.at, body) };
                let owed = bodies.into_iter().map(row).collect();
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

    fn bodies(&self, markup: Markup, content: Content) -> Vec<Body> {
        match content {
            Content::Nothing => Vec::new(),
            Content::Marked(text) => vec![Body::Text(text)],
            Content::Text(text) => self.parts.render.parts(markup, &text).into_iter().map(Body::Text).collect(),
            Content::List(text, rows) => {
                let rows = rows.into_iter().map(|row| self.list_row(markup, row)).collect();
                vec![Body::List(List { text: self.one_part(markup, &text), rows })]
            }
        }
    }

    fn list_row(&self, markup: Markup, row: Row) -> ListRow {
        let text = self.one_part(markup, &row.text);
        ListRow { text: row.note.map_or(text.clone(), |note| format!("{text}\n{note}")), button: row.button }
    }

    /// Markdown of which there is never more than one part.
    pub(in crate::session) fn one_part(&self, markup: Markup, markdown: &str) -> String {
        self.parts.render.parts(markup, markdown).into_iter().next().unwrap_or_default()
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
        let Some(to) = to else { return };
        let body = self.first_part(to.markup(), markdown);
        self.reply(Some(to), vec![body]);
    }

    /// What fits into one private message.
    pub(in crate::session) fn first_part(&self, markup: Markup, markdown: &str) -> Body {
        Body::Text(self.one_part(markup, markdown))
    }

    /// Says something beside an answer. What was done stays done when this can't be kept.
    pub(super) async fn mention(&self, owed: Owed) {
        let key = owed.conversation.clone();
        match self.owe(vec![owed]).await {
            Ok(sent) => drop(sent),
            Err(error) => {
                tracing::warn!(conversation = %key, %error, "A conversation is not told what became of its session");
            }
        }
    }

    /// Makes a call to Slack that nothing waits for, at most once; it is left out when too many are on their way.
    pub(in crate::session) fn aside(
        self: &Arc<Self>,
        call: impl Future<Output = Result<(), WriteError>> + Send + 'static,
    ) {
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
pub(in crate::session) fn post(key: &ConversationKey, body: Body) -> Owed {
    Owed { id: OwedId::new(), conversation: key.clone(), turn: None, answers: None, op: Op::Post(body) }
}
