//! R8: a daemon that was away for a second, or for more than a day, with and without Slack's own repetitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::house::{ALICE, DM, GENERAL, House, Row};

const MESSAGES: usize = 500;
const FRESH_US: i64 = 15 * 60 * 1_000_000;
const STALE_US: i64 = 24 * 3_600 * 1_000_000;
/// How many are answered in one run.
const MOST: usize = 200;

/// Where a message is said.
#[derive(Debug, Clone)]
struct Spot {
    channel: String,
    /// The session's thread; without one each message opens one of its own.
    thread: Option<String>,
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
    away(Duration::from_secs(1), &[]).await;
}

#[tokio::test]
async fn ten_minutes_with_slacks_own_repetitions() {
    away(Duration::from_mins(10), &[3, 60, 300]).await;
}

#[tokio::test]
async fn an_hour_without_repetitions() {
    away(Duration::from_hours(1), &[]).await;
}

#[tokio::test]
async fn twenty_six_hours_with_repetitions_that_never_end() {
    away(Duration::from_hours(26), &[20; 2_000]).await;
}

#[tokio::test]
async fn twenty_six_hours_without_repetitions() {
    away(Duration::from_hours(26), &[]).await;
}

// holds: R8
async fn away(time: Duration, redelivery: &[u64]) {
    let redelivery: Vec<Duration> = redelivery.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
    let mut house = House::new(&redelivery).await;
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
    let answered = check(&house, &said, &wanted).await;
    let fresh = wanted.values().filter(|lot| **lot == "fresh").count();
    // What Slack itself delivers is answered beside the run.
    let as_many_as_may = answered == MOST || !redelivery.is_empty() && answered > MOST;
    assert!(fresh == 0 || as_many_as_may, "of {fresh} fresh messages {answered} were answered");
}

/// Fifty conversations: threads with sessions, channels and a DM in which threads are opened.
async fn spots(house: &House) -> Vec<Spot> {
    let mut spots = Vec::new();
    for number in 0..8 {
        let channel = house.add_channel(&format!("team-{number}")).await;
        for _ in 0..5 {
            let thread = house.thread(&channel, &format!("hello {}", spots.len())).await;
            spots.push(Spot { channel: channel.clone(), thread: Some(thread) });
        }
        spots.push(Spot { channel, thread: None });
    }
    for channel in [GENERAL, DM] {
        spots.push(Spot { channel: channel.to_owned(), thread: None });
    }
    assert_eq!(spots.len(), 50);
    spots
}

async fn say(house: &House, spots: &[Spot], time: Duration) -> Vec<Said> {
    let mut said = Vec::new();
    let step = time / u32::try_from(MESSAGES).unwrap();
    for number in 0..MESSAGES {
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

/// Whether each message became what it should, and no more; how many were answered.
async fn check(house: &House, said: &[Said], wanted: &BTreeMap<i64, &'static str>) -> usize {
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for (channel, thread) in threads(said) {
        for text in house.texts(&channel, Some(&thread)).await {
            *answers.entry(text).or_default() += 1;
        }
    }
    let kept = house.inbox();
    let mut answered = 0;
    for message in said {
        let times = answers.get(&message.text).copied().unwrap_or(0);
        let rows: Vec<&Row> = kept.get(&message.us).into_iter().flatten().collect();
        let became = match (times, rows.as_slice()) {
            (1, []) => "answered",
            (0, [row]) if ["offered", "expired"].contains(&row.state.as_str()) => row.state.as_str(),
            (0, []) => "nothing",
            _ => "too much",
        };
        answered += usize::from(became == "answered");
        let wanted = wanted.get(&message.us).copied().unwrap_or("nothing");
        let as_wanted = became == wanted || (wanted == "fresh" && ["answered", "offered"].contains(&became));
        assert!(as_wanted, "{message:?} became {became}, not {wanted}: {times} answers, {rows:?}");
    }
    answered
}
