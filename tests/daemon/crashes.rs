//! A daemon that is killed again and again, hangs, or is not read, and what its operator sees of that.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Daemon, Running, Slack, ask_control, readiness, text, until};
use crate::process::eventually;
use crate::program::program;

const CHANNEL: &str = "C0GENERAL";

fn say(slack: &Slack, text: &str) -> String {
    slack.say("U0ALICE", CHANNEL, None, &format!("@hitchline {text}"))
}

#[test]
fn a_daemon_that_crashes_in_a_loop_takes_messages_and_begins_no_turn() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    for _ in 0..5 {
        slack.daemon(dir).kill();
    }
    let daemon = slack.daemon(dir);
    let ts = say(&slack, "is anybody there?");
    slack.wait_for_calls("reactions.add", 1);
    assert!(slack.replies(CHANNEL, &ts).is_empty());
    let (ready, body) = readiness(dir);
    assert!(ready, "it takes messages: {body}");
    let (_, status) = ask_control(dir, "/status");
    assert!(status.contains("safe mode"), "{status}");
    let (_, counted) = ask_control(dir, "/metrics");
    assert!(counted.contains("hitchline_safe_mode 1"), "{counted}");
    let log = daemon.log();
    assert!(log.contains("Safe mode, because the daemon has crashed again and again") && log.contains("pause_s=300"));
    daemon.kill();
    let daemon = slack.daemon(dir);
    daemon.wait_for_log("pause_s=600");
    assert_eq!(daemon.stop(), 0, "what is held back does not hold up a stop");
    let daemon = slack.daemon(dir);
    slack.wait_for_answer(CHANNEL, &ts, "is anybody there?");
    assert_eq!(daemon.stop(), 0, "an orderly end is the end of the loop");
}

#[test]
fn a_start_that_never_reached_slack_is_no_crash() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    for _ in 0..3 {
        assert_eq!(slack.refused(dir, "xoxb-simulator", "xoxb-somebody-else").0, 78);
        let daemon = slack.lonely(dir);
        daemon.wait_for_log("trying again");
        assert_eq!(daemon.stop(), 0);
    }
    let daemon = slack.daemon(dir);
    let (code, log) = daemon.end(Signal::TERM);
    assert!(code == 0 && !log.contains("Safe mode"), "{log}");
}

/// A service manager that watches.
fn watched(slack: &Slack, dir: &str) -> (Running, UnixDatagram) {
    let socket = format!("{dir}/notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let daemon = slack.daemon_in(dir, &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "2000000")]);
    (daemon, manager)
}

/// What the daemon says to its manager next; nothing within the time-out.
fn heard(manager: &UnixDatagram) -> Option<String> {
    let mut said = [0; 1_024];
    let length = manager.recv(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said[..length]).into_owned())
}

/// Waits until the daemon has given so many signs of life.
fn feeds(manager: &UnixDatagram, times: usize) {
    let mut said = String::new();
    while said.matches("WATCHDOG=1").count() < times {
        said.push_str(&heard(manager).expect("it gives signs of life"));
    }
}

