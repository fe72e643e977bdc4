//! R4: nothing is acknowledged, and nothing goes to an agent, before it lasts.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

use super::history::Asked;
use super::run::Run;
use super::seed::seed;
use super::size::sized;
use super::subject::Backend;
use super::trace::{Call, acknowledged, calls};

/// How many messages are acknowledged.
const MESSAGES: usize = 10_000;
/// How many may wait in one conversation.
const WAITING: usize = 50;
/// How many prompts go to agents, over so many conversations.
const PROMPTS: usize = 10_000;
const CONVERSATIONS: usize = 20;
/// What the log of the database is called.
const LOG: &str = "hitchline.db-wal";
/// How the text of a message to the recording agent stands in its row.
const TEXT: &str = "\"text\":\"q";

/// A kind of word to look for in a database's pages: how it begins, and how long it is at most.
struct Kind {
    start: String,
    most: usize,
}

/// What is on disk for good, as a trace goes by.
struct Lasting {
    kinds: Vec<Kind>,
    written: Vec<String>,
    words: HashSet<String>,
}

impl Lasting {
    fn of(kinds: Vec<Kind>) -> Self {
        Self { kinds, written: Vec::new(), words: HashSet::new() }
    }

    /// A call goes by.
    fn see(&mut self, call: &Call) {
        match call {
            Call::Write { file, data, .. } if file.ends_with(LOG) => {
                self.written.extend(self.kinds.iter().flat_map(|kind| kind.words(data)));
            }
            Call::Synced { file } if file.ends_with(LOG) => self.words.extend(self.written.drain(..)),
            _ => {}
        }
    }
}

impl Kind {
    fn new(start: &str, most: usize) -> Self {
        Self { start: start.to_owned(), most }
    }

    /// The words of this kind in what may be anything.
    fn words(&self, data: &[u8]) -> Vec<String> {
        let start = self.start.as_bytes();
        let begins = data.windows(start.len()).enumerate().filter(|(_, window)| *window == start);
        let word = |(at, _): (usize, &[u8])| {
            let rest = &data[at + start.len()..data.len().min(at + self.most)];
            let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
            format!("{}{}", self.start, String::from_utf8_lossy(&rest[..end]))
        };
        begins.map(word).collect()
    }
}

// holds: T-4
#[test]
fn no_acknowledgement_precedes_the_sync_of_its_row() {
    let run = Run::new(Rng::with_seed(seed()), Backend::Echo);
    let log = run.subject.path().join("trace");
    let Some(life) = run.subject.start_traced(&log) else { return };
    life.ready();
    let messages = sized(MESSAGES);
    for number in 0..messages / WAITING {
        let root = run.slack.say("U0ALICE", "C0GENERAL", None, &format!("@hitchline !sleep 3600 {number}"));
        for waiting in 1..WAITING {
            run.slack.say("U0ALICE", "C0GENERAL", Some(&root), &format!("@hitchline number {waiting}"));
        }
    }
    let events = run.slack.wait_for_acks();
    life.kill();
    // What is not for the bot is acknowledged as well, and is in no row.
    let stored: HashSet<String> = run.subject.image().keys().into_iter().collect();

    let length = events.values().next().unwrap().len() + "event:".len();
    let mut lasting = Lasting::of(vec![Kind::new("event:Ev", length)]);
    let (mut too_early, mut seen) = (Vec::new(), 0);
    calls(&log, |call| {
        lasting.see(call);
        let Call::Sent { to, data } = call else { return };
        let acks = if to.starts_with("socket") { acknowledged(data) } else { Vec::new() };
        let keys = acks.iter().filter_map(|envelope| Some(format!("event:{}", events.get(envelope)?)));
        for key in keys.filter(|key| stored.contains(key)) {
            seen += 1;
            if !lasting.words.contains(&key) {
                too_early.push(key);
            }
        }
    });
    assert!(seen >= messages, "the trace holds {seen} acknowledgements");
    assert_eq!(too_early, Vec::<String>::new());
}

// holds: T-4
#[test]
fn no_prompt_reaches_an_agent_before_the_sync_of_its_message_and_its_turn() {
    let mut run = Run::new(Rng::with_seed(seed()), Backend::Recording);
    let log = run.subject.path().join("trace");
    let Some(life) = run.subject.start_traced(&log) else { return };
    life.ready();
    let prompts = sized(PROMPTS);
    let mut opened: Vec<Asked> = Vec::new();
    for number in 0..prompts {
        let thread = opened.get(number % CONVERSATIONS).map(|asked| asked.ts.clone());
        let asked = run.people.wish(&run.slack, "U0ALICE", ("C0GENERAL", thread.as_deref()), "");
        opened.extend(thread.is_none().then_some(asked));
        if (number + 1) % (CONVERSATIONS * WAITING) == 0 {
            run.answered(&life);
        }
    }
    run.answered(&life);
    life.stop();

    let turns = turns(&run);
    // All turns of a run begin with the same digits, which are its time.
    let starts: HashSet<&str> = turns.values().map(|turn| &turn[..6]).collect();
    let ids = starts.into_iter().map(|start| Kind::new(start, 32));
    let mut lasting = Lasting::of(ids.chain([Kind::new(TEXT, 24)]).collect());
    let (mut too_early, mut prompted) = (Vec::new(), HashSet::new());
    calls(&log, |call| {
        lasting.see(call);
        let Call::Sent { to, data } = call else { return };
        let said = String::from_utf8_lossy(data);
        if to.starts_with("pipe") && said.contains("session/prompt") {
            let number = super::marks::asked(&said).unwrap();
            prompted.insert(number);
            let has_turn = turns.get(&number).is_some_and(|turn| lasting.words.contains(turn));
            if !has_turn || !lasting.words.contains(&format!("{TEXT}{number}")) {
                too_early.push(number);
            }
        }
    });
    assert_eq!((prompted.len(), too_early), (prompts, vec![]));
}

/// The turn of each message that had one.
fn turns(run: &Run) -> HashMap<u32, String> {
    let by_us: HashMap<i64, String> = run.subject.image().turns().into_iter().collect();
    let turn = |asked: &Asked| Some((asked.number, by_us.get(&asked.ts.replace('.', "").parse().unwrap())?.clone()));
    run.people.asked.iter().filter_map(turn).collect()
}
