use super::*;
use crate::scope::{OnCrash, Scope};

fn open() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(dir.path()).unwrap(), dir)
}

fn begin(connection: &Connection, id: &'static str) -> rusqlite::Result<usize> {
    connection.execute("INSERT INTO run (id, started_ms) VALUES (?1, 0)", [id])
}

#[tokio::test]
async fn a_change_that_crashes_takes_only_itself_back() {
    let (store, _dir) = open();
    let crashing = store.write(|connection| -> rusqlite::Result<()> {
        begin(connection, "crashing")?;
        panic!("boom")
    });
    let (crashed, neighbour) = tokio::join!(crashing, store.write(|connection| begin(connection, "neighbour")));
    assert!(matches!(crashed, Err(StoreError::Failed(why)) if why.contains("boom")));
    assert_eq!(neighbour.unwrap(), 1);
    assert_eq!(store.open_runs().await.unwrap(), ["neighbour"]);
}

#[tokio::test]
async fn what_crashes_after_its_commit_leaves_the_writer_running() {
    let (store, _dir) = open();
    let slot = store.slot().await.unwrap();
    Store::write_in(slot, |connection| begin(connection, "one"), |_| panic!("boom"));
    store.write(|connection| begin(connection, "two")).await.unwrap();
    assert_eq!(store.open_runs().await.unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn a_writer_that_ends_by_itself_is_a_crash_of_whoever_watches_it() {
    let (store, _dir) = open();
    let scope = Scope::new();
    let watched = store.clone();
    scope.spawn("store", OnCrash::Stop, async move { watched.ended().await });
    let slot = store.slot().await.unwrap();
    slot.0.send(Job { change: Box::new(|_| panic!("boom")), haste: Haste::Now });
    scope.finish().cancelled().await;
    assert_eq!(scope.crashed(), Some("store"));
    assert!(matches!(store.probe().await, Err(StoreError::Closed)));
    store.close().await;
}

fn malformed() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None)
}

// holds: M-4
#[tokio::test]
async fn damage_that_is_met_while_we_run_is_a_crash_of_whoever_watches_the_store() {
    for by_reading in [false, true] {
        let (store, _dir) = open();
        let scope = Scope::new();
        let watched = store.clone();
        scope.spawn("store", OnCrash::Stop, async move { watched.ended().await });
        let met = if by_reading {
            store.read(|_| Err::<(), _>(malformed())).await
        } else {
            store.write(|_| Err::<(), _>(malformed())).await
        };
        assert!(matches!(met, Err(StoreError::Failed(_))));
        scope.finish().cancelled().await;
        assert_eq!(scope.crashed(), Some("store"));
        store.close().await;
    }
}

#[tokio::test]
async fn a_writer_that_is_closed_ends_in_order() {
    let (store, _dir) = open();
    store.close().await;
    store.ended().await;
}

fn failing(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

#[tokio::test]
async fn an_error_of_the_disk_is_survived_once_and_its_commit_is_taken_back() {
    for by_reading in [false, true] {
        let (store, _dir) = open();
        let failed = async || {
            if by_reading {
                store.read(|_| Err::<(), _>(failing(rusqlite::ffi::SQLITE_IOERR_READ))).await
            } else {
                store
                    .write(|connection| {
                        begin(connection, "lost")?;
                        Err::<(), _>(failing(rusqlite::ffi::SQLITE_IOERR_FSYNC))
                    })
                    .await
            }
        };
        assert!(failed().await.is_err());
        store.write(|connection| begin(connection, "after")).await.unwrap();
        assert_eq!(store.open_runs().await.unwrap(), ["after"]);
        let scope = Scope::new();
        let watched = store.clone();
        scope.spawn("store", OnCrash::Stop, async move { watched.ended().await });
        assert!(failed().await.is_err());
        scope.finish().cancelled().await;
        assert_eq!(scope.crashed(), Some("store"), "a second error is one too many");
        store.close().await;
    }
}

#[tokio::test]
async fn f_41_a_disk_that_can_only_be_read_is_waited_for() {
    let (store, _dir) = open();
    store.pretend(crate::store::Room::ReadOnly);
    for _ in 0..3 {
        let failed = store.write(|_| Err::<(), _>(failing(rusqlite::ffi::SQLITE_IOERR_WRITE))).await;
        assert!(failed.is_err());
        assert!(store.takes_events().is_err(), "no acknowledgement, and not ready");
    }
    store.pretend(crate::store::Room::Ample);
    assert!(store.takes_events().is_ok());
    store.write(|connection| begin(connection, "written again")).await.unwrap();
    store.close().await;
    store.ended().await;
}

#[tokio::test]
async fn a_full_disk_costs_the_reserve_and_nothing_else() {
    let (store, dir) = open();
    store.keep_free(64 << 10);
    assert!(dir.path().join("reserve").exists());
    for _ in 0..2 {
        assert!(store.write(|_| Err::<(), _>(failing(rusqlite::ffi::SQLITE_FULL))).await.is_err());
    }
    store.write(|connection| begin(connection, "written again")).await.unwrap();
    assert!(!dir.path().join("reserve").exists());
}
