//! What was said while nobody listened and is not simply answered: offered for a day, or left.
//!
//! A place is a thread with a session, or else a channel at its top level. All that came to one place in one gap is one offer, whose
//! id follows from place and gap: so it does not matter in how many commits it is kept, nor whether a crash comes between them. What
//! comes after the place was told of it is the next offer, for people may have settled the first one.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{finish_event, insert_keys, is_followed, name, said_us};
use super::outbox::unreadable;
use super::waiting::{INBOUND_VERSION, to_json};
use super::{Store, StoreError, cursors, outbox};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, OfferId, OwedId, TeamId};
use crate::domain::inbound::Inbound;
use crate::domain::outgoing::Owed;
use crate::domain::ports::{Away, Keep, Line};

/// How long an offer can be taken.
const OFFERED_FOR: Duration = Duration::from_hours(24);

/// A message that is kept without being handled.
#[derive(Debug, Clone)]
pub struct Late {
    /// The message.
    pub inbound: Inbound,
    /// Where it belongs.
    pub keep: Keep,
    /// What is to become of it.
    pub lot: Lot,
}

/// What is to become of a message that comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lot {
    /// People decide whether it is answered.
    Offer,
    /// It is only counted.
    Expire,
    /// It was answered before, by what the store no longer knows.
    Answered,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// People decide.
    Offered,
    /// It is only counted.
    Expired,
    /// It is known as answered from now on.
    Answered,
    /// It was known.
    Known,
    /// It is not for us.
    NotFollowed,
}

/// A press of an offer's button.
#[derive(Debug, Clone)]
pub struct OfferPress {
    /// The offer.
    pub offer: OfferId,
    /// Where it was pressed: an offer of elsewhere is none.
    pub team: TeamId,
    /// The same.
    pub channel: ChannelId,
    /// Whether its messages are to be answered.
    pub accept: bool,
    /// The event of the press, which is done with it.
    pub seq: i64,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// How an offer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferEnd {
    /// So many messages are going to be answered.
    Accepted(usize),
    /// So many are left for good, because somebody said so.
    Left(usize),
    /// So many are, because nobody took the offer in time.
    TooLate(usize),
}

/// An offer that was settled.
#[derive(Debug)]
pub struct OfferSettlement {
    /// The messages that wait from now on, in order, each with its conversation and line.
    pub queued: Vec<(i64, ConversationKey, Line)>,
    /// What the place is told.
    pub told: Vec<Owed>,
}

impl Store {
    /// Keeps messages without handling them. At most `queue_limit` are offered in one conversation; what is beyond that is left.
    pub async fn keep_late(&self, late: Vec<Late>, queue_limit: usize, now_ms: i64) -> Result<Vec<Kept>, StoreError> {
        self.write(move |connection| {
            let since = cursors::since(connection)?;
            late.iter().map(|late| keep_late(connection, late, since, queue_limit, now_ms)).collect()
        })
        .await
    }

    /// Notes that a place has been read back up to the moment `read_us`, in microseconds of Slack's time, and in the same commit what it
    /// is told of the messages that were kept there, once. Returns that.
    pub async fn leave_place(
        &self,
        place: ConversationKey,
        read_us: i64,
        now_ms: i64,
        note: impl FnOnce(OfferId, Away) -> Vec<Owed> + Send + 'static,
    ) -> Result<Vec<Owed>, StoreError> {
        self.write(move |connection| {
            cursors::move_cursor(connection, &place, read_us)?;
            let offer = open_offer(connection, &place, cursors::since(connection)?)?;
            tell(connection, offer, read_us, now_ms, note)
        })
        .await
    }

    /// Notes what people are told of an offer at the moment `slack_us` of Slack's time, once, and returns that.
    pub async fn tell_offer(
        &self,
        offer: OfferId,
        slack_us: i64,
        now_ms: i64,
        note: impl FnOnce(OfferId, Away) -> Vec<Owed> + Send + 'static,
    ) -> Result<Vec<Owed>, StoreError> {
        self.write(move |connection| tell(connection, offer, slack_us, now_ms, note)).await
    }

