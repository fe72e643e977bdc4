use super::*;
use crate::domain::ids::{SessionId, Ts};
use crate::domain::inbound::{Author, ChannelKind, Message, What};
use crate::domain::outgoing::{Body, Op};
use crate::domain::session::{SessionRecord, SessionStatus};

/// How many are offered in one conversation here.
const LIMIT: usize = 3;
const DAY_MS: i64 = 24 * 3_600_000;

fn said(ts: &str, thread: Option<&str>, lot: Lot) -> Late {
    let message = Message {
        ts: ts.into(),
        thread: thread.map(Ts::from),
        text: format!("at {ts}"),
        mention: true,
        files: Vec::new(),
    };
    let inbound = Inbound {
        keys: vec![format!("message:C:{ts}")],
        team: "T".into(),
        channel: "C".into(),
        channel_kind: ChannelKind::Channel,
        author: Author { user: "U1".into(), team: None, bot: None },
        what: What::Message(message),
    };
    Late { inbound, keep: Keep::default(), lot }
}

fn unaddressed(late: Late) -> Late {
    Late { keep: Keep { only_if_followed: true, ..Keep::default() }, ..late }
}

fn channel() -> ConversationKey {
    ConversationKey::channel_wide("T".into(), "C".into())
}

fn thread(root: &str) -> ConversationKey {
    ConversationKey { thread: root.into(), ..channel() }
}

fn session(root: &str) -> SessionRecord {
    SessionRecord {
        id: SessionId::new(),
        conversation: thread(root),
        backend: "echo".into(),
        backend_ref: None,
        working_dir: "/".into(),
        description: String::new(),
        creator: "U1".into(),
        created_ms: 1,
        last_active_ms: 1,
        options: std::collections::BTreeMap::new(),
        status: SessionStatus::Active,
    }
}

async fn keep(store: &Store, late: &[Late]) -> Vec<Kept> {
    store.keep_late(late.to_vec(), LIMIT, 7).await.unwrap()
}

/// Leaves a place at second 100; what its people are told, and the offer.
async fn leave(store: &Store, place: &ConversationKey) -> Option<(OfferId, Away)> {
    let (send, told) = std::sync::mpsc::channel();
    let key = place.clone();
    let note = move |offer, away| {
        send.send((offer, away)).unwrap();
        let op = Op::Post(Body::Text("note".into()));
        vec![Owed { id: OwedId::from(offer), ..row(key, op) }]
    };
    store.leave_place(place.clone(), 100_000_000, 8, note).await.unwrap();
    told.try_recv().ok()
}

/// The places that were not told of something yet.
async fn untold(store: &Store) -> Vec<ConversationKey> {
    let mut places: Vec<_> = store.untold_offers().await.unwrap().into_iter().map(|(_, place)| place).collect();
    places.sort();
    places
}

fn row(conversation: ConversationKey, op: Op) -> Owed {
    Owed { id: OwedId::new(), conversation, turn: None, answers: None, op }
}

async fn press(store: &Store, offer: OfferId, accept: bool, now_ms: i64) -> Option<(OfferEnd, Vec<i64>)> {
    press_in(store, offer, accept, now_ms, "C").await
}

async fn press_in(
    store: &Store,
    offer: OfferId,
    accept: bool,
    now_ms: i64,
    channel: &str,
) -> Option<(OfferEnd, Vec<i64>)> {
    let (send, told) = std::sync::mpsc::channel();
    let press = OfferPress { offer, team: "T".into(), channel: channel.into(), accept, seq: 1_000, now_ms };
    let tell = move |_place: &ConversationKey, end| {
        send.send(end).unwrap();
        Vec::new()
    };
    let settlement = store.settle_offer(press, tell).await.unwrap()?;
    Some((told.try_recv().unwrap(), settlement.queued.into_iter().map(|(seq, ..)| seq).collect()))
}

async fn states(store: &Store) -> Vec<(String, bool)> {
    let sql = "SELECT state, body IS NOT NULL FROM inbox ORDER BY seq";
    store
        .read(|connection| connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_comes_late_is_kept_once_and_as_it_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let late = [said("1.0", None, Lot::Offer), said("2.0", None, Lot::Expire), said("3.0", None, Lot::Answered)];
    assert_eq!(keep(&store, &late).await, [Kept::Offered, Kept::Expired, Kept::Answered]);
    assert_eq!(keep(&store, &late).await, [Kept::Known; 3]);
    let expected = [("offered", true), ("expired", false), ("done", false)];
    assert_eq!(states(&store).await, expected.map(|(state, body)| (state.to_owned(), body)));
}

#[tokio::test]
async fn in_a_thread_only_what_follows_something_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_session(session("1.0"), None).await.unwrap();
    let late = [
        unaddressed(said("1.5", Some("1.0"), Lot::Offer)),
        unaddressed(said("2.5", Some("2.0"), Lot::Offer)),
        said("3.0", None, Lot::Offer),
        unaddressed(said("3.5", Some("3.0"), Lot::Offer)),
    ];
    assert_eq!(keep(&store, &late).await, [Kept::Offered, Kept::NotFollowed, Kept::Offered, Kept::Offered]);
}

#[tokio::test]
async fn what_precedes_an_offered_mention_is_not_ours_however_often_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let before = unaddressed(said("3.4", Some("3.0"), Lot::Offer));
    let late =
        [before.clone(), said("3.5", Some("3.0"), Lot::Offer), unaddressed(said("3.6", Some("3.0"), Lot::Offer))];
    assert_eq!(keep(&store, &late).await, [Kept::NotFollowed, Kept::Offered, Kept::Offered]);
    assert_eq!(keep(&store, &[before]).await, [Kept::NotFollowed]);
}

