//! Connections that are lost, again and again.

use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use hitchline::slack::LinkState;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle};

use crate::bench::Bench;
use crate::server::Server;
use crate::subject::{Subject, clock};

/// After so long a connection has earned a replacement at once.
const STEADY: Duration = Duration::from_secs(5);

// holds: C-2, T-6
#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    // What is counted belongs to the process, so that it needs one of its own.
    const NAME: &str = "reconnects::a_thousand_reconnects_leave_nothing_behind";
    if env::var_os(NAME).is_some() {
        return Builder::new_current_thread().enable_all().build().unwrap().block_on(reconnect());
    }
    let output = Command::new(env::current_exe().unwrap()).args(["--exact", NAME]).env(NAME, "alone").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn reconnect() {
    let mut bench = Bench::live().await;
    let (files, tasks) = (open_files(), alive_tasks());
    for number in 1..=500 {
        bench.advance(STEADY);
        bench.fault(json!({"fault": "cut"})).await;
        asked(&bench, 2 * number).await;
        bench.subject.becomes_live().await;
        bench.advance(STEADY);
        bench.fault(json!({"fault": "refresh", "close_ms": 5_000})).await;
        asked(&bench, 2 * number + 1).await;
        bench.settles("state", |state| (state["connections"] == 2).then_some(())).await;
        bench.advance(STEADY);
        bench.settles("state", |state| (state["connections"] == 1).then_some(())).await;
    }
    let connections = bench.connections().await;
    assert_eq!(connections.len(), 1_001);
    assert!(connections.iter().all(|connection| connection["greeted"] == true), "none was in vain");
    // What was closed just now may still be on its way out; a pooled connection more or less has a few tasks.
    bench.comes("state", |_| (alive_tasks().abs_diff(tasks) <= 5).then_some(())).await;
    bench.comes("state", |_| (open_files().abs_diff(files) <= 5).then_some(())).await;
    bench.end().await;
}

/// Waits until the link has asked for an address so often.
async fn asked(bench: &Bench, times: u64) {
    // The counts are exact whichever calls are listed.
    let asked = |calls: &Value| (calls["counts"]["apps.connections.open"] == times).then_some(());
    bench.settles("calls?method=none", asked).await;
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

// holds: T-6
#[tokio::test]
async fn the_first_attempt_comes_at_once_and_the_next_ones_after_a_pause() {
    let mut bench = Bench::live().await;
    bench.pass(STEADY).await;
    bench.fault(json!({"fault": "ws_refused", "times": 6})).await;
    let cut = bench.now_ms();
    bench.fault(json!({"fault": "cut"})).await;
    bench.subject.becomes(|state| *state == LinkState::Connecting).await;
    bench.another(1).await;
    let attempts = bench.attempts().await;
    assert_eq!(attempts.len(), 8, "the first of all, six that were refused, and one that was not");
    assert_eq!(attempts[1], cut, "at once");
    let pauses: Vec<_> = attempts[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (500..=61_000).contains(pause)), "{pauses:?}");
    assert!(pauses[5] >= 16_000, "they grow: {pauses:?}");
    bench.end().await;
}

// holds: T-1
#[tokio::test]
async fn acknowledgements_do_not_wait_for_each_other_in_the_kernel() {
    // So is it seen when it is not set.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let seen = nodelay(plain.local_addr().unwrap());
    if seen.is_none() {
        // As in containers without CAP_SYS_PTRACE. The client's own test, that it asks for it, holds everywhere.
        writeln!(stderr(), "NOT RUN: the system lets no process look at its own sockets (pidfd_getfd)").unwrap();
        return;
    }
    assert_eq!(seen, Some(false));
    let mut server = Server::start().await;
    let (clock, _hand) = clock();
    let mut subject = Subject::start(&server.base(), clock);
    let socket = server.greeted(1).await;
    subject.becomes_live().await;
    assert_eq!(nodelay(socket.peer), Some(true), "TCP_NODELAY is set on the upgraded connection");
    drop(socket);
    subject.end().await;
}

/// Whether `TCP_NODELAY` is set on this process's own connection whose near end is `near`, where the system lets us see it.
fn nodelay(near: SocketAddr) -> Option<bool> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let files = fs::read_dir("/proc/self/fd").unwrap();
    let numbers = files.filter_map(|file| file.unwrap().file_name().to_str()?.parse().ok());
    // A copy of each descriptor; the one of the listing itself is gone by the time it is copied.
    let copies = numbers.filter_map(|number| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok());
    let mut connections = copies.map(TcpStream::from);
    let connection = connections.find(|connection| {
        connection.local_addr().is_ok_and(|address| address == near) && connection.peer_addr().is_ok()
    })?;
    Some(connection.nodelay().unwrap())
}

// holds: C-4
#[tokio::test]
async fn a_link_that_never_connected_ends_like_any_other() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (clock, _hand) = clock();
    let subject = Subject::start(&format!("http://{nobody}"), clock.clone());
    subject.close();
    subject.close();
    subject.end().await;
    let mut subject = Subject::start(&format!("http://{nobody}"), clock);
    subject.becomes(|state| *state == LinkState::Connecting).await;
    subject.end().await;
}
