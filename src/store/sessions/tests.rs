use super::*;
use crate::domain::ids::TurnId;

/// An empty store, closed with its directory.
pub(in crate::store) fn open() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(dir.path()).unwrap(), dir)
}

fn key(channel: &str, thread: &str) -> ConversationKey {
    ConversationKey { team: "T1".into(), channel: channel.into(), thread: thread.into() }
}

fn record(creator: &str, conversation: ConversationKey, used: i64) -> SessionRecord {
    SessionRecord {
        id: SessionId::new(),
        conversation,
        backend: "echo".into(),
        backend_ref: None,
        working_dir: "/tmp".into(),
        description: "hi".into(),
        creator: creator.into(),
        created_ms: 1,
        last_active_ms: used,
        options: BTreeMap::new(),
        status: SessionStatus::Active,
    }
}

async fn created(store: &Store, creator: &str, channel: &str, thread: &str, used: i64) -> SessionRecord {
    let record = record(creator, key(channel, thread), used);
    assert!(store.create_session(record.clone(), None).await.unwrap());
    record
}

async fn listed(store: &Store, filter: SessionFilter) -> Vec<SessionId> {
    store.sessions(filter).await.unwrap().into_iter().map(|record| record.id).collect()
}

// holds: S-7
#[tokio::test]
async fn lists_show_the_active_ones_that_are_asked_for_and_the_last_used_first() {
    let (store, _dir) = open();
    let one = created(&store, "U1", "C1", "1", 10).await;
    let two = created(&store, "U2", "C1", "2", 30).await;
    let three = created(&store, "U1", "C2", "3", 20).await;
    let all = SessionFilter::default;
    assert_eq!(listed(&store, all()).await, [two.id, three.id, one.id]);
    assert_eq!(listed(&store, SessionFilter { limit: 2, ..all() }).await, [two.id, three.id]);
    let mine = SessionFilter { creator: Some("U1".into()), ..all() };
    assert_eq!(listed(&store, mine.clone()).await, [three.id, one.id]);
    assert_eq!(listed(&store, SessionFilter { channel: Some("C1".into()), ..mine.clone() }).await, [one.id]);
    assert!(listed(&store, SessionFilter { team: Some("T2".into()), ..all() }).await.is_empty());
    store.touch(one.id, 40).await.unwrap();
    store.end_session(three.id, 0, 50).await.unwrap();
    assert_eq!(listed(&store, mine).await, [one.id]);
    assert_eq!(store.active_sessions().await.unwrap(), 2);
    let ended = store.session(three.id).await.unwrap().unwrap();
    assert_eq!(ended.status, SessionStatus::Ended);
}

#[tokio::test]
async fn a_session_is_found_by_what_people_type_of_its_id() {
    let (store, _dir) = open();
    let one = created(&store, "U1", "C1", "1", 10).await;
    let found = async |typed: &str| {
        let found = store.session_by_prefix(typed, 10).await.unwrap();
        found.iter().map(|record| record.id).collect::<Vec<_>>()
    };
    for typed in [one.id.short(), one.id.short().to_uppercase(), one.id.to_string(), format!(" {} ", one.id.short())] {
        assert_eq!(found(&typed).await, [one.id], "{typed}");
    }
    for typed in ["", " ", "%", "_______", "'", "é", "g"] {
        assert!(found(typed).await.is_empty(), "{typed}");
    }
}

