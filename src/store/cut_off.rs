//! Turns that a crash cut off: which there are, how each is closed, and what people then decide about it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::finish_event;
use super::waiting::{self, Unreadable};
use super::{Store, StoreError, outbox, turns};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, TurnId, UserId};
use crate::domain::inbound::Inbound;
use crate::domain::outgoing::Owed;

/// Turns without an outcome of which the agent may have seen the prompt, or that a person stopped, each with its event.
const OPEN: &str = "SELECT turn.id, turn.seq, inbox.team, inbox.channel, inbox.thread, session.status = 'active', author, \
                    attempts, version, body, shown, stopped FROM turn \
                    JOIN inbox ON inbox.seq = turn.seq JOIN session ON session.id = turn.session \
                    WHERE outcome IS NULL AND (reached = 1 OR stopped = 1)";

/// Turns that never started, and that nobody wants stopped.
const UNREACHED: &str = "outcome IS NULL AND reached = 0 AND stopped = 0";

/// Ends turns that never started, and whose events have another one. They stay: with which message a session began is seen from them.
const REQUEUE: &str = "UPDATE turn SET outcome = 'requeued', ended_ms = started_ms";

/// A turn that may have run, or that a person stopped, and has no outcome: nobody works on it any more.
#[derive(Debug)]
pub struct CutOff {
    /// The turn.
    pub turn: TurnId,
    /// The event that started it.
    pub seq: i64,
    /// In whose line that stands.
    pub conversation: ConversationKey,
    /// Whether its session is still active.
    pub session_lives: bool,
    /// Who asked.
    pub author: UserId,
    /// How often the event's handling has begun.
    pub attempts: u32,
    /// Whether a person stopped it.
    pub stopped: bool,
    /// What was asked; or why that can't be read.
    pub inbound: Result<Inbound, Unreadable>,
    /// The messages that were growing when it was cut off, as far as that is known, oldest first.
    pub shown: Vec<Ts>,
}

/// What becomes of the event of a turn that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// A person decides: this row asks them.
    Asks(OwedId),
    /// It waits for another turn.
    Waits {
        /// Whether that is to go on where this one was.
        resumes: bool,
    },
    /// Nothing: it is over.
    Over,
    /// The same, because a person stopped the turn.
    Stopped,
    /// It is given up, for this reason.
    Dead(String),
}

impl Aftermath {
    /// How the turn is recorded.
    pub fn outcome(&self) -> &'static str {
        if *self == Self::Stopped { "cancelled" } else { "interrupted" }
    }
}

/// The end of a turn that was cut off, all of it in one commit.
#[derive(Debug, Clone)]
pub struct CutOffEnd {
    /// The turn.
    pub turn: TurnId,
    /// The event that started it.
    pub seq: i64,
    /// What becomes of that.
    pub aftermath: Aftermath,
    /// What is owed for it.
    pub owed: Vec<Owed>,
    /// When, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// An interrupted turn about which a person may still decide.
#[derive(Debug)]
pub struct Interrupted {
    /// The event that started it.
    pub seq: i64,
    /// In whose line that stands.
    pub conversation: ConversationKey,
    /// Who asked.
    pub author: UserId,
    /// Whether its session is active and still answers there.
    pub session_lives: bool,
    /// The row that asks.
    pub card: OwedId,
    /// Where that stands.
    pub place: ConversationKey,
}

/// What a person decided about an interrupted turn, all of it in one commit.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The turn.
    pub turn: TurnId,
    /// The event that started it.
    pub seq: i64,
    /// Whether and how it is to have another turn.
    pub aftermath: Aftermath,
    /// What is owed for it.
    pub owed: Vec<Owed>,
    /// The event of the press.
    pub press: i64,
    /// When, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Store {
    /// Lets the events wait again whose turns provably never started. Attempts stay as they are. For start-up.
    pub async fn requeue_unreached(&self) -> Result<usize, StoreError> {
        self.write(|connection| {
            let sql = format!(
                "UPDATE inbox SET state = 'queued' WHERE state = 'running' AND seq IN (SELECT seq FROM turn WHERE {UNREACHED})"
            );
            let requeued = connection.execute(&sql, [])?;
            connection.execute(&format!("{REQUEUE} WHERE {UNREACHED}"), [])?;
            Ok(requeued)
        })
        .await
    }

