//! A workspace, the clock by which it and its daemons go, and a test's eyes and hands.

use std::collections::BTreeMap;
use std::time::Duration;

use hitchline::clock::{Clock, Hand};
use hitchline::http_client::{self, HttpClient, Owner};
use hitchline::simulator::{Config, Simulator, start};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::size::is_long;

/// A time of day for clocks that stand still, in milliseconds.
const START_MS: i64 = 1_800_000_000_000;
/// How long anything that must happen may take on the machine's own clock, in a suite that is not a long one.
const SOON: Duration = Duration::from_mins(1);
/// How much time passes between two looks.
const STEP: Duration = Duration::from_millis(250);
/// How many exchanges with the simulator such a step takes: slow enough for a daemon on a busy machine to keep up.
const LOOKS: usize = 10;

pub(crate) const ALICE: &str = "U0ALICE";
pub(crate) const GENERAL: &str = "C0GENERAL";
pub(crate) const DM: &str = "D0ALICE";
const BOT: &str = "U0BOT";

pub(crate) struct House {
    pub(crate) hand: Hand,
    clock: Clock,
    simulator: Simulator,
    http: HttpClient,
    dir: TempDir,
    daemon: Option<Daemon>,
    require_mention: bool,
    _eyes: Owner,
}

/// A message of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) state: String,
}

/// How long anything that must happen may take on the machine's own clock.
fn soon() -> Duration {
    if is_long() { 10 * SOON } else { SOON }
}

impl House {
    /// A workspace in which nobody listens yet. Events that are not acknowledged come again after each of `redelivery`.
    pub(crate) async fn new(redelivery: &[Duration]) -> Self {
        let (clock, hand) = Clock::manual(START_MS);
        let config = Config { redelivery: redelivery.to_vec(), clock: clock.clone(), ..Config::default() };
        let simulator = start(config).await.unwrap();
        let eyes = Owner::build(&http_client::Config::default(), true).unwrap();
        let http = eyes.lend();
        let dir = tempfile::tempdir().unwrap();
        Self { hand, clock, simulator, http, dir, daemon: None, require_mention: true, _eyes: eyes }
    }

    /// One with a daemon that hears everything and has noted so.
    pub(crate) async fn listening() -> Self {
        let mut house = Self::new(&[]).await;
        house.start();
        house.heard().await;
        house
    }

    /// The same, where what opens a thread needs no mention.
    pub(crate) async fn listening_to_all() -> Self {
        let mut house = Self { require_mention: false, ..Self::new(&[]).await };
        house.start();
        house.heard().await;
        house
    }

    pub(crate) fn start(&mut self) {
        let api_url = format!("{}/api/", self.simulator.base_url());
        self.daemon = Some(Daemon::start(api_url, self.dir.path(), self.clock.clone(), self.require_mention));
    }

