//! A link on the simulator, both on one clock, and a test's eyes and hands.

use std::net::SocketAddr;
use std::time::Duration;

use hitchline::clock::{Clock, Hand};
use hitchline::http_client::{self, HttpClient, Owner};
use hitchline::simulator::{Config, Simulator, start};
use reqwest::Method;
use serde_json::{Value, json};

use crate::subject::{SOON, Subject, clock};

/// How long time passes between two looks.
const STEP: Duration = Duration::from_millis(250);
/// Unacknowledged events come again at this pace for longer than any test lasts.
const REDELIVERY: (Duration, usize) = (Duration::from_secs(20), 1_000);

pub(crate) struct Bench {
    pub(crate) subject: Subject,
    pub(crate) simulator: Simulator,
    clock: Clock,
    hand: Hand,
    http: HttpClient,
    _eyes: Owner,
}

impl Bench {
    /// A link that is connected.
    pub(crate) async fn live() -> Self {
        let mut bench = Self::with(&[]).await;
        bench.subject.becomes_live().await;
        bench
    }

    /// A link and its server; what is in `faults` awaits the first connection.
    pub(crate) async fn with(faults: &[Value]) -> Self {
        Self::reached_by(faults, |simulator| format!("http://{simulator}")).await
    }

    /// The same, where the link reaches the server by another address than its own.
    pub(crate) async fn reached_by(faults: &[Value], address: impl FnOnce(SocketAddr) -> String) -> Self {
        let (clock, hand) = clock();
        let redelivery = vec![REDELIVERY.0; REDELIVERY.1];
        let config = Config { redelivery, clock: clock.clone(), ..Config::default() };
        let simulator = start(config).await.unwrap();
        let eyes = Owner::build(&http_client::Config::default(), true).unwrap();
        let http = eyes.lend();
        let base = simulator.base_url();
        for fault in faults {
            post(&http, &base, "faults", fault).await;
        }
        let subject = Subject::start(&address(simulator.address()), clock.clone());
        Self { subject, simulator, clock, hand, http, _eyes: eyes }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.hand.advance(by);
    }

    /// Lets time pass in steps between which the network comes to its turn.
    pub(crate) async fn pass(&self, time: Duration) {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.hand.advance(STEP);
            self.get("state").await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        self.http.request(Method::GET, url).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        post(&self.http, &self.simulator.base_url(), "faults", &fault).await;
    }

    pub(crate) async fn no_more_faults(&self) {
        let url = format!("{}/sim/faults", self.simulator.base_url());
        assert!(self.http.request(Method::DELETE, url).send().await.unwrap().status().is_success());
    }

    /// Alice writes to the bot.
    pub(crate) async fn say(&self, text: &str) {
        let message = json!({"user": "U0ALICE", "channel": "D0ALICE", "text": text});
        post(&self.http, &self.simulator.base_url(), "messages", &message).await;
    }

    /// Looks until it pleases, while time stands still.
    pub(crate) async fn settles<T>(&self, path: &str, pleases: impl Fn(&Value) -> Option<T>) -> T {
        self.look(Duration::ZERO, path, pleases).await
    }

    /// Looks until it pleases, while time passes.
    pub(crate) async fn comes<T>(&self, path: &str, pleases: impl Fn(&Value) -> Option<T>) -> T {
        self.look(STEP, path, pleases).await
    }

    async fn look<T>(&self, step: Duration, path: &str, pleases: impl Fn(&Value) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(pleasing) = pleases(&self.get(path).await) {
                    return pleasing;
                }
                self.hand.advance(step);
            }
        };
        let found = tokio::time::timeout(SOON, looking).await;
        if let Ok(pleasing) = found {
            return pleasing;
        }
        panic!("{path} never pleased: {} {:?}", self.get(path).await, self.subject.status.borrow())
    }

    /// Lets time pass until so many sockets are open at the server.
    pub(crate) async fn sockets(&self, open: usize) {
        self.comes("state", |state| (state["connections"] == open).then_some(())).await;
    }

    /// Lets time pass, minutes if need be, until the link has one connection, and one that is no relic.
    pub(crate) async fn well(&self) {
        self.look(Duration::from_secs(1), "connections", |all| {
            let open: Vec<_> = all["connections"].as_array()?.iter().filter(|one| one["closed_ms"].is_null()).collect();
            (open.len() == 1 && open[0]["greeted"] == true && self.subject.is_live()).then_some(())
        })
        .await;
    }

    /// All connections of the link so far.
    pub(crate) async fn connections(&self) -> Vec<Value> {
        list(&self.get("connections").await, "connections")
    }

    /// Waits for a greeted connection after the first `known` ones, while time passes.
    pub(crate) async fn another(&self, known: usize) -> Value {
        self.comes("connections", |all| all["connections"].get(known).filter(|new| new["greeted"] == true).cloned())
            .await
    }

    /// When the link asked for an address, in milliseconds.
    pub(crate) async fn attempts(&self) -> Vec<i64> {
        let calls = self.get("calls?method=apps.connections.open").await;
        list(&calls, "calls").iter().map(|call| call["at_ms"].as_i64().unwrap()).collect()
    }

    /// Lets time pass until an event was acknowledged, and returns all its envelopes.
    pub(crate) async fn acked(&self, count: usize) -> Vec<Value> {
        self.comes("envelopes", |all| {
            let all = list(all, "envelopes");
            (all.iter().filter(|envelope| envelope["acks"] != 0).count() >= count).then_some(all)
        })
        .await
    }

    pub(crate) async fn end(self) {
        // Goodbyes are given a while.
        let ending = async {
            loop {
                tokio::task::yield_now().await;
                self.hand.advance(Duration::from_millis(1));
            }
        };
        tokio::select! {
            () = self.subject.end() => {}
            () = ending => {}
        }
        self.simulator.stop().await;
    }
}

pub(crate) fn list(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().unwrap().clone()
}

async fn post(http: &HttpClient, base: &str, path: &str, body: &Value) {
    let answer = http.post(format!("{base}/sim/{path}")).json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
}
