//! When the network goes: names, certificates, connections; for a while, or again and again.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hitchline::domain::inbound::Inbound;
use hitchline::domain::ports::{Claim, Intake, Keep, Settled};
use hitchline::inbox;
use hitchline::store::Store;
use serde_json::json;
use tokio::runtime::Builder;

use crate::bench::Bench;
use crate::logs;
use crate::program::{not_run, program};
use crate::proxy::Proxy;
use crate::server::Server;
use crate::subject::{SOON, Subject, clock};

/// The name under which the server is known, once it is.
const NAME: &str = "slack.test";
/// Where a test in a world of its own finds what names mean there.
const HOSTS: &str = "HITCHLINE_TEST_HOSTS";
/// Set where a test has a process to itself.
const ALONE: &str = "HITCHLINE_TEST_ALONE";

// holds: T-6
#[test]
fn f_09_a_name_that_is_unknown_for_ten_minutes_costs_no_restart() {
    const TEST: &str = "outages::f_09_a_name_that_is_unknown_for_ten_minutes_costs_no_restart";
    if let Some(hosts) = env::var_os(HOSTS) {
        return Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(unknown_for_a_while(hosts.as_ref()));
    }
    let Some(unshare) = program("unshare") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (hosts, resolvers) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    // Nobody on the network is asked.
    fs::write(&resolvers, "nameserver 127.0.0.1\n").unwrap();
    let output = Command::new(unshare)
        .args(["--map-root-user", "--mount", "sh", "-euc"])
        .arg("mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && exec \"$3\" --exact \"$4\" --nocapture")
        .args(["sh".as_ref(), hosts.as_os_str(), resolvers.as_os_str()])
        .arg(env::current_exe().unwrap())
        .arg(TEST)
        .env(HOSTS, &hosts)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    if said.contains("unshare failed") || said.contains("mount:") {
        return not_run("the system gives no mounts of one's own");
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn unknown_for_a_while(hosts: &Path) {
    let mut bench = Bench::reached_by(&[], |server| format!("http://{NAME}:{}", server.port())).await;
    bench.pass(Duration::from_mins(10)).await;
    assert!(!bench.subject.is_live() && bench.attempts().await.is_empty());
    assert!(!logs::with("could not be opened").is_empty());
    fs::OpenOptions::new()
        .append(true)
        .open(hosts)
        .unwrap()
        .write_all(format!("127.0.0.1 {NAME}\n").as_bytes())
        .unwrap();
    let known = bench.now_ms();
    let new = bench.another(0).await;
    bench.subject.becomes_live().await;
    let waited = new["opened_ms"].as_i64().unwrap() - known;
    assert!(waited <= 65_000, "{waited} ms after the name was known");
    bench.end().await;
}

// holds: T-6
#[tokio::test]
async fn f_10_a_certificate_that_nobody_vouches_for_is_refused() {
    let (Some(python), Some(openssl)) = (program("python3"), program("openssl")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (server, port) = tls_server(&python, dir.path());
    let (clock, hand) = clock();
    let subject = Subject::start(&format!("https://127.0.0.1:{port}"), clock);
    for attempts in 1..=2 {
        subject.wait_for_log("could not be opened", attempts).await;
        hand.advance(Duration::from_secs(2));
    }
    assert!(!subject.is_live());
    assert!(logs::with("could not be opened").iter().all(|line| line.contains("certificate")), "{:?}", logs::with(""));
    subject.end().await;
    assert_eq!(heard(server), "", "nothing was said to whoever it was");
}

/// A server that shows a certificate of its own making, and writes what it is told to its standard output.
fn tls_server(python: &Path, dir: &Path) -> (Child, u16) {
    const SERVER: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], file=sys.stderr, flush=True)
while True:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            print(secured.recv(4096), flush=True)
    except OSError:
        pass
";
    let mut server = Command::new(python)
        .args(["-c", SERVER])
        .current_dir(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stderr.take().unwrap()), &mut line).unwrap();
    (server, line.trim().parse().unwrap())
}

/// Ends the server and returns what it heard.
fn heard(mut server: Child) -> String {
    server.kill().unwrap();
    String::from_utf8(server.wait_with_output().unwrap().stdout).unwrap()
}

// holds: T-6
#[tokio::test]
async fn f_01_a_reset_connection_is_replaced_within_two_seconds() {
    const ROUNDS: usize = 20;
    let mut proxy = None;
    let mut bench =
        Bench::reached_by(&[], |server| format!("http://{}", proxy.insert(Proxy::to(server)).address)).await;
    let proxy = proxy.unwrap();
    bench.subject.becomes_live().await;
    let mut took = Vec::new();
    for round in 1..=ROUNDS {
        bench.pass(Duration::from_mins(1)).await;
        let reset = bench.now_ms();
        assert!(proxy.cut() > 0);
        // The server's own end, which the proxy keeps up no longer.
        bench.fault(json!({"fault": "cut"})).await;
        let new = bench.another(round).await;
        bench.subject.becomes_live().await;
        took.push(new["hello_ms"].as_i64().unwrap() - reset);
    }
    took.sort_unstable();
    assert!(took[ROUNDS * 95 / 100 - 1] <= 2_000, "milliseconds: {took:?}");
    bench.end().await;
}

