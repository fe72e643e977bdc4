//! Starts that can't work: one sentence, the right exit code, and nothing left running.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hitchline::clock::Clock;
use rustix::process::Signal;

use crate::harness::Slack;

/// The last line of a log: what a person reads first.
fn last(log: &str) -> &str {
    log.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn f_44_a_second_instance_is_told_so() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let first = slack.daemon(dir);
    let clock = Clock::system();
    let mut took = Vec::new();
    for _ in 0..3 {
        let begun = clock.now();
        let (code, log) = slack.refused(dir, "[access]", "[access]");
        took.push(clock.now() - begun);
        assert_eq!(code, 75, "{log}");
        assert!(last(&log).starts_with("hitchline: store.dir: another hitchline already works in"), "{log}");
    }
    // The quickest: on a busy machine each may have to wait for the processor.
    assert!(took.iter().min() <= Some(&Duration::from_secs(1)), "{took:?}");
    assert_eq!(first.stop(), 0, "the first one is not disturbed");
}

#[test]
fn f_46_a_store_of_a_newer_version_is_for_that_version() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    assert_eq!(slack.daemon(dir).stop(), 0);
    let database = rusqlite::Connection::open(state.path().join("state/hitchline.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let (code, log) = slack.refused(dir, "[access]", "[access]");
    assert!(code == 78 && last(&log).contains("was written by a newer hitchline (schema 99"), "{log}");
}

#[test]
fn a_second_instance_with_the_same_address_is_told_the_same() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (line, address) = ("listen = \"\"", format!("listen = \"{free}\""));
    let first = slack.changed(dir, line, &address);
    let (code, log) = slack.refused(dir, line, &address);
    assert_eq!(code, 75, "{log}");
    assert_eq!(first.stop(), 0, "the first one is not disturbed");
}

#[test]
fn what_slack_or_the_system_refuses_is_named_with_its_key() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let no_dir = format!("dir = \"{dir}/hitchline.toml/state\"");
    let cases = [
        ("xoxb-simulator", "xoxb-somebody-else", "hitchline: slack.bot_token: Slack refused it (invalid_auth)"),
        ("xapp-simulator", "xapp-somebody-else", "hitchline: slack.app_token: Slack refused it (invalid_auth)"),
        (&format!("dir = \"{dir}/state\""), &no_dir, "hitchline: store.dir: "),
        ("listen = \"\"", &taken, "hitchline: http.listen: "),
    ];
    for (line, changed, expected) in cases {
        let (code, log) = slack.refused(dir, line, changed);
        assert_eq!(code, 78, "{changed}: {log}");
        assert!(last(&log).starts_with(expected), "{changed}: {log}");
        assert!(!log.contains("somebody-else"), "a token is never repeated: {log}");
    }
}

// holds: C-4
#[test]
fn f_76_a_stop_during_the_start_is_a_clean_end() {
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.lonely(state.path().to_str().unwrap());
    daemon.wait_for_log("Connection refused (os error 111)");
    daemon.wait_for_log("delay_ms=");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn an_address_that_is_no_slack_is_named_with_its_key() {
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.unready(state.path().to_str().unwrap(), "/api/\"", "/elsewhere/\"");
    daemon.wait_for_log("/elsewhere/ is no Slack Web API (auth.test: 404 Not Found");
    let (code, log) = daemon.end(Signal::TERM);
    assert!(code == 0 && log.contains(" slack.api_url: http://127.0.0.1:"), "{log}");
}

#[test]
fn nobody_else_gets_at_the_state_in_a_directory_that_is_open() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("state");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(state.path().to_str().unwrap());
    let mode = |name| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    for name in ["hitchline.db", "hitchline.db-wal", "hitchline.db-shm", "lock", "ctl.sock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    let (code, log) = daemon.end(Signal::TERM);
    assert!(code == 0 && log.contains("may be opened by others than its owner; `chmod 700 "), "{log}");
}

#[test]
fn that_nobody_may_prompt_yet_is_said_once() {
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.changed(state.path().to_str().unwrap(), "users = [\"*\"]", "users = []");
    let (code, log) = daemon.end(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    assert_eq!(log.to_lowercase().matches("nobody may prompt yet").count(), 1, "{log}");
}
