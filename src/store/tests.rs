use std::collections::BTreeMap;

use super::*;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, SessionId};
use crate::domain::inbound::{Author, ChannelKind, Inbound, Message, What};
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::{Intent, Keep, Limit, Line};
use crate::domain::session::{BackendRef, SessionRecord, SessionStatus};
use rusqlite::Connection;
use std::time::Duration;
use tokio::sync::oneshot;

pub(super) fn open(dir: &Path) -> Store {
    Store::open(dir).unwrap()
}

/// What the messages here say.
pub(super) const TEXT: &str = "hi";

pub(super) fn message(ts: &str, event: &str) -> Inbound {
    Inbound {
        keys: vec![format!("event:{event}"), format!("message:C1:{ts}")],
        team: "T1".into(),
        channel: "C1".into(),
        channel_kind: ChannelKind::Channel,
        author: Author { user: "U1".into(), team: None, bot: None },
        what: What::Message(Message {
            ts: ts.into(),
            thread: Some("1.0".into()),
            text: TEXT.into(),
            mention: true,
            files: Vec::new(),
        }),
    }
}

pub(super) fn record() -> SessionRecord {
    SessionRecord {
        id: SessionId::new(),
        conversation: key(),
        backend: "echo".into(),
        backend_ref: None,
        working_dir: "/tmp".into(),
        description: "hi".into(),
        creator: "U1".into(),
        created_ms: 1,
        last_active_ms: 1,
        options: BTreeMap::new(),
        status: SessionStatus::Active,
    }
}

pub(super) fn key() -> ConversationKey {
    ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.0".into() }
}

pub(super) async fn accept(store: &Store, inbound: Inbound, keep: Keep) -> Accepted {
    let (done, outcome) = oneshot::channel();
    let accept = Accept { inbound, keep, queue_limit: 2, now_ms: 1_000 };
    Store::accept(store.slot().await.unwrap(), accept, |_, outcome| done.send(outcome).unwrap());
    outcome.await.unwrap().unwrap()
}

async fn first_owed(store: &Store) -> Owed {
    store.next_owed(key()).await.unwrap().expect("something is owed").owed.unwrap()
}

impl Store {
    /// Writes nonsense where the content of a row was.
    pub(crate) async fn spoil(&self, id: OwedId) {
        let spoil = move |connection: &Connection| {
            connection.execute("UPDATE outbox SET op = '{\"no such op' WHERE id = ?1", [id.to_string()])
        };
        assert_eq!(self.write(spoil).await.unwrap(), 1);
    }

    /// An event that `author` made; returns its number.
    pub(crate) async fn event_of(&self, author: &'static str) -> i64 {
        let insert = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO inbox (team, channel, thread, line, state, version, received_ms, author) \
                 VALUES ('T1', 'C1', '1.0', 'turn', 'running', 1, 0, ?1)",
                [author],
            )?;
            Ok(connection.last_insert_rowid())
        };
        self.write(insert).await.unwrap()
    }

    /// Makes a row pending again that was parked.
    pub(crate) async fn revive(&self, id: OwedId) {
        let revive = move |connection: &Connection| {
            connection.execute("UPDATE outbox SET state = 'pending' WHERE id = ?1 AND state = 'dead'", [id.to_string()])
        };
        assert_eq!(self.write(revive).await.unwrap(), 1);
    }

    /// State, error and content of a row, as they are on disk.
    pub(crate) async fn row(&self, id: OwedId) -> (String, Option<String>, String) {
        let sql = "SELECT state, error, op FROM outbox WHERE id = ?1";
        let row = move |connection: &Connection| {
            connection.query_row(sql, [id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        };
        self.write(row).await.unwrap()
    }
}

pub(super) fn plain() -> Keep {
    Keep::default()
}

/// The intent of a turn whose agent may see the prompt as soon as it is written.
pub(super) fn intent(record: &SessionRecord) -> Intent {
    Intent { reached: true, ..Intent::begin(record.clone()) }
}

// holds: T-2
#[tokio::test]
async fn an_event_is_known_by_any_of_its_keys_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(accept(&store, message("1.1", "E1"), plain()).await, Accepted::Stored { .. }));
    assert_eq!(accept(&store, message("1.1", "E2"), plain()).await, Accepted::Duplicate);
    store.close().await;
    drop(store);
    let store = open(dir.path());
    // E2 was only ever seen as a twin, and is known all the same.
    assert_eq!(accept(&store, message("1.2", "E2"), plain()).await, Accepted::Duplicate);
    assert_eq!(store.queued(Line::Turn, 0, 10).await.unwrap().len(), 1);
}

