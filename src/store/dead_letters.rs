//! What was given up: messages that were begun too often or can't be read, and what Slack never took.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{finish_event, name};
use super::waiting::{self, Unreadable};
use super::{Store, StoreError, cut_off, outbox};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::UserId;
use crate::domain::inbound::{Inbound, What};
use crate::domain::outgoing::{Op, Owed};
use crate::domain::ports::Line;

/// The name of a dead letter: `m12` for a message of somebody, `o34` for one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadId {
    /// The number of an event in the inbox.
    Message(i64),
    /// The place of a row in the outbox.
    Outgoing(i64),
}

impl DeadId {
    /// Reads a name as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_at_checked(1)?;
        let number = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?;
        match kind {
            "m" => number.map(Self::Message),
            "o" => number.map(Self::Outgoing),
            _ => None,
        }
    }
}

impl fmt::Display for DeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(seq) => write!(f, "m{seq}"),
            Self::Outgoing(pos) => write!(f, "o{pos}"),
        }
    }
}

/// Something that was given up, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name.
    pub id: DeadId,
    /// When it came, or was written, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// What it is, in a word or two.
    pub kind: &'static str,
    /// Where it belongs.
    pub conversation: ConversationKey,
    /// Who asked for it; nobody where that is not known.
    pub author: Option<UserId>,
    /// How often its handling has begun; of what is ours that is not counted.
    pub attempts: u32,
    /// Why it was given up; empty where nobody wrote it down.
    pub reason: String,
}

/// What became of a dead letter that was to be tried again.
#[derive(Debug)]
pub enum Retried {
    /// There is no such dead letter.
    Unknown,
    /// It can't be read, so it can't be tried.
    Unreadable(String),
    /// A message of somebody waits again, in this line.
    Message(ConversationKey, Line),
    /// A row of ours is owed again, to this conversation.
    Outgoing(ConversationKey),
}

impl Store {
    /// Notes that an event is taken up: one more attempt. Returns whether it still waited.
    pub async fn take_up(&self, seq: i64) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE inbox SET attempts = attempts + 1 WHERE seq = ?1 AND state = 'queued'";
            Ok(connection.prepare_cached(sql)?.execute([seq])? > 0)
        })
        .await
    }

    /// Gives up an event that still waits, and writes what is owed for that. Its body stays, for a person to look at. Returns whether
    /// it still waited.
    pub async fn bury(&self, seq: i64, reason: String, owed: Vec<Owed>, now_ms: i64) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE inbox SET state = 'dead', reason = ?2 WHERE seq = ?1 AND state = 'queued'";
            if connection.prepare_cached(sql)?.execute(params![seq, reason])? == 0 {
                return Ok(false);
            }
            outbox::insert(connection, &owed, Some(seq), now_ms).map(|()| true)
        })
        .await
    }

    /// The dead letters, the newest first, at most `limit` of each kind.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.read(move |connection| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut all: Vec<DeadLetter> = connection
                .prepare_cached(
                    "SELECT seq, received_ms, team, channel, thread, author, attempts, reason, version, body FROM inbox \
                     WHERE state = 'dead' ORDER BY seq DESC LIMIT ?1",
                )?
                .query_map([limit], message)?
                .collect::<rusqlite::Result<_>>()?;
            let mut outgoing = connection.prepare_cached(
                "SELECT pos, created_ms, outbox.team, outbox.channel, outbox.thread, author, error, op FROM outbox \
                 LEFT JOIN inbox ON inbox.seq = outbox.seq WHERE outbox.state = 'dead' ORDER BY pos DESC LIMIT ?1",
            )?;
            for row in outgoing.query_map([limit], outgoing_row)? {
                all.push(row?);
            }
            all.sort_by_key(|letter| std::cmp::Reverse(letter.since_ms));
            Ok(all)
        })
        .await
    }

    /// How many dead letters there are.
    pub async fn count_dead_letters(&self) -> Result<u32, StoreError> {
        self.read(|connection| {
            let sql = "SELECT (SELECT count(*) FROM inbox WHERE state = 'dead') + \
                       (SELECT count(*) FROM outbox WHERE state = 'dead')";
            connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
        })
        .await
    }

    /// Lets a dead letter be tried again, as if a person had asked for it now.
    pub async fn retry_dead_letter(&self, id: DeadId) -> Result<Retried, StoreError> {
        self.write(move |connection| match id {
            DeadId::Message(seq) => retry_message(connection, seq),
            DeadId::Outgoing(pos) => retry_outgoing(connection, pos),
        })
        .await
    }

    /// Drops a dead letter and what it says for good. Returns whether there was one.
    pub async fn drop_dead_letter(&self, id: DeadId) -> Result<bool, StoreError> {
        self.write(move |connection| match id {
            DeadId::Message(seq) => {
                let sql = "SELECT 1 FROM inbox WHERE seq = ?1 AND state = 'dead'";
                let found = connection.prepare_cached(sql)?.exists([seq])?;
                if found {
                    finish_event(connection, seq)?;
                }
                Ok(found)
            }
            DeadId::Outgoing(pos) => {
                // Nobody waits for what it asked, and nobody is told again of what it told: its row stays, as if it had been sent.
                let sql = "DELETE FROM approval WHERE row = (SELECT id FROM outbox WHERE pos = ?1 AND state = 'dead')";
                connection.prepare_cached(sql)?.execute([pos])?;
                let sql = "UPDATE outbox SET state = 'sent', error = NULL, op = '' WHERE pos = ?1 AND state = 'dead'";
                Ok(connection.prepare_cached(sql)?.execute([pos])? > 0)
            }
        })
        .await
    }
}

