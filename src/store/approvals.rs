//! The questions that people can still see with their buttons: of a process that ended, somebody has to take them off.

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError, outbox};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, TurnId};
use crate::domain::outgoing::{ApprovalCard, ApprovalState, Owed};

/// A question whose settling was never written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenApproval {
    /// The turn that asked it.
    pub turn: TurnId,
    /// The row that posted it.
    pub row: OwedId,
    /// Where it stands.
    pub conversation: ConversationKey,
    /// As it was posted.
    pub card: ApprovalCard,
}

impl Store {
    /// The open questions of one turn, or of all; what can't be read of them is passed over. Asked in the writer's order.
    pub async fn open_approvals(&self, turn: Option<TurnId>) -> Result<Vec<OpenApproval>, StoreError> {
        self.write(move |connection| {
            let sql = "SELECT approval.turn, row, team, channel, thread, card FROM approval \
                       JOIN outbox ON outbox.id = approval.row WHERE ?1 IS NULL OR approval.turn = ?1 ORDER BY pos";
            let turn = turn.map(|turn| turn.to_string());
            let mut questions = connection.prepare_cached(sql)?;
            let found = questions.query_map([turn], open)?;
            found.filter(|found| !matches!(found, Err(rusqlite::Error::FromSqlConversionFailure(..)))).collect()
        })
        .await
    }
}

/// Notes a question that is posted open, and forgets one that gets another form.
pub(super) fn follow(connection: &Connection, owed: &Owed, card: &ApprovalCard) -> rusqlite::Result<()> {
    if !matches!(card.state, ApprovalState::Open { .. }) {
        let sql = "DELETE FROM approval WHERE id = ?1";
        return connection.prepare_cached(sql)?.execute([card.id.to_string()]).map(drop);
    }
    let Some(turn) = owed.turn else { return Ok(()) };
    let json = serde_json::to_string(card).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached("INSERT INTO approval (id, turn, row, card) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![card.id.to_string(), turn.to_string(), owed.id.to_string(), json])
        .map(drop)
}

fn open(row: &Row<'_>) -> rusqlite::Result<OpenApproval> {
    let text = |column: usize| row.get::<_, String>(column);
    Ok(OpenApproval {
        turn: TurnId::parse(&text(0)?).ok_or_else(|| outbox::unreadable(0, "not a turn id"))?,
        row: OwedId::parse(&text(1)?).ok_or_else(|| outbox::unreadable(1, "not a delivery id"))?,
        conversation: outbox::conversation(row, 2)?,
        card: serde_json::from_str(&text(5)?).map_err(|error| outbox::unreadable(5, error))?,
    })
}
