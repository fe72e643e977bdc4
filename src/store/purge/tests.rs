use super::*;
use crate::store::Accepted;
use crate::store::tests::{accept, message, plain};

/// Rows of every table, all of them over, each as old as its number says; four that are not over; and a batch and a half of keys.
const ROWS: &str = "
    INSERT INTO inbox (team, channel, thread, line, version, state, received_ms) VALUES
        ('T', 'C', '1', 'turn', 1, 'done', 1), ('T', 'C', '1', 'turn', 1, 'refused', 2),
        ('T', 'C', '1', 'turn', 1, 'dead', 3), ('T', 'C', '1', 'turn', 1, 'interrupted', 4), ('T', 'C', '1', 'turn', 1, 'queued', 1),
        ('T', 'C', '1', 'turn', 1, 'interrupted', 1);
    INSERT INTO session (id, team, channel, thread, backend, working_dir, description, creator, created_ms, last_active_ms, status,
        ended_ms)
        VALUES ('ended', 'T', 'C', '1', 'echo', '/', '', 'U', 1, 1, 'ended', NULL), ('used', 'T', 'C', '1', 'echo', '/', '', 'U', 1, 1, 'ended', 3),
        ('lately', 'T', 'C', 'w2', 'echo', '/', '', 'U', 1, 1, 'ended', 10), ('active', 'T', 'C', 'w3', 'echo', '/', '', 'U', 1, 1, 'active', NULL);
    INSERT INTO chat_message (conversation, key, author, text, created_ms) VALUES
        ('w1', 'said long ago', 'web', '', 1), ('w2', 'said before a late end', 'web', '', 1), ('w3', 'said in a session', 'web', '', 1);
    INSERT INTO turn (id, session, seq, outcome, started_ms, ended_ms) VALUES
        ('over', 'ended', 1, 'completed', 1, 2), ('open', 'used', 6, NULL, 1, NULL);
    INSERT INTO outbox (id, team, channel, thread, op, state, created_ms) VALUES
        ('sent', 'T', 'C', '1', '', 'sent', 1), ('dead', 'T', 'C', '1', '', 'dead', 2), ('owed', 'T', 'C', '1', '', 'pending', 1);
    INSERT INTO approval (id, turn, row, card) VALUES ('of sent', 'open', 'sent', ''), ('of owed', 'open', 'owed', '');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
        INSERT INTO dedup (key, seen_ms) SELECT 'key ' || i, 1 FROM n;
    INSERT INTO dedup (key, seen_ms) VALUES ('young', 10);
";

fn left(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT 'inbox ' || state FROM inbox UNION ALL SELECT id FROM session UNION ALL SELECT id FROM turn
               UNION ALL SELECT id FROM outbox UNION ALL SELECT key FROM chat_message UNION ALL SELECT key FROM dedup UNION ALL SELECT id FROM approval";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// One hour, in milliseconds.
const HOUR: i64 = 60 * 60 * 1_000;

/// What is promised, in milliseconds: seven days, whatever the code says.
fn week() -> i64 {
    168 * HOUR
}

const NOT_OVER: [&str; 11] = [
    "inbox queued",
    "inbox interrupted",
    "active",
    "lately",
    "used",
    "open",
    "owed",
    "said before a late end",
    "said in a session",
    "young",
    "of owed",
];

async fn filled() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(|connection| connection.execute_batch(ROWS)).await.unwrap();
    (store, dir)
}

#[tokio::test]
async fn what_has_been_over_for_a_week_is_forgotten_while_we_run() {
    let (store, _dir) = filled().await;
    store.purge(week() + 1).await.unwrap();
    assert_eq!(store.read(left).await.unwrap().len(), 1_500 + 21, "not a moment earlier");
    store.purge(week() + 5).await.unwrap();
    assert_eq!(store.read(left).await.unwrap(), NOT_OVER);
}

// holds: T-2
#[tokio::test]
async fn a_delivery_is_known_for_seven_days_and_no_purge_forgets_it_earlier() {
    const HEARD: i64 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let again = async || accept(&store, message("1.1", "E1"), plain()).await;
    let Accepted::Stored { seq, .. } = again().await else { panic!("not stored") };
    store.done(seq).await.unwrap();
    for age in [HOUR, week() - HOUR, week()] {
        store.purge(HEARD + age).await.unwrap();
        assert_eq!(again().await, Accepted::Duplicate, "{age} ms later");
    }
    store.purge(HEARD + week() + 1).await.unwrap();
    assert!(matches!(again().await, Accepted::Stored { .. }), "nothing is kept for ever");
}

#[tokio::test]
async fn no_commit_removes_more_than_a_batch() {
    let (store, _dir) = filled().await;
    let found = store.read(|connection| keys(connection, OLD[0].0, week() + 5)).await.unwrap();
    assert_eq!(found.len(), BATCH);
}

#[tokio::test]
async fn what_is_tried_again_while_it_is_about_to_be_forgotten_stays() {
    let (store, _dir) = filled().await;
    for (find, remove) in OLD {
        let found = store.read(move |connection| keys(connection, find, week() + 5)).await.unwrap();
        let again = "UPDATE inbox SET state = 'queued'; UPDATE outbox SET state = 'pending'";
        store.write(move |connection| connection.execute_batch(again)).await.unwrap();
        store.write(move |connection| forget(connection, remove, found)).await.unwrap();
        let set_back = "UPDATE inbox SET state = 'dead'; UPDATE outbox SET state = 'dead'";
        store.write(move |connection| connection.execute_batch(set_back)).await.unwrap();
    }
    let rows = "SELECT (SELECT count(*) FROM inbox) || ' ' || (SELECT count(*) FROM outbox)";
    let left: String = store.read(move |connection| connection.query_row(rows, [], |row| row.get(0))).await.unwrap();
    assert_eq!(left, "6 3");
}

#[tokio::test]
async fn the_audit_is_kept_for_ninety_days() {
    let (store, _dir) = filled().await;
    let row = "INSERT INTO audit (approval, at_ms, team, channel, thread, requester, command, outcome) \
               VALUES ('a', 10, 'T', 'C', '1', 'U', '', 'expired')";
    store.write(move |connection| connection.execute_batch(row)).await.unwrap();
    for (days, kept) in [(90, 1), (91, 0)] {
        store.purge(days * 24 * HOUR).await.unwrap();
        assert_eq!(store.audit(9).await.unwrap().len(), kept, "after {days} days");
    }
}