#[tokio::test]
async fn beyond_the_limit_of_a_conversation_nothing_is_offered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let late: Vec<Late> = (1..=5).map(|n| said(&format!("1.{n}"), Some("1.0"), Lot::Offer)).collect();
    assert_eq!(keep(&store, &late[..4]).await[2..], [Kept::Offered, Kept::Expired]);
    assert_eq!(keep(&store, &late[4..]).await, [Kept::Expired], "in a further commit, too");
    let (_, away) = leave(&store, &channel()).await.unwrap();
    assert_eq!((away.offered, away.expired), (3, 2));
}

#[tokio::test]
async fn a_place_is_told_once_however_often_it_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_session(session("9.0"), None).await.unwrap();
    assert_eq!(leave(&store, &channel()).await, None, "nothing came");
    let at_top = [said("40.0", None, Lot::Offer), said("50.0", None, Lot::Offer), said("60.0", None, Lot::Expire)];
    keep(&store, &at_top).await;
    keep(&store, &[said("70.0", Some("9.0"), Lot::Offer)]).await;
    assert_eq!(untold(&store).await, [channel(), thread("9.0")]);
    let (_, away) = leave(&store, &channel()).await.unwrap();
    assert_eq!(away, Away { offered: 2, oldest_ms: 60_000, expired: 1 });
    assert_eq!(untold(&store).await, [thread("9.0")]);
    assert_eq!(leave(&store, &thread("9.0")).await.map(|(_, away)| away.offered), Some(1));
    assert_eq!(leave(&store, &channel()).await, None);
    assert!(untold(&store).await.is_empty());
    assert_eq!(store.cursors().await.unwrap()[&channel()], 100_000_000);
}

#[tokio::test]
async fn what_comes_after_a_place_was_told_is_the_next_offer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    keep(&store, &[said("40.0", None, Lot::Offer)]).await;
    let (first, _) = leave(&store, &channel()).await.unwrap();
    assert_eq!(press(&store, first, false, 8).await, Some((OfferEnd::Left(1), vec![])));
    keep(&store, &[said("50.0", None, Lot::Offer)]).await;
    let (second, away) = leave(&store, &channel()).await.unwrap();
    assert_eq!(away.offered, 1);
    assert_eq!(press(&store, second, true, 8).await, Some((OfferEnd::Accepted(1), vec![2])));
}

#[tokio::test]
async fn an_offer_is_told_of_even_when_its_gap_is_over_and_moves_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    keep(&store, &[said("40.0", None, Lot::Offer), said("50.0", Some("40.0"), Lot::Offer)]).await;
    store.caught_up(100_000_000).await.unwrap();
    let untold = store.untold_offers().await.unwrap();
    let [(offer, place)] = untold.as_slice() else { panic!("{untold:?}") };
    assert_eq!(*place, channel());
    let note = |offer| vec![Owed { id: OwedId::from(offer), ..row(channel(), Op::Post(Body::Text("note".into()))) }];
    for told in [1, 0] {
        let rows = store.tell_offer(*offer, 100_000_000, 8, move |offer, _away| note(offer)).await.unwrap();
        assert_eq!(rows.len(), told);
    }
    assert!(store.untold_offers().await.unwrap().is_empty() && store.cursors().await.unwrap().is_empty());
    assert_eq!(press(&store, *offer, true, 8).await, Some((OfferEnd::Accepted(2), vec![1, 2])));
}

#[tokio::test]
async fn the_next_gap_has_an_offer_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    keep(&store, &[said("40.0", None, Lot::Offer)]).await;
    let (first, _) = leave(&store, &channel()).await.unwrap();
    store.caught_up(100_000_000).await.unwrap();
    keep(&store, &[said("150.0", None, Lot::Offer)]).await;
    let (second, away) = leave(&store, &channel()).await.unwrap();
    assert!(first != second && away.offered == 1);
}

#[tokio::test]
async fn an_offer_is_settled_once_in_its_own_place_and_in_the_order_of_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let late = [said("50.0", None, Lot::Offer), said("40.0", None, Lot::Offer), said("60.0", None, Lot::Expire)];
    keep(&store, &late).await;
    assert_eq!(press(&store, OfferId::of("T/C/", 0), true, 8).await, None, "nobody was told of it yet");
    let (offer, _) = leave(&store, &channel()).await.unwrap();
    assert_eq!(press_in(&store, offer, true, 8, "C2").await, None);
    assert_eq!(press(&store, OfferId::new(), true, 8).await, None);
    assert_eq!(press(&store, offer, true, 8).await, Some((OfferEnd::Accepted(2), vec![2, 1])));
    assert_eq!(press(&store, offer, true, 8).await, None);
    assert_eq!(press(&store, offer, false, 8).await, None);
    let expected = [("queued", true), ("queued", true), ("expired", false)];
    assert_eq!(states(&store).await, expected.map(|(state, body)| (state.to_owned(), body)));
}

#[tokio::test]
async fn what_is_left_or_too_late_is_not_answered() {
    for (accept, now_ms, end) in [
        (false, 8, OfferEnd::Left(1)),
        (true, 7 + DAY_MS - 1, OfferEnd::Accepted(1)),
        (true, 7 + DAY_MS, OfferEnd::TooLate(1)),
        (false, 7 + DAY_MS, OfferEnd::TooLate(1)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        keep(&store, &[said("40.0", None, Lot::Offer)]).await;
        let (offer, _) = leave(&store, &channel()).await.unwrap();
        let (ended, queued) = press(&store, offer, accept, now_ms).await.unwrap();
        assert_eq!((ended, queued.len()), (end, usize::from(matches!(end, OfferEnd::Accepted(_)))));
        let state = if queued.is_empty() { ("expired".to_owned(), false) } else { ("queued".to_owned(), true) };
        assert_eq!(states(&store).await, [state]);
    }
}
