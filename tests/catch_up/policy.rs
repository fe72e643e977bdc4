//! R8: a daemon that was away for a second, or for more than a day, with and without Slack's own repetitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::house::{ALICE, DM, GENERAL, House, Row};
use super::size::sized;

/// How many messages are said meanwhile.
const MESSAGES: usize = 500;
/// How many channels there are beside one that everybody has and a direct message, and how many threads with a session in each.
const CHANNELS: usize = 8;
const THREADS: usize = 5;
const FRESH_US: i64 = 15 * 60 * 1_000_000;
const STALE_US: i64 = 24 * 3_600 * 1_000_000;
/// How many are answered in one run.
const MOST: usize = 200;

/// Where a message is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    channel: String,
    /// The session's thread; without one each message opens one of its own.
    thread: Option<String>,
}

/// What became of the messages of a place that were not answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Left {
    offered: usize,
    expired: usize,
}

/// What was said.
#[derive(Debug)]
struct Said {
    spot: Spot,
    ts: String,
    text: String,
    us: i64,
    addressed: bool,
}

#[tokio::test]
async fn a_second_without_repetitions() {
    let slack = json!({"redelivers_offline": "never", "history_lag_ms": 3_000});
    away(Duration::from_secs(1), &[], &slack).await;
}

#[tokio::test]
async fn ten_minutes_with_slacks_own_repetitions() {
    let slack = json!({"redelivers_offline": "scheduled", "history_lag_ms": 1_000});
    away(Duration::from_mins(10), &[3, 60, 300], &slack).await;
}

#[tokio::test]
async fn ten_minutes_of_which_everything_is_kept_for_the_next_connection() {
    let slack = json!({"redelivers_offline": "kept", "history_lag_ms": 3_000});
    away(Duration::from_mins(10), &[3, 60, 300], &slack).await;
}

#[tokio::test]
async fn an_hour_without_repetitions() {
    let slack = json!({"redelivers_offline": "never", "history_lag_ms": 1_000});
    away(Duration::from_hours(1), &[], &slack).await;
}

#[tokio::test]
async fn twenty_six_hours_with_repetitions_that_never_end() {
    let slack = json!({"redelivers_offline": "scheduled"});
    away(Duration::from_hours(26), &[20; 2_000], &slack).await;
}

#[tokio::test]
async fn twenty_six_hours_without_repetitions() {
    let slack = json!({"redelivers_offline": "never", "history_lag_ms": 3_000});
    away(Duration::from_hours(26), &[], &slack).await;
}

// holds: R8
async fn away(time: Duration, redelivery: &[u64], slack: &Value) {
    let redelivery: Vec<Duration> = redelivery.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
    let mut house = House::new(&redelivery).await;
    house.behave(slack).await;
    house.start();
    house.heard().await;
    let spots = spots(&house).await;
    house.heard().await;
    house.kill();
    let said = say(&house, &spots, time).await;
    let (began_us, runs) = (house.now_ms() * 1_000, house.calls("users.conversations").await);
    house.start();
    // Ages are counted from there.
    house.at_once("the beginning of the run", async |house| house.calls("users.conversations").await > runs).await;
    house.until("the end of the run", async |house| house.moment().is_some_and(|heard| heard >= began_us)).await;
    let wanted = expected(&said, began_us);
    let answers = wanted.values().filter(|state| **state == "answered").count();
    house.until("all answers", async |house| count_answers(house, &said).await >= answers).await;
    // Whatever still comes must not change anything.
    house.pass(Duration::from_secs(30)).await;
    let (answered, left) = check(&house, &said, &wanted).await;
    check_notes(&house, &spots, &left).await;
    let fresh = wanted.values().filter(|lot| **lot == "fresh").count();
    // What Slack itself delivers is answered beside the run.
    let as_many_as_may = answered == MOST || !redelivery.is_empty() && answered > MOST;
    assert!(fresh == 0 || as_many_as_may, "of {fresh} fresh messages {answered} were answered");
}

/// Fifty conversations, or ten times as many: threads with sessions, channels and a DM in which threads are opened.
async fn spots(house: &House) -> Vec<Spot> {
    let mut spots = Vec::new();
    for number in 0..sized(CHANNELS) {
        let channel = house.add_channel(&format!("team-{number}")).await;
        for _ in 0..THREADS {
            let thread = house.thread(&channel, &format!("hello {}", spots.len())).await;
            spots.push(Spot { channel: channel.clone(), thread: Some(thread) });
        }
        spots.push(Spot { channel, thread: None });
    }
    for channel in [GENERAL, DM] {
        spots.push(Spot { channel: channel.to_owned(), thread: None });
    }
    spots
}

