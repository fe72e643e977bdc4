//! The database's shape, and how one that an earlier version made gets there.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;

/// One script for each version: the first makes an empty database, each further one what is new. None is ever changed.
const SCRIPTS: [&str; 4] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
];

/// The version that this binary writes; a newer one is refused.
pub(super) const VERSION: usize = SCRIPTS.len();

/// Whether a database of this version can be worked with, if need be after bringing it along. One without a version is none of ours.
pub(super) fn is_known(version: i64) -> bool {
    usize::try_from(version).is_ok_and(|version| (1..=VERSION).contains(&version))
}

/// The version of a database that an earlier version of this binary wrote; nothing for any other.
pub(super) fn earlier(connection: &Connection) -> Option<i64> {
    found(connection).ok().filter(|version| is_known(*version) && usize::try_from(*version) != Ok(VERSION))
}

fn found(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a database to this binary's version, each step in a transaction of its own.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let found = found(connection).map_err(database)?;
    let known = usize::try_from(found).ok().and_then(|found| SCRIPTS.get(found..));
    let missing = known.ok_or_else(|| OpenError::Newer { path: path.to_owned(), found })?;
    let first = VERSION - missing.len() + 1;
    (first..).zip(missing).try_for_each(|(version, script)| step(connection, script, version)).map_err(database)
}