// holds: M-1, M-3
#[tokio::test]
async fn a_followed_thread_is_exactly_that_thread_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let follow = Keep { only_if_followed: true, ..Keep::default() };
    assert_eq!(accept(&store, message("1.1", "E1"), follow.clone()).await, Accepted::NotFollowed);
    let record = record();
    let keep = Keep { intent: Some(intent(&record)), ..Keep::default() };
    assert!(matches!(accept(&store, message("1.2", "E2"), keep).await, Accepted::Stored { .. }));
    assert!(matches!(accept(&store, message("1.3", "E3"), follow.clone()).await, Accepted::Stored { .. }));
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.session_in(&key()).await.unwrap(), Some(record.clone()));
    let other = ConversationKey { thread: "2.0".into(), ..key() };
    assert_eq!(store.session_in(&other).await.unwrap(), None);
    store.end_session(record.id, 0, 2_000).await.unwrap();
    assert_eq!(store.session_in(&key()).await.unwrap(), None);
    assert_eq!(accept(&store, message("1.4", "E4"), follow).await, Accepted::NotFollowed);
}

#[tokio::test]
async fn beyond_the_limit_a_message_is_stored_as_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for ts in ["1.1", "1.2"] {
        assert!(matches!(accept(&store, message(ts, ts), plain()).await, Accepted::Stored { .. }));
    }
    assert!(matches!(accept(&store, message("1.3", "1.3"), plain()).await, Accepted::Refused(_)));
    assert_eq!(accept(&store, message("1.3", "1.3"), plain()).await, Accepted::Duplicate);
}

// holds: S-9
#[tokio::test]
async fn a_message_whose_session_would_be_one_too_many_waits_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let limit = Some(Limit { max: 1, since_ms: 0 });
    let first = record();
    let keep = Keep { intent: Some(Intent { limit, ..intent(&first) }), ..Keep::default() };
    let accepted = accept(&store, message("1.1", "E1"), keep).await;
    let Accepted::Stored { seq, begun: true } = accepted else { panic!("{accepted:?}") };
    store.done(seq).await.unwrap();
    let second = SessionRecord { conversation: ConversationKey { thread: "2.0".into(), ..key() }, ..record() };
    let keep = Keep { intent: Some(Intent { limit, ..intent(&second) }), ..Keep::default() };
    let accepted = accept(&store, message("1.2", "E2"), keep).await;
    let Accepted::Stored { seq, begun: false } = accepted else { panic!("{accepted:?}") };
    assert_eq!(store.next_in(&key(), Line::Turn).await.unwrap().unwrap().seq, seq);
    let begin =
        async |limit| store.begin_turn(Intent { limit, ..intent(&second) }, seq, TEXT.to_owned(), 1).await.unwrap();
    assert_eq!(begin(limit).await, Begun::OverLimit);
    assert_eq!(store.waiting(&key(), Line::Turn).await.unwrap(), 1, "it waits on");
    assert_eq!(begin(None).await, Begun::Begun);
    assert_eq!(begin(limit).await, Begun::NotWaiting);
    assert_eq!(store.cut_off_turns().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_session_is_used_when_a_turn_begins_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    store.create_session(record.clone(), None).await.unwrap();
    let keep = Keep { intent: Some(Intent::follow(record.id)), ..Keep::default() };
    accept(&store, message("1.1", "E1"), keep).await;
    assert_eq!(store.session(record.id).await.unwrap().unwrap().last_active_ms, 1_000);
}

