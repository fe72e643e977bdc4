//! What waits in the store: in which order, whose it is, and how it may still be changed.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{finish_event, name};
use super::{Store, StoreError, outbox};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::UserId;
use crate::domain::inbound::{Inbound, Message, What};
use crate::domain::ports::Line;

/// The form in which inbounds are written: JSON to which fields are only ever added, with a default.
pub(super) const INBOUND_VERSION: i64 = 1;

/// What waits in a channel, in all its threads, and may be a certain message.
const CHANGEABLE: &str = "SELECT seq, version, body, attempts, resumes FROM inbox \
                          WHERE team = ?1 AND channel = ?2 AND state = 'queued' AND instr(body, ?3) ORDER BY seq";

/// An inbound that waits in the store.
#[derive(Debug)]
pub struct Queued {
    /// Its number.
    pub seq: i64,
    /// How often its handling has begun before.
    pub attempts: u32,
    /// Whether its turn is to go on where an interrupted one was.
    pub resumes: bool,
    /// What was done; or why that can't be read.
    pub inbound: Result<Inbound, Unreadable>,
}

impl Queued {
    /// What it says, when it is a message.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.inbound.as_ref().ok()?.what {
            What::Message(message) => Some(&message.text),
            _ => None,
        }
    }
}

/// A body that this version can't read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Another version wrote it.
    #[error("its form is version {0}, this program reads {INBOUND_VERSION}")]
    Version(i64),
    /// It is not what was written.
    #[error("its content is damaged: {0}")]
    Damaged(String),
}

impl Store {
    /// The inbound that is next in a conversation's line: what was said first, in whichever order it came.
    pub async fn next_in(&self, key: &ConversationKey, line: Line) -> Result<Option<Queued>, StoreError> {
        let key = key.clone();
        self.read(move |connection| {
            let sql = "SELECT seq, version, body, attempts, resumes FROM inbox \
                       WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = ?4 AND state = 'queued' \
                       ORDER BY said_us, seq LIMIT 1";
            let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), name(line)];
            connection.prepare_cached(sql)?.query_row(key, queued_row).optional()
        })
        .await
    }

    /// What was to be done at once when the process ended, in the order in which it came. For start-up.
    pub async fn cut_off_acts(&self) -> Result<Vec<Queued>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT seq, version, body, attempts, resumes FROM inbox \
                       WHERE line = 'at_once' AND state = 'running' ORDER BY seq";
            connection.prepare(sql)?.query_map([], queued_row)?.collect()
        })
        .await
    }

    /// How many wait in a conversation's line.
    pub async fn waiting(&self, key: &ConversationKey, line: Line) -> Result<usize, StoreError> {
        let key = key.clone();
        self.read(move |connection| count_waiting(connection, &key, line)).await
    }

    /// Who waits in a line after number `after`: at most `limit` inbounds, each with its conversation.
    pub async fn queued(
        &self,
        line: Line,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, ConversationKey)>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT seq, team, channel, thread FROM inbox \
                       WHERE line = ?1 AND state = 'queued' AND seq > ?2 ORDER BY seq LIMIT ?3";
            let page = params![name(line), after, i64::try_from(limit).unwrap_or(i64::MAX)];
            let row = |row: &Row<'_>| Ok((row.get(0)?, outbox::conversation(row, 1)?));
            connection.prepare_cached(sql)?.query_map(page, row)?.collect()
        })
        .await
    }

    /// The newest number in a line, 0 when nothing waits there.
    pub async fn newest_queued(&self, line: Line) -> Result<i64, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT coalesce(max(seq), 0) FROM inbox WHERE line = ?1 AND state = 'queued'";
            connection.query_row(sql, [name(line)], |row| row.get(0))
        })
        .await
    }

    /// Takes out what waits in a conversation's turns before number `before`. Returns how many that were.
    pub async fn drop_waiting(&self, key: &ConversationKey, before: i64) -> Result<usize, StoreError> {
        let key = key.clone();
        self.write(move |connection| drop_waiting(connection, &key, before)).await
    }

    /// At which places, from 1, messages of `user` wait for their turn in a conversation.
    pub async fn waiting_of(&self, key: &ConversationKey, user: &UserId) -> Result<Vec<usize>, StoreError> {
        let (key, user) = (key.clone(), user.clone());
        self.read(move |connection| {
            let sql = "SELECT seq, version, body, attempts, resumes FROM inbox \
                       WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = ?4 AND state = 'queued' \
                       ORDER BY said_us, seq";
            let line = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), name(Line::Turn)];
            let mut queued = connection.prepare_cached(sql)?;
            let places = queued.query_map(line, queued_row)?.zip(1..);
            let theirs = |(queued, place): (rusqlite::Result<Queued>, usize)| match queued {
                Ok(queued) => queued.inbound.is_ok_and(|inbound| inbound.author.user == user).then_some(Ok(place)),
                Err(error) => Some(Err(error)),
            };
            places.filter_map(theirs).collect()
        })
        .await
    }
}

