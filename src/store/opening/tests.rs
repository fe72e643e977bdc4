use super::*;
use crate::domain::ids::OwedId;
use crate::domain::outgoing::{Body, Op, Owed};
use crate::domain::ports::{Intent, Keep, Line};
use crate::store::tests::{TEXT, accept, key, message, plain, record};
use crate::store::{Begun, Store};

const REPAIR: Repair = Repair { fresh: false, now_ms: 9_000 };
const FRESH: Repair = Repair { fresh: true, now_ms: 9_000 };

/// A state directory, closed in order, whose store knows the run `one` and, if it is to have a snapshot, the run `two` since then.
async fn left_behind(snapshot: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.begin_run("one".to_owned(), 1).await.unwrap();
    if snapshot {
        assert!(store.snapshot(0, 5_000).await.unwrap());
        store.begin_run("two".to_owned(), 2).await.unwrap();
    }
    store.close().await;
    dir
}

/// Something that happens to a file, and its name.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 6] = [
    ("a torn page", |path| change(path, |bytes| bytes[512..1_024].fill(0xA5))),
    ("a zeroed page", |path| change(path, |bytes| bytes[2_048..3_072].fill(0))),
    ("a truncated file", |path| change(path, |bytes| bytes.truncate(bytes.len() / 2 + 7))),
    ("a garbage header", |path| change(path, |bytes| bytes[..100].fill(b'x'))),
    ("another file", |path| fs::write(path, "this is no database").unwrap()),
    ("an empty file", |path| fs::write(path, "").unwrap()),
];

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn asides(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("hitchline.db.damaged-")).collect();
    names.sort();
    names
}

// holds: M-4
#[tokio::test]
async fn f_43_a_damaged_store_is_set_aside_and_the_newest_snapshot_takes_its_place() {
    for (name, damage) in DAMAGES {
        let dir = left_behind(true).await;
        let path = dir.path().join(DATABASE);
        damage(&path);
        let damaged = fs::read(&path).unwrap();
        let store = Store::open_or_restore(dir.path(), REPAIR).expect(name);
        assert_eq!(store.open_runs().await.unwrap(), ["one"], "{name}");
        store.begin_run("three".to_owned(), 3).await.expect(name);
        store.close().await;
        let aside = format!("{DATABASE}.damaged-19700101T000009.000Z");
        assert!(asides(dir.path()).contains(&aside), "{name}");
        assert_eq!(fs::read(dir.path().join(aside)).unwrap(), damaged, "{name}: as it was found");
        assert_eq!(Store::open(dir.path()).expect(name).open_runs().await.unwrap(), ["one", "three"], "{name}");
    }
}

#[tokio::test]
async fn f_43_a_log_that_is_cut_short_lacks_its_end_and_one_without_its_index_nothing() {
    const RUNS: [&str; 4] = ["one", "run 2", "run 3", "run 4"];
    let dir = left_behind(false).await;
    let store = Store::open(dir.path()).unwrap();
    for run in &RUNS[1..] {
        store.begin_run((*run).to_owned(), 2).await.unwrap();
    }
    let log = fs::read(dir.path().join(COMPANIONS[0])).unwrap();
    let killed = || {
        let killed = tempfile::tempdir().unwrap();
        for name in [DATABASE, COMPANIONS[0], COMPANIONS[1]] {
            fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
        }
        killed
    };
    let without_index = killed();
    fs::remove_file(without_index.path().join(COMPANIONS[1])).unwrap();
    assert_eq!(Store::open(without_index.path()).unwrap().open_runs().await.unwrap(), RUNS);

    let mut found = Vec::new();
    for length in (0..log.len()).step_by(211) {
        let cut = killed();
        fs::write(cut.path().join(COMPANIONS[0]), &log[..length]).unwrap();
        let store = Store::open(cut.path()).unwrap();
        let runs = store.open_runs().await.unwrap();
        assert_eq!(runs, RUNS[..runs.len()], "what was committed first, {length} bytes of {}", log.len());
        found.push(runs.len());
        store.begin_run("after".to_owned(), 3).await.unwrap();
    }
    found.dedup();
    assert_eq!(found, [1, 2, 3], "the longer, the more");
}

// holds: M-4
#[tokio::test]
async fn a_missing_store_beside_snapshots_is_damage() {
    let dir = left_behind(true).await;
    fs::remove_file(dir.path().join(DATABASE)).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(OpenError::Damaged { .. })));
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one"]);
}