    /// Lets an event wait again whose handling broke off before the agent was reached, after so many attempts at least.
    pub async fn give_back(&self, seq: i64, attempts: u32) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = format!("{REQUEUE} WHERE seq = ?1 AND {UNREACHED}");
            connection.prepare_cached(&sql)?.execute([seq])?;
            let sql = "UPDATE inbox SET state = 'queued', attempts = max(attempts, ?2) \
                       WHERE seq = ?1 AND state IN ('queued', 'running')";
            connection.prepare_cached(sql)?.execute(params![seq, attempts]).map(drop)
        })
        .await
    }

    /// Notes that a person has stopped the turn of a conversation that the end of the process cut off, if it was asked for before the event
    /// `before`; with a `turn` only that one. Returns whether there was one. For start-up, before what never started waits again.
    pub async fn stop_cut_off(
        &self,
        key: &ConversationKey,
        before: i64,
        turn: Option<TurnId>,
    ) -> Result<bool, StoreError> {
        let (key, turn) = (key.clone(), turn.map(|turn| turn.to_string()));
        self.write(move |connection| {
            let sql = "UPDATE turn SET stopped = 1 WHERE outcome IS NULL AND id = coalesce(?5, id) AND seq IN \
                       (SELECT seq FROM inbox WHERE team = ?1 AND channel = ?2 AND thread = ?3 AND line = 'turn' AND seq < ?4)";
            let one = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), before, turn];
            connection.execute(sql, one).map(|stopped| stopped > 0)
        })
        .await
    }

    /// The turns that may have run, or that a person stopped, and have no outcome: at start, those that a crash cut off. Oldest first.
    pub async fn cut_off_turns(&self) -> Result<Vec<CutOff>, StoreError> {
        self.read(|connection| {
            connection.prepare(&format!("{OPEN} ORDER BY turn.id"))?.query_map([], cut_off)?.collect()
        })
        .await
    }

    /// The same of one event. Asked in the writer's order, so that what was noted before is seen.
    pub async fn cut_off_turn(&self, seq: i64) -> Result<Option<CutOff>, StoreError> {
        self.write(move |connection| {
            let sql = format!("{OPEN} AND turn.seq = ?1");
            connection.prepare_cached(&sql)?.query_row([seq], cut_off).optional()
        })
        .await
    }

    /// Writes the end of a turn that was cut off, and what is owed for it.
    pub async fn close_cut_off(&self, end: CutOffEnd) -> Result<(), StoreError> {
        self.write(move |connection| {
            turns::conclude(connection, end.turn, end.aftermath.outcome(), end.now_ms)?;
            let sql = "UPDATE turn SET card = ?2, shown = NULL WHERE id = ?1";
            let card = match &end.aftermath {
                Aftermath::Asks(card) => Some(card.to_string()),
                _ => None,
            };
            connection.prepare_cached(sql)?.execute(params![end.turn.to_string(), card])?;
            settle_event(connection, end.seq, &end.aftermath)?;
            outbox::insert(connection, &end.owed, Some(end.seq), end.now_ms)
        })
        .await
    }

    /// The interrupted turn, as long as nobody has decided what is to become of it.
    pub async fn interrupted(&self, turn: TurnId) -> Result<Option<Interrupted>, StoreError> {
        self.read(move |connection| undecided(connection, turn)).await
    }

    /// Writes down what a person decided; the first one counts. Returns whether it was this one; then the press is handled, too.
    pub async fn settle_interrupted(&self, settlement: Settlement) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let Settlement { turn, seq, aftermath, owed, press, now_ms } = &settlement;
            if undecided(connection, *turn)?.is_none_or(|found| found.seq != *seq) {
                return Ok(false);
            }
            connection.prepare_cached("UPDATE turn SET card = NULL WHERE id = ?1")?.execute([turn.to_string()])?;
            if matches!(aftermath, Aftermath::Waits { .. }) {
                ask_again(connection, *seq)?;
            }
            settle_event(connection, *seq, aftermath)?;
            finish_event(connection, *press)?;
            outbox::insert(connection, owed, Some(*seq), *now_ms).map(|()| true)
        })
        .await
    }
}

