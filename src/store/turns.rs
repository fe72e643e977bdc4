//! Turns: the intent before the first byte, the outcome together with what is owed for it.

use rusqlite::{Connection, params};

use super::{Store, StoreError, approvals, audit, events, outbox, sessions, waiting};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{SessionId, Ts, TurnId};
use crate::domain::outgoing::{Body, Op, Owed};
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

    /// Notes that the agent may have seen the prompt from now on; when this returns, that is on disk.
    pub async fn reach(&self, turn: TurnId) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE turn SET reached = 1 WHERE id = ?1")?
                .execute([turn.to_string()])
                .map(drop)
        })
        .await
    }

    /// Notes a message that grows while a turn runs. Nobody waits for this commit; it rides with the next one.
    pub async fn note_shown(&self, turn: TurnId, ts: Ts) -> Result<(), StoreError> {
        let slot = self.slot().await?;
        let change = move |connection: &Connection| {
            let sql = "UPDATE turn SET shown = coalesce(shown || ' ', '') || ?2 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![turn.to_string(), ts.as_str()]).map(drop)
        };
        Self::note_in(slot, change, move |outcome| {
            if let Err(error) = outcome {
                tracing::warn!(turn.id = %turn, %error, "A growing message was not noted; after a crash it is looked for");
            }
        });
        Ok(())
    }
}

/// Keeps what is known of a turn in step with what is owed for it: its open questions, and the messages that grow.
pub(super) fn follow(connection: &Connection, owed: &Owed, now_ms: i64) -> rusqlite::Result<()> {
    match &owed.op {
        Op::Post(Body::Approval(card)) | Op::Revise { body: Body::Approval(card), .. } => {
            audit::note(connection, &owed.conversation, owed.turn, card, now_ms)?;
            approvals::follow(connection, owed, card)
        }
        // It gets its final form, with all others of this part of the answer.
        Op::Finish { .. } | Op::Delete { .. } => {
            let Some(turn) = owed.turn else { return Ok(()) };
            let sql = "UPDATE turn SET shown = NULL WHERE id = ?1 AND shown IS NOT NULL";
            connection.prepare_cached(sql)?.execute([turn.to_string()]).map(drop)
        }
        _ => Ok(()),
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
    let (turn, session) = (intent.turn.to_string(), intent.session.to_string());
    insert(connection, &turn, &session, seq, now_ms, intent.reached)
}

/// Takes what waited when a snapshot was made for cut off: by now it may have been handled, and nothing may be done twice by itself.
/// Prompts of sessions become turns without an outcome, of which their people hear; nothing more is known about others, nor about
/// commands and presses.
pub(super) fn distrust(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for (seq, session) in waiting::prompts(connection)? {
        // Not running, as a turn that is cut off otherwise is: of these a conversation may have several.
        let sql = "UPDATE inbox SET state = 'interrupted', attempts = attempts + 1 WHERE seq = ?1";
        connection.prepare_cached(sql)?.execute([seq])?;
        insert(connection, &TurnId::new().to_string(), &session, seq, now_ms, true)?;
    }
    connection.execute("UPDATE turn SET reached = 1 WHERE outcome IS NULL", [])?;
    let sql =
        "UPDATE inbox SET state = 'dead', reason = ?1 WHERE state = 'queued' OR line = 'at_once' AND state = 'running'";
    connection.execute(sql, ["it waited when the snapshot was taken that took the place of a damaged store"])?;
    // Any of these may have been sent since, not only the first of its conversation.
    connection.execute("UPDATE outbox SET doubtful = 1 WHERE state = 'pending'", [])?;
    transaction.commit()
}

fn insert(
    connection: &Connection,
    turn: &str,
    session: &str,
    seq: i64,
    now_ms: i64,
    reached: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO turn (id, session, seq, started_ms, reached) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![turn, session, seq, now_ms, reached])
        .map(drop)
}

/// Writes down how a turn ended.
pub(super) fn conclude(connection: &Connection, turn: TurnId, outcome: &str, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE turn SET outcome = ?2, ended_ms = ?3 WHERE id = ?1")?
        .execute(params![turn.to_string(), outcome, now_ms])
        .map(drop)
}

fn finish(connection: &Connection, end: &TurnEnd) -> rusqlite::Result<usize> {
    conclude(connection, end.turn, end.outcome, end.now_ms)?;
    events::finish_event(connection, end.seq)?;
    sessions::touch(connection, end.session, end.now_ms)?;
    outbox::insert(connection, &end.owed, Some(end.seq), end.now_ms)?;
    let Some(conversation) = &end.session_ended else { return Ok(0) };
    sessions::end(connection, end.session, end.now_ms)?;
    waiting::drop_waiting(connection, conversation, i64::MAX)
}
