//! The inbox's rows: what people did, stored before it is acknowledged.

use rusqlite::{Connection, params};

use super::waiting::{self, INBOUND_VERSION, count_waiting, to_json};
use super::{Slot, Store, StoreError, turns};
use crate::domain::conversation::ConversationKey;
use crate::domain::inbound::{Inbound, What};
use crate::domain::ports::{Intent, Keep, Line};

/// An inbound and the conditions under which it is stored.
#[derive(Debug, Clone)]
pub struct Accept {
    /// What was done.
    pub inbound: Inbound,
    /// When, and with which intent.
    pub keep: Keep,
    /// How many may wait in one conversation before a further one is refused.
    pub queue_limit: usize,
    /// When it came, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Stored.
    Stored {
        /// Under this number.
        seq: i64,
        /// Whether its intent is written too; without, it waits in its line.
        begun: bool,
    },
    /// Stored as refused: too many wait in its conversation.
    Refused(i64),
    /// One of its keys is known.
    Duplicate,
    /// Its conversation has no active mapping, which was the condition; or it changes a message that does not wait.
    NotFollowed,
    /// It changed a message that waits, and is not stored itself.
    Applied,
}

impl Store {
    /// Stores an inbound in the next group; `then` hears what became of it once that is on disk.
    pub fn accept<D>(slot: Slot, accept: Accept, then: D)
    where
        D: FnOnce(Accept, Result<Accepted, StoreError>) + Send + 'static,
    {
        let body = serde_json::to_string(&accept.inbound).unwrap_or_default();
        let shared = std::sync::Arc::new(accept);
        let job = shared.clone();
        Self::write_in(
            slot,
            move |connection| accept_in(connection, &job, &body),
            move |outcome| then(std::sync::Arc::unwrap_or_clone(shared), outcome),
        );
    }

    /// Marks an inbound as handled and empties its body.
    pub async fn done(&self, seq: i64) -> Result<(), StoreError> {
        self.write(move |connection| finish_event(connection, seq)).await
    }

    /// Lets an inbound wait in another line, in the place that its number gives it there, unless it was taken back meanwhile.
    pub async fn move_to(&self, seq: i64, line: Line) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE inbox SET state = 'queued', line = ?2 WHERE seq = ?1 AND state IN ('queued', 'running')";
            connection.prepare_cached(sql)?.execute(params![seq, name(line)]).map(drop)
        })
        .await
    }

    /// Lets an inbound wait for the turns of another conversation, unless it was taken back meanwhile.
    pub async fn move_to_thread(&self, seq: i64, key: ConversationKey) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE inbox SET state = 'queued', line = 'turn', team = ?2, channel = ?3, thread = ?4 \
                       WHERE seq = ?1 AND state IN ('queued', 'running')";
            let (team, channel, thread) = (key.team.as_str(), key.channel.as_str(), key.thread.as_str());
            connection.prepare_cached(sql)?.execute(params![seq, team, channel, thread]).map(drop)
        })
        .await
    }

    /// Puts another inbound in the place of one that is being handled, to wait for its turn in its conversation.
    pub async fn replace(&self, seq: i64, inbound: Inbound) -> Result<(), StoreError> {
        self.write(move |connection| {
            let (key, body) = (inbound.queue(), to_json(&inbound)?);
            let sql = "UPDATE inbox SET state = 'queued', line = 'turn', team = ?2, channel = ?3, thread = ?4, version = ?5, \
                       body = ?6, attempts = 0 WHERE seq = ?1";
            let (team, channel, thread) = (key.team.as_str(), key.channel.as_str(), key.thread.as_str());
            connection
                .prepare_cached(sql)?
                .execute(params![seq, team, channel, thread, INBOUND_VERSION, body])
                .map(drop)
        })
        .await
    }

    /// Lets go of what is left of what was to be done at once when the process ended: it was about a turn, and there is none any more. For
    /// start-up.
    pub async fn drop_cut_off(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE inbox SET state = 'done', body = NULL WHERE line = 'at_once' AND state = 'running'";
            connection.execute(sql, []).map(drop)
        })
        .await
    }
}