    /// The offers of which nobody was told yet, each with its place.
    pub async fn untold_offers(&self) -> Result<Vec<(OfferId, ConversationKey)>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT offer, team, channel, CASE WHEN min(thread) = max(thread) THEN min(thread) ELSE '' END FROM inbox \
                       WHERE offer IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = inbox.offer) \
                       GROUP BY offer, team, channel";
            let row = |row: &Row<'_>| {
                let offer = OfferId::parse(&row.get::<_, String>(0)?).ok_or_else(|| unreadable(0, "not an offer's id"))?;
                Ok((offer, place_of(connection, &outbox::conversation(row, 1)?)?))
            };
            connection.prepare_cached(sql)?.query_map([], row)?.collect()
        })
        .await
    }

    /// Settles an offer, once: its messages wait from now on, or are left. `tell` says what its place is told. `None` when there is
    /// nothing under this name any more, or there never was; then the press is not done either.
    pub async fn settle_offer(
        &self,
        press: OfferPress,
        tell: impl FnOnce(&ConversationKey, OfferEnd) -> Vec<Owed> + Send + 'static,
    ) -> Result<Option<OfferSettlement>, StoreError> {
        self.write(move |connection| settle(connection, &press, tell)).await
    }
}

fn keep_late(
    connection: &Connection,
    late: &Late,
    since: i64,
    queue_limit: usize,
    now_ms: i64,
) -> rusqlite::Result<Kept> {
    let key = late.keep.queue(&late.inbound);
    let belongs = !late.keep.only_if_followed
        || is_followed(connection, &key)?
        || follows_offered(connection, &key, said_us(&late.inbound, now_ms))?;
    if !belongs {
        return Ok(Kept::NotFollowed);
    }
    if !insert_keys(connection, &late.inbound.keys, now_ms)? {
        return Ok(Kept::Known);
    }
    let (kept, state) = match late.lot {
        Lot::Answered => (Kept::Answered, "done"),
        Lot::Offer if count_offered(connection, &key)? < queue_limit => (Kept::Offered, "offered"),
        Lot::Offer | Lot::Expire => (Kept::Expired, "expired"),
    };
    let offer = match kept {
        Kept::Answered => None,
        _ => Some(open_offer(connection, &place_of(connection, &key)?, since)?),
    };
    let body = if kept == Kept::Offered { Some(to_json(&late.inbound)?) } else { None };
    insert(connection, late, &key, state, body.as_deref(), offer, now_ms).map(|()| kept)
}

fn insert(
    connection: &Connection,
    late: &Late,
    key: &ConversationKey,
    state: &str,
    body: Option<&str>,
    offer: Option<OfferId>,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO inbox (team, channel, thread, line, state, version, body, received_ms, author, said_us, offer) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    connection.prepare_cached(sql)?.execute(params![
        key.team.as_str(),
        key.channel.as_str(),
        key.thread.as_str(),
        name(late.keep.line),
        state,
        INBOUND_VERSION,
        body,
        now_ms,
        late.inbound.author.user.as_str(),
        said_us(&late.inbound, now_ms),
        offer.map(|offer| offer.to_string()),
    ])?;
    Ok(())
}

/// Where people hear of a message: in its thread if that has a session, else at the top level of its channel.
fn place_of(connection: &Connection, key: &ConversationKey) -> rusqlite::Result<ConversationKey> {
    if key.is_channel_wide() || is_followed(connection, key)? {
        return Ok(key.clone());
    }
    Ok(ConversationKey::channel_wide(key.team.clone(), key.channel.clone()))
}

/// To which offer of a place something belongs that is kept now: the first one of which nobody was told yet.
fn open_offer(connection: &Connection, place: &ConversationKey, since: i64) -> rusqlite::Result<OfferId> {
    let mut offer = OfferId::of(&place.to_string(), since);
    while noted_in(connection, offer)?.is_some() {
        offer = offer.next(since);
    }
    Ok(offer)
}

fn tell(
    connection: &Connection,
    offer: OfferId,
    slack_us: i64,
    now_ms: i64,
    note: impl FnOnce(OfferId, Away) -> Vec<Owed>,
) -> rusqlite::Result<Vec<Owed>> {
    let away = away(connection, offer, slack_us)?;
    if away == Away::default() || noted_in(connection, offer)?.is_some() {
        return Ok(Vec::new());
    }
    let note = note(offer, away);
    outbox::insert(connection, &note, None, now_ms)?;
    Ok(note)
}