/// Lets every thread of the daemon that makes one of these calls stand still in it, for longer than any test lasts.
fn hang(strace: &Path, daemon: &Running, calls: &str) -> Child {
    Command::new(strace)
        .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:delay_enter=60s"), "-p", &daemon.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether the daemon falls silent, for longer than its manager waits, while what happens is `meanwhile`. One that goes on is believed
/// after some signs of life.
fn falls_silent(manager: &UnixDatagram, mut meanwhile: impl FnMut()) -> bool {
    const SIGNS: usize = 20;
    manager.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let is_silent = (0..SIGNS).any(|_| {
        meanwhile();
        heard(manager).is_none()
    });
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    is_silent
}

#[test]
fn f_67_while_its_executor_stands_still_a_daemon_gives_no_sign_of_life_and_says_so_afterwards() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let (daemon, manager) = watched(&slack, dir);
    feeds(&manager, 3);
    // The thread that turns the runtime's wheel, which nobody wakes, is held fast where it would look at its clock and its sockets.
    let mut blocked = hang(&strace, &daemon, "?epoll_wait,?epoll_pwait");
    let silent = falls_silent(&manager, || ());
    let unheard = say(&slack, "is anybody there?");
    let is_answered = eventually(Duration::from_secs(1), || slack.replies(CHANNEL, &unheard).pop()).is_some();
    blocked.kill().unwrap();
    blocked.wait().unwrap();
    assert!(silent && !is_answered, "silent: {silent}, answers: {is_answered}");
    daemon.wait_for_log("stands still part=\"runtime\"");
    feeds(&manager, 2);
    let (_, counted) = ask_control(dir, "/metrics");
    assert!(counted.contains("hitchline_stalls_total{part=\"runtime\"} 1"), "{counted}");
    slack.wait_for_answer(CHANNEL, &unheard, "is anybody there?");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_67_while_its_store_stands_still_a_daemon_gives_no_sign_of_life() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let (daemon, manager) = watched(&slack, dir);
    feeds(&manager, 3);
    // The store's writer hangs in its next commit.
    let mut blocked = hang(&strace, &daemon, "fdatasync,fsync");
    let silent = falls_silent(&manager, || drop(say(&slack, "hang")));
    blocked.kill().unwrap();
    blocked.wait().unwrap();
    assert!(silent, "no sign of life for longer than the manager waits");
    daemon.wait_for_log("stands still part=\"store\"");
    daemon.kill();
}

#[test]
fn f_79_nobody_who_reads_the_log_holds_up_the_daemon() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    // Its pipe is never read, and is full at once.
    let mut daemon = slack.unread(dir, "[log]\nlevel = \"trace\"\n");
    let ts = say(&slack, "hello");
    slack.wait_for_answer(CHANNEL, &ts, "hello");
    for n in 0..40 {
        let text = format!("number {n}");
        slack.say("U0ALICE", CHANNEL, Some(&ts), &text);
        slack.wait_for_answer(CHANNEL, &ts, &text);
    }
    // And now there is not even a pipe any more.
    daemon.close_log();
    slack.say("U0ALICE", CHANNEL, Some(&ts), "closed");
    slack.wait_for_answer(CHANNEL, &ts, "closed");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended_unread(), 0);
}

#[test]
fn f_77_a_second_signal_hurries_and_a_hang_up_changes_nothing() {
    let daemon = Daemon::start(&[]);
    let ts = daemon.say("U0ALICE", CHANNEL, None, "@hitchline !sleep 60");
    daemon.wait_for_turn(CHANNEL, &ts);
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("SIGHUP changes nothing");
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("Draining");
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.ended_within(Duration::from_secs(3));
    assert!(code == 0 && log.contains("A second signal"), "{log}");
}

#[test]
fn f_68_without_descriptors_no_agent_starts_and_all_else_goes_on() {
    let (Some(python), Some(prlimit)) = (program("python3"), program("prlimit")) else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fake_agent.py");
    let slack = Slack::start();
    let daemon = slack.daemon_with(dir, &[python.to_str().unwrap(), script], "1s");
    let limited = Command::new(prlimit).args(["--nofile=64:64", "--pid", &daemon.id().to_string()]).status();
    assert!(limited.unwrap().success());
    let threads: Vec<String> = (0..20).map(|_| say(&slack, "hello")).collect();
    until("each is answered", || threads.iter().all(|thread| !slack.replies(CHANNEL, thread).is_empty()));
    let is_refused = |thread: &&String| text(&slack.replies(CHANNEL, thread)[0]).contains("too few file descriptors");
    let (refused, started): (Vec<_>, Vec<_>) = threads.iter().partition(is_refused);
    assert!(!refused.is_empty() && !started.is_empty(), "{} refused, {} started", refused.len(), started.len());
    assert!(readiness(dir).0);
    let first = started[0];
    let before = slack.replies(CHANNEL, first).len();
    slack.say("U0ALICE", CHANNEL, Some(first), "go on");
    until("who has an agent is answered", || slack.replies(CHANNEL, first).len() > before);
    assert_eq!(daemon.stop(), 0);
}
