//! State directories on file systems that can't be written, or relied on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Running, Slack, readiness, until, until_within};
use crate::program::{not_run, program};

const CHANNEL: &str = "C0GENERAL";

/// Runs a command of the system's; whether it worked.
fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file system that closes itself against writes when it finds an error, as that of most machines does.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// Nothing, and the running test is noted as not run, where this process may not mount.
    fn mount() -> Option<Self> {
        program("mkfs.ext4")?;
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        File::create(disk.image()).unwrap().set_len(32 << 20).unwrap();
        fs::create_dir(disk.path()).unwrap();
        assert!(works("mkfs.ext4", &["-q", "-F", text(&disk.image())]));
        if !disk.attach() {
            not_run("only root may mount a disk");
            return None;
        }
        Some(disk)
    }

    fn image(&self) -> std::path::PathBuf {
        self.dir.path().join("image")
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("disk")
    }

    fn attach(&self) -> bool {
        works("mount", &["-o", "loop,errors=remount-ro", text(&self.image()), text(&self.path())])
    }

    /// It finds an error.
    fn fail(&self) {
        assert!(works("mount", &["-o", "remount,abort", text(&self.path())]));
    }

    /// Somebody mends it and mounts it again.
    fn mend(&self) {
        assert!(works("umount", &[text(&self.path())]));
        assert!(self.attach());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = works("umount", &["-l", text(&self.path())]);
    }
}

fn daemon_on(slack: &Slack, dir: &str) -> Running {
    let line = format!("dir = \"{dir}/state\"\n");
    slack.changed(dir, &line, &format!("{line}min_free = \"512KiB\"\n"))
}

#[test]
fn f_41_a_disk_that_closes_itself_against_writes_is_waited_for() {
    let Some(disk) = Disk::mount() else { return };
    let dir = disk.path();
    let slack = Slack::start();
    let say = |text: &str| slack.say("U0ALICE", CHANNEL, None, &format!("@hitchline {text}"));
    let daemon = daemon_on(&slack, text(&dir));
    let before = say("before");
    slack.wait_for_answer(CHANNEL, &before, "before");

    disk.fail();
    let refused: Vec<String> = (0..3).map(|n| say(&format!("refused {n}"))).collect();
    daemon.wait_for_log("the connections to Slack are closed until they can");
    until("not ready, with its reason", || {
        let (ready, reasons) = readiness(text(&dir));
        !ready && reasons.contains("mount it for writing again")
    });
    assert!(refused.iter().all(|ts| slack.replies(CHANNEL, ts).is_empty()));
    let (code, log) = daemon.end_within(Signal::TERM, Duration::from_secs(12));
    assert!(code == 0 && log.contains("so it is not acknowledged"), "{log}");

    disk.mend();
    let daemon = daemon_on(&slack, text(&dir));
    until_within(Duration::from_secs(10), "ready again", || readiness(text(&dir)).0);
    for (n, ts) in refused.iter().enumerate() {
        slack.wait_for_answer(CHANNEL, ts, &format!("refused {n}"));
        assert_eq!(slack.replies(CHANNEL, ts).len(), 1);
    }
    assert_eq!(slack.replies(CHANNEL, &before).len(), 1);
    assert_eq!(daemon.stop(), 0);
}

/// A file system in user space: an empty directory, by this process.
struct UserSpace {
    dir: tempfile::TempDir,
    server: Option<JoinHandle<()>>,
}

impl UserSpace {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
            not_run("there is no /dev/fuse");
            return None;
        };
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "none", text(dir.path())])
            .stdin(device.try_clone().unwrap())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            not_run("only root may mount a file system in user space");
            return None;
        }
        Some(Self { dir, server: Some(spawn(move || serve(device))) })
    }
}

impl Drop for UserSpace {
    fn drop(&mut self) {
        let _unmounted = works("umount", &["-l", text(self.dir.path())]);
        let _ended = self.server.take().map(JoinHandle::join);
    }
}

/// Answers the kernel until the file system is unmounted, in the form of `linux/fuse.h`.
fn serve(mut device: File) {
    const LOOKUP: u32 = 1;
    const GETATTR: u32 = 3;
    const STATFS: u32 = 17;
    const INIT: u32 = 26;
    /// Those to which no answer is expected: forgotten nodes, interrupts.
    const UNANSWERED: [u32; 3] = [2, 36, 42];
    const NOT_FOUND: i32 = -2;
    const NOT_SUPPORTED: i32 = -38;

    let mut request = vec![0; 1 << 17];
    while device.read(&mut request).is_ok_and(|bytes| bytes >= 40) {
        let operation = u32::from_ne_bytes(request[4..8].try_into().unwrap());
        if UNANSWERED.contains(&operation) {
            continue;
        }
        let (error, body) = match operation {
            // Version 7.31, and nothing else that is more than it must be.
            INIT => (0, [7, 31].into_iter().chain([0; 14]).collect()),
            // A directory of root's.
            GETATTR => (0, (0..26).map(|word| if word == 19 { 0o40_755 } else { u32::from(word == 4) }).collect()),
            STATFS => (0, vec![0; 20]),
            LOOKUP => (NOT_FOUND, Vec::new()),
            _ => (NOT_SUPPORTED, Vec::new()),
        };
        let body: Vec<u8> = body.into_iter().flat_map(u32::to_ne_bytes).collect();
        let length = u32::try_from(16 + body.len()).unwrap();
        let answer = [&length.to_ne_bytes(), &error.to_ne_bytes(), &request[8..16], &body[..]].concat();
        let _unmounted = device.write_all(&answer);
    }
}

#[test]
fn f_45_a_state_directory_in_user_space_is_refused() {
    let Some(mount) = UserSpace::mount() else { return };
    let config = tempfile::tempdir().unwrap();
    let slack = Slack::start();
    let dir = config.path().to_str().unwrap();
    let elsewhere = format!("dir = \"{}\"", text(mount.dir.path()));
    let (code, log) = slack.refused(dir, &format!("dir = \"{dir}/state\""), &elsewhere);
    let said = log.trim_end().lines().last().unwrap_or_default();
    assert_eq!(code, 78, "{log}");
    assert!(said.starts_with("hitchline: store.dir: ") && said.contains(" is on FUSE, "), "{said}");
}