fn accept_in(connection: &Connection, accept: &Accept, body: &str) -> rusqlite::Result<Accepted> {
    if matches!(accept.inbound.what, What::Edited(_) | What::Deleted { .. }) {
        return change_in(connection, accept);
    }
    let key = accept.keep.queue(&accept.inbound);
    if accept.keep.only_if_followed && !is_followed(connection, &key)? {
        return Ok(Accepted::NotFollowed);
    }
    if !insert_keys(connection, &accept.inbound.keys, accept.now_ms)? {
        return Ok(Accepted::Duplicate);
    }
    let intent = allowed(connection, accept.keep.intent.as_ref(), &key)?;
    let state = if intent.is_some() { "running" } else { state_of(connection, accept, &key)? };
    let body = (state != "refused").then_some(body);
    let seq = insert_event(connection, accept, &key, state, body)?;
    if let Some(intent) = intent {
        turns::begin(connection, intent, seq, accept.now_ms)?;
    }
    Ok(if state == "refused" { Accepted::Refused(seq) } else { Accepted::Stored { seq, begun: intent.is_some() } })
}

/// Applies an edit or a deletion to the message that it is about. An earlier edit that comes again must not undo a later one.
fn change_in(connection: &Connection, accept: &Accept) -> rusqlite::Result<Accepted> {
    let Some(waiting) = waiting::changed_by(connection, &accept.inbound)? else { return Ok(Accepted::NotFollowed) };
    if !insert_keys(connection, &accept.inbound.keys, accept.now_ms)? {
        return Ok(Accepted::Duplicate);
    }
    waiting.apply(connection, &accept.inbound.what).map(|()| Accepted::Applied)
}

/// The intent, unless its session would be one too many, or does not answer here any more.
fn allowed<'a>(
    connection: &Connection,
    intent: Option<&'a Intent>,
    key: &ConversationKey,
) -> rusqlite::Result<Option<&'a Intent>> {
    let Some(intent) = intent else { return Ok(None) };
    let refused = turns::is_over_limit(connection, intent)? || !turns::may_follow(connection, intent, key)?;
    Ok((!refused).then_some(intent))
}

/// The state in which an inbound is stored that begins no turn.
fn state_of(connection: &Connection, accept: &Accept, key: &ConversationKey) -> rusqlite::Result<&'static str> {
    if accept.keep.line == Line::AtOnce {
        return Ok("running");
    }
    let waiting = count_waiting(connection, key, accept.keep.line)?;
    Ok(if waiting >= accept.queue_limit { "refused" } else { "queued" })
}

/// Marks an event as taken up by a turn, which is one more attempt.
pub(super) fn start_event(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE inbox SET state = 'running', attempts = attempts + 1 WHERE seq = ?1";
    connection.prepare_cached(sql)?.execute([seq]).map(drop)
}

pub(super) fn finish_event(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE inbox SET state = 'done', body = NULL WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// Whether all keys were new. A duplicate teaches its other keys, so that a third delivery under any of them is known too.
pub(super) fn insert_keys(connection: &Connection, keys: &[String], now_ms: i64) -> rusqlite::Result<bool> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO dedup (key, seen_ms) VALUES (?1, ?2)")?;
    let mut all_new = true;
    for key in keys {
        all_new &= insert.execute(params![key, now_ms])? > 0;
    }
    Ok(all_new)
}

fn insert_event(
    connection: &Connection,
    accept: &Accept,
    key: &ConversationKey,
    state: &str,
    body: Option<&str>,
) -> rusqlite::Result<i64> {
    let (inbound, now_ms) = (&accept.inbound, accept.now_ms);
    let (team, channel, thread) = (key.team.as_str(), key.channel.as_str(), key.thread.as_str());
    // A turn that begins with its event is its first attempt.
    let attempts = i64::from(accept.keep.intent.is_some() && state == "running");
    connection
        .prepare_cached(
            "INSERT INTO inbox (team, channel, thread, line, state, version, body, received_ms, author, said_us, attempts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            team,
            channel,
            thread,
            name(accept.keep.line),
            state,
            INBOUND_VERSION,
            body,
            now_ms,
            inbound.author.user.as_str(),
            said_us(inbound, now_ms),
            attempts,
        ])?;
    Ok(connection.last_insert_rowid())
}

/// When something was said in Slack's time, in microseconds. What bears no time stamp was said when it came.
pub(super) fn said_us(inbound: &Inbound, now_ms: i64) -> i64 {
    let ts = match &inbound.what {
        What::Message(message) => message.ts.micros(),
        _ => None,
    };
    ts.unwrap_or_else(|| now_ms.saturating_mul(1_000))
}

pub(super) fn is_followed(connection: &Connection, key: &ConversationKey) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM session WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND status = 'active'")?
        .exists(params![key.team.as_str(), key.channel.as_str(), key.thread.as_str()])
}

/// A line's name in the database.
pub(super) fn name(line: Line) -> &'static str {
    match line {
        Line::Turn => "turn",
        Line::Command => "command",
        Line::AtOnce => "at_once",
    }
}