#[tokio::test]
async fn a_turn_is_open_from_its_intent_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let intent = intent(&record);
    let keep = Keep { intent: Some(intent.clone()), ..Keep::default() };
    let Accepted::Stored { seq, begun: true } = accept(&store, message("1.1", "E1"), keep).await else {
        panic!("not stored")
    };
    let open_turns = store.cut_off_turns().await.unwrap();
    assert_eq!((open_turns[0].turn, open_turns[0].seq), (intent.turn, seq));
    let owed = Owed {
        id: OwedId::new(),
        conversation: key(),
        turn: Some(intent.turn),
        answers: None,
        op: Op::Post(Body::Text("hello".into())),
    };
    let end = TurnEnd {
        turn: intent.turn,
        seq,
        session: record.id,
        outcome: "completed",
        session_ended: None,
        owed: vec![owed.clone()],
        now_ms: 2_000,
    };
    store.name_session(record.id, BackendRef("b1".into())).await.unwrap();
    store.finish_turn(end).await.unwrap();
    assert!(store.cut_off_turns().await.unwrap().is_empty());
    assert!(store.queued(Line::Turn, 0, 10).await.unwrap().is_empty());
    assert_eq!(first_owed(&store).await, owed);
    let kept = store.session_in(&key()).await.unwrap().unwrap();
    assert_eq!((kept.backend_ref, kept.last_active_ms), (Some(BackendRef("b1".into())), 2_000));
    store.delivered(owed.id, Some("9.9".into())).await.unwrap();
    store.end_session(record.id, 0, 2_000).await.unwrap();
    assert_eq!(store.delivered_as(owed.id).await.unwrap(), Some("9.9".into()));
    assert_eq!(store.last_owed().await.unwrap(), None);
}

#[tokio::test]
async fn a_parked_row_knows_who_asked_for_it_also_before_its_turn_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let intent = intent(&record);
    let keep = Keep { intent: Some(intent.clone()), ..Keep::default() };
    let Accepted::Stored { seq, .. } = accept(&store, message("1.1", "E1"), keep).await else { panic!("not stored") };
    let author =
        move |connection: &Connection| connection.execute("UPDATE inbox SET author = 'U1' WHERE seq = ?1", [seq]);
    assert_eq!(store.write(author).await.unwrap(), 1);
    let row = |turn| Owed {
        id: OwedId::new(),
        conversation: key(),
        turn,
        answers: None,
        op: Op::Post(Body::Text("hello".into())),
    };
    let (of_turn, of_event, of_nobody) = (row(Some(intent.turn)), row(None), row(None));
    store.owe(vec![of_turn.clone(), of_nobody.clone()], None, 1_000).await.unwrap();
    store.owe(vec![of_event.clone()], Some(seq), 1_000).await.unwrap();
    let park = async |row: &Owed| {
        let parked = Parked { why: "gone".into(), doubtful: false, notice: Some("not answered".into()) };
        store.park(row.id, parked, 2_000).await.unwrap()
    };
    let direct = ConversationKey::channel_wide(key().team, "U1".into());
    for asked_for in [&of_turn, &of_event] {
        let notice = park(asked_for).await.expect("somebody asked for it");
        assert_eq!(notice.conversation, direct);
        let next = store.next_owed(direct.clone()).await.unwrap().unwrap();
        assert_eq!(next.owed.unwrap(), notice);
        assert_eq!(park(&notice).await, None, "of a notice that can't be delivered nobody is told");
    }
    assert_eq!(park(&of_nobody).await, None);
    assert_eq!(store.last_owed().await.unwrap(), None);
}

