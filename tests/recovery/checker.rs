//! What must hold of every history. Pure: it knows nothing of how a history came about.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Asked, Heard, History, Place, Shown, What};
use super::marks::Line;

/// What must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// I1: this event was acknowledged, and the inbox does not know it.
    Lost { event: String, ts: String },
    /// I2: nothing became of this message that anybody could see.
    Unanswered(u32),
    /// I2: this message was answered, and given up as well.
    GivenUpAndAnswered(u32),
    /// I3: the agent was prompted more often than people asked for.
    Prompted { number: u32, times: usize, allowed: usize },
    /// I4: so many lines of the answer to this message are not there.
    Missing { number: u32, lines: usize },
    /// I4: so many lines of the answer to this message are there more than once.
    Doubled { number: u32, lines: usize },
    /// I4: an answer that nobody will finish.
    Unfinished { ts: String },
    /// I5: these were answered in another order than they were written.
    OutOfOrder { first: u32, second: u32 },
    /// I5: both were worked at at the same time in one conversation.
    AtOnce(u32, u32),
    /// I6: this was said in a conversation to which it does not belong.
    Strayed { number: u32, ts: String },
    /// I6: this was said where nobody had asked anything.
    Unasked { ts: String },
    /// I8: this process outlived its daemon.
    Left(u32),
}

/// Everything that is wrong with a history.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = lost(history);
    found.extend(outcomes(history));
    found.extend(prompts(history));
    found.extend(order(history));
    found.extend(turns_at_once(history));
    found.extend(strays(history));
    found.extend(history.left.iter().map(|pid| Violation::Left(*pid)));
    found
}

/// I1, also at moments at which nothing is at rest: acknowledged events of messages that the inbox does not know.
pub(crate) fn lost(history: &History) -> Vec<Violation> {
    let asked: BTreeSet<&str> = history.asked.iter().map(|asked| asked.ts.as_str()).collect();
    let known_to_slack = history.delivered.iter().filter(|delivered| delivered.acked_ms.is_some());
    let unknown = known_to_slack.filter(|delivered| {
        asked.contains(delivered.ts.as_str()) && !history.stored.contains(&format!("event:{}", delivered.event))
    });
    unknown.map(|delivered| Violation::Lost { event: delivered.event.clone(), ts: delivered.ts.clone() }).collect()
}

/// I2 and I4.
fn outcomes(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for asked in &history.asked {
        let lines = lines_of(history, asked);
        let given_up = history.given_up.contains(&asked.number);
        match (lines.first(), given_up) {
            (Some(_), true) => found.push(Violation::GivenUpAndAnswered(asked.number)),
            (Some(line), false) => found.extend(incomplete(&lines, *line)),
            (None, true) if is_told(history, asked) => {}
            (None, _) => found.push(Violation::Unanswered(asked.number)),
        }
    }
    let growing = history.shown.iter().filter(|shown| shown.growing);
    found.extend(growing.map(|shown| Violation::Unfinished { ts: shown.ts.clone() }));
    found
}

/// The lines of the answer to a message, wherever they stand, from the oldest message to the newest.
fn lines_of(history: &History, asked: &Asked) -> Vec<Line> {
    let all = history.shown.iter().flat_map(|shown| &shown.lines);
    all.filter(|line| line.number == asked.number).copied().collect()
}

/// Whether it is said where the message stands that this one, and no other, was given up.
fn is_told(history: &History, asked: &Asked) -> bool {
    let about = |shown: &Shown| shown.answers.as_ref() == Some(&asked.ts) && shown.place == asked.place;
    history.shown.iter().any(|shown| shown.gives_up && about(shown))
}

fn incomplete(lines: &[Line], any: Line) -> Vec<Violation> {
    let number = any.number;
    let mut times: BTreeMap<Line, usize> = BTreeMap::new();
    for line in lines {
        *times.entry(*line).or_default() += 1;
    }
    let missing = (0..any.of).filter(|at| !times.contains_key(&Line { at: *at, ..any })).count();
    let doubled = times.values().filter(|times| **times > 1).count();
    let mut found = Vec::new();
    if missing > 0 {
        found.push(Violation::Missing { number, lines: missing });
    }
    if doubled > 0 {
        found.push(Violation::Doubled { number, lines: doubled });
    }
    if found.is_empty() && !lines.is_sorted() {
        found.push(Violation::OutOfOrder { first: number, second: number });
    }
    found
}