// holds: M-4
#[tokio::test]
async fn without_a_good_snapshot_nothing_is_touched_unless_a_person_wants_it() {
    for (name, damage) in &DAMAGES[..5] {
        let dir = left_behind(false).await;
        let path = dir.path().join(DATABASE);
        damage(&path);
        let damaged = fs::read(&path).unwrap();
        let refused = Store::open_or_restore(dir.path(), REPAIR).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(path.to_str().unwrap()) && said.contains("--fresh-store"), "{name}: {said}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "{name}");
        assert!(asides(dir.path()).is_empty(), "{name}");
        let store = Store::open_or_restore(dir.path(), FRESH).expect(name);
        assert!(store.open_runs().await.unwrap().is_empty(), "{name}");
        assert!(!asides(dir.path()).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn wanting_a_fresh_store_loses_nothing_that_is_good() {
    let dir = left_behind(true).await;
    let store = Store::open_or_restore(dir.path(), FRESH).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one", "two"]);
    store.close().await;
    fs::write(dir.path().join(DATABASE), "garbage").unwrap();
    let store = Store::open_or_restore(dir.path(), FRESH).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one"], "the snapshot comes first");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_too_is_passed_over() {
    let dir = left_behind(true).await;
    let snapshots = dir.path().join("snapshots");
    fs::write(snapshots.join("19700101T000006.000Z.db"), "garbage").unwrap();
    fs::write(snapshots.join("19700101T000007.000Z.db"), "").unwrap();
    fs::write(dir.path().join(DATABASE), "garbage").unwrap();
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one"]);
    store.close().await;
    // None is good any more.
    for snapshot in snapshots::stored(dir.path()).unwrap() {
        fs::write(snapshot.path, "garbage").unwrap();
    }
    fs::write(dir.path().join(DATABASE), "").unwrap();
    assert!(matches!(Store::open_or_restore(dir.path(), REPAIR), Err(OpenError::Damaged { .. })));
    let later = Repair { now_ms: 10_000, ..FRESH };
    assert!(Store::open_or_restore(dir.path(), later).unwrap().open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_log_of_a_killed_process_goes_aside_with_its_database() {
    let dir = left_behind(true).await;
    let store = Store::open(dir.path()).unwrap();
    store.begin_run("in the log".to_owned(), 3).await.unwrap();
    // As a kill leaves them.
    let killed = tempfile::tempdir().unwrap();
    for name in [DATABASE, COMPANIONS[0], COMPANIONS[1]] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    let log = fs::read(killed.path().join(COMPANIONS[0])).unwrap();
    let sound = Store::open(killed.path()).unwrap();
    assert_eq!(sound.open_runs().await.unwrap().len(), 3, "a log is no damage");
    sound.close().await;
    fs::write(killed.path().join(COMPANIONS[0]), &log).unwrap();
    change(&killed.path().join(DATABASE), |bytes| bytes[..100].fill(b'x'));
    fs::create_dir(killed.path().join("snapshots")).unwrap();
    let snapshot = &snapshots::stored(dir.path()).unwrap()[0];
    fs::copy(&snapshot.path, killed.path().join("snapshots").join(snapshot.path.file_name().unwrap())).unwrap();
    let restored = Store::open_or_restore(killed.path(), REPAIR).unwrap();
    assert_eq!(restored.open_runs().await.unwrap(), ["one"], "the log of another database is not played into it");
    let aside = killed.path().join(format!("{DATABASE}.damaged-19700101T000009.000Z-wal"));
    assert_eq!(fs::read(aside).unwrap(), log);
}

// holds: S-6
#[tokio::test]
async fn a_prompt_that_waited_when_the_snapshot_was_taken_is_not_begun_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let record = record();
    store.create_session(record.clone(), None).await.unwrap();
    for ts in ["1.1", "1.2"] {
        accept(&store, message(ts, ts), plain()).await;
    }
    let waits = store.next_in(&key(), Line::Turn).await.unwrap().unwrap().seq;
    store.snapshot(0, 5_000).await.unwrap();
    store.close().await;
    fs::write(dir.path().join(DATABASE), "garbage").unwrap();
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    let cut_off = store.cut_off_turns().await.unwrap();
    let seqs: std::collections::BTreeSet<i64> = cut_off.iter().map(|turn| turn.seq).collect();
    assert_eq!(seqs, [waits, waits + 1].into(), "all of one conversation");
    assert!(cut_off.iter().all(|turn| turn.session_lives && turn.attempts == 1));
    assert!(store.queued(Line::Turn, 0, 9).await.unwrap().is_empty());
    assert_eq!(store.requeue_unreached().await.unwrap(), 0, "nothing of it counts as never started");
    let begun = store.begin_turn(Intent::follow(record.id), waits, TEXT.to_owned(), 1).await.unwrap();
    assert_eq!(begun, Begun::NotWaiting);
}

// holds: S-6
#[tokio::test]
async fn whatever_was_owed_when_the_snapshot_was_taken_may_have_been_sent_since() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let row = || Owed {
        id: OwedId::new(),
        conversation: key(),
        turn: None,
        answers: None,
        op: Op::Post(Body::Text("hi".into())),
    };
    let rows = vec![row(), row()];
    store.owe(rows.clone(), None, 1).await.unwrap();
    assert!(store.snapshot(0, 5_000).await.unwrap());
    store.close().await;
    fs::remove_file(dir.path().join(DATABASE)).unwrap();
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    for row in rows {
        assert!(store.still_owed(row.id).await.unwrap().unwrap().trouble.doubtful);
    }
    store.close().await;
}

#[tokio::test]
async fn a_command_that_waited_when_the_snapshot_was_taken_is_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    accept(&store, message("1.1", "E1"), Keep { line: Line::Command, ..plain() }).await;
    accept(&store, message("1.2", "E2"), Keep { line: Line::AtOnce, ..plain() }).await;
    assert_eq!(store.queued(Line::Command, 0, 9).await.unwrap().len(), 1);
    store.snapshot(0, 5_000).await.unwrap();
    store.close().await;
    fs::write(dir.path().join(DATABASE), "garbage").unwrap();
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    assert!(store.queued(Line::Command, 0, 9).await.unwrap().is_empty());
    assert!(store.cut_off_acts().await.unwrap().is_empty(), "nor what was to be done at once");
    assert_eq!(store.count_dead_letters().await.unwrap(), 2);
}

#[tokio::test]
async fn a_close_in_order_leaves_one_file() {
    let dir = left_behind(false).await;
    let companions = COMPANIONS.map(|name| dir.path().join(name).exists());
    assert_eq!(companions, [false, false]);
}

/// Makes a database as the second version did, with a run, a message that waits and an answer that is owed.
fn made_by_version_2(path: &Path) {
    let earlier = Connection::open(path).unwrap();
    earlier.execute_batch(concat!(include_str!("../schema/1.sql"), include_str!("../schema/2.sql"))).unwrap();
    earlier.pragma_update(None, "user_version", 2).unwrap();
    let rows = "INSERT INTO run VALUES ('one', 1);
        INSERT INTO inbox (seq, team, channel, thread, line, state, version, body, received_ms)
            VALUES (7, 'T', 'C', '1', 'turn', 'queued', 1, '{}', 5);
        INSERT INTO outbox (id, team, channel, thread, op, state, created_ms) VALUES ('a', 'T', 'C', '1', '{}', 'pending', 1);";
    earlier.execute_batch(rows).unwrap();
}

/// Everything that a database holds: its shape, the version of that, and its rows.
fn content(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut rows = connection.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    let tables = texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL ORDER BY name");
    let rows = tables.iter().flat_map(|table| {
        let columns =
            texts(&format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')")).join(" || ',' || ");
        texts(&format!("SELECT '{table} ' || {columns} FROM \"{table}\" ORDER BY 1"))
    });
    let shape = "SELECT name || ': ' || coalesce(sql, 'made by itself') FROM sqlite_schema ORDER BY name";
    let version = "SELECT 'version ' || user_version FROM pragma_user_version";
    ["PRAGMA integrity_check", version, shape].into_iter().flat_map(texts).chain(rows).collect()
}

#[tokio::test]
async fn f_84_whoever_goes_back_to_an_earlier_version_finds_its_whole_store_in_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    made_by_version_2(&path);
    let before = content(&path);
    assert_eq!(before[..2], ["ok", "version 2"]);
    // The upgrade, and what goes on with the newer version; an earlier one refuses its store, as this one does a later one's.
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    for n in 0..6 {
        store.begin_run(format!("since {n}"), 1).await.unwrap();
        assert!(store.snapshot(0, 10_000 + n).await.unwrap());
    }
    store.close().await;
    assert_eq!(content(&path)[1], format!("version {}", schema::VERSION));
    // As the README says it: the database and all snapshots but that one go elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&path, elsewhere.path().join(DATABASE)).unwrap();
    let kept = dir.path().join("snapshots/19700101T000009.000Z.schema-2.db");
    let (earlier, newer): (Vec<_>, Vec<_>) =
        snapshots::stored(dir.path()).unwrap().into_iter().partition(|snapshot| snapshot.path == kept);
    assert_eq!((earlier.len(), newer.len()), (1, 4), "it outlives the newer ones");
    for snapshot in newer {
        fs::remove_file(snapshot.path).unwrap();
    }
    assert_eq!(content(&kept), before, "the whole of it, as the earlier version left it");
    // And an earlier version does what this one does: it puts the copy in the place of what is missing.
    let store = Store::open_or_restore(dir.path(), Repair { now_ms: 20_000, ..REPAIR }).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one"]);
    store.close().await;
}

#[tokio::test]
async fn of_snapshots_before_a_migration_the_newest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    for now_ms in [1_000, 2_000, 3_000] {
        let path = dir.path().join(DATABASE);
        snapshots::remove(&path).unwrap();
        made_by_version_2(&path);
        Store::open_or_restore(dir.path(), Repair { now_ms, ..REPAIR }).unwrap().close().await;
    }
    let kept = snapshots::stored(dir.path()).unwrap();
    assert_eq!((kept.len(), kept[0].taken.as_str()), (1, "19700101T000003.000Z"));
    assert_eq!(damage::check_file(&kept[0].path).unwrap(), 2);
}

/// An index that has lost an entry: the check at the start does not look, and the writer meets it.
fn lose_index_entry(path: &Path) {
    const SQL: &str = "
        PRAGMA writable_schema = ON;
        CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'outbox_pending';
        DELETE FROM sqlite_schema WHERE name = 'outbox_pending';
        PRAGMA writable_schema = RESET;";
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(SQL).unwrap();
    connection.execute_batch("UPDATE outbox SET pos = pos + 1000").unwrap();
    let sql =
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema = RESET";
    connection.execute_batch(sql).unwrap();
}

// holds: M-4
#[tokio::test]
async fn damage_that_is_met_while_running_is_repaired_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = OwedId::new();
    let owed = Owed { id, conversation: key(), turn: None, answers: None, op: Op::Post(Body::Text("hi".into())) };
    store.owe(vec![owed], None, 1).await.unwrap();
    assert!(store.snapshot(0, 5_000).await.unwrap());
    store.close().await;
    let path = dir.path().join(DATABASE);
    lose_index_entry(&path);
    let store = Store::open_or_restore(dir.path(), REPAIR).expect("the check at the start does not look there");
    assert!(asides(dir.path()).is_empty());
    store.delivered(id, None).await.expect("a note, written later");
    store.close().await;
    assert!(damage::was_met(&path));
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    assert!(!asides(dir.path()).is_empty() && !damage::was_met(&path));
    store.delivered(id, None).await.unwrap();
    store.close().await;
    assert!(!damage::was_met(&path));
}

