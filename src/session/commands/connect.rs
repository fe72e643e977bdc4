//! `connect`: a session goes on in another conversation. Its agent is asked first, and nothing changes when that refuses.

use std::sync::Arc;

use super::answer::{Answer, Row, post};
use super::discover::Known;
use super::{Asked, words};
use crate::backend::Listed;
use crate::domain::access::Admitted;
use crate::domain::ids::SessionId;
use crate::domain::inbound::Button;
use crate::domain::outgoing::{Body, ListButton};
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::session::lines::Later;
use crate::session::live::IfLost;
use crate::session::manager::Inner;
use crate::session::policy::Start;
use crate::session::pool::CLEAN_UP;
use crate::session::relocation::Relocated;
use crate::session::roster::Doing;
use crate::session::slots::{Active, Live, Mapping};

/// How much of an id must be given.
const SHORTEST: usize = 4;
/// How many sessions that an id may mean are looked at.
const CANDIDATES: usize = 45;

/// What an id means among our own sessions.
#[derive(Debug, PartialEq, Eq)]
enum Ours {
    One(Box<SessionRecord>),
    Several(Vec<SessionRecord>),
    Refused(Refusal),
    Unknown,
}

/// Why a session of ours can't be connected.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// It has ended, and never comes back.
    Ended,
    /// It is somebody else's.
    NotYours,
}

impl Refusal {
    fn words(&self) -> &'static str {
        match self {
            Self::Ended => words::CONNECT_ENDED,
            Self::NotYours => words::CONNECT_NOT_YOURS,
        }
    }
}

/// Decides which of the sessions that begin like a given id is meant. What somebody may not have is none of their candidates.
fn choose(found: Vec<SessionRecord>, by: &Admitted) -> Ours {
    let none = found.is_empty();
    let (theirs, _others): (Vec<_>, Vec<_>) = found.into_iter().partition(|record| by.may_decide_for(&record.creator));
    let only_ended = !theirs.is_empty();
    let mut active: Vec<_> = theirs.into_iter().filter(|record| record.status == SessionStatus::Active).collect();
    match active.len() {
        0 if none => Ours::Unknown,
        0 if only_ended => Ours::Refused(Refusal::Ended),
        0 => Ours::Refused(Refusal::NotYours),
        1 => Ours::One(Box::new(active.remove(0))),
        _ => Ours::Several(active),
    }
}

impl Inner {
    /// `connect ID`
    pub(super) async fn connect(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        active: Option<&Active>,
        id: &str,
    ) -> Result<Answer, Later> {
        if active.is_some() {
            return Ok(Answer::open(words::SESSION_EXISTS));
        }
        match self.find_ours(asked, id).await? {
            Ours::One(record) => self.bring_here(asked, &record).await,
            Ours::Several(candidates) => Ok(self.candidates(asked, candidates)),
            Ours::Refused(refusal) => Ok(Answer::open(refusal.words())),
            Ours::Unknown if id.chars().count() < SHORTEST => Ok(Answer::open(words::CONNECT_TOO_SHORT)),
            Ours::Unknown => self.connect_from_lists(asked, id).await,
        }
    }

    /// What can be said against an id without asking any agent.
    pub(super) async fn not_one_of_ours(&self, asked: &Asked<'_>, id: &str) -> Result<Option<Answer>, Later> {
        Ok(match self.find_ours(asked, id).await? {
            Ours::Several(candidates) => Some(self.candidates(asked, candidates)),
            Ours::Refused(refusal) => Some(Answer::aside(refusal.words())),
            Ours::Unknown if id.chars().count() < SHORTEST => Some(Answer::aside(words::CONNECT_TOO_SHORT)),
            Ours::One(_) | Ours::Unknown => None,
        })
    }

    /// A press on one of our sessions.
    pub(super) async fn connect_ours(self: &Arc<Self>, asked: &Asked<'_>, id: SessionId) -> Result<Answer, Later> {
        let later = |error| Later::because(asked.key, &error);
        let found = self.parts.store.session(id).await.map_err(later)?;
        if found.as_ref().is_some_and(|record| record.conversation == *asked.key) {
            return Ok(Answer::aside(words::CONNECTED_ALREADY));
        }
        if self.mapping(asked.key).await?.is_some() {
            return Ok(Answer::aside(words::SESSION_EXISTS));
        }
        match choose(found.into_iter().collect(), asked.by) {
            Ours::One(record) => self.bring_here(asked, &record).await,
            Ours::Refused(refusal) => Ok(Answer::aside(refusal.words())),
            Ours::Several(_) | Ours::Unknown => Ok(Answer::aside(words::STALE_BUTTON)),
        }
    }