#[tokio::test]
async fn a_note_is_on_disk_soon_even_without_company_and_before_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let row = || Owed {
        id: OwedId::new(),
        conversation: key(),
        turn: None,
        answers: None,
        op: Op::Delete { ts: "1.1".into() },
    };
    let (alone, last) = (row(), row());
    store.owe(vec![last.clone(), alone.clone()], None, 1_000).await.unwrap();
    store.delivered(alone.id, None).await.unwrap();
    // Reading in the writer's order would be company.
    let noted = async { while store.last_owed().await.unwrap() == Some(2) {} };
    tokio::time::timeout(Duration::from_secs(10), noted).await.expect("it was never written");
    store.delivered(last.id, None).await.unwrap();
    store.close().await;
    drop(store);
    assert_eq!(open(dir.path()).last_owed().await.unwrap(), None);
}

#[tokio::test]
async fn a_failing_change_takes_only_itself_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    store.create_session(record.clone(), None).await.unwrap();
    // The same id again violates the key; its neighbours in the group are not touched.
    let (twice, ended) =
        tokio::join!(store.create_session(record.clone(), None), store.end_session(record.id, 0, 2_000));
    assert!(matches!(twice, Err(StoreError::Failed(_))));
    ended.unwrap();
    assert_eq!(store.active_sessions().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_reported_as_failed_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let other = Connection::open(dir.path().join("hitchline.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Longer than the store waits for the other's lock.
    assert!(matches!(store.create_session(record(), None).await, Err(StoreError::Failed(_))));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.active_sessions().await.unwrap(), 0);
    store.create_session(record(), None).await.expect("it works again");
}

#[tokio::test]
async fn f_44_a_second_instance_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(Store::open(dir.path()), Err(OpenError::Locked { .. })));
    store.close().await;
    drop(store);
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn a_sqlite_with_a_known_fault_is_refused() {
    assert!(matches!(ensure_sound_sqlite(3_051_002, "3.51.2"), Err(OpenError::Sqlite { found: "3.51.2" })));
    assert!(ensure_sound_sqlite(3_051_003, "3.51.3").is_ok());
    assert!(ensure_sound_sqlite(rusqlite::version_number(), rusqlite::version()).is_ok(), "what is built in");
}

#[tokio::test]
async fn f_46_a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().await;
    let connection = Connection::open(dir.path().join("hitchline.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Store::open(dir.path()), Err(OpenError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close().await;
    store.close().await;
    assert!(matches!(store.end_session(SessionId::new(), 0, 2_000).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn nobody_else_can_read_what_is_stored_even_in_an_open_directory() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    let files = ["hitchline.db", "hitchline.db-wal", "hitchline.db-shm", "lock"];
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let store = open(dir.path());
    assert_eq!(files.map(mode), [0o600; 4]);
    // As an earlier version left them, which was killed.
    let left = tempfile::tempdir().unwrap();
    for name in files {
        std::fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
        std::fs::set_permissions(left.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    store.close().await;
    let store = open(left.path());
    let mode = |name: &str| std::fs::metadata(left.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(files.map(mode), [0o600; 4]);
    store.close().await;
}

// holds: S-6, S-8
#[tokio::test]
async fn a_turn_begins_only_with_what_stands_there_and_where_its_session_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    store.create_session(record.clone(), None).await.unwrap();
    accept(&store, message("1.1", "E1"), plain()).await;
    let seq = store.next_in(&key(), Line::Turn).await.unwrap().unwrap().seq;
    let begin = async |text: &str| store.begin_turn(Intent::follow(record.id), seq, text.to_owned(), 1).await.unwrap();
    assert_eq!(begin("what stood there before an edit").await, Begun::Changed);
    let elsewhere = ConversationKey { thread: "9.9".into(), ..key() };
    store.move_session(record.id, elsewhere).await.unwrap();
    assert_eq!(begin(TEXT).await, Begun::NoSession);
    let keep = Keep { intent: Some(Intent::follow(record.id)), ..Keep::default() };
    let accepted = accept(&store, message("1.2", "E2"), keep).await;
    assert!(matches!(accepted, Accepted::Stored { begun: false, .. }), "{accepted:?}");
    store.move_session(record.id, key()).await.unwrap();
    store.end_session(record.id, 0, 2).await.unwrap();
    assert_eq!(begin(TEXT).await, Begun::NoSession);
    assert!(store.cut_off_turns().await.unwrap().is_empty());
}