#[tokio::test]
async fn a_store_that_is_sound_after_all_is_kept() {
    let dir = left_behind(true).await;
    let path = dir.path().join(DATABASE);
    damage::met(&Connection::open(&path).unwrap());
    assert!(damage::was_met(&path));
    let store = Store::open_or_restore(dir.path(), REPAIR).unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one", "two"]);
    assert!(!damage::was_met(&path) && asides(dir.path()).is_empty());
}

/// A state directory whose store is damaged, and what is to be met first among its snapshots.
async fn left_beside(snapshot: impl FnOnce(&Path)) -> tempfile::TempDir {
    let dir = left_behind(true).await;
    snapshot(&dir.path().join("snapshots/19700101T000006.000Z.db"));
    fs::write(dir.path().join(DATABASE), "garbage").unwrap();
    dir
}

#[tokio::test]
async fn no_older_snapshot_takes_the_place_of_one_that_may_be_good() {
    let newer = left_beside(|path| {
        Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    });
    let newer = newer.await;
    assert!(matches!(Store::open_or_restore(newer.path(), FRESH), Err(OpenError::Newer { found: 99, .. })));
    let unreadable = left_beside(|path| fs::create_dir(path).unwrap()).await;
    assert!(matches!(Store::open_or_restore(unreadable.path(), FRESH), Err(OpenError::Database { .. })));
    for dir in [&newer, &unreadable] {
        assert_eq!(fs::read(dir.path().join(DATABASE)).unwrap(), b"garbage", "nothing is touched");
    }
}

#[tokio::test]
async fn snapshots_that_cant_be_listed_are_not_taken_for_none() {
    let dir = left_behind(false).await;
    fs::write(dir.path().join("snapshots"), "no directory").unwrap();
    for damaged in ["garbage", ""] {
        fs::write(dir.path().join(DATABASE), damaged).unwrap();
        assert!(matches!(Store::open_or_restore(dir.path(), FRESH), Err(OpenError::Snapshots { .. })), "{damaged:?}");
    }
}
