//! Sessions that end because nothing can be said any more where they answer.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{Store, StoreError, outbox, sessions};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, OwedId, SessionId, TeamId};
use crate::domain::outgoing::{Body, Op, Owed};

/// A channel that is closed to us, and what is said of it.
#[derive(Debug, Clone)]
pub struct Closure {
    /// The workspace.
    pub team: TeamId,
    /// The channel.
    pub channel: ChannelId,
    /// Why what waits there is given up, for an operator.
    pub reason: String,
    /// What whoever wrote it is told in a direct message, in Slack's markup.
    pub notice: String,
}

/// A session that has ended with its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Where it answered.
    pub conversation: ConversationKey,
    /// A notice to each person whose messages waited for it; each stands in a conversation of its own.
    pub notices: Vec<Owed>,
}

impl Store {
    /// Ends a mapping for good if it answers in a channel that is closed to us. What waits for it is given up and stays, for a person to
    /// look at, and its authors are owed the notice. Nothing when it has ended before, or answers elsewhere by now.
    pub async fn close_session(
        &self,
        id: SessionId,
        closure: Closure,
        now_ms: i64,
    ) -> Result<Option<Closed>, StoreError> {
        self.write(move |connection| {
            let there = |key: &ConversationKey| key.team == closure.team && key.channel == closure.channel;
            let Some(conversation) = sessions::place(connection, id)?.filter(there) else { return Ok(None) };
            sessions::end(connection, id, now_ms)?;
            let authors = bury_waiting(connection, &conversation, &closure.reason)?;
            let notices: Vec<Owed> = authors.into_iter().map(|author| notice(&closure, author.into())).collect();
            outbox::insert(connection, &notices, None, now_ms)?;
            Ok(Some(Closed { conversation, notices }))
        })
        .await
    }
}

/// Gives up what waits for a conversation's turns. Returns whose that was, as far as it is known.
fn bury_waiting(connection: &Connection, key: &ConversationKey, reason: &str) -> rusqlite::Result<BTreeSet<String>> {
    let sql = "UPDATE inbox SET state = 'dead', reason = ?4 \
               WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = 'turn' AND state = 'queued' RETURNING author";
    let waiting = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), reason];
    let mut authors: BTreeSet<String> =
        connection.prepare_cached(sql)?.query_map(waiting, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    authors.remove("");
    Ok(authors)
}

/// Slack finds a person's direct messages by the person (docs.slack.dev/reference/methods/chat.postMessage).
fn notice(closure: &Closure, person: ChannelId) -> Owed {
    let conversation = ConversationKey::channel_wide(closure.team.clone(), person);
    let op = Op::Post(Body::Text(closure.notice.clone()));
    Owed { id: OwedId::new(), conversation, turn: None, answers: None, op }
}

#[cfg(test)]
mod tests;