// holds: T-6, C-1, C-3
#[tokio::test]
async fn f_11_when_every_connection_dies_at_once_new_ones_are_made() {
    let mut proxy = None;
    let mut bench =
        Bench::reached_by(&[], |server| format!("http://{}", proxy.insert(Proxy::to(server)).address)).await;
    let proxy = proxy.unwrap();
    bench.subject.becomes_live().await;
    for round in 1..=3 {
        bench.pass(Duration::from_mins(1)).await;
        let cut = bench.now_ms();
        proxy.cut();
        bench.fault(json!({"fault": "cut"})).await;
        let new = bench.another(round).await;
        bench.subject.becomes_live().await;
        assert!(new["hello_ms"].as_i64().unwrap() <= cut + 5_000, "{new}");
    }
    // That the one client was lent and given back is looked at here.
    bench.end().await;
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

// holds: T-6, C-2
#[test]
fn f_12_a_storm_of_resets_loses_nothing_and_is_not_answered_by_one() {
    const TEST: &str = "outages::f_12_a_storm_of_resets_loses_nothing_and_is_not_answered_by_one";
    if env::var_os(ALONE).is_some() {
        return Builder::new_current_thread().enable_all().build().unwrap().block_on(storm());
    }
    // In a process where nobody else opens anything.
    let mut alone = Command::new(env::current_exe().unwrap());
    let output = alone.args(["--exact", TEST, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn storm() {
    const STORM: Duration = Duration::from_mins(5);
    const EVERY: Duration = Duration::from_millis(200);
    let bench = Bench::live().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = (tasks(), descriptors());
    let begun = bench.attempts().await.len();
    let mut said = 0;
    let mut most = 0;
    for step in 0..STORM.as_millis() / EVERY.as_millis() {
        if step % 100 == 0 {
            said += 1;
            bench.say(&format!("in the storm {said}")).await;
        }
        bench.advance(EVERY);
        // Where none is open the fault would wait for the next one.
        if bench.get("state").await["connections"] != 0 {
            bench.fault(json!({"fault": "cut"})).await;
        }
        most = most.max(descriptors());
    }
    let attempts = bench.attempts().await.len() - begun;
    assert!((4..=150).contains(&attempts), "{attempts} in five minutes");
    bench.well().await;
    for number in 1..=said {
        let text = format!("in the storm {number}");
        bench.comes("state", |_| (bench.subject.inbox.times(&text) > 0).then_some(())).await;
    }
    assert!(most <= before.1 + 15, "at the most {most} descriptors, of which {} were there before", before.1);
    let is_as_before = || tasks().abs_diff(before.0) <= 5 && descriptors() <= before.1 + 5;
    bench.comes("state", |_| is_as_before().then_some(())).await;
    bench.end().await;
}

/// Keeps everything, and counts what came to be kept.
#[derive(Default)]
struct KeepAll {
    stored: AtomicUsize,
}

impl Intake for KeepAll {
    fn claim(&self, _inbound: &Inbound) -> Claim {
        Claim::Keep(Keep::default())
    }

    fn settle(&self, _inbound: Inbound, _keep: Keep, outcome: Settled) {
        if matches!(outcome, Settled::Stored { .. }) {
            self.stored.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// holds: T-1, T-2
#[tokio::test]
async fn f_14_an_acknowledgement_that_is_lost_after_the_commit_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (clock, _hand) = clock();
    let intake = Arc::new(KeepAll::default());
    let inbox = Arc::new(inbox::Inbox::new(store.clone(), intake.clone(), clock.clone(), 50));
    let mut server = Server::start().await;
    let mut subject = Subject::into(&server.base(), clock, inbox);
    let mut socket = server.greeted(1).await;
    subject.becomes_live().await;
    socket.event("first", "once and for all").await;
    let committed = async {
        while intake.stored.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, committed).await.expect("the commit in time");
    // The connection breaks with the acknowledgement on it, which nobody has read.
    drop(socket);
    let mut socket = server.greeted(1).await;
    for _again in 1..=3 {
        socket.event("first", "once and for all").await;
        assert_eq!(socket.ack().await, "first");
    }
    assert_eq!(intake.stored.load(Ordering::Relaxed), 1);
    drop(socket);
    subject.end().await;
    store.close().await;
}
