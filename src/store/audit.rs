//! How each question of an agent was settled, for whoever asks later. It is written in the commit that settles the question.
//!
//! Of the command only its SHA-256 is kept, and not what the agent calls it: most agents put the command into that, and commands hold
//! what nobody wants kept for a season. The hash says whether it was the command that stands in a thread, or in a file.

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{SessionId, TurnId, UserId};
use crate::domain::outgoing::{ApprovalCard, ApprovalState};

/// A question that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Where it was asked.
    pub conversation: ConversationKey,
    /// In which session, while that is known.
    pub session: Option<SessionId>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// Whose turn it was.
    pub requester: UserId,
    /// Who decided; nobody unless the outcome is `decided`.
    pub decider: Option<UserId>,
    /// The SHA-256 of the exact command, in hexadecimal digits.
    pub command: String,
    /// `decided`, `expired` (nobody did in time, or could, because Slack did not take the question), `withdrawn`, or `cut_off` by the end
    /// of our process.
    pub outcome: String,
    /// What the agent called the chosen option.
    pub option: Option<String>,
    /// What that means, such as `allow_once`.
    pub kind: Option<String>,
}

impl Store {
    /// The questions that were settled in the last 90 days, the newest first, at most `limit`.
    pub async fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT at_ms, audit.team, audit.channel, audit.thread, audit.session, turn, requester, decider, command, \
                       outcome, option, kind FROM audit ORDER BY id DESC LIMIT ?1";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection.prepare_cached(sql)?.query_map([limit], entry)?.collect()
        })
        .await
    }

    /// Notes how a question was settled of which nobody has seen anything: then nothing is owed that would note it.
    pub async fn note_unseen(
        &self,
        conversation: ConversationKey,
        turn: TurnId,
        card: ApprovalCard,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.write(move |connection| note(connection, &conversation, Some(turn), &card, now_ms)).await
    }
}

/// Notes how a question was settled; nothing while it is open. What settles it first counts.
pub(super) fn note(
    connection: &Connection,
    conversation: &ConversationKey,
    turn: Option<TurnId>,
    card: &ApprovalCard,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let (outcome, by, chosen) = match &card.state {
        ApprovalState::Open { .. } => return Ok(()),
        ApprovalState::Decided { by, option } => ("decided", Some(by.as_str()), card.options.get(*option)),
        ApprovalState::Expired => ("expired", None, None),
        ApprovalState::Withdrawn => ("withdrawn", None, None),
        ApprovalState::CutOff => ("cut_off", None, None),
    };
    let kind = chosen.and_then(|(_, kind)| Some(serde_json::to_value(kind).ok()?.as_str()?.to_owned()));
    let ConversationKey { team, channel, thread } = conversation;
    connection
        .prepare_cached(
            "INSERT INTO audit (approval, at_ms, team, channel, thread, session, turn, requester, decider, command, \
             outcome, option, kind) \
             VALUES (?1, ?2, ?3, ?4, ?5, (SELECT session FROM turn WHERE id = ?6), ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (approval) DO NOTHING",
        )?
        .execute(params![
            card.id.to_string(),
            now_ms,
            team.as_str(),
            channel.as_str(),
            thread.as_str(),
            turn.map(|turn| turn.to_string()),
            card.requester.as_str(),
            by,
            card.hash(),
            outcome,
            chosen.map(|(label, _)| label),
            kind,
        ])
        .map(drop)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let id = |column: usize| row.get::<_, Option<String>>(column);
    Ok(AuditEntry {
        at_ms: row.get(0)?,
        conversation: super::outbox::conversation(row, 1)?,
        session: id(4)?.as_deref().and_then(SessionId::parse),
        turn: id(5)?.as_deref().and_then(TurnId::parse),
        requester: row.get::<_, String>(6)?.into(),
        decider: id(7)?.map(UserId::from),
        command: row.get(8)?,
        outcome: row.get(9)?,
        option: row.get(10)?,
        kind: row.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agent::OptionKind;
    use crate::domain::ids::{ApprovalId, OwedId};
    use crate::domain::outgoing::{Body, Op, Owed};

    fn settled(state: ApprovalState) -> ApprovalCard {
        ApprovalCard {
            id: ApprovalId::new(),
            requester: "U1".into(),
            title: "Run a secret".into(),
            detail: Some("abc".into()),
            options: vec![("Yes".into(), OptionKind::AllowOnce), ("Never".into(), OptionKind::RejectAlways)],
            attached: false,
            state,
        }
    }

    fn row(card: ApprovalCard) -> Owed {
        Owed {
            id: OwedId::new(),
            conversation: ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.0".into() },
            turn: Some(TurnId::new()),
            answers: None,
            op: Op::Post(Body::Approval(card)),
        }
    }

    #[tokio::test]
    async fn each_question_has_one_entry_from_the_commit_that_settles_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let open = settled(ApprovalState::Open { expires_after_s: 9 });
        store.owe(vec![row(open.clone())], None, 1).await.unwrap();
        assert_eq!(store.audit(9).await.unwrap(), [], "an open one is not settled");
        let decided = ApprovalCard { state: ApprovalState::Decided { by: "U2".into(), option: 1 }, ..open.clone() };
        let told = row(decided);
        store.owe(vec![told.clone()], None, 7).await.unwrap();
        store.owe(vec![row(ApprovalCard { state: ApprovalState::CutOff, ..open })], None, 8).await.unwrap();
        let expected = AuditEntry {
            at_ms: 7,
            conversation: told.conversation,
            session: None,
            turn: told.turn,
            requester: "U1".into(),
            decider: Some("U2".into()),
            // printf abc | sha256sum
            command: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            outcome: "decided".into(),
            option: Some("Never".into()),
            kind: Some("reject_always".into()),
        };
        assert_eq!(store.audit(9).await.unwrap(), [expected], "what settles it first counts");
    }

    #[tokio::test]
    async fn what_nobody_decided_is_kept_too_and_no_word_of_any_command() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for state in [ApprovalState::Expired, ApprovalState::Withdrawn, ApprovalState::CutOff] {
            store.owe(vec![row(settled(state))], None, 1).await.unwrap();
        }
        let entries = store.audit(9).await.unwrap();
        let outcomes: Vec<&str> = entries.iter().map(|entry| entry.outcome.as_str()).collect();
        assert_eq!(outcomes, ["cut_off", "withdrawn", "expired"], "the newest first");
        assert!(entries.iter().all(|entry| entry.decider.is_none() && entry.option.is_none()));
        assert!(!format!("{entries:?}").contains("secret"));
        assert_eq!(store.audit(1).await.unwrap().len(), 1);
    }
}
