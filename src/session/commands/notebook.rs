//! The workspace's notebook: `remember` and `recall`.

use std::sync::Arc;

use super::answer::{Answer, Row};
use super::{Asked, words};
use crate::session::lines::Later;
use crate::session::manager::Inner;
use crate::store::Note;

/// How many notes are shown.
const SHOWN: usize = 10;

impl Inner {
    /// `remember TEXT`
    pub(super) async fn remember_note(self: &Arc<Self>, asked: &Asked<'_>, text: String) -> Result<Answer, Later> {
        let note = Note {
            team: asked.key.team.clone(),
            author: asked.by.user().clone(),
            text,
            created_ms: self.parts.clock.wall_ms(),
        };
        self.parts.store.remember(note).await.map_err(|error| Later::because(asked.key, &error))?;
        Ok(Answer::aside(words::REMEMBERED))
    }

    /// `recall QUERY`
    pub(super) async fn recall_notes(self: &Arc<Self>, asked: &Asked<'_>, query: &str) -> Result<Answer, Later> {
        let found = self.parts.store.recall(&asked.key.team, query, SHOWN).await;
        let notes = found.map_err(|error| Later::because(asked.key, &error))?;
        let now_ms = self.parts.clock.wall_ms();
        let rows = notes.iter().map(|note| Row::new(words::note_row(note, now_ms), None)).collect();
        Ok(Answer::aside_list(words::notes_title(query, notes.len()), rows))
    }
}
