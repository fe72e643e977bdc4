//! A disk that is full, slow, locked or broken.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Running, Slack, readiness, until, until_within};
use crate::process::eventually;
use crate::program::{not_run, program};

const CHANNEL: &str = "C0GENERAL";

/// A disk of a fixed size, for as long as it lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Nothing, and the running test is noted as not run, where this process may not mount.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(dir.path()).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            not_run("only root may mount a small disk");
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Fills it to the last byte, except for `left`.
    fn fill(&self, left: u64) {
        let disk = rustix::fs::statvfs(self.0.path()).unwrap();
        let bytes = (disk.f_bavail * disk.f_frsize).saturating_sub(left);
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        let written = filler.write_all(&vec![0xFF; usize::try_from(bytes).unwrap()]);
        assert!(written.is_ok() || left == 0, "{written:?}");
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Makes system calls of a running process fail or wait, until it is dropped.
struct Faulty(Child);

impl Faulty {
    fn calls(strace: &Path, daemon: &Running, what: &str) -> Self {
        let id = daemon.id();
        let inject = format!("inject={what}");
        let child = Command::new(strace)
            .args([
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync,pwrite64",
                "-e",
                &inject,
                "-p",
                &id.to_string(),
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("every thread is watched", || {
            let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
            threads.map(|thread| thread.path().join("status")).all(|status| {
                // A thread that has ended meanwhile needs no watching.
                fs::read_to_string(status).map_or(true, |status| !status.contains("TracerPid:\t0\n"))
            })
        });
        Self(child)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _gone = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), Signal::TERM);
        let _reaped = self.0.wait();
    }
}

/// A daemon with its state on this disk, of which it keeps 512 KiB free.
fn daemon_on(slack: &Slack, disk: &SmallDisk) -> Running {
    daemon_keeping("512KiB", slack, disk)
}

fn daemon_keeping(free: &str, slack: &Slack, disk: &SmallDisk) -> Running {
    let line = format!("dir = \"{}/state\"\n", disk.path());
    slack.changed(disk.path(), &line, &format!("{line}min_free = \"{free}\"\n"))
}

fn say(slack: &Slack, text: &str) -> String {
    slack.say("U0ALICE", CHANNEL, None, &format!("@hitchline {text}"))
}

#[test]
fn f_38_without_room_nothing_new_is_taken_until_there_is_some() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let slack = Slack::start();
    let daemon = daemon_on(&slack, &disk);
    let before = say(&slack, "before");
    slack.wait_for_answer(CHANNEL, &before, "before");

    disk.fill(200 << 10);
    until("not ready, with its reason", || {
        let (ready, reasons) = readiness(disk.path());
        !ready
            && reasons.contains("store.min_free (512KiB)")
            && reasons.contains(disk.path())
            && reasons.contains("free some")
    });
    for n in 0..3 {
        say(&slack, &format!("refused {n}"));
    }
    daemon.wait_for_log("the connections to Slack are closed until they can");
    assert!(daemon.log().contains("so it is not acknowledged"), "{}", daemon.log());
    let (_, reasons) = readiness(disk.path());
    assert!(!reasons.contains("greeted"), "that there is no connection is no riddle: {reasons}");

    disk.empty();
    until_within(Duration::from_secs(10), "ready again by itself", || readiness(disk.path()).0);
    let after = say(&slack, "after");
    slack.wait_for_answer(CHANNEL, &after, "after");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_38_a_commit_that_finds_no_room_is_not_acknowledged_and_its_message_is_answered_once_there_is_some() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let slack = Slack::start();
    // It keeps nothing free, so that only the file system itself says no.
    let daemon = daemon_keeping("0", &slack, &disk);
    let before = say(&slack, "before");
    slack.wait_for_answer(CHANNEL, &before, "before");
    disk.fill(0);
    let refused: Vec<String> = (0..3).map(|n| say(&slack, &format!("refused {n}"))).collect();
    daemon.wait_for_log("the connections to Slack are closed until they can");
    let acks = |ts: &String| slack.acks(ts);
    assert!(
        acks(&before) > 0 && refused.iter().all(|ts| acks(ts) == 0),
        "{:?}",
        refused.iter().map(acks).collect::<Vec<_>>()
    );
    let log = daemon.log();
    assert!(log.contains("so it is not acknowledged") && log.contains("database or disk is full"), "{log}");
    assert!(!log.contains("store.min_free"), "no rule of ours refuses it: {log}");
    until("not ready", || !readiness(disk.path()).0);
    assert!(refused.iter().all(|ts| slack.replies(CHANNEL, ts).is_empty()));

    disk.empty();
    until_within(Duration::from_secs(10), "ready again by itself", || readiness(disk.path()).0);
    for (n, ts) in refused.iter().enumerate() {
        slack.wait_for_answer(CHANNEL, ts, &format!("refused {n}"));
    }
    // Whatever comes again, or is read back, comes before this.
    let fence = say(&slack, "fence");
    slack.wait_for_answer(CHANNEL, &fence, "fence");
    let answers: Vec<usize> = refused.iter().map(|ts| slack.replies(CHANNEL, ts).len()).collect();
    assert_eq!(answers, [1, 1, 1], "each once");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_39_an_answer_finds_room_when_there_is_none() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let slack = Slack::start();
    let daemon = daemon_on(&slack, &disk);
    let reserve = Path::new(disk.path()).join("state/reserve");
    assert!(reserve.exists());
    let ts = say(&slack, "!sleep 2");
    slack.wait_for_turn(CHANNEL, &ts);
    disk.fill(0);
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("user", "U0BOT"), ("final", "true")]);
    daemon.wait_for_log("the reserve is given up, so that answers can be stored");
    assert!(!reserve.exists());
    assert_eq!(slack.replies(CHANNEL, &ts).len(), 1);
    disk.empty();
    until("the reserve is made again", || reserve.exists());
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_start_without_room_waits_for_it() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let slack = Slack::start();
    assert_eq!(daemon_on(&slack, &disk).stop(), 0);
    disk.fill(100 << 10);
    let line = format!("dir = \"{}/state\"\n", disk.path());
    let daemon = slack.unready(disk.path(), &line, &format!("{line}min_free = \"512KiB\"\n"));
    daemon.wait_for_log("less than store.min_free (512KiB)");
    daemon.wait_for_log("the connections to Slack are closed until they can");
    disk.empty();
    until("ready", || readiness(disk.path()).0);
    let ts = say(&slack, "at last");
    slack.wait_for_answer(CHANNEL, &ts, "at last");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_turn_waits_for_room_and_its_message_does_not() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let slack = Slack::start();
    let daemon = daemon_on(&slack, &disk);
    disk.fill(1 << 20);
    daemon.wait_for_log("messages are stored but no turn begins");
    let ts = say(&slack, "patience");
    slack.wait_for_calls("reactions.add", 1);
    assert!(readiness(disk.path()).0, "it takes messages");
    assert!(slack.replies(CHANNEL, &ts).is_empty());
    disk.empty();
    slack.wait_for_answer(CHANNEL, &ts, "patience");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_40_a_disk_that_fails_to_sync_is_trusted_once_more_and_then_no_longer() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let mut daemon = slack.daemon(state.path().to_str().unwrap());
    let fault = Faulty::calls(&strace, &daemon, "fsync,fdatasync:error=EIO:when=1");
    let ts = say(&slack, "once");
    daemon.wait_for_log("The database is sound; going on");
    assert!(daemon.log().contains("so it is not acknowledged"), "{}", daemon.log());
    drop(fault);
    // It comes again, since it was not acknowledged.
    slack.wait_for_answer(CHANNEL, &ts, "once");
    assert_eq!(slack.replies(CHANNEL, &ts).len(), 1);

    let fault = Faulty::calls(&strace, &daemon, "fsync,fdatasync:error=EIO:when=1");
    say(&slack, "twice");
    daemon.wait_for_log("The disk failed again");
    drop(fault);
    let (code, log) = daemon.ended();
    assert_eq!(code, 70, "{log}");
}