async fn say(house: &House, spots: &[Spot], time: Duration) -> Vec<Said> {
    let mut said = Vec::new();
    let messages = sized(MESSAGES);
    let step = time / u32::try_from(messages).unwrap();
    for number in 0..messages {
        house.hand.advance(step);
        let spot = spots[number % spots.len()].clone();
        let text = format!("message {number} ");
        // One in seven is not meant for us where that is possible.
        let addressed = number % 7 != 0 || spot.thread.is_some() || spot.channel == DM;
        let mention = if spot.thread.is_none() && spot.channel != DM && addressed { "@hitchline " } else { "" };
        let text = text.trim_end().to_owned();
        let ts = house.say(ALICE, &spot.channel, spot.thread.as_deref(), &format!("{mention}{text}")).await;
        let us = ts.replace('.', "").parse().unwrap();
        said.push(Said { spot, ts, text, us, addressed });
    }
    said
}

/// What the policy says of each message, where that does not depend on which of many fresh ones come first.
fn expected(said: &[Said], now_us: i64) -> BTreeMap<i64, &'static str> {
    let lot = |said: &Said| match now_us - said.us {
        age if age > STALE_US => "expired",
        age if age > FRESH_US => "offered",
        _ => "fresh",
    };
    let mut wanted: BTreeMap<i64, &str> =
        said.iter().filter(|said| said.addressed).map(|said| (said.us, lot(said))).collect();
    let fresh = wanted.values().filter(|lot| **lot == "fresh").count();
    if fresh <= MOST {
        wanted.values_mut().filter(|lot| **lot == "fresh").for_each(|lot| *lot = "answered");
    }
    wanted
}

async fn count_answers(house: &House, said: &[Said]) -> usize {
    let mut count = 0;
    for (channel, thread) in threads(said) {
        let texts = house.texts(&channel, Some(&thread)).await;
        count += texts.iter().filter(|text| text.starts_with("message ")).count();
    }
    count
}

fn threads(said: &[Said]) -> BTreeSet<(String, String)> {
    said.iter().map(|said| (said.spot.channel.clone(), said.spot.thread.as_ref().unwrap_or(&said.ts).clone())).collect()
}

/// Whether each message became what it should, and no more; how many were answered, and how many were left in each place.
async fn check(house: &House, said: &[Said], wanted: &BTreeMap<i64, &'static str>) -> (usize, BTreeMap<Spot, Left>) {
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for (channel, thread) in threads(said) {
        for text in house.texts(&channel, Some(&thread)).await {
            *answers.entry(text).or_default() += 1;
        }
    }
    let kept = house.inbox();
    let (mut answered, mut left) = (0, BTreeMap::<Spot, Left>::new());
    for message in said {
        let times = answers.get(&message.text).copied().unwrap_or(0);
        let rows: Vec<&Row> = kept.get(&message.us).into_iter().flatten().collect();
        let became = match (times, rows.as_slice()) {
            (1, []) => "answered",
            (0, [row]) if ["offered", "expired"].contains(&row.state.as_str()) => row.state.as_str(),
            (0, []) => "nothing",
            _ => "too much",
        };
        match became {
            "answered" => answered += 1,
            "offered" => left.entry(message.spot.clone()).or_default().offered += 1,
            "expired" => left.entry(message.spot.clone()).or_default().expired += 1,
            _ => {}
        }
        let wanted = wanted.get(&message.us).copied().unwrap_or("nothing");
        let as_wanted = became == wanted || (wanted == "fresh" && ["answered", "offered"].contains(&became));
        assert!(as_wanted, "{message:?} became {became}, not {wanted}: {times} answers, {rows:?}");
    }
    (answered, left)
}

/// Whether there is one note in each place in which something was left, which says how much, and none anywhere else.
async fn check_notes(house: &House, spots: &[Spot], left: &BTreeMap<Spot, Left>) {
    for spot in spots {
        let mut notes = house.texts(&spot.channel, spot.thread.as_deref()).await;
        notes.retain(|text| text.contains("while I was away"));
        let left = left.get(spot).copied().unwrap_or_default();
        let told: Vec<Left> = notes.iter().map(|note| told(note)).collect();
        let expected = if left == Left::default() { vec![] } else { vec![left] };
        assert_eq!(told, expected, "{spot:?}: {notes:?}");
    }
}

/// How much a note says was left.
fn told(note: &str) -> Left {
    let number = |text: &str| text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let first = number(note);
    if note.contains(" older than a day") {
        return Left { offered: 0, expired: first };
    }
    let rest = note.split_once(". ").map_or("", |(_, rest)| rest);
    Left { offered: first, expired: number(rest) }
}
