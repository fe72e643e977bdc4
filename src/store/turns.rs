//! Turns: the intent before the first byte, the outcome together with what is owed for it.

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError, events, outbox, sessions, waiting};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::outgoing::Owed;
use crate::domain::ports::Intent;

/// The end of a turn, all of it in one commit.
#[derive(Debug, Clone)]
pub struct TurnEnd {
    /// The turn.
    pub turn: TurnId,
    /// The event that started it.
    pub seq: i64,
    /// The session in which it ran.
    pub session: SessionId,
    /// How it ended, in one word.
    pub outcome: &'static str,
    /// Set when the session is gone for good: its conversation, with all that waits there.
    pub session_ended: Option<ConversationKey>,
    /// What is owed for it.
    pub owed: Vec<Owed>,
    /// When, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// A turn that a crash cut off.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// The turn.
    pub turn: TurnId,
    /// The event that started it.
    pub seq: i64,
    /// The session.
    pub session: SessionId,
    /// Where it answers.
    pub conversation: ConversationKey,
    /// Whether that is still active.
    pub session_lives: bool,
}

/// What became of a turn's intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is written.
    Begun,
    /// Its event no longer waits, for instance because what waited was dropped with the session's end.
    NotWaiting,
    /// Its session would be one more than its creator may have. The event waits on.
    OverLimit,
    /// Its session does not answer there any more: it has ended, or has moved. The event waits on.
    NoSession,
    /// Its author has changed the message meanwhile. The event waits on.
    Changed,
}

impl Store {
    /// Writes the intent of a turn whose event, the message `text`, was stored before; nothing at all unless it is begun.
    pub async fn begin_turn(&self, intent: Intent, seq: i64, text: String, now_ms: i64) -> Result<Begun, StoreError> {
        self.write(move |connection| {
            let Some((conversation, queued)) = waiting::waits(connection, seq)? else { return Ok(Begun::NotWaiting) };
            if queued.text().is_some_and(|now| now != text) {
                return Ok(Begun::Changed);
            }
            if !may_follow(connection, &intent, &conversation)? {
                return Ok(Begun::NoSession);
            }
            if is_over_limit(connection, &intent)? {
                return Ok(Begun::OverLimit);
            }
            events::start_event(connection, seq)?;
            begin(connection, &intent, seq, now_ms).map(|()| Begun::Begun)
        })
        .await
    }

    /// Writes the end of a turn and what is owed for it. Returns how many messages ended with its session.
    pub async fn finish_turn(&self, end: TurnEnd) -> Result<usize, StoreError> {
        self.write(move |connection| finish(connection, &end)).await
    }

    /// The turns that have an intent and no outcome: at start, those that a crash cut off.
    pub async fn interrupted_turns(&self) -> Result<Vec<Interrupted>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT turn.id, turn.seq, session.id, team, channel, thread, status = 'active' FROM turn \
                       JOIN session ON session.id = turn.session WHERE outcome IS NULL ORDER BY turn.id";
            connection.prepare(sql)?.query_map([], interrupted)?.collect()
        })
        .await
    }
}

/// Whether a turn would begin a session that is one too many.
pub(super) fn is_over_limit(connection: &Connection, intent: &Intent) -> rusqlite::Result<bool> {
    let Some(record) = &intent.new_session else { return Ok(false) };
    sessions::is_over_limit(connection, &record.creator, intent.limit)
}

/// Whether a turn may begin in its session: a new one, or one that answers in this conversation.
pub(super) fn may_follow(
    connection: &Connection,
    intent: &Intent,
    conversation: &ConversationKey,
) -> rusqlite::Result<bool> {
    let is_new = intent.new_session.is_some();
    Ok(is_new || sessions::answers_in(connection, intent.session, conversation)?)
}

/// Writes a turn's intent, and its session when that is new.
pub(super) fn begin(connection: &Connection, intent: &Intent, seq: i64, now_ms: i64) -> rusqlite::Result<()> {
    match &intent.new_session {
        Some(record) => sessions::insert(connection, record)?,
        None => sessions::touch(connection, intent.session, now_ms)?,
    }
    insert(connection, &intent.turn.to_string(), &intent.session.to_string(), seq, now_ms)
}

/// Takes what waited when a snapshot was made for cut off: by now it may have been handled, and nothing may be done twice by itself.
/// Prompts of sessions become turns without an outcome, of which their people hear; nothing more is known about others, nor about
/// commands.
pub(super) fn distrust(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for (seq, session) in waiting::prompts(connection)? {
        events::start_event(connection, seq)?;
        insert(connection, &TurnId::new().to_string(), &session, seq, now_ms)?;
    }
    connection.execute("UPDATE inbox SET state = 'dead' WHERE line IN ('turn', 'command') AND state = 'queued'", [])?;
    // Any of these may have been sent since, not only the first of its conversation.
    connection.execute("UPDATE outbox SET doubtful = 1 WHERE state = 'pending'", [])?;
    transaction.commit()
}

fn insert(connection: &Connection, turn: &str, session: &str, seq: i64, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO turn (id, session, seq, started_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![turn, session, seq, now_ms])
        .map(drop)
}

fn finish(connection: &Connection, end: &TurnEnd) -> rusqlite::Result<usize> {
    connection.prepare_cached("UPDATE turn SET outcome = ?2, ended_ms = ?3 WHERE id = ?1")?.execute(params![
        end.turn.to_string(),
        end.outcome,
        end.now_ms
    ])?;
    events::finish_event(connection, end.seq)?;
    sessions::touch(connection, end.session, end.now_ms)?;
    outbox::insert(connection, &end.owed, Some(end.seq), end.now_ms)?;
    let Some(conversation) = &end.session_ended else { return Ok(0) };
    sessions::end(connection, end.session, end.now_ms)?;
    waiting::drop_waiting(connection, conversation, i64::MAX)
}

fn interrupted(row: &Row<'_>) -> rusqlite::Result<Interrupted> {
    let text = |column: usize| row.get::<_, String>(column);
    let turn = TurnId::parse(&text(0)?).ok_or_else(|| outbox::unreadable(0, "not a turn id"))?;
    let session = SessionId::parse(&text(2)?).ok_or_else(|| outbox::unreadable(2, "not a session id"))?;
    let conversation = ConversationKey { team: text(3)?.into(), channel: text(4)?.into(), thread: text(5)?.into() };
    Ok(Interrupted { turn, seq: row.get(1)?, session, conversation, session_lives: row.get(6)? })
}