    /// Starts a daemon, and waits until it has read everything back.
    pub(crate) async fn start_and_catch_up(&mut self) {
        let runs = self.now_ms() * 1_000;
        self.start();
        self.until("a run", async |house| house.moment().is_some_and(|heard| heard >= runs)).await;
        self.until("no more cursors", async |house| house.count("SELECT count(*) FROM cursor") == 0).await;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Whether there is a snapshot of the store. What is said while it is being made may be in it.
    pub(crate) fn has_snapshot(&self) -> bool {
        let snapshots = std::fs::read_dir(self.dir.path().join("snapshots"));
        snapshots.is_ok_and(|mut found| found.any(|file| file.is_ok_and(|file| file.path().extension().is_some())))
    }

    /// Somebody removes the store, so that its newest snapshot takes its place.
    pub(crate) fn lose_store(&self) {
        for file in ["hitchline.db", "hitchline.db-wal", "hitchline.db-shm"] {
            // Without a crash in between there is no log.
            let _not_there = std::fs::remove_file(self.dir.path().join(file));
        }
    }

    /// Waits until the daemon has noted that it heard everything until now.
    pub(crate) async fn heard(&self) {
        self.until("a connection", async |house| house.connections().await == 1).await;
        // Later than anything that it may have noted by itself as it started.
        self.hand.advance(Duration::from_secs(1));
        let now_us = self.now_ms() * 1_000;
        self.until("everything heard", async |house| house.moment().is_some_and(|heard| heard >= now_us)).await;
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Somebody writes; returns the message's time stamp.
    pub(crate) async fn say(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> String {
        let message = json!({"user": user, "channel": channel, "thread_ts": thread, "text": text});
        self.post("messages", &message).await["ts"].as_str().unwrap().to_owned()
    }

    /// Somebody writes at the top level and gets an answer; the thread.
    pub(crate) async fn thread(&self, channel: &str, text: &str) -> String {
        let ts = self.say(ALICE, channel, None, &format!("@hitchline {text}")).await;
        self.until_answered(channel, &ts, text).await;
        ts
    }

    pub(crate) async fn add_channel(&self, name: &str) -> String {
        self.post("channels", &json!({"name": name})).await["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.post("faults", &fault).await;
    }

    /// Settles some of what is unknown of Slack.
    pub(crate) async fn behave(&self, personality: &Value) {
        self.post("personality", personality).await;
    }

    pub(crate) async fn inject(&self, what: &Value) {
        self.post("inject", what).await;
    }

    pub(crate) async fn press(&self, user: &str, channel: &str, ts: &str, nth: usize) {
        let block = self.all(channel, None).await.into_iter().chain(self.threads(channel).await);
        let message = block.into_iter().find(|message| message["ts"] == ts).expect("the message is there");
        let with_button = |block: &&Value| block["accessory"].is_object();
        let block =
            message["blocks"].as_array().unwrap().iter().filter(with_button).nth(nth).expect("it has the button");
        let click = json!({
            "user": user, "channel": channel, "ts": ts, "action_id": block["accessory"]["action_id"],
            "block_id": block["block_id"],
        });
        assert_eq!(self.post("click", &click).await["acked"], true);
    }

    async fn threads(&self, channel: &str) -> Vec<Value> {
        let mut replies = Vec::new();
        for root in self.all(channel, None).await.iter().filter(|message| message["reply_count"].is_u64()) {
            replies.extend(self.all(channel, root["ts"].as_str()).await);
        }
        replies
    }

    /// What the bot says in a thread, or at the top level.
    pub(crate) async fn said(&self, channel: &str, thread: Option<&str>) -> Vec<Value> {
        let all = self.all(channel, thread).await.into_iter();
        all.filter(|message| message["user"] == BOT && message["deleted"] != true).collect()
    }

    /// The same as text.
    pub(crate) async fn texts(&self, channel: &str, thread: Option<&str>) -> Vec<String> {
        self.said(channel, thread).await.iter().map(|said| said["text"].as_str().unwrap().to_owned()).collect()
    }

    /// All messages that nobody deleted.
    pub(crate) async fn all(&self, channel: &str, thread: Option<&str>) -> Vec<Value> {
        let thread = thread.map_or_else(String::new, |ts| format!("&thread_ts={ts}"));
        let all = self.get(&format!("messages?channel={channel}{thread}")).await;
        all["messages"].as_array().unwrap().clone()
    }

    pub(crate) async fn until_answered(&self, channel: &str, thread: &str, text: &str) {
        let answered = async |house: &Self| house.texts(channel, Some(thread)).await.iter().any(|said| said == text);
        self.until(&format!("the answer {text:?}"), answered).await;
    }

    pub(crate) async fn calls(&self, method: &str) -> usize {
        let calls = self.get(&format!("calls?method={method}")).await;
        usize::try_from(calls["counts"][method].as_u64().unwrap_or(0)).unwrap()
    }

    pub(crate) async fn connections(&self) -> u64 {
        self.get("state").await["connections"].as_u64().unwrap()
    }

    /// Looks until it is so, while time passes.
    pub(crate) async fn until(&self, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        let looking = async {
            while !reached(self).await {
                self.step().await;
            }
        };
        assert!(tokio::time::timeout(soon(), looking).await.is_ok(), "waited in vain for {what}");
    }

    /// The same by a time on the house's own clock, which goes slower than usual.
    pub(crate) async fn within(&self, time: Duration, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        let until = self.clock.now() + time;
        while !reached(self).await {
            assert!(self.clock.now() < until, "not within {time:?}: {what}");
            for _ in 0..5 * LOOKS {
                self.get("state").await;
            }
            self.hand.advance(STEP);
        }
    }

    /// Looks until it is so, while time stands still.
    pub(crate) async fn at_once(&self, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        let looking = async { while !reached(self).await {} };
        assert!(tokio::time::timeout(soon(), looking).await.is_ok(), "waited in vain for {what}");
    }

    /// Lets time pass in steps between which the network comes to its turn.
    pub(crate) async fn pass(&self, time: Duration) {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.step().await;
        }
    }

    /// A little time passes, and the network comes to its turn.
    async fn step(&self) {
        self.hand.advance(STEP);
        for _ in 0..LOOKS {
            self.get("state").await;
        }
    }

    /// Up to when everything was heard, in microseconds.
    pub(crate) fn moment(&self) -> Option<i64> {
        self.read("SELECT us FROM moment WHERE name = 'heard'", |row| row.get(0)).pop()
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.read(sql, |row| row.get(0)).pop().unwrap_or(0)
    }

    /// The inbox by what the messages' time stamps say, in microseconds.
    pub(crate) fn inbox(&self) -> BTreeMap<i64, Vec<Row>> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, Row { seq: row.get(1)?, state: row.get(2)? }));
        let mut inbox: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        for (said_us, row) in self.read("SELECT said_us, seq, state FROM inbox WHERE offer IS NOT NULL", row) {
            inbox.entry(said_us).or_default().push(row);
        }
        inbox
    }

    fn read<T>(&self, sql: &str, row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let Ok(connection) = rusqlite::Connection::open_with_flags(
            self.dir.path().join("hitchline.db"),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        ) else {
            return Vec::new();
        };
        // A daemon may just be making it.
        let Ok(mut statement) = connection.prepare(sql) else { return Vec::new() };
        statement.query_map([], row).map(|rows| rows.map_while(Result::ok).collect()).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        self.http.request(Method::GET, url).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        let answer = self.http.post(url).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}
