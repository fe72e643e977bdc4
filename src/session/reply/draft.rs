//! What is shown while an agent speaks, decided purely: given what was said, what is shown and what time it is.

use std::time::{Duration, Instant};

use crate::domain::ids::Ts;
use crate::domain::outgoing::{Body, Op};
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::session::words;

/// An answer that is complete by then is one plain message: no status, no stream.
pub(in crate::session) const QUIET: Duration = Duration::from_millis(250);
/// The pause between two pieces of a stream (documented: 100 a minute and more).
const STREAM_PAUSE: Duration = Duration::from_millis(600);
/// The pause between two edits of a message (documented: 50 a minute and more).
const EDIT_PAUSE: Duration = Duration::from_millis(1_200);
/// The pause between two status lines (documented: 60 a minute for a thread).
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// How old a status line may grow; Slack clears it after two minutes.
const STATUS_LIFE: Duration = Duration::from_secs(75);
/// How old a stream may grow; Slack ends it by itself after about five minutes.
const STREAM_LIFE: Duration = Duration::from_mins(4);
/// How many bytes one shown message takes before the next one is begun.
const SEGMENT: usize = 2_500;
/// How many failures in a row, other than "too fast", end the cosmetic side of a turn; its answer comes all the same.
const GIVE_UP: u32 = 3;
/// How much of an answer is kept.
const LONGEST: usize = 512 * 1024;

/// What [`Reply::work`](super::Reply::work) did.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Worked {
    /// A call came back.
    Done,
    /// It came back with word that the person pressed Slack's own Stop.
    StoppedByPerson,
}

/// A cosmetic call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Status(String),
    Start { upto: usize },
    Append { ts: Ts, upto: usize },
    Edit { ts: Ts, upto: usize },
    Stop { ts: Ts },
}

/// How a growing message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// With Slack's streams.
    Stream,
    /// With a plain message that is edited.
    Edit,
    /// Not at all any more.
    Dark,
}

/// The message that grows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    ts: Ts,
    /// Where in the text it begins.
    pub(super) from: usize,
    since: Instant,
}

/// What was said and how much of it is shown: pure, so that it can be tested without a Slack.
#[derive(Debug)]
pub(super) struct Draft {
    /// Everything since the last checkpoint.
    pub(super) text: String,
    /// How much of it is shown.
    pub(super) shown: usize,
    /// The agent's id of the message that is being said.
    message: Option<String>,
    /// Whether anything was said in this turn.
    pub(super) spoke: bool,
    truncated: bool,
    /// Messages that are shown for this text, oldest first; the last one may still grow.
    pub(super) live: Vec<Ts>,
    pub(super) growing: Option<Segment>,
    /// Whether a message was perhaps made of which we don't know: the answer to its start was lost.
    pub(super) lost: bool,
    pub(super) mode: Mode,
    pub(super) wanted_status: String,
    shown_status: Option<(String, Instant)>,
    not_before: Instant,
    failures: u32,
}

/// What a draft wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Step(Step),
    At(Instant),
    Nothing,
}

