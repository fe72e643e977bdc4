//! More than can be answered, and larger than can be read: memory stays bounded, nothing is lost, and people are told.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

#[path = "bench/envelope.rs"]
mod envelope;
#[path = "bench/http.rs"]
mod http;
#[path = "bench/process.rs"]
mod process;
#[path = "bench/server.rs"]
mod server;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hitchline::clock::Clock;
use tokio::sync::mpsc;

use process::Process;
use server::{News, Server};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(25);
/// How long it must be quiet before nothing more is expected.
const QUIET: Duration = Duration::from_millis(300);
/// How much slower than an acknowledgement a reply is taken.
const SLOW: Duration = Duration::from_millis(50);
/// How many envelopes the server has on their way.
const UNACKNOWLEDGED: usize = 512;
/// The conversations of the flood.
const CONVERSATIONS: usize = 100;
/// The messages in each: fewer than may wait.
const MESSAGES: usize = 30;
/// The messages in one more conversation: far more than may wait.
const TOO_MANY: usize = 300;
/// The default of `sessions.queue_limit`.
const QUEUE_LIMIT: u32 = 50;
/// Threads in which a command is given, side by side.
const COMMANDS: usize = 6_000;
/// What they ask for: all the answers together are more than may be in memory.
const LONG: &str = "!long 12000";
/// How many messages such an answer takes.
const PARTS: usize = 4;
/// The most of its own that may be in memory at any time, in KiB.
const MOST_MEMORY: u32 = 40 << 10;

/// A daemon under load and the server that it is connected to.
struct Flood {
    clock: Clock,
    process: Process,
    server: Server,
    socket: mpsc::Sender<String>,
    /// Acknowledgements by envelope.
    acknowledged: HashMap<String, u32>,
    last_acknowledged: Option<Instant>,
    /// Answers by thread.
    answered: HashMap<String, u32>,
    /// Threads whose sender was told something in private, and how often.
    told: HashMap<String, u32>,
    last_answered: Option<Instant>,
}

impl Flood {
    async fn start(dir: &Path, delay: Duration) -> Self {
        let clock = Clock::system();
        let mut server = Server::start(clock.clone(), delay).await.unwrap();
        let process = Process::hitchline(dir, server.address, "").unwrap();
        let socket = greeting(&clock, &mut server, &process).await;
        Self {
            clock,
            process,
            server,
            socket,
            acknowledged: HashMap::new(),
            last_acknowledged: None,
            answered: HashMap::new(),
            told: HashMap::new(),
            last_answered: None,
        }
    }

    /// The most that it had in memory, without the pages of its program's file.
    fn most_memory(&self) -> u32 {
        let size = |name| self.process.size(name).unwrap();
        size("VmHWM").saturating_sub(size("RssFile"))
    }

    async fn send(&self, number: usize, thread: usize, text: &str) {
        self.socket.send(envelope::mention(number, thread, text)).await.unwrap();
    }

    async fn hear(&mut self) {
        let news = self.clock.timeout(DEADLINE, self.server.news.recv()).await;
        match news {
            Ok(Some(news)) => self.note(news),
            _ => panic!("the daemon does nothing any more; its log:\n{}", self.process.log()),
        }
    }

    fn note(&mut self, news: News) {
        match news {
            News::Acknowledged { envelope, at } => {
                *self.acknowledged.entry(envelope).or_default() += 1;
                self.last_acknowledged = Some(at);
            }
            News::Called { method, thread, .. } if method == "chat.postMessage" => {
                *self.answered.entry(thread).or_default() += 1;
                self.last_answered = Some(self.clock.now());
            }
            News::Called { method, thread, text } if method == "chat.postEphemeral" => {
                assert!(text.contains("Too many messages"), "{text}");
                *self.told.entry(thread).or_default() += 1;
            }
            News::Called { .. } => {}
            News::Greeted(socket) => self.socket = socket,
        }
    }

    /// Waits until so many are acknowledged, and so many answered in the first threads; and then for what must not come.
    async fn settle(&mut self, acknowledged: usize, threads: usize, answered: usize) {
        let sum =
            |flood: &Self| (0..threads).map(|thread| Self::in_thread(&flood.answered, thread) as usize).sum::<usize>();
        while sum(self) < answered || self.acknowledged.len() < acknowledged {
            self.hear().await;
        }
        while let Ok(Some(late)) = self.clock.timeout(QUIET, self.server.news.recv()).await {
            self.note(late);
        }
    }

