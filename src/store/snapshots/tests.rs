use std::os::unix::fs::PermissionsExt;

use super::*;

fn open() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(dir.path()).unwrap(), dir)
}

/// The runs that a snapshot knows.
fn runs(snapshot: &Snapshot) -> u32 {
    let connection = Connection::open(&snapshot.path).unwrap();
    connection.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap()
}

// holds: M-4
#[tokio::test]
async fn a_snapshot_holds_what_was_committed_and_only_its_owner_may_read_it() {
    let (store, dir) = open();
    assert!(!store.snapshot(0, 1_000).await.unwrap(), "nothing has changed yet");
    store.begin_run("one".to_owned(), 1).await.unwrap();
    assert!(store.snapshot(0, 1_000).await.unwrap());
    store.probe().await.unwrap();
    assert!(!store.snapshot(0, 2_000).await.unwrap(), "nothing has changed since");
    store.begin_run("two".to_owned(), 1).await.unwrap();
    assert!(store.snapshot(0, 3_000).await.unwrap());
    let found = stored(dir.path()).unwrap();
    let names: Vec<_> = found.iter().map(|snapshot| snapshot.taken.as_str()).collect();
    assert_eq!(names, ["19700101T000003.000Z", "19700101T000001.000Z"]);
    assert_eq!((runs(&found[0]), runs(&found[1])), (2, 1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join(DIR)), mode(&found[0].path)), (0o700, 0o600));
}

#[tokio::test]
async fn the_newest_four_are_kept_and_what_was_half_made_is_removed() {
    let (store, dir) = open();
    fs::create_dir(dir.path().join(DIR)).unwrap();
    fs::write(dir.path().join(DIR).join(PARTIAL), "half").unwrap();
    for n in 1..=6 {
        store.begin_run(n.to_string(), 1).await.unwrap();
        assert!(store.snapshot(0, n * 1_000).await.unwrap());
    }
    let known: Vec<_> = stored(dir.path()).unwrap().iter().map(runs).collect();
    assert_eq!(known, [6, 5, 4, 3]);
    assert_eq!(fs::read_dir(dir.path().join(DIR)).unwrap().count(), KEEP);
}

#[tokio::test]
async fn the_writer_goes_on_while_a_snapshot_is_read() {
    let (store, dir) = open();
    store.begin_run("before".to_owned(), 1).await.unwrap();
    let reading = Connection::open_with_flags(dir.path().join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reading.execute_batch("BEGIN; SELECT * FROM run").unwrap();
    store.begin_run("meanwhile".to_owned(), 1).await.unwrap();
    let seen: u32 = reading.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap();
    assert_eq!((seen, store.open_runs().await.unwrap().len()), (1, 2));
}

#[tokio::test]
async fn a_damaged_database_is_never_taken_for_a_snapshot() {
    let (store, dir) = open();
    store.begin_run("one".to_owned(), 1).await.unwrap();
    store.close().await;
    let path = dir.path().join(DATABASE);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 1_024 * 1_024;
    bytes[middle..].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    assert!(take(dir.path(), 0, 1_000, "").is_err());
    assert!(stored(dir.path()).unwrap().is_empty());
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_told_once_and_leaves_nothing() {
    let (store, dir) = open();
    store.begin_run("one".to_owned(), 1).await.unwrap();
    let refused = store.snapshot(u64::MAX, 1_000).await.unwrap_err();
    assert!(refused.to_string().contains("bytes on the disk"), "{refused}");
    assert!(!store.snapshot(u64::MAX, 2_000).await.unwrap(), "told before");
    assert_eq!(fs::read_dir(dir.path().join(DIR)).unwrap().count(), 0);
    assert!(store.snapshot(0, 3_000).await.unwrap(), "now there is room");
    store.begin_run("two".to_owned(), 1).await.unwrap();
    store.snapshot(u64::MAX, 4_000).await.expect_err("told again");
}

#[tokio::test]
async fn a_copy_that_fails_half_way_is_removed() {
    let (store, dir) = open();
    store.begin_run("one".to_owned(), 1).await.unwrap();
    let snapshots = dir.path().join(DIR);
    // In the way of the name that it is to have.
    fs::create_dir_all(snapshots.join("19700101T000001.000Z.db/x")).unwrap();
    fs::write(snapshots.join(PARTIAL_JOURNAL), "half").unwrap();
    store.snapshot(0, 1_000).await.unwrap_err();
    let left = [PARTIAL, PARTIAL_JOURNAL].map(|name| snapshots.join(name).exists());
    assert_eq!(left, [false, false]);
}

#[tokio::test]
async fn one_that_is_dated_after_now_displaces_none() {
    let (store, dir) = open();
    for n in 0..KEEP {
        store.begin_run(format!("wrong clock {n}"), 1).await.unwrap();
        assert!(store.snapshot(0, 4_000_000_000_000 + i64::try_from(n).unwrap()).await.unwrap());
    }
    for n in 1..=3 {
        store.begin_run(n.to_string(), 1).await.unwrap();
        assert!(store.snapshot(0, n * 1_000).await.unwrap());
    }
    let known: Vec<_> = by_age(dir.path(), 3_000).unwrap().iter().map(runs).collect();
    assert_eq!(known, [7, 6, 5, 4]);
    assert_eq!(newest_good(dir.path(), 3_000).unwrap().map(|found| runs(&found)), Some(7));
}