#[test]
fn f_66_a_core_task_that_crashes_ends_the_daemon_and_the_next_one_goes_on() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let slack = Slack::start();
    let mut daemon = slack.daemon(dir);
    let fault = Faulty::calls(&strace, &daemon, "fsync,fdatasync:error=EIO");
    let ts = say(&slack, "whole again");
    let (code, log) = daemon.ended();
    drop(fault);
    assert_eq!(code, 70, "{log}");
    assert!(log.contains("A task crashed") && log.contains("task=\"store\""), "{log}");
    let daemon = slack.daemon(dir);
    slack.wait_for_answer(CHANNEL, &ts, "whole again");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_42_a_slow_disk_withholds_acknowledgements_and_answers_once() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(state.path().to_str().unwrap());
    let fault = Faulty::calls(&strace, &daemon, "fsync,fdatasync:delay_enter=3s");
    let ts = say(&slack, "slowly");
    daemon.wait_for_log("the store did not commit in time");
    drop(fault);
    slack.wait_for_answer(CHANNEL, &ts, "slowly");
    let fence = say(&slack, "fence");
    slack.wait_for_answer(CHANNEL, &fence, "fence");
    assert_eq!(slack.replies(CHANNEL, &ts).len(), 1, "what is delivered again is known");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn f_42_a_flood_on_a_slow_disk_takes_no_more_memory_than_its_bounds() {
    let Some(strace) = program("strace") else { return };
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(state.path().to_str().unwrap());
    let first = say(&slack, "first");
    slack.wait_for_answer(CHANNEL, &first, "first");
    let before = resident(&daemon);
    let fault = Faulty::calls(&strace, &daemon, "fsync,fdatasync:delay_enter=2s");
    let long = "word ".repeat(700);
    let mut most = before;
    for n in 0..400 {
        say(&slack, &format!("{n} {long}"));
        most = most.max(resident(&daemon));
    }
    daemon.wait_for_log("the store did not commit in time");
    most = most.max(resident(&daemon));
    assert!(most - before < 64 << 20, "{before} bytes before, {most} at the most");
    drop(fault);
    slack.say("U0ALICE", CHANNEL, Some(&first), "last");
    slack.wait_for_answer(CHANNEL, &first, "last");
    assert_eq!(slack.replies(CHANNEL, &first).len(), 2);
    assert_eq!(daemon.stop(), 0);
}

/// How many bytes of memory a daemon takes.
fn resident(daemon: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/statm", daemon.id())).unwrap();
    let pages: usize = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

#[test]
fn f_47_a_database_that_another_program_locks_for_half_a_minute_is_waited_for() {
    let state = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let daemon = slack.daemon(state.path().to_str().unwrap());
    let working = say(&slack, "!sleep 3");
    slack.wait_for_turn(CHANNEL, &working);
    let other = rusqlite::Connection::open(state.path().join("state/hitchline.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = say(&slack, "locked out");
    // The time for which it is locked is the fault itself.
    assert!(eventually(Duration::from_secs(30), || None::<()>).is_none());
    assert!(daemon.log().contains("the store did not commit in time"), "{}", daemon.log());
    assert!(daemon.log().contains("database is locked"), "{}", daemon.log());
    other.execute_batch("ROLLBACK").unwrap();
    slack.wait_for_answer(CHANNEL, &first, "locked out");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &working), ("user", "U0BOT"), ("final", "true")]);
    assert_eq!(slack.replies(CHANNEL, &first).len(), 1);
    assert_eq!(slack.replies(CHANNEL, &working).len(), 1, "the answer that could not be stored for so long");
    assert_eq!(daemon.stop(), 0);
}