/// Whether something is offered in a conversation that was said before the moment `said_us`: what was said earlier still was not for us,
/// however often it is read.
fn follows_offered(connection: &Connection, key: &ConversationKey, said_us: i64) -> rusqlite::Result<bool> {
    let sql =
        "SELECT 1 FROM inbox WHERE state = 'offered' AND team = ?1 AND channel = ?2 AND thread = ?3 AND said_us < ?4";
    let place = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str(), said_us];
    connection.prepare_cached(sql)?.exists(place)
}

fn count_offered(connection: &Connection, key: &ConversationKey) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM inbox WHERE state = 'offered' AND team = ?1 AND channel = ?2 AND thread = ?3";
    let key = params![key.team.as_str(), key.channel.as_str(), key.thread.as_str()];
    let count: i64 = connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn away(connection: &Connection, offer: OfferId, now_us: i64) -> rusqlite::Result<Away> {
    let sql = "SELECT count(*) FILTER (WHERE state = 'offered'), count(*) FILTER (WHERE state = 'expired'), \
               min(said_us) FILTER (WHERE state = 'offered') FROM inbox WHERE offer = ?1";
    connection.prepare_cached(sql)?.query_row([offer.to_string()], |row| {
        let count = |column: usize| row.get::<_, i64>(column).map(|count| usize::try_from(count).unwrap_or(0));
        let oldest: Option<i64> = row.get(2)?;
        let oldest_ms = oldest.map_or(0, |oldest| (now_us - oldest).max(0) / 1_000);
        Ok(Away { offered: count(0)?, oldest_ms, expired: count(1)? })
    })
}

/// Where an offer's note stands, if there is one.
fn noted_in(connection: &Connection, offer: OfferId) -> rusqlite::Result<Option<ConversationKey>> {
    let sql = "SELECT team, channel, thread FROM outbox WHERE id = ?1";
    let row = |row: &Row<'_>| outbox::conversation(row, 0);
    connection.prepare_cached(sql)?.query_row([OwedId::from(offer).to_string()], row).optional()
}

fn settle(
    connection: &Connection,
    press: &OfferPress,
    tell: impl FnOnce(&ConversationKey, OfferEnd) -> Vec<Owed>,
) -> rusqlite::Result<Option<OfferSettlement>> {
    let Some(place) = noted_in(connection, press.offer)? else { return Ok(None) };
    let offered = offered(connection, press)?;
    if offered.is_empty() || (&place.team, &place.channel) != (&press.team, &press.channel) {
        return Ok(None);
    }
    let oldest_ms = offered.iter().map(|(.., received_ms)| *received_ms).min().unwrap_or(0);
    let too_late = oldest_ms + i64::try_from(OFFERED_FOR.as_millis()).unwrap_or(i64::MAX) <= press.now_ms;
    let accepted = press.accept && !too_late;
    let change = if accepted { "state = 'queued'" } else { "state = 'expired', body = NULL" };
    connection
        .prepare_cached(&format!("UPDATE inbox SET {change} WHERE offer = ?1 AND state = 'offered'"))?
        .execute([press.offer.to_string()])?;
    finish_event(connection, press.seq)?;
    let end = match (too_late, press.accept) {
        (true, _) => OfferEnd::TooLate(offered.len()),
        (false, true) => OfferEnd::Accepted(offered.len()),
        (false, false) => OfferEnd::Left(offered.len()),
    };
    let told = tell(&place, end);
    outbox::insert(connection, &told, None, press.now_ms)?;
    let queued = offered.into_iter().filter(|_| accepted).map(|(seq, key, line, _)| (seq, key, line)).collect();
    Ok(Some(OfferSettlement { queued, told }))
}

/// What is still offered, in the order in which it was said: number, conversation, line, and when it was kept.
fn offered(connection: &Connection, press: &OfferPress) -> rusqlite::Result<Vec<(i64, ConversationKey, Line, i64)>> {
    let sql = "SELECT seq, team, channel, thread, line, received_ms FROM inbox \
               WHERE offer = ?1 AND state = 'offered' ORDER BY said_us, seq";
    let row = |row: &Row<'_>| {
        let command = row.get::<_, String>(4)? == name(Line::Command);
        let line = if command { Line::Command } else { Line::Turn };
        Ok((row.get(0)?, outbox::conversation(row, 1)?, line, row.get(5)?))
    };
    connection.prepare_cached(sql)?.query_map([press.offer.to_string()], row)?.collect()
}

#[cfg(test)]
mod tests;
