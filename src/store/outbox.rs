//! What is owed to Slack, in order.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::oneshot;

use super::{Store, StoreError, events, turns};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, TurnId};
use crate::domain::outgoing::{Answers, Body, Op, Owed};

/// What is read of a row that is still owed.
const PENDING: &str = "SELECT pos, id, team, channel, thread, turn, op, answers, not_before_ms, failing_since_ms, doubtful, interim FROM outbox \
                       WHERE state = 'pending'";

impl Store {
    /// Writes what is owed, and marks the event that asked for it as handled.
    pub async fn owe(&self, owed: Vec<Owed>, done: Option<i64>, now_ms: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            if let Some(seq) = done {
                events::finish_event(connection, seq)?;
            }
            insert(connection, &owed, done, now_ms)
        })
        .await
    }

    /// Notes that something was delivered, as which message. The note rides with the next commit, and may be waited for.
    pub async fn delivered(&self, id: OwedId, ts: Option<Ts>) -> Result<Noted, StoreError> {
        let change = move |connection: &Connection| {
            connection
                .prepare_cached("UPDATE outbox SET state = 'sent', ts = ?2, error = NULL, op = '' WHERE id = ?1")?
                .execute(params![id.to_string(), ts.as_ref().map(Ts::as_str)])
                .map(drop)
        };
        self.note(change).await
    }

    /// Notes what the next process is to know of a row that waits for another attempt.
    pub async fn put_off(&self, id: OwedId, trouble: Trouble) -> Result<Noted, StoreError> {
        let change = move |connection: &Connection| {
            let sql = "UPDATE outbox SET not_before_ms = ?2, failing_since_ms = ?3, doubtful = ?4 \
                       WHERE id = ?1 AND state = 'pending'";
            let Trouble { not_before_ms, failing_since_ms, doubtful } = trouble;
            let row = params![id.to_string(), not_before_ms, failing_since_ms, doubtful];
            connection.prepare_cached(sql)?.execute(row).map(drop)
        };
        self.note(change).await
    }

    async fn note<C>(&self, change: C) -> Result<Noted, StoreError>
    where
        C: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let slot = self.slot().await?;
        let (done, outcome) = oneshot::channel();
        Self::note_in(slot, change, move |outcome| {
            let _nobody_waits = done.send(outcome);
        });
        Ok(Noted(outcome))
    }

    /// Parks something that can't be delivered; its content stays, so that it can be made pending again. Whoever asked for it is owed
    /// the `notice`, if they are known: then that row is written along, and returned.
    pub async fn park(&self, id: OwedId, parked: Parked, now_ms: i64) -> Result<Option<Owed>, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE outbox SET state = 'dead', error = ?2, doubtful = ?3, not_before_ms = NULL, failing_since_ms = NULL \
                       WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![id.to_string(), parked.why, parked.doubtful])?;
            let Some(text) = parked.notice else { return Ok(None) };
            let Some(person) = asked_by(connection, id)? else { return Ok(None) };
            let op = Op::Post(Body::Text(text));
            let notice = Owed { id: OwedId::new(), conversation: person, turn: None, answers: None, op };
            insert(connection, std::slice::from_ref(&notice), None, now_ms)?;
            Ok(Some(notice))
        })
        .await
    }

    /// As which message a row was delivered. Asked in the writer's order, so that a delivery noted before is seen.
    pub async fn delivered_as(&self, id: OwedId) -> Result<Option<Ts>, StoreError> {
        self.write(move |connection| {
            let ts: Option<Option<String>> = connection
                .prepare_cached("SELECT ts FROM outbox WHERE id = ?1")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?;
            Ok(ts.flatten().map(Ts::from))
        })
        .await
    }

    /// Notes that a row can't be read, and why. Its content stays as it is, so that a person can look.
    pub async fn set_aside(&self, pos: i64, why: String) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE outbox SET state = 'dead', error = ?2 WHERE pos = ?1")?
                .execute(params![pos, why])
                .map(drop)
        })
        .await
    }

    /// The place of the newest row that is still owed; `None` when nothing is.
    pub async fn last_owed(&self) -> Result<Option<i64>, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT max(pos) FROM outbox WHERE state = 'pending'", [], |row| row.get(0))
        })
        .await
    }

    /// The conversations to which something is owed, in the order of their names, after `after`, at most `limit` of them.
    pub async fn owing(
        &self,
        after: Option<ConversationKey>,
        limit: usize,
    ) -> Result<Vec<ConversationKey>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT DISTINCT team, channel, thread FROM outbox \
                       WHERE state = 'pending' AND (team, channel, thread) > (?1, ?2, ?3) \
                       ORDER BY team, channel, thread LIMIT ?4";
            // No name is empty, so that this is before all of them.
            let (team, channel, thread) = after
                .as_ref()
                .map_or(("", "", ""), |key| (key.team.as_str(), key.channel.as_str(), key.thread.as_str()));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut query = connection.prepare_cached(sql)?;
            query.query_map(params![team, channel, thread, limit], |row| conversation(row, 0))?.collect()
        })
        .await
    }

    /// The oldest row that is owed to a conversation. Asked in the writer's order, so that a delivery noted before is seen.
    pub async fn next_owed(&self, conversation: ConversationKey) -> Result<Option<Pending>, StoreError> {
        self.write(move |connection| {
            let sql = format!("{PENDING} AND team = ?1 AND channel = ?2 AND thread = ?3 ORDER BY pos LIMIT 1");
            let key = [conversation.team.as_str(), conversation.channel.as_str(), conversation.thread.as_str()];
            connection.prepare_cached(&sql)?.query_row(key, pending).optional()
        })
        .await
    }

    /// A row that is still owed, once more.
    pub async fn still_owed(&self, id: OwedId) -> Result<Option<Pending>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{PENDING} AND id = ?1"))?
                .query_row([id.to_string()], pending)
                .optional()
        })
        .await
    }
}

