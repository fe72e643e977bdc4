//! R3: the power goes off at each acknowledgement. What was not synced by then is lost, all of it or a part.
//!
//! It is taken for granted that the disk keeps what it was told to sync, and that names of files last when they are made, as they do on
//! a journaling file system.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use fastrand::Rng;
use hitchline::store::Store;

use super::run::Run;
use super::seed::seed;
use super::size::sized;
use super::subject::Backend;
use super::trace::{Call, acknowledged, calls};

/// How often some messages are written at once; each time is a chance for the power to go off.
const TIMES: usize = 60;
/// How many there are at once, at most.
const AT_ONCE: usize = 8;
/// In how many ways a part of what was not synced is lost.
const PARTS: u64 = 2;

/// A disk: what lasts of each file, and what was done to it since.
#[derive(Debug, Default, Clone)]
struct Disk {
    files: BTreeMap<String, Content>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    lasting: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Content {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(offset, data) => {
                let end = offset + data.len();
                self.lasting.resize(self.lasting.len().max(end), 0);
                self.lasting[*offset..end].copy_from_slice(data);
            }
            Change::Truncate(length) => self.lasting.resize(*length, 0),
        }
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.since) {
            self.apply(&change);
        }
    }
}

impl Disk {
    /// Does what a call does.
    fn take(&mut self, call: &Call) {
        let size = |bytes: u64| usize::try_from(bytes).unwrap();
        match call {
            Call::Write { file, offset, data } => self.change(file, Change::Write(size(*offset), data.clone())),
            Call::Truncate { file, length } => self.change(file, Change::Truncate(size(*length))),
            // Directories are synced as well.
            Call::Synced { file } => drop(self.files.get_mut(file).map(Content::sync)),
            Call::Removed { file } => drop(self.files.remove(file)),
            Call::Renamed { from, to } => {
                let moved = self.files.remove(from).unwrap_or_default();
                self.files.insert(to.clone(), moved);
            }
            Call::Sent { .. } => {}
        }
    }

    fn change(&mut self, file: &str, change: Change) {
        self.files.entry(file.to_owned()).or_default().since.push(change);
    }

    /// What a new start finds in `state` after the power has gone off, written to `dir`: of what was not synced, what `keeps` says.
    fn after_power_cut(&self, state: &Path, dir: &Path, mut keeps: impl FnMut() -> bool) {
        for (name, content) in &self.files {
            // The index of the log is memory that is made anew.
            let Ok(inside) = Path::new(name).strip_prefix(state) else { continue };
            if inside.components().count() > 1 || name.ends_with("-shm") {
                continue;
            }
            let mut content = content.clone();
            for change in std::mem::take(&mut content.since).iter().filter(|_| keeps()) {
                content.apply(change);
            }
            std::fs::write(dir.join(inside), content.lasting).unwrap();
        }
    }
}

/// What is wrong with the store in `dir`, of which these keys were acknowledged.
async fn wrong_in(dir: &Path, acked: &HashSet<String>) -> Option<String> {
    let store = match Store::open(dir) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    store.close().await;
    let database = rusqlite::Connection::open(dir.join("hitchline.db")).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if sound != "ok" {
        return Some(sound);
    }
    let mut known = database.prepare("SELECT 1 FROM dedup WHERE key = ?1").unwrap();
    let lost = acked.iter().filter(|key| !known.exists([key]).unwrap()).count();
    (lost > 0).then(|| format!("{lost} of {} acknowledged events are lost", acked.len()))
}

#[tokio::test]
async fn f_48_no_power_cut_loses_what_was_acknowledged() {
    let mut rng = Rng::with_seed(seed());
    let mut run = Run::new(rng.fork(), Backend::Echo);
    let log = run.subject.path().join("trace");
    let Some(life) = run.subject.start_traced(&log) else { return };
    life.ready();
    for _ in 0..sized(TIMES) {
        (0..rng.usize(1..=AT_ONCE)).for_each(|_| run.people.open(&run.slack));
        run.slack.wait_for_acks();
    }
    run.rest(&life);
    let events = run.slack.wait_for_acks();
    life.kill();
    let stored: HashSet<String> = run.subject.image().keys().into_iter().collect();

    let (mut disk, mut acked, mut cuts) = (Disk::default(), HashSet::new(), Vec::new());
    calls(&log, |call| {
        disk.take(call);
        let Call::Sent { data, .. } = call else { return };
        let keys =
            acknowledged(data).into_iter().filter_map(|envelope| Some(format!("event:{}", events.get(&envelope)?)));
        let before = acked.len();
        acked.extend(keys.filter(|key| stored.contains(key)));
        if acked.len() > before {
            cuts.push((disk.clone(), acked.clone()));
        }
    });
    assert!(cuts.len() >= sized(TIMES), "{} cuts", cuts.len());
    for (n, (disk, acked)) in cuts.iter().enumerate() {
        for part in 0..=PARTS {
            // In memory, where there is such a place: this disk need not last.
            let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            disk.after_power_cut(&run.subject.state(), dir.path(), || part > 0 && rng.bool());
            let wrong = wrong_in(dir.path(), acked).await;
            assert_eq!(wrong, None, "at cut {n} of {}, way {part}", cuts.len());
        }
    }
}

#[test]
fn what_was_not_synced_is_lost_unless_it_is_kept() {
    let file = "/s/db".to_owned();
    let write = |offset, data: &[u8]| Call::Write { file: file.clone(), offset, data: data.to_vec() };
    let mut disk = Disk::default();
    for call in [write(0, b"abc"), Call::Synced { file: file.clone() }, write(1, b"x"), write(3, b"y")] {
        disk.take(&call);
    }
    let found = |mut kept: Vec<bool>| {
        let dir = tempfile::tempdir().unwrap();
        disk.after_power_cut(Path::new("/s"), dir.path(), || kept.pop().unwrap());
        std::fs::read_to_string(dir.path().join("db")).unwrap()
    };
    assert_eq!([vec![false, false], vec![true, false], vec![false, true]].map(found), ["abc", "abcy", "axc"]);
}
