//! A start that brings the store of an earlier version along, and is cut off while it does.

use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::harness::Slack;
use crate::process::{DEADLINE, Process};
use crate::program::program;

/// How the second version made its store.
const SCRIPTS: [&str; 2] = [include_str!("../../src/store/schema/1.sql"), include_str!("../../src/store/schema/2.sql")];
const ROWS: i64 = 5;
/// The version that this daemon writes.
const NEWEST: i64 = 4;

/// The state directory that a killed daemon of the second version leaves, with messages that wait.
fn left_behind(state: &Path) {
    fs::create_dir(state).unwrap();
    let store = Connection::open(state.join("hitchline.db")).unwrap();
    store.execute_batch(&SCRIPTS.concat()).unwrap();
    store.execute_batch("PRAGMA user_version = 2; PRAGMA journal_mode = WAL;").unwrap();
    let row = "INSERT INTO inbox (team, channel, thread, line, state, version, body, received_ms) \
               VALUES ('T0SIM', 'C0GENERAL', ?1, 'turn', 'queued', 1, ?2, ?1)";
    for n in 0..ROWS {
        let body = format!(r#"{{"author":{{"user":"U{n}"}},"padding":"{}"}}"#, "x".repeat(500));
        store.execute(row, rusqlite::params![n, body]).unwrap();
    }
}

/// The schema's version, and how many messages have an author that the third version gives them.
fn found(state: &Path) -> (i64, i64) {
    let store = Connection::open(state.join("hitchline.db")).unwrap();
    let version = store.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let column = if version == 2 { "json_extract(body, '$.author.user')" } else { "author" };
    let sql = format!("SELECT count(*) FROM inbox WHERE state = 'queued' AND {column} = 'U' || received_ms");
    (version, store.query_row(&sql, [], |row| row.get(0)).unwrap())
}

/// Starts the daemon, to which a signal comes as one of its threads makes its `n`th call of a kind; its exit code and its log.
fn started(strace: &Path, config: &str, signal: &str, calls: &str, n: usize) -> (i32, String) {
    let inject = format!("inject={calls}:signal={signal}:when={n}");
    let mut command = Command::new(strace);
    command.args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]);
    command.args([env!("CARGO_BIN_EXE_hitchline"), "run", "--config", config]);
    Process::spawn(&mut command, &[]).ended(DEADLINE)
}

#[test]
fn f_76_a_start_that_is_cut_off_in_a_migration_is_followed_by_one_that_makes_it() {
    let Some(strace) = program("strace") else { return };
    let slack = Slack::start();
    let whole = tempfile::tempdir().unwrap();
    left_behind(&whole.path().join("state"));
    for (signal, cut_off) in [("SIGKILL", -1), ("SIGTERM", 0)] {
        let mut versions = Vec::new();
        for (calls, step) in [("pwrite64", 6), ("fsync,fdatasync", 1)] {
            for n in (1..).step_by(step) {
                let place = copied(&whole);
                let (dir, state) = (place.path().to_str().unwrap(), place.path().join("state"));
                // A token that Slack refuses ends it as soon as its store is open.
                let config = slack.configure_refused(dir);
                let (code, log) = started(&strace, &config, signal, calls, n);
                if code == 78 {
                    break;
                }
                assert_eq!(code, cut_off, "{signal} {calls} {n}: {log}");
                let (version, rows) = found(&state);
                assert_eq!(rows, ROWS, "{signal} {calls} {n}");
                versions.push(version);
                let (code, log) = Process::start(&["run", "--config", &config], &[]).ended(DEADLINE);
                assert_eq!(code, 78, "{signal} {calls} {n}: {log}");
                assert_eq!(found(&state), (NEWEST, ROWS), "{signal} {calls} {n}");
            }
        }
        let cut = versions.iter().filter(|version| **version == 2).count();
        // Who is only asked to stop may finish the step.
        let is_through = signal == "SIGTERM" || (cut > 5 && cut < versions.len());
        assert!(is_through && versions.len() > 5, "{signal} came before the step, and with its commit: {versions:?}");
    }
}

fn copied(whole: &tempfile::TempDir) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("state")).unwrap();
    for file in fs::read_dir(whole.path().join("state")).unwrap().flatten() {
        fs::copy(file.path(), place.path().join("state").join(file.file_name())).unwrap();
    }
    place
}