/// I3.
fn prompts(history: &History) -> Vec<Violation> {
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for heard in history.heard.iter().filter(|heard| heard.what == What::Begin) {
        *times.entry(heard.number).or_default() += 1;
    }
    let allowed = |number: u32| 1 + history.again.get(&number).copied().unwrap_or(0);
    let too_often = times.into_iter().filter(|&(number, times)| times > allowed(number));
    too_often.map(|(number, times)| Violation::Prompted { number, times, allowed: allowed(number) }).collect()
}

/// I5: whoever was acknowledged before the other wrote comes first. A message whose turn was asked for again may come late: its agent
/// may never have seen it the first time.
fn order(history: &History) -> Vec<Violation> {
    let mut began: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, heard) in history.heard.iter().enumerate().filter(|(_, heard)| heard.what == What::Begin) {
        began.entry(heard.number).or_insert(at);
    }
    let acked = first_acks(history);
    let mut found = Vec::new();
    for asked in by_place(history).into_values() {
        for pair in asked.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let known_before = acked.get(first.ts.as_str()).is_some_and(|ms| *ms < millis(&second.ts));
            let turned = began.get(&first.number).zip(began.get(&second.number)).is_some_and(|(a, b)| a > b);
            if known_before && turned && !history.again.contains_key(&first.number) {
                found.push(Violation::OutOfOrder { first: first.number, second: second.number });
            }
        }
    }
    found
}

/// When each message was first acknowledged.
fn first_acks(history: &History) -> BTreeMap<&str, i64> {
    let mut acks: BTreeMap<&str, i64> = BTreeMap::new();
    for delivered in &history.delivered {
        if let Some(at) = delivered.acked_ms {
            let first = acks.entry(&delivered.ts).or_insert(at);
            *first = at.min(*first);
        }
    }
    acks
}

fn by_place(history: &History) -> BTreeMap<&Place, Vec<&Asked>> {
    let mut places: BTreeMap<&Place, Vec<&Asked>> = BTreeMap::new();
    for asked in &history.asked {
        places.entry(&asked.place).or_default().push(asked);
    }
    places
}

/// When a message was written, in milliseconds since the Unix epoch.
fn millis(ts: &str) -> i64 {
    let (seconds, micros) = ts.split_once('.').unwrap_or((ts, "0"));
    seconds.parse::<i64>().unwrap_or(0) * 1_000 + micros.parse::<i64>().unwrap_or(0) / 1_000
}

/// I5: from its first line in the log to its last, each process's turn has its conversation for itself.
fn turns_at_once(history: &History) -> Vec<Violation> {
    let places: BTreeMap<u32, &Place> = history.asked.iter().map(|asked| (asked.number, &asked.place)).collect();
    let mut turns: BTreeMap<&Place, Vec<(u32, usize, usize)>> = BTreeMap::new();
    for (number, first, last) in spans(&history.heard) {
        if let Some(place) = places.get(&number) {
            turns.entry(place).or_default().push((number, first, last));
        }
    }
    let mut found = Vec::new();
    for mut spans in turns.into_values() {
        spans.sort_by_key(|span| span.1);
        let overlapping = spans.windows(2).filter(|pair| pair[1].1 < pair[0].2);
        found.extend(overlapping.map(|pair| Violation::AtOnce(pair[0].0, pair[1].0)));
    }
    found
}

/// The turns in an agent's log: the message, and the places of the first and the last entry.
fn spans(heard: &[Heard]) -> Vec<(u32, usize, usize)> {
    let mut spans = Vec::new();
    let mut open: BTreeMap<u32, (u32, usize, usize)> = BTreeMap::new();
    for (at, entry) in heard.iter().enumerate() {
        if entry.what == What::Begin {
            spans.extend(open.insert(entry.pid, (entry.number, at, at)));
        } else if let Some(span) = open.get_mut(&entry.pid) {
            span.2 = at;
        }
    }
    spans.extend(open.into_values());
    spans
}

/// I6.
fn strays(history: &History) -> Vec<Violation> {
    let places: BTreeMap<u32, &Place> = history.asked.iter().map(|asked| (asked.number, &asked.place)).collect();
    let known: BTreeSet<&Place> = places.values().copied().collect();
    let mut found = Vec::new();
    for shown in &history.shown {
        let astray =
            shown.lines.iter().find(|line| places.get(&line.number).is_some_and(|place| **place != shown.place));
        if let Some(line) = astray {
            found.push(Violation::Strayed { number: line.number, ts: shown.ts.clone() });
        } else if !known.contains(&shown.place) {
            found.push(Violation::Unasked { ts: shown.ts.clone() });
        }
    }
    found
}
