//! What was said in the web chat. Slack keeps its messages itself.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::domain::ids::Ts;

/// A line of the web chat's transcript. Lines are only ever added: what becomes of a message later is a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// The thread of its session's conversation.
    pub conversation: Ts,
    /// What makes a second one the same: the id of what was owed, or the person's own id for it.
    pub key: String,
    /// Who wrote it.
    pub author: ChatAuthor,
    /// What, as the chat writes it down.
    pub text: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// Who writes in the web chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatAuthor {
    /// The person at the page.
    Web,
    /// The agent, or we ourselves.
    Agent,
}

impl Store {
    /// Adds a message and returns its place, which is behind every earlier one; `None`, and nothing is added, when its key is known.
    pub async fn chat_append(&self, message: ChatMessage) -> Result<Option<i64>, StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO chat_message (conversation, key, author, text, created_ms) \
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO NOTHING RETURNING pos";
            let ChatMessage { conversation, key, author, text, created_ms } = &message;
            let row = params![conversation.as_str(), key, name(*author), text, created_ms];
            connection.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()
        })
        .await
    }

    /// The messages of a conversation behind the place `after`, with their places and in their order, at most `limit`.
    pub async fn chat_since(
        &self,
        conversation: &Ts,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, ChatMessage)>, StoreError> {
        let conversation = conversation.clone();
        self.read(move |connection| {
            let sql = "SELECT pos, conversation, key, author, text, created_ms FROM chat_message \
                       WHERE conversation = ?1 AND pos > ?2 ORDER BY pos LIMIT ?3";
            let page = params![conversation.as_str(), after, i64::try_from(limit).unwrap_or(i64::MAX)];
            connection.prepare_cached(sql)?.query_map(page, message)?.collect()
        })
        .await
    }

    /// The last `limit` messages of a conversation before the one with this key, oldest first; where none has it, the last of all.
    pub async fn chat_before(
        &self,
        conversation: &Ts,
        key: &str,
        limit: usize,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let (conversation, key) = (conversation.clone(), key.to_owned());
        self.read(move |connection| {
            let sql = "SELECT pos, conversation, key, author, text, created_ms FROM chat_message WHERE conversation = ?1 \
                       AND pos < coalesce((SELECT pos FROM chat_message WHERE key = ?2), ?3) ORDER BY pos DESC LIMIT ?4";
            let page = params![conversation.as_str(), key, i64::MAX, i64::try_from(limit).unwrap_or(i64::MAX)];
            let found: Vec<_> =
                connection.prepare_cached(sql)?.query_map(page, message)?.collect::<rusqlite::Result<_>>()?;
            Ok(found.into_iter().rev().map(|(_, message)| message).collect())
        })
        .await
    }
}

/// An author's name in the database.
fn name(author: ChatAuthor) -> &'static str {
    match author {
        ChatAuthor::Web => "web",
        ChatAuthor::Agent => "agent",
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<(i64, ChatMessage)> {
    let text = |column: usize| row.get::<_, String>(column);
    let author = if text(3)? == name(ChatAuthor::Web) { ChatAuthor::Web } else { ChatAuthor::Agent };
    let (conversation, created_ms) = (text(1)?.into(), row.get(5)?);
    Ok((row.get(0)?, ChatMessage { conversation, key: text(2)?, author, text: text(4)?, created_ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, conversation: &str) -> ChatMessage {
        let (conversation, key) = (conversation.into(), key.to_owned());
        ChatMessage { conversation, key, author: ChatAuthor::Web, text: "hi".to_owned(), created_ms: 1 }
    }

    #[tokio::test]
    async fn a_transcript_is_read_on_from_a_place_and_knows_each_message_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.chat_append(said("k1", "w1")).await.unwrap().unwrap();
        store.chat_append(said("k2", "w2")).await.unwrap().unwrap();
        let answer = ChatMessage { author: ChatAuthor::Agent, ..said("k3", "w1") };
        let second = store.chat_append(answer.clone()).await.unwrap().unwrap();
        assert_eq!(
            store.chat_append(ChatMessage { text: "again".to_owned(), ..said("k1", "w1") }).await.unwrap(),
            None
        );
        let all = store.chat_since(&"w1".into(), 0, 9).await.unwrap();
        assert_eq!(all, [(first, said("k1", "w1")), (second, answer.clone())]);
        assert_eq!(store.chat_since(&"w1".into(), first, 9).await.unwrap(), [(second, answer.clone())]);
        assert_eq!(store.chat_since(&"w1".into(), 0, 1).await.unwrap().len(), 1);
        assert_eq!(store.chat_before(&"w1".into(), "k3", 9).await.unwrap(), [said("k1", "w1")]);
        assert_eq!(store.chat_before(&"w1".into(), "unknown", 1).await.unwrap(), [answer]);
    }
}