    fn in_thread(counts: &HashMap<String, u32>, thread: usize) -> u32 {
        counts.get(&envelope::root(thread)).copied().unwrap_or(0)
    }
}

/// A mention that opens a thread, under the number's own time stamp.
fn opening(number: usize, text: &str) -> String {
    let thread = format!(r#""thread_ts":"{}","parent_user_id":"U0ALICE","#, envelope::root(0));
    let opening = envelope::mention(number, 0, text).replace(&thread, "");
    assert!(!opening.contains("thread_ts"));
    opening
}

/// Waits for a socket.
async fn greeting(clock: &Clock, server: &mut Server, process: &Process) -> mpsc::Sender<String> {
    loop {
        match clock.timeout(DEADLINE, server.news.recv()).await {
            Ok(Some(News::Greeted(socket))) => return socket,
            Ok(Some(_other)) => {}
            _ => panic!("no socket was opened; the log:\n{}", process.log()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stays_in_the_store_and_what_is_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut flood = Flood::start(dir.path(), SLOW).await;
    let one = CONVERSATIONS;
    let threads = std::iter::repeat_n(one, TOO_MANY).chain((0..CONVERSATIONS * MESSAGES).map(|n| n % CONVERSATIONS));
    let mut sent = 0;
    for (number, thread) in threads.enumerate() {
        flood.send(number, thread, if thread == one { "!plan" } else { LONG }).await;
        sent = number + 1;
        while sent - flood.acknowledged.len() >= UNACKNOWLEDGED {
            flood.hear().await;
        }
    }
    flood.settle(sent, CONVERSATIONS, CONVERSATIONS * MESSAGES * PARTS).await;

    assert_eq!(flood.acknowledged.len(), sent);
    assert!(flood.acknowledged.values().all(|times| *times == 1), "an envelope was acknowledged twice");
    for thread in 0..CONVERSATIONS {
        assert_eq!(
            Flood::in_thread(&flood.answered, thread),
            u32::try_from(MESSAGES * PARTS).unwrap(),
            "thread {thread}"
        );
    }
    let (answered, told) = (Flood::in_thread(&flood.answered, one), Flood::in_thread(&flood.told, one));
    assert!(answered >= QUEUE_LIMIT && (answered as usize) < TOO_MANY, "{answered} answered");
    assert!((1..10).contains(&told), "told {told} times: once, and again only after a while");
    assert_eq!(flood.told.len(), 1, "only the full conversation refuses");
    assert!(flood.last_acknowledged < flood.last_answered, "the replies were to be slower than the acknowledgements");
    let most = flood.most_memory();
    assert!(most < MOST_MEMORY, "{most} KiB were in memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_commands_stays_in_the_store_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut flood = Flood::start(dir.path(), SLOW).await;
    for number in 0..COMMANDS {
        flood.socket.send(opening(number, "status")).await.unwrap();
        while number + 1 - flood.acknowledged.len() >= UNACKNOWLEDGED {
            flood.hear().await;
        }
    }
    while flood.answered.len() < COMMANDS {
        flood.hear().await;
    }

    assert!((0..COMMANDS).all(|number| flood.answered.get(&format!("1700000000.{number:06}")) == Some(&1)));
    assert!(flood.told.is_empty());
    assert!(flood.last_acknowledged < flood.last_answered, "the replies were to be slower than the acknowledgements");
    let most = flood.most_memory();
    assert!(most < MOST_MEMORY, "{most} KiB were in memory");
}

// holds: T-7
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_too_large_to_read_is_acknowledged_and_one_too_large_to_take_costs_only_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let mut flood = Flood::start(dir.path(), Duration::ZERO).await;

    flood.send(0, 0, &"x".repeat(1 << 20)).await;
    while flood.acknowledged.is_empty() {
        flood.hear().await;
    }
    assert_eq!(flood.acknowledged.get("0"), Some(&1));
    assert!(flood.process.log().contains("oversized"), "{}", flood.process.log());

    flood.send(1, 0, &"x".repeat(16 << 20)).await;
    flood.socket = greeting(&flood.clock, &mut flood.server, &flood.process).await;
    flood.send(2, 0, "!plan").await;
    flood.settle(2, 1, 1).await;

    assert_eq!(flood.acknowledged.get("1"), None, "what was never read can't be acknowledged");
    assert_eq!(Flood::in_thread(&flood.answered, 0), 1);
    let database = rusqlite::Connection::open(dir.path().join("state/hitchline.db")).unwrap();
    let stored: u32 = database.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1, "only the last one was stored");
}
