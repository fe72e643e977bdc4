//! Lists of our own sessions: here, everywhere, and what they do.

use std::sync::Arc;

use super::answer::{Answer, Row};
use super::connect::connect_button;
use super::{Asked, words};
use crate::domain::ids::TurnId;
use crate::domain::inbound::Button;
use crate::domain::outgoing::ListButton;
use crate::session::lines::Later;
use crate::session::manager::Inner;
use crate::session::roster::{Doing, Overview};
use crate::store::SessionFilter;

impl Inner {
    /// `list`: the sessions of whoever asks in this channel.
    pub(super) async fn list(self: &Arc<Self>, asked: &Asked<'_>, connectable: bool) -> Result<Answer, Later> {
        let filter = SessionFilter {
            creator: Some(asked.by.user().clone()),
            team: Some(asked.key.team.clone()),
            channel: Some(asked.key.channel.clone()),
            ..SessionFilter::default()
        };
        let rows = self.session_rows(asked, filter, connectable).await?;
        Ok(Answer::aside_list(words::list_title(rows.is_empty()), rows))
    }

    /// `sessions`: all that whoever asks may see.
    pub(super) async fn all_sessions(self: &Arc<Self>, asked: &Asked<'_>, connectable: bool) -> Result<Answer, Later> {
        let admin = asked.by.is_admin();
        let creator = (!admin).then(|| asked.by.user().clone());
        let rows = self.session_rows(asked, SessionFilter { creator, ..SessionFilter::default() }, connectable).await?;
        Ok(Answer::aside_list(words::sessions_title(rows.is_empty(), admin), rows))
    }

    /// `work-status`: the sessions of whoever asks, those that work with a button.
    pub(super) async fn work_status(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Answer, Later> {
        let filter = SessionFilter { creator: Some(asked.by.user().clone()), ..SessionFilter::default() };
        let overviews = self.overviews_of(asked, filter).await?;
        let working = overviews.iter().filter(|overview| overview.doing == Doing::Working).count();
        let rows: Vec<Row> = overviews.iter().map(|overview| self.work_row(asked, overview)).collect();
        Ok(Answer::aside_list(words::work_title(rows.len(), working), rows))
    }

    async fn session_rows(
        &self,
        asked: &Asked<'_>,
        filter: SessionFilter,
        connectable: bool,
    ) -> Result<Vec<Row>, Later> {
        let row = |overview: Overview| {
            let button = connectable.then(|| connect_button(&overview.record, asked));
            self.overview_row(asked, &overview, button)
        };
        Ok(self.overviews_of(asked, filter).await?.into_iter().map(row).collect())
    }

    async fn overviews_of(&self, asked: &Asked<'_>, filter: SessionFilter) -> Result<Vec<Overview>, Later> {
        let later = |error| Later::because(asked.key, &error);
        let records = self.parts.store.sessions(filter).await.map_err(later)?;
        self.overviews(records).await.map_err(later)
    }

    fn work_row(&self, asked: &Asked<'_>, overview: &Overview) -> Row {
        let turn = self.turn_of(&overview.record);
        self.overview_row(asked, overview, turn.map(stop_button))
    }

    fn overview_row(&self, asked: &Asked<'_>, overview: &Overview, button: Option<ListButton>) -> Row {
        let Overview { record, doing, waiting, .. } = overview;
        let state = words::doing(*doing, *waiting);
        let text = words::session_row(record, Some(&state), self.parts.clock.wall_ms());
        let note = words::whereabouts(asked.at.markup(), &record.conversation, &record.creator);
        Row { text, note: Some(note), button }
    }
}

/// The button that stops a turn.
pub(in crate::session) fn stop_button(turn: TurnId) -> ListButton {
    ListButton { label: words::STOP.to_owned(), button: Button::Stop { turn }, danger: true }
}