/// A row that is still owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the outbox.
    pub pos: i64,
    /// Its id as it is written there; empty when that is no text.
    pub id: String,
    /// What is owed, or why that can't be read.
    pub owed: Result<Owed, String>,
    /// What its attempts have led to.
    pub trouble: Trouble,
}

/// What is known of the attempts on a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// When it may be tried again, in milliseconds since the Unix epoch.
    pub not_before_ms: Option<i64>,
    /// Since when its attempts have failed, in milliseconds since the Unix epoch.
    pub failing_since_ms: Option<i64>,
    /// Whether it may be in Slack although no answer said so.
    pub doubtful: bool,
}

/// Why something is not delivered.
#[derive(Debug, Clone)]
pub struct Parked {
    /// The reason, for a person.
    pub why: String,
    /// Whether it may be in Slack although no answer said so.
    pub doubtful: bool,
    /// What to tell whoever asked for it, in Slack's markup.
    pub notice: Option<String>,
}

/// A note on its way to the disk. Nobody has to wait for it.
#[derive(Debug)]
pub struct Noted(oneshot::Receiver<Result<(), StoreError>>);

impl Noted {
    /// Waits until it is on disk, or could not be written.
    pub async fn on_disk(self) -> Result<(), StoreError> {
        self.0.await.map_err(|_closed| StoreError::Closed)?
    }
}

/// Writes rows; `seq` is the event that asked for them. Without one, those of a turn were asked for by that turn's event.
pub(super) fn insert(connection: &Connection, owed: &[Owed], seq: Option<i64>, now_ms: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO outbox (id, team, channel, thread, turn, op, state, created_ms, answers, interim, seq) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, ?8, ?9, coalesce(?10, (SELECT seq FROM turn WHERE turn.id = ?5)))",
    )?;
    for row in owed {
        let key = &row.conversation;
        let op =
            serde_json::to_string(&row.op).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        insert.execute(params![
            row.id.to_string(),
            key.team.as_str(),
            key.channel.as_str(),
            key.thread.as_str(),
            row.turn.map(|turn| turn.to_string()),
            op,
            now_ms,
            row.answers.as_ref().map(|answers| answers.message().as_str()),
            matches!(row.answers, Some(Answers::Interim(_))),
            seq,
        ])?;
        turns::follow(connection, row, now_ms)?;
    }
    Ok(())
}

/// What can't be read is the row's own trouble, not the query's.
fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let owed = owed(row).map_err(|error| error.to_string());
    let trouble = Trouble { not_before_ms: row.get(8)?, failing_since_ms: row.get(9)?, doubtful: row.get(10)? };
    Ok(Pending { pos: row.get(0)?, id: row.get(1).unwrap_or_default(), owed, trouble })
}

/// The direct messages of whoever asked for a row. Slack finds them by the person (docs.slack.dev/reference/methods/chat.postMessage).
fn asked_by(connection: &Connection, id: OwedId) -> rusqlite::Result<Option<ConversationKey>> {
    let sql = "SELECT outbox.team, author FROM outbox JOIN inbox ON inbox.seq = outbox.seq WHERE outbox.id = ?1 AND author <> ''";
    let person = |row: &Row<'_>| {
        Ok(ConversationKey::channel_wide(row.get::<_, String>(0)?.into(), row.get::<_, String>(1)?.into()))
    };
    connection.prepare_cached(sql)?.query_row([id.to_string()], person).optional()
}

fn owed(row: &Row<'_>) -> rusqlite::Result<Owed> {
    let text = |column: usize| row.get::<_, String>(column);
    // Only where it is wrong: the error's own words may quote what a person wrote.
    let op: Op = serde_json::from_str(&text(6)?)
        .map_err(|error| unreadable(6, format!("{:?} error in column {}", error.classify(), error.column())))?;
    let answers = if row.get(11)? { Answers::Interim } else { Answers::Finally };
    Ok(Owed {
        id: OwedId::parse(&text(1)?).ok_or_else(|| unreadable(1, "not a delivery id"))?,
        conversation: conversation(row, 2)?,
        turn: row.get::<_, Option<String>>(5)?.as_deref().and_then(TurnId::parse),
        answers: row.get::<_, Option<String>>(7)?.map(|ts| answers(ts.into())),
        op,
    })
}

/// The three columns from `first` on.
pub(super) fn conversation(row: &Row<'_>, first: usize) -> rusqlite::Result<ConversationKey> {
    let text = |column: usize| row.get::<_, String>(first + column);
    Ok(ConversationKey { team: text(0)?.into(), channel: text(1)?.into(), thread: text(2)?.into() })
}

/// The error for a column whose content is not what we wrote.
pub(super) fn unreadable(column: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