/// Runs one script. A step that fails is taken back when the connection is dropped.
fn step(connection: &Connection, script: &str, version: usize) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;"))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::domain::ids::SessionId;
    use crate::store::{DATABASE, Store};

    /// With what the scripts' SHA-256 begin. A new script gets a new one.
    const DIGESTS: [[u8; 4]; 4] =
        [[0x9e, 0xe6, 0xf7, 0x4d], [0xbe, 0x8e, 0x4f, 0x03], [0x3d, 0x3b, 0x17, 0x1e], [0x49, 0xb2, 0x26, 0xf3]];

    const ROWS: &str = "
        INSERT INTO session (id, team, channel, thread, backend, working_dir, description, creator, created_ms, last_active_ms, status)
            VALUES ('00000000000000000000000000000001', 'T', 'C', '1', 'echo', '/', 'one', 'U', 1, 2, 'active');
        INSERT INTO turn (id, session, seq, started_ms)
            VALUES ('00000000000000000000000000000002', '00000000000000000000000000000001', 1, 1);";

    fn made_with(version: usize, dir: &Path) -> Connection {
        let connection = Connection::open(dir.join(DATABASE)).unwrap();
        (1..=version).zip(SCRIPTS).for_each(|(version, script)| step(&connection, script, version).unwrap());
        connection
    }

    #[tokio::test]
    async fn what_an_earlier_version_wrote_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let event = "INSERT INTO inbox (seq, team, channel, thread, line, state, version, received_ms) \
                     VALUES (1, 'T', 'C', '1', 'turn', 'running', 1, 1);";
        made_with(1, dir.path()).execute_batch(&format!("{ROWS}{event}")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = SessionId::parse("00000000000000000000000000000001").unwrap();
        let found = store.session(id).await.unwrap().unwrap();
        assert_eq!((found.description.as_str(), found.last_active_ms, found.options.len()), ("one", 2, 0));
        assert_eq!(store.cut_off_turns().await.unwrap().len(), 1);
    }

    /// A row in every table of the second version, two where their order counts.
    const ROWS_OF_2: &str = r#"
        INSERT INTO run VALUES ('r', 1);
        INSERT INTO dedup VALUES ('event:E1', 1);
        INSERT INTO inbox (seq, team, channel, thread, line, state, version, body, received_ms) VALUES
            (7, 'T', 'C', '1', 'turn', 'queued', 1, '{"author":{"user":"U1"}}', 5),
            (8, 'T', 'C', '1', 'turn', 'queued', 1, 'no JSON', 4),
            (9, 'T', 'C', '1', 'turn', 'done', 1, NULL, 6);
        DELETE FROM inbox WHERE seq = 9;
        INSERT INTO outbox (pos, id, team, channel, thread, op, state, created_ms) VALUES
            (3, 'b', 'T', 'C', '1', '{}', 'pending', 1), (4, 'a', 'T', 'C', '1', '{}', 'pending', 1);
        INSERT INTO note (team, author, text, created_ms) VALUES ('T', 'U', 'n', 1);
        INSERT INTO chat_message (conversation, key, author, text, created_ms) VALUES ('web', 'k', 'web', 't', 1);"#;

    fn all(connection: &Connection, sql: &str) -> Vec<String> {
        let mut rows = connection.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn what_the_second_version_wrote_keeps_its_order_its_numbers_and_its_authors() {
        let dir = tempfile::tempdir().unwrap();
        let connection = made_with(2, dir.path());
        connection.execute_batch(&format!("{ROWS}{ROWS_OF_2}")).unwrap();
        let path = dir.path().join(DATABASE);
        let counts = |connection: &Connection| -> Vec<String> {
            let tables = ["run", "dedup", "inbox", "session", "turn", "outbox", "note", "chat_message"];
            tables
                .iter()
                .flat_map(|table| all(connection, &format!("SELECT '{table} ' || count(*) FROM {table}")))
                .collect()
        };
        let before = counts(&connection);
        migrate(&connection, &path).unwrap();
        assert_eq!(counts(&connection), before);
        assert!(before.iter().all(|count| !count.ends_with(" 0")), "{before:?}");
        let queued = "SELECT seq || author FROM inbox WHERE state = 'queued' ORDER BY said_us, seq";
        assert_eq!(all(&connection, queued), ["8", "7U1"]);
        assert_eq!(all(&connection, "SELECT id FROM outbox WHERE state = 'pending' ORDER BY pos"), ["b", "a"]);
        assert_eq!(
            all(&connection, "SELECT 'reached ' || reached FROM turn"),
            ["reached 1"],
            "nobody knows: it may have been"
        );
        connection
            .execute_batch(
                "INSERT INTO inbox (team, channel, thread, line, state, version, received_ms) \
                 VALUES ('T', 'C', '1', 'turn', 'done', 1, 1)",
            )
            .unwrap();
        assert_eq!(connection.last_insert_rowid(), 10, "a number that was given is never given again");
    }

    #[test]
    fn turns_of_one_conversation_that_an_earlier_version_left_are_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let connection = made_with(2, dir.path());
        let insert = "INSERT INTO inbox (seq, team, channel, thread, line, state, version, received_ms) VALUES";
        let rows = "(1, 'T', 'C', '1', 'turn', 'running', 1, 1), (2, 'T', 'C', '1', 'turn', 'running', 1, 1), \
                    (3, 'T', 'C', '1', 'at_once', 'running', 1, 1), (4, 'T', 'C', '2', 'turn', 'running', 1, 1)";
        connection.execute_batch(&format!("{insert} {rows}")).unwrap();
        migrate(&connection, &dir.path().join(DATABASE)).unwrap();
        let states = ["1 interrupted", "2 running", "3 running", "4 running"];
        assert_eq!(all(&connection, "SELECT seq || ' ' || state FROM inbox ORDER BY seq"), states);
    }

    #[test]
    fn f_76_a_process_that_is_killed_in_a_migration_leaves_the_version_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let connection = made_with(2, dir.path());
        connection.execute_batch(&format!("{ROWS}{ROWS_OF_2} PRAGMA journal_mode = WAL;")).unwrap();
        let killed = tempfile::tempdir().unwrap();
        // All of the step but its end, on disk as far as it gets there, and then copied as a kill leaves it.
        connection.pragma_update(None, "cache_size", 1).unwrap();
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {} PRAGMA user_version = 3;", SCRIPTS[2])).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap().flatten() {
            std::fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
        }
        let path = killed.path().join(DATABASE);
        let left = Connection::open(&path).unwrap();
        assert_eq!(found(&left).unwrap(), 2);
        assert_eq!(all(&left, "SELECT 'seq ' || seq FROM inbox ORDER BY seq"), ["seq 7", "seq 8"]);
        migrate(&left, &path).unwrap();
        assert_eq!(usize::try_from(found(&left).unwrap()), Ok(VERSION));
    }

    /// A script that has made a database is what that database is: who changes it finds neither its tables nor the way to them.
    #[test]
    fn no_script_is_ever_changed() {
        for (script, digest) in SCRIPTS.iter().zip(DIGESTS) {
            assert!(Sha256::digest(script).starts_with(&digest), "{}", script.lines().next().unwrap_or_default());
        }
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let connection = made_with(1, dir.path());
        // In the way of the last thing that a step makes.
        connection.execute_batch("CREATE TABLE chat_message_in (x)").unwrap();
        drop(connection);
        let path = dir.path().join(DATABASE);
        let connection = Connection::open(&path).unwrap();
        assert!(matches!(migrate(&connection, &path), Err(OpenError::Database { .. })));
        drop(connection);
        let connection = Connection::open(&path).unwrap();
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let notes = connection.prepare("SELECT 1 FROM note");
        assert_eq!((version, notes.is_err()), (1, true));
    }
}