fn retry_message(connection: &Connection, seq: i64) -> rusqlite::Result<Retried> {
    let sql = "SELECT team, channel, thread, line, version, body FROM inbox WHERE seq = ?1 AND state = 'dead'";
    let row = |row: &Row<'_>| {
        let line = if row.get::<_, String>(3)? == name(Line::Turn) { Line::Turn } else { Line::Command };
        Ok((outbox::conversation(row, 0)?, line, waiting::inbound(row.get(4)?, row.get_ref(5)?)))
    };
    let Some((key, line, inbound)) = connection.prepare_cached(sql)?.query_row([seq], row).optional()? else {
        return Ok(Retried::Unknown);
    };
    if let Err(why) = inbound {
        return Ok(Retried::Unreadable(why.to_string()));
    }
    cut_off::ask_again(connection, seq)?;
    connection
        .prepare_cached("UPDATE inbox SET state = 'queued', resumes = 0, reason = NULL, line = ?2 WHERE seq = ?1")?
        .execute(params![seq, name(line)])?;
    Ok(Retried::Message(key, line))
}

fn retry_outgoing(connection: &Connection, pos: i64) -> rusqlite::Result<Retried> {
    let sql = "SELECT team, channel, thread, op FROM outbox WHERE pos = ?1 AND state = 'dead'";
    let row = |row: &Row<'_>| Ok((outbox::conversation(row, 0)?, row.get::<_, String>(3)?));
    let Some((key, op)) = connection.prepare_cached(sql)?.query_row([pos], row).optional()? else {
        return Ok(Retried::Unknown);
    };
    if let Err(error) = serde_json::from_str::<Op>(&op) {
        return Ok(Retried::Unreadable(format!("{:?} error in column {}", error.classify(), error.column())));
    }
    let sql = "UPDATE outbox SET state = 'pending', error = NULL, not_before_ms = NULL, failing_since_ms = NULL \
               WHERE pos = ?1";
    connection.prepare_cached(sql)?.execute([pos])?;
    Ok(Retried::Outgoing(key))
}

fn message(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let inbound = waiting::inbound(row.get(8)?, row.get_ref(9)?);
    Ok(DeadLetter {
        id: DeadId::Message(row.get(0)?),
        since_ms: row.get(1)?,
        kind: kind(&inbound),
        conversation: outbox::conversation(row, 2)?,
        author: author(row.get(5)?),
        attempts: row.get(6)?,
        reason: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
    })
}

fn kind(inbound: &Result<Inbound, Unreadable>) -> &'static str {
    match inbound.as_ref().map(|inbound| &inbound.what) {
        Ok(What::Click(_)) => "press",
        Ok(What::Slash(_)) => "slash command",
        Ok(_) => "message",
        Err(_) => "unreadable",
    }
}

fn outgoing_row(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let op = serde_json::from_str::<Op>(&row.get::<_, String>(7)?);
    let kind = match op {
        Ok(Op::Post(_)) => "post",
        Ok(Op::Finish { .. }) => "answer",
        Ok(Op::Revise { .. }) => "revision",
        Ok(Op::Delete { .. }) => "deletion",
        Err(_) => "unreadable",
    };
    Ok(DeadLetter {
        id: DeadId::Outgoing(row.get(0)?),
        since_ms: row.get(1)?,
        kind,
        conversation: outbox::conversation(row, 2)?,
        author: author(row.get::<_, Option<String>>(5)?.unwrap_or_default()),
        attempts: 0,
        reason: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
    })
}

fn author(author: String) -> Option<UserId> {
    (!author.is_empty()).then(|| author.into())
}

#[cfg(test)]
mod tests;