    /// A press on a session that an agent knows. What it stands for is asked again: the list may be old.
    pub(super) async fn connect_agents(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        backend: &str,
        backend_ref: &str,
    ) -> Result<Answer, Later> {
        if self.mapping(asked.key).await?.is_some() {
            return Ok(Answer::aside(words::SESSION_EXISTS));
        }
        let known = self.ask_agent(backend).await;
        let listed = known.listed.unwrap_or_default().into_iter().find(|listed| listed.backend_ref.0 == backend_ref);
        match listed {
            Some(listed) => self.bring_agents(asked, backend, &listed).await,
            None => Ok(Answer::aside(words::STALE_BUTTON)),
        }
    }

    /// Why one of our sessions can't be connected by whoever asks, as far as that is known without its agent.
    pub(super) async fn why_not_ours(&self, asked: &Asked<'_>, id: SessionId) -> Result<Option<&'static str>, Later> {
        let found = self.parts.store.session(id).await.map_err(|error| Later::because(asked.key, &error))?;
        Ok(match choose(found.into_iter().collect(), asked.by) {
            Ours::One(_) | Ours::Several(_) => None,
            Ours::Refused(refusal) => Some(refusal.words()),
            Ours::Unknown => Some(words::STALE_BUTTON),
        })
    }

    async fn find_ours(&self, asked: &Asked<'_>, id: &str) -> Result<Ours, Later> {
        if id.chars().count() < SHORTEST {
            return Ok(Ours::Unknown);
        }
        let found = self.parts.store.session_by_prefix(id, CANDIDATES).await;
        Ok(choose(found.map_err(|error| Later::because(asked.key, &error))?, asked.by))
    }

    /// The sessions that an id may mean, each with a button.
    fn candidates(&self, asked: &Asked<'_>, candidates: Vec<SessionRecord>) -> Answer {
        let row = |record: SessionRecord| {
            let button = connect_button(&record, asked);
            Row::new(words::session_row(&record, None, self.parts.clock.wall_ms()), Some(button))
        };
        Answer::aside_list(words::CONNECT_AMBIGUOUS, candidates.into_iter().map(row).collect())
    }

    /// Looks for an id among the sessions that the agents know.
    async fn connect_from_lists(self: &Arc<Self>, asked: &Asked<'_>, id: &str) -> Result<Answer, Later> {
        let known = self.ask_agents().await;
        let failed: Vec<String> = known.iter().filter_map(Known::trouble).collect();
        let mut found: Vec<(String, Listed)> = Vec::new();
        for Known { backend, listed } in known {
            let begins = listed.unwrap_or_default().into_iter().filter(|listed| listed.backend_ref.0.starts_with(id));
            found.extend(begins.map(|listed| (backend.clone(), listed)));
        }
        // A whole id is no beginning of another one.
        if let Some(exact) = found.iter().position(|(_, listed)| listed.backend_ref.0 == id) {
            found = vec![found.swap_remove(exact)];
        } else {
            found = self.open_to(asked, found).await?;
        }
        match found.as_slice() {
            [] => Ok(Answer::open(words::connect_unknown(id, &failed))),
            [(backend, listed)] => self.bring_agents(asked, backend, listed).await,
            several => {
                let rows =
                    several.iter().take(CANDIDATES).map(|(backend, listed)| self.adopt_row(asked, backend, listed));
                Ok(Answer::aside_list(words::CONNECT_AMBIGUOUS, rows.collect()))
            }
        }
    }

    /// Of sessions that agents know, those that whoever asks may have: not somebody else's, and none that has ended.
    async fn open_to(&self, asked: &Asked<'_>, found: Vec<(String, Listed)>) -> Result<Vec<(String, Listed)>, Later> {
        let mut open = Vec::new();
        for (backend, listed) in found {
            let ours = self.parts.store.session_by_ref(&backend, &listed.backend_ref).await;
            let ours = ours.map_err(|error| Later::because(asked.key, &error))?;
            if !matches!(choose(ours.into_iter().collect(), asked.by), Ours::Refused(_)) {
                open.push((backend, listed));
            }
        }
        Ok(open)
    }

    /// A row for a session that only its agent knows.
    pub(super) fn adopt_row(&self, asked: &Asked<'_>, backend: &str, listed: &Listed) -> Row {
        let button = Button::Adopt {
            backend: backend.to_owned(),
            backend_ref: listed.backend_ref.0.clone(),
            thread: asked.thread(),
        };
        let button = ListButton { label: words::CONNECT.to_owned(), button, danger: false };
        Row::new(words::listed_row(backend, listed, self.parts.clock.wall_ms()), Some(button))
    }

    /// Lets one of our sessions go on here.
    async fn bring_here(self: &Arc<Self>, asked: &Asked<'_>, record: &SessionRecord) -> Result<Answer, Later> {
        let later = |error| Later::because(asked.key, &error);
        let overview = self.overview(record.clone()).await.map_err(later)?;
        if overview.doing == Doing::Working || overview.waiting > 0 {
            return Ok(Answer::open(words::CONNECT_BUSY));
        }
        self.remember(record);
        if let Err(error) = self.ready(record, IfLost::GiveUp).await {
            return Ok(Answer::open(words::not_connected(&error.into())));
        }
        // What its agent calls it may be known only now.
        let now = self.slots().active_mut(record).map(|active| active.record.clone());
        let record = now.as_ref().unwrap_or(record);
        match self.relocate(record, asked.key).await.map_err(later)? {
            Relocated::Done => {}
            Relocated::Busy => return Ok(Answer::open(words::CONNECT_BUSY)),
            Relocated::Ended => return Ok(Answer::open(words::CONNECT_ENDED)),
            Relocated::Occupied => return Ok(Answer::open(words::SESSION_EXISTS)),
        }
        let gone = Body::Text(words::gone_to(record.conversation.markup(), &record.id.short(), asked.key));
        self.mention(post(&record.conversation, gone)).await;
        Ok(Answer::change(words::connected(record)))
    }

    /// Lets a session go on here that an agent knows; it may be one of ours.
    async fn bring_agents(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        backend: &str,
        listed: &Listed,
    ) -> Result<Answer, Later> {
        let Some(_alone) = self.adopting.claim(backend, &listed.backend_ref) else {
            return Ok(Answer::open(words::CONNECT_BUSY));
        };
        let ours = self.parts.store.session_by_ref(backend, &listed.backend_ref).await;
        let ours = ours.map_err(|error| Later::because(asked.key, &error))?;
        match choose(ours.into_iter().collect(), asked.by) {
            Ours::One(record) => self.bring_here(asked, &record).await,
            Ours::Refused(refusal) => Ok(Answer::open(refusal.words())),
            Ours::Several(_) | Ours::Unknown => self.adopt(asked, backend, listed).await,
        }
    }

    /// Makes a session of ours of one that only its agent knew.
    async fn adopt(self: &Arc<Self>, asked: &Asked<'_>, backend: &str, listed: &Listed) -> Result<Answer, Later> {
        let start = match self.parts.policy.start(&asked.key.channel, Some(backend), None) {
            Ok(start) => Start { working_dir: listed.working_dir.clone().unwrap_or(start.working_dir), ..start },
            Err(refused) => return Ok(Answer::open(words::not_started(&refused))),
        };
        let title = listed.title.as_deref().unwrap_or_default();
        let new = self.new_record(asked.key, &start, asked.by.user(), title);
        let record = SessionRecord { backend_ref: Some(listed.backend_ref.clone()), ..new };
        let agent = match self.backend(&record.backend) {
            Ok(agent) => agent,
            Err(error) => return Ok(Answer::open(words::not_connected(&error))),
        };
        // Before anything is written.
        let restored = self.in_time(&record, async |spec| Ok((agent.restore(&listed.backend_ref, spec).await?, ())));
        let session = match restored.await {
            Ok((session, ())) => session,
            Err(error) => return Ok(Answer::open(words::not_connected(&error))),
        };
        let created = self.parts.store.create_session(record.clone(), self.limit()).await;
        if !matches!(created, Ok(true)) {
            self.release(asked.key, &session, CLEAN_UP).await;
        }
        if !created.map_err(|error| Later::because(asked.key, &error))? {
            return Ok(Answer::open(self.too_many_sessions()));
        }
        let live = Some(Live { session, used: self.parts.clock.now(), untold: false });
        let told = words::connected(&record);
        self.slots().entry(asked.key).mapping = Mapping::Active(Box::new(Active { record, live }));
        Ok(Answer::change(&told))
    }
}

/// The button that brings a session into the conversation in which it is shown.
pub(super) fn connect_button(record: &SessionRecord, asked: &Asked<'_>) -> ListButton {
    let button = Button::Connect { session: record.id, thread: asked.thread() };
    ListButton { label: words::CONNECT.to_owned(), button, danger: false }
}

#[cfg(test)]
mod tests;