#[tokio::test]
async fn an_ambiguous_prefix_finds_active_ones_first() {
    let (store, _dir) = open();
    let ids =
        ["aaaaaaaa000000000000000000000001", "aaaaaaaa000000000000000000000002", "aaaaaaab000000000000000000000003"];
    for (place, id) in ids.into_iter().enumerate() {
        let id = SessionId::parse(id).unwrap();
        let record = SessionRecord { id, ..record("U1", key("C1", &place.to_string()), 1) };
        store.create_session(record, None).await.unwrap();
    }
    let [first, second, third] = ids.map(|id| SessionId::parse(id).unwrap());
    store.end_session(first, 0, 9).await.unwrap();
    let found = async |typed: &str, limit: usize| {
        let found = store.session_by_prefix(typed, limit).await.unwrap();
        found.iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(found("aaaaaaaa", 10).await, [second, first]);
    assert_eq!(found("aaaaaaa", 10).await, [second, third, first]);
    assert_eq!(found("aaaaaaa", 1).await, [second]);
}

// holds: M-5
#[tokio::test]
async fn a_session_moves_only_where_none_is_and_only_while_it_lives() {
    let (store, _dir) = open();
    let one = created(&store, "U1", "C1", "1", 10).await;
    let two = created(&store, "U1", "C2", "2", 10).await;
    assert_eq!(store.move_session(one.id, key("C2", "2")).await.unwrap(), Moved::Occupied);
    assert_eq!(store.session_in(&key("C1", "1")).await.unwrap().unwrap().id, one.id);
    assert_eq!(store.move_session(one.id, key("C3", "")).await.unwrap(), Moved::Moved);
    assert_eq!(store.session_in(&key("C1", "1")).await.unwrap(), None);
    assert_eq!(store.session_in(&key("C3", "")).await.unwrap().unwrap().id, one.id);
    assert_eq!(store.channel_wide().await.unwrap(), [key("C3", "")]);
    store.end_session(two.id, 0, 20).await.unwrap();
    assert_eq!(store.move_session(two.id, key("C4", "")).await.unwrap(), Moved::Ended);
    assert_eq!(store.move_session(SessionId::new(), key("C4", "")).await.unwrap(), Moved::Ended);
    // The place of an ended one is free.
    assert_eq!(store.move_session(one.id, key("C2", "2")).await.unwrap(), Moved::Moved);
}

#[tokio::test]
async fn options_are_kept_with_their_session() {
    let (store, _dir) = open();
    let options = BTreeMap::from([("model".to_owned(), "small".to_owned())]);
    let record = SessionRecord { options: options.clone(), ..record("U1", key("C1", "1"), 1) };
    store.create_session(record.clone(), None).await.unwrap();
    assert_eq!(store.session(record.id).await.unwrap().unwrap().options, options);
    let choose = async |option: &str, value: &str| {
        let chosen = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        store.set_options(record.id, chosen).await.unwrap();
        store.session(record.id).await.unwrap().unwrap().options
    };
    choose("mode", "plan").await;
    let all = choose("model", "large").await;
    let expected = [("mode", "plan"), ("model", "large")].map(|(option, value)| (option.to_owned(), value.to_owned()));
    assert_eq!(all, BTreeMap::from(expected), "each by itself");
}

// holds: S-9
#[tokio::test]
async fn a_limit_counts_what_was_used_lately_and_what_works() {
    let (store, _dir) = open();
    created(&store, "U2", "C1", "0", 100).await;
    let late = created(&store, "U1", "C1", "1", 100).await;
    let old = created(&store, "U1", "C1", "2", 99).await;
    let another = async |max: u32| {
        let record = record("U1", key("C9", &SessionId::new().to_string()), 0);
        store.create_session(record, Some(Limit { max, since_ms: 100 })).await.unwrap()
    };
    assert!(!another(1).await, "one was used lately");
    assert!(another(2).await, "one is old");
    let open = "INSERT INTO turn (id, session, seq, started_ms) VALUES (?1, ?2, 1, 1)";
    let turn = [TurnId::new().to_string(), old.id.to_string()];
    store.write(move |connection| connection.execute(open, turn)).await.unwrap();
    assert!(!another(2).await, "it is old, but works");
    store.end_session(late.id, 0, 101).await.unwrap();
    assert!(another(2).await, "an ended one frees its place");
}

#[tokio::test]
async fn counting_for_a_limit_reads_no_table_from_end_to_end() {
    let (store, _dir) = open();
    let plan = store.read(|connection| {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {COUNTED}"))?;
        plan.query_map(params!["U1", 1], |row| row.get("detail"))?.collect::<rusqlite::Result<Vec<String>>>()
    });
    let plan = plan.await.unwrap();
    assert!(plan.iter().any(|step| step.contains("session_by_creator")), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN")), "{plan:?}");
}

// holds: S-6
#[tokio::test]
async fn a_backends_own_name_leads_to_its_mapping_ended_or_not() {
    let (store, _dir) = open();
    let one = created(&store, "U1", "C1", "1", 10).await;
    let two = created(&store, "U1", "C1", "2", 20).await;
    let name = BackendRef("s-1".into());
    for record in [&one, &two] {
        store.name_session(record.id, name.clone()).await.unwrap();
    }
    store.end_session(two.id, 0, 30).await.unwrap();
    let found = async |backend: &str, name: &BackendRef| {
        store.session_by_ref(backend, name).await.unwrap().map(|record| (record.id, record.status))
    };
    assert_eq!(found("echo", &name).await, Some((one.id, SessionStatus::Active)), "the active one first");
    store.end_session(one.id, 0, 30).await.unwrap();
    assert_eq!(found("echo", &name).await, Some((two.id, SessionStatus::Ended)), "then the last used");
    assert_eq!(found("other", &name).await, None);
    assert_eq!(found("echo", &BackendRef("s-2".into())).await, None);
}

#[tokio::test]
async fn a_conversation_is_followed_since_the_message_that_began_its_session() {
    let (store, _dir) = open();
    let session = SessionRecord { created_ms: 5_000, ..record("U1", key("C1", "1.0"), 5_000) };
    store.create_session(session.clone(), None).await.unwrap();
    let key = session.conversation.clone();
    assert_eq!(store.followed_since(key.clone()).await.unwrap(), None, "a command began it");
    let turn = async |started_ms: i64, said_us: i64| {
        let id = session.id.to_string();
        let add = move |connection: &rusqlite::Connection| {
            let sql = "INSERT INTO inbox (team, channel, thread, line, state, version, received_ms, said_us) \
                       VALUES ('T1', 'C1', '1.0', 'turn', 'done', 1, 1, ?1)";
            connection.execute(sql, [said_us])?;
            let sql = "INSERT INTO turn (id, session, seq, started_ms) VALUES (?1, ?2, last_insert_rowid(), ?3)";
            connection.execute(sql, rusqlite::params![format!("turn {said_us}"), id, started_ms])
        };
        store.write(add).await.unwrap();
    };
    turn(9_000, 8_000_000).await;
    assert_eq!(store.followed_since(key.clone()).await.unwrap(), None, "the first one is forgotten");
    turn(5_001, 4_000_000).await;
    assert_eq!(store.followed_since(key).await.unwrap(), Some(4_000_000));
}
