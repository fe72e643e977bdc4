//! R7: everything comes several times, in any order, over several sockets, and in every disguise that was ever seen; each message is
//! prompted once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use hitchline::domain::ids::Ts;
use hitchline::domain::ports::Deliver;
use hitchline::slack::events::{Decoded, Identity, decode};
use hitchline::slack::wire::{Envelope, Kind};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::agent::locked;
use super::people::{CHANNEL, HOME};
use super::seed::seed;
use super::size::sized;
use super::world::World;

/// How many deliveries there are.
const DELIVERIES: usize = 100_000;
/// Threads, and how many messages each has in one storm: fewer than may wait.
const THREADS: usize = 100;
const MESSAGES: usize = 10;
/// Over how many sockets a storm comes, and how many deliveries of one wait for their commit side by side.
const SOCKETS: usize = 3;
const IN_FLIGHT: usize = 64;
/// How often an event comes, at most.
const TIMES: usize = 5;
/// How long it may take until a storm is answered.
const PATIENCE: Duration = Duration::from_mins(1);
/// When Slack delivers for the last time what it takes for unacknowledged.
const LAST_REPETITION: Duration = Duration::from_mins(5);
/// Of how many deliveries one comes again then.
const LATE: usize = 10;

/// A person's message, and the events that Slack makes of it.
struct Written<'a> {
    text: &'a str,
    ts: Ts,
    thread: &'a Ts,
}

impl Written<'_> {
    fn event(&self, kind: &str, id: &str) -> Value {
        json!({
            "team_id": HOME, "event_id": format!("{id} {}", self.ts),
            "event": {
                "type": kind, "user": "U1", "user_team": HOME, "channel": CHANNEL, "channel_type": "channel", "ts": self.ts,
                "thread_ts": self.thread, "text": format!("<@UBOT> {}", self.text), "client_msg_id": self.text,
            },
        })
    }

    /// All that may come of it: the two events of a mention, each once more with another team's context, without its text, or, what
    /// was seen in the wild, under another time stamp.
    fn events(&self, rng: &mut Rng, twin: Ts) -> Vec<Value> {
        let mut all = vec![self.event("message", "Ev1"), self.event("app_mention", "Ev2")];
        if rng.bool() {
            let mut shared = self.event("message", "Ev3");
            shared["team_id"] = "T2".into();
            all.push(shared);
        }
        if rng.bool() {
            let mut empty = self.event("message", "Ev1");
            empty["event"]["text"] = "".into();
            all.push(empty);
        }
        if rng.bool() {
            all.push(Written { ts: twin, ..*self }.event("message", "Ev4"));
        }
        all
    }
}

/// Everything that comes in one storm, shuffled, each event up to [`TIMES`] times.
fn storm(world: &World, threads: &[Ts], round: usize, rng: &mut Rng) -> Vec<Value> {
    let mut all = Vec::new();
    for (n, thread) in threads.iter().enumerate() {
        for message in 0..MESSAGES {
            let text = format!("r{round}t{n}m{message}");
            let written = Written { text: &text, ts: world.ts(), thread };
            for event in written.events(rng, world.ts()) {
                all.extend(std::iter::repeat_n(event, rng.usize(1..=TIMES)));
            }
        }
    }
    rng.shuffle(&mut all);
    all
}

/// Delivers all of it over several sockets.
async fn strike(world: &World, storm: Vec<Value>) {
    let me = Identity { team: HOME.into(), user: "UBOT".into(), bot: None };
    let (all, next) = (Arc::new(storm), Arc::new(AtomicUsize::new(0)));
    let mut deliveries = JoinSet::new();
    for _ in 0..SOCKETS * IN_FLIGHT {
        let (inbox, all, next, me) = (world.inbox.clone(), all.clone(), next.clone(), me.clone());
        deliveries.spawn(async move {
            while let Some(payload) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let envelope = Envelope { id: String::new(), kind: Kind::Event, payload: payload.clone() };
                if let Decoded::Inbound(inbound) = decode(&envelope, &me) {
                    inbox.deliver(*inbound).await.unwrap();
                }
            }
        });
    }
    while let Some(delivered) = deliveries.join_next().await {
        delivered.unwrap();
    }
}

/// How often each text was prompted.
fn prompted(world: &World) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for prompt in locked(&world.agents.prompts).iter() {
        *times.entry(prompt.text.clone()).or_default() += 1;
    }
    times
}

// holds: S-8, T-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_repetitions_and_twins_prompts_each_message_once() {
    let mut rng = Rng::with_seed(seed());
    let most = sized(DELIVERIES);
    let world = World::echoing().await;
    let mut threads = Vec::new();
    for n in 0..THREADS {
        threads.push(world.mention("U1", &format!("thread {n}")).await);
    }
    let (mut delivered, mut rounds) = (0, 0);
    while delivered < most {
        let storm = storm(&world, &threads, rounds, &mut rng);
        let late: Vec<Value> = storm.iter().step_by(LATE).cloned().collect();
        delivered += storm.len() + late.len();
        rounds += 1;
        strike(&world, storm).await;
        let expected = THREADS + rounds * THREADS * MESSAGES;
        let answered = async {
            while prompted(&world).len() < expected || world.manager.stats().busy > 0 {
                world.store.probe().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("each message is prompted");
        world.hand.advance(LAST_REPETITION);
        world.store.purge(world.clock.wall_ms()).await.unwrap();
        strike(&world, late).await;
    }
    let doubled: Vec<_> = prompted(&world).into_iter().filter(|(_, times)| *times != 1).collect();
    assert_eq!(doubled, [], "of {delivered} deliveries");
}
