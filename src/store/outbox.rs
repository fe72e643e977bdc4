//! What is owed to Slack, in order.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, events};
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

    /// What is still owed, oldest first.
    pub async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, team, channel, thread, turn, op FROM outbox WHERE state = 'pending' ORDER BY pos";
            connection.prepare(sql)?.query_map([], owed)?.collect()
        })
        .await
    }
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
    }
    Ok(())
}

fn owed(row: &Row<'_>) -> rusqlite::Result<Owed> {
    let text = |column: usize| row.get::<_, String>(column);
    let op: Op = serde_json::from_str(&text(5)?).map_err(|error| unreadable(5, error))?;
    Ok(Owed {
        id: OwedId::parse(&text(0)?).ok_or_else(|| unreadable(0, "not a delivery id"))?,
        conversation: ConversationKey { team: text(1)?.into(), channel: text(2)?.into(), thread: text(3)?.into() },
        turn: row.get::<_, Option<String>>(4)?.as_deref().and_then(TurnId::parse),
        op,
    })
}

/// The error for a column whose content is not what we wrote.
pub(super) fn unreadable(column: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