/// A message that waits, and that may be changed in the same commit.
#[derive(Debug)]
pub(super) struct Waiting {
    seq: i64,
    inbound: Inbound,
    message: Message,
}

/// The message that an edit or a deletion is about, as long as it waits. Only its author may change it.
pub(super) fn changed_by(connection: &Connection, change: &Inbound) -> rusqlite::Result<Option<Waiting>> {
    let (What::Edited(Message { ts, .. }) | What::Deleted { ts, .. }) = &change.what else { return Ok(None) };
    let mut queued = connection.prepare_cached(CHANGEABLE)?;
    let mut rows = queued.query(params![change.team.as_str(), change.channel.as_str(), ts.as_str()])?;
    while let Some(row) = rows.next()? {
        let Queued { seq, inbound: Ok(inbound), .. } = queued_row(row)? else { continue };
        let What::Message(message) = &inbound.what else { continue };
        if message.ts == *ts && inbound.author.user == change.author.user {
            let message = message.clone();
            return Ok(Some(Waiting { seq, inbound, message }));
        }
    }
    Ok(None)
}

impl Waiting {
    /// Gives the message its new form, in its place in the line; or takes it out.
    pub(super) fn apply(self, connection: &Connection, change: &What) -> rusqlite::Result<()> {
        let What::Edited(edited) = change else { return finish_event(connection, self.seq) };
        // Where it stands does not change, however the edit tells that.
        let message = Message { thread: self.message.thread, ..edited.clone() };
        let body = to_json(&Inbound { what: What::Message(message), ..self.inbound })?;
        connection
            .prepare_cached("UPDATE inbox SET version = ?2, body = ?3 WHERE seq = ?1")?
            .execute(params![self.seq, INBOUND_VERSION, body])
            .map(drop)
    }
}

/// The prompts that wait in conversations with a session, each with that session's id.
pub(super) fn prompts(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let sql = "SELECT seq, session.id FROM inbox JOIN session USING (team, channel, thread) \
               WHERE line = 'turn' AND state = 'queued' AND status = 'active' ORDER BY seq";
    connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// An event that still waits, and the conversation in whose line.
pub(super) fn waits(connection: &Connection, seq: i64) -> rusqlite::Result<Option<(ConversationKey, Queued)>> {
    let sql = "SELECT seq, version, body, attempts, resumes, team, channel, thread FROM inbox \
               WHERE seq = ?1 AND state = 'queued'";
    let row = |row: &Row<'_>| Ok((outbox::conversation(row, 5)?, queued_row(row)?));
    connection.prepare_cached(sql)?.query_row([seq], row).optional()
}

/// Takes out what waits in a conversation's turns before number `before`. Returns how many that were.
pub(super) fn drop_waiting(connection: &Connection, key: &ConversationKey, before: i64) -> rusqlite::Result<usize> {
    let sql = "UPDATE inbox SET state = 'done', body = NULL \
               WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = 'turn' AND state = 'queued' AND seq < ?4";
    let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), before];
    connection.prepare_cached(sql)?.execute(key)
}

pub(super) fn count_waiting(connection: &Connection, key: &ConversationKey, line: Line) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM inbox \
               WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = ?4 AND state = 'queued'";
    let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), name(line)];
    let count: i64 = connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn to_json(inbound: &Inbound) -> rusqlite::Result<String> {
    serde_json::to_string(inbound).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn queued_row(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let inbound = inbound(row.get(1)?, row.get_ref(2)?);
    Ok(Queued { seq: row.get(0)?, attempts: row.get(3)?, resumes: row.get(4)?, inbound })
}

pub(super) fn inbound(version: i64, body: ValueRef<'_>) -> Result<Inbound, Unreadable> {
    if version != INBOUND_VERSION {
        return Err(Unreadable::Version(version));
    }
    let text = body.as_str().map_err(|_| Unreadable::Damaged("it is no text".to_owned()))?;
    // Only where it is wrong: the error's own words may quote what a person wrote.
    serde_json::from_str(text)
        .map_err(|error| Unreadable::Damaged(format!("{:?} error in column {}", error.classify(), error.column())))
}

#[cfg(test)]
mod tests;
