//! What is owed to Slack, in order.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, events, turns};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, TurnId};
use crate::domain::outgoing::{Op, Owed};

impl Store {
    /// Writes what is owed, and marks the event that asked for it as handled.
    pub async fn owe(&self, owed: Vec<Owed>, done: Option<i64>, now_ms: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            if let Some(seq) = done {
                events::finish_event(connection, seq)?;
            }
            insert(connection, &owed, now_ms)
        })
        .await
    }

    /// Notes that something was delivered, as which message. Nobody waits for this commit; it rides with the next one.
    pub async fn delivered(&self, id: OwedId, ts: Option<Ts>) -> Result<(), StoreError> {
        self.settle(id, "sent", ts, None).await
    }

    /// Notes that something can't be delivered, and why.
    pub async fn undeliverable(&self, id: OwedId, why: String) -> Result<(), StoreError> {
        self.settle(id, "dead", None, Some(why)).await
    }

    async fn settle(
        &self,
        id: OwedId,
        state: &'static str,
        ts: Option<Ts>,
        error: Option<String>,
    ) -> Result<(), StoreError> {
        let slot = self.slot().await?;
        let change = move |connection: &Connection| {
            connection
                .prepare_cached("UPDATE outbox SET state = ?2, ts = ?3, error = ?4, op = '' WHERE id = ?1")?
                .execute(params![id.to_string(), state, ts.as_ref().map(Ts::as_str), error])
                .map(drop)
        };
        Self::note_in(slot, change, move |outcome| {
            if let Err(error) = outcome {
                tracing::warn!(owed.id = %id, %error, "A delivery was not noted; after a restart it is tried again");
            }
        });
        Ok(())
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

    /// The oldest row behind the place `after` that is owed to a conversation. Asked in the writer's order, so that a delivery noted
    /// before is seen.
    pub async fn next_owed(&self, conversation: ConversationKey, after: i64) -> Result<Option<Pending>, StoreError> {
        self.write(move |connection| {
            let sql = "SELECT pos, id, team, channel, thread, turn, op FROM outbox \
                       WHERE state = 'pending' AND team = ?1 AND channel = ?2 AND thread = ?3 AND pos > ?4 \
                       ORDER BY pos LIMIT 1";
            let key = &conversation;
            let place = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), after];
            connection.prepare_cached(sql)?.query_row(place, pending).optional()
        })
        .await
    }

    /// A row that is still owed, once more.
    pub async fn still_owed(&self, id: OwedId) -> Result<Option<Pending>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT pos, id, team, channel, thread, turn, op FROM outbox WHERE state = 'pending' AND id = ?1";
            connection.prepare_cached(sql)?.query_row([id.to_string()], pending).optional()
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
}

pub(super) fn insert(connection: &Connection, owed: &[Owed], now_ms: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO outbox (id, team, channel, thread, turn, op, state, created_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7)",
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
        ])?;
        turns::follow(connection, row)?;
    }
    Ok(())
}

/// What can't be read is the row's own trouble, not the query's.
fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let owed = owed(row).map_err(|error| error.to_string());
    Ok(Pending { pos: row.get(0)?, id: row.get(1).unwrap_or_default(), owed })
}

fn owed(row: &Row<'_>) -> rusqlite::Result<Owed> {
    let text = |column: usize| row.get::<_, String>(column);
    // Only where it is wrong: the error's own words may quote what a person wrote.
    let op: Op = serde_json::from_str(&text(6)?)
        .map_err(|error| unreadable(6, format!("{:?} error in column {}", error.classify(), error.column())))?;
    Ok(Owed {
        id: OwedId::parse(&text(1)?).ok_or_else(|| unreadable(1, "not a delivery id"))?,
        conversation: conversation(row, 2)?,
        turn: row.get::<_, Option<String>>(5)?.as_deref().and_then(TurnId::parse),
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