impl Draft {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            text: String::new(),
            shown: 0,
            message: None,
            spoke: false,
            truncated: false,
            live: Vec::new(),
            growing: None,
            lost: false,
            mode: Mode::Stream,
            wanted_status: words::THINKING.to_owned(),
            shown_status: None,
            not_before: now + QUIET,
            failures: 0,
        }
    }

    pub(super) fn push(&mut self, message: Option<&str>, delta: &str) {
        if delta.is_empty() || self.truncated {
            return;
        }
        self.spoke = true;
        if message != self.message.as_deref() {
            self.message = message.map(ToOwned::to_owned);
            if !self.text.is_empty() {
                self.text.push_str("\n\n");
            }
        }
        if self.text.len() + delta.len() > LONGEST {
            self.truncated = true;
            self.text.push_str("\n\n");
            self.text.push_str(words::TOO_LONG);
        } else {
            self.text.push_str(delta);
        }
    }

    /// Starts over after a checkpoint; returns the messages that were shown.
    pub(super) fn restart(&mut self, now: Instant) -> Vec<Ts> {
        self.text.clear();
        self.shown = 0;
        self.truncated = false;
        self.growing = None;
        self.message = None;
        // A posted message clears the status line.
        self.shown_status = None;
        self.not_before = now + STREAM_PAUSE;
        std::mem::take(&mut self.live)
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        if self.mode == Mode::Dark {
            return Next::Nothing;
        }
        if now < self.not_before {
            return Next::At(self.not_before);
        }
        if self.shown < self.text.len() {
            return Next::Step(self.next_text(now));
        }
        self.next_status(now)
    }

    fn next_text(&self, now: Instant) -> Step {
        let upto = self.text.len();
        let Some(segment) = &self.growing else { return Step::Start { upto: self.cut(self.shown) } };
        let full = upto - segment.from > SEGMENT || now >= segment.since + STREAM_LIFE;
        let ts = segment.ts.clone();
        match (self.mode, full) {
            (Mode::Stream, true) => Step::Stop { ts },
            (Mode::Stream, false) => Step::Append { ts, upto },
            (_, _) => Step::Edit { ts, upto: self.cut(segment.from) },
        }
    }

    /// Where a shown message that begins at `from` ends: with the text, or at a line's end before it grows too long.
    fn cut(&self, from: usize) -> usize {
        let text = &self.text[from..];
        if text.len() <= SEGMENT {
            return self.text.len();
        }
        let limit = text.floor_char_boundary(SEGMENT);
        let end = text[..limit].rfind('\n').map_or(limit, |newline| newline + 1);
        // At least one line's worth of progress, so that nothing is cut for ever at the same place.
        from + if from + end > self.shown { end } else { limit }
    }

    fn next_status(&self, now: Instant) -> Next {
        match &self.shown_status {
            // While a message grows, it is itself the sign of life.
            None if self.growing.is_some() => Next::Nothing,
            None => Next::Step(Step::Status(self.wanted_status.clone())),
            Some((shown, since)) if *shown == self.wanted_status => {
                let due = *since + STATUS_LIFE;
                if now >= due { Next::Step(Step::Status(self.wanted_status.clone())) } else { Next::At(due) }
            }
            Some((_, since)) if now >= *since + STATUS_PAUSE => Next::Step(Step::Status(self.wanted_status.clone())),
            Some((_, since)) => Next::At(*since + STATUS_PAUSE),
        }
    }

    pub(super) fn came_back(&mut self, step: Step, result: Result<Option<Ts>, WriteError>, now: Instant) -> Worked {
        match result {
            Ok(ts) => {
                self.failures = 0;
                self.succeeded(step, ts, now);
            }
            Err(error) if error.kind == WriteErrorKind::StoppedByUser => {
                self.mode = Mode::Dark;
                return Worked::StoppedByPerson;
            }
            Err(error) => self.failed(&step, error.kind, now),
        }
        Worked::Done
    }

    fn succeeded(&mut self, step: Step, ts: Option<Ts>, now: Instant) {
        let pause = if self.mode == Mode::Edit { EDIT_PAUSE } else { STREAM_PAUSE };
        match step {
            // The text need not wait for the status line.
            Step::Status(status) => self.shown_status = Some((status, now)),
            Step::Start { upto } => {
                if let Some(ts) = ts {
                    self.live.push(ts.clone());
                    self.growing = Some(Segment { ts, from: self.shown, since: now });
                    self.shown = upto;
                    self.shown_status = None;
                }
                self.not_before = now + pause;
                self.roll_over();
            }
            Step::Append { upto, .. } | Step::Edit { upto, .. } => {
                self.shown = upto;
                self.not_before = now + pause;
                self.roll_over();
            }
            Step::Stop { .. } => self.growing = None,
        }
    }

    /// In edit mode a full message needs no call to end: the next one just begins.
    fn roll_over(&mut self) {
        let full = self
            .growing
            .as_ref()
            .is_some_and(|segment| self.shown < self.text.len() && self.cut(segment.from) <= self.shown);
        if self.mode == Mode::Edit && full {
            self.growing = None;
        }
    }

    fn failed(&mut self, step: &Step, kind: WriteErrorKind, now: Instant) {
        self.not_before = if let WriteErrorKind::Rate { after_ms } = kind {
            now + Duration::from_millis(after_ms)
        } else {
            self.failures += 1;
            now + STREAM_PAUSE
        };
        match step {
            // A status line is only a courtesy; one that does not work is not tried again before its time.
            Step::Status(status) => {
                self.shown_status = Some((status.clone(), now));
                self.not_before = now;
                return;
            }
            // Another one beside it would say the same twice.
            Step::Start { .. } if kind == (WriteErrorKind::Transient { uncertain: true }) => {
                self.lost = true;
                self.mode = Mode::Dark;
            }
            Step::Start { .. } if self.mode == Mode::Stream && !matches!(kind, WriteErrorKind::Rate { .. }) => {
                self.mode = Mode::Edit;
                self.not_before = now;
            }
            // The stream has ended by itself, or its message is gone: what comes next goes into a new one.
            Step::Append { ts, .. } | Step::Edit { ts, .. } | Step::Stop { ts }
                if matches!(kind, WriteErrorKind::StreamUnavailable | WriteErrorKind::MessageGone) =>
            {
                self.growing = None;
                if kind == WriteErrorKind::MessageGone {
                    // What it showed is said by the next message, so that the answer stays in order.
                    self.live.retain(|live| live != ts);
                }
            }
            _ => {}
        }
        if self.failures >= GIVE_UP {
            self.mode = Mode::Dark;
        }
    }
}

/// The operations that give `parts` their place: first the messages that are shown already, then new ones; what is left over goes.
pub(in crate::session) fn finals(parts: Vec<Body>, live: Vec<Ts>) -> Vec<Op> {
    let mut live = live.into_iter();
    let mut ops: Vec<Op> = Vec::with_capacity(parts.len());
    for body in parts {
        ops.push(live.next().map_or_else(|| Op::Post(body.clone()), |ts| Op::Finish { ts, body: body.clone() }));
    }
    ops.extend(live.map(|ts| Op::Delete { ts }));
    ops
}

#[cfg(test)]
mod tests;