/// Prepares an event for another turn because a person wants it: that is as good as a mention, and no matter how often it was begun.
pub(super) fn ask_again(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    let mentions = "json_set(body, '$.what.message.mention', json('true'))";
    let sql = format!(
        "UPDATE inbox SET attempts = 1, \
         body = CASE WHEN json_type(body, '$.what.message') = 'object' THEN {mentions} ELSE body END WHERE seq = ?1"
    );
    connection.prepare_cached(&sql)?.execute([seq]).map(drop)
}

fn settle_event(connection: &Connection, seq: i64, aftermath: &Aftermath) -> rusqlite::Result<()> {
    let (state, resumes, reason) = match aftermath {
        Aftermath::Over | Aftermath::Stopped => return finish_event(connection, seq),
        Aftermath::Asks(_) => ("interrupted", false, None),
        Aftermath::Waits { resumes } => ("queued", *resumes, None),
        Aftermath::Dead(reason) => ("dead", false, Some(reason)),
    };
    connection
        .prepare_cached("UPDATE inbox SET state = ?2, resumes = ?3, reason = ?4 WHERE seq = ?1")?
        .execute(params![seq, state, resumes, reason])
        .map(drop)
}

fn undecided(connection: &Connection, turn: TurnId) -> rusqlite::Result<Option<Interrupted>> {
    let sql = "SELECT inbox.seq, inbox.team, inbox.channel, inbox.thread, author, \
               status = 'active' AND (session.team, session.channel, session.thread) = (inbox.team, inbox.channel, inbox.thread), \
               card, outbox.team, outbox.channel, outbox.thread \
               FROM turn JOIN inbox ON inbox.seq = turn.seq JOIN session ON session.id = turn.session \
               JOIN outbox ON outbox.id = card WHERE turn.id = ?1 AND inbox.state = 'interrupted'";
    connection.prepare_cached(sql)?.query_row([turn.to_string()], interrupted).optional()
}

fn interrupted(row: &Row<'_>) -> rusqlite::Result<Interrupted> {
    let text = |column: usize| row.get::<_, String>(column);
    Ok(Interrupted {
        seq: row.get(0)?,
        conversation: outbox::conversation(row, 1)?,
        author: text(4)?.into(),
        session_lives: row.get(5)?,
        card: OwedId::parse(&text(6)?).ok_or_else(|| outbox::unreadable(6, "not a delivery id"))?,
        place: outbox::conversation(row, 7)?,
    })
}

fn cut_off(row: &Row<'_>) -> rusqlite::Result<CutOff> {
    let turn: String = row.get(0)?;
    let shown: Option<String> = row.get(10)?;
    Ok(CutOff {
        turn: TurnId::parse(&turn).ok_or_else(|| outbox::unreadable(0, "not a turn id"))?,
        seq: row.get(1)?,
        conversation: outbox::conversation(row, 2)?,
        session_lives: row.get(5)?,
        author: row.get::<_, String>(6)?.into(),
        attempts: row.get(7)?,
        stopped: row.get(11)?,
        inbound: waiting::inbound(row.get(8)?, row.get_ref(9)?),
        shown: shown.iter().flat_map(|shown| shown.split(' ')).map(Ts::from).collect(),
    })
}

#[cfg(test)]
mod tests;
