//! The notebook of each workspace.

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};
use crate::domain::ids::{TeamId, UserId};

/// How many notes a workspace keeps; beyond that the oldest go.
const MOST: i64 = 1_000;

/// Something that a person wanted to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The workspace.
    pub team: TeamId,
    /// Who said it.
    pub author: UserId,
    /// What.
    pub text: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

impl Store {
    /// Adds a note to its workspace's notebook.
    pub async fn remember(&self, note: Note) -> Result<(), StoreError> {
        self.write(move |connection| insert(connection, &note)).await
    }

    /// The newest notes in which all words of `query` occur, in any case and order; of an empty query simply the newest.
    pub async fn recall(&self, team: &TeamId, query: &str, limit: usize) -> Result<Vec<Note>, StoreError> {
        let team = team.clone();
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        self.read(move |connection| {
            let sql = "SELECT team, author, text, created_ms FROM note WHERE team = ?1 ORDER BY id DESC";
            let mut notes = connection.prepare_cached(sql)?;
            // Here and not in SQL, whose LIKE knows the cases of ASCII only.
            let matches = |found: &rusqlite::Result<Note>| found.as_ref().map_or(true, |note| holds(note, &words));
            notes.query_map([team.as_str()], note)?.filter(matches).take(limit).collect()
        })
        .await
    }
}

fn holds(note: &Note, words: &[String]) -> bool {
    let text = note.text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

fn insert(connection: &Connection, note: &Note) -> rusqlite::Result<()> {
    let (team, author) = (note.team.as_str(), note.author.as_str());
    connection
        .prepare_cached("INSERT INTO note (team, author, text, created_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![team, author, note.text, note.created_ms])?;
    let oldest = "DELETE FROM note WHERE team = ?1 AND id <= \
                  (SELECT id FROM note WHERE team = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    connection.prepare_cached(oldest)?.execute(params![team, MOST]).map(drop)
}

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    let text = |column: usize| row.get::<_, String>(column);
    Ok(Note { team: text(0)?.into(), author: text(1)?.into(), text: text(2)?, created_ms: row.get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Note {
        Note { team: "T1".into(), author: "U1".into(), text: text.to_owned(), created_ms: 1 }
    }

    async fn recalled(store: &Store, query: &str) -> Vec<String> {
        let notes = store.recall(&"T1".into(), query, 2).await.unwrap();
        notes.into_iter().map(|note| note.text).collect()
    }

    // holds: K-1
    #[tokio::test]
    async fn what_is_remembered_is_found_by_its_words_and_only_in_its_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for text in ["The Ärger began in 100% of runs", "a second note", "the third ärger"] {
            store.remember(note(text)).await.unwrap();
        }
        store.remember(Note { team: "T2".into(), ..note("the ärger of others") }).await.unwrap();
        assert_eq!(recalled(&store, "ÄRGER the").await, ["the third ärger", "The Ärger began in 100% of runs"]);
        assert_eq!(recalled(&store, "runs 100%").await, ["The Ärger began in 100% of runs"]);
        assert_eq!(recalled(&store, " ").await, ["the third ärger", "a second note"]);
        assert!(recalled(&store, "nothing").await.is_empty());
    }

    #[tokio::test]
    async fn a_full_notebook_forgets_its_oldest_note() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.remember(Note { team: "T2".into(), ..note("of others") }).await.unwrap();
        let fill = |connection: &Connection| (0..=MOST).try_for_each(|n| insert(connection, &note(&format!("n{n}."))));
        store.write(fill).await.unwrap();
        assert_eq!(store.recall(&"T1".into(), "", usize::MAX).await.unwrap().len(), 1_000);
        assert!(recalled(&store, "n0.").await.is_empty());
        assert_eq!(recalled(&store, "n1.").await, ["n1."]);
        assert_eq!(store.recall(&"T2".into(), "", 5).await.unwrap().len(), 1);
    }
}
