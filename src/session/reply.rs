//! The one writer of a turn: what is shown while the agent speaks, and what is owed in the end.
//!
//! While the agent speaks, everything is cosmetic: a status line, then a message that grows. At most one such call is on its way, and
//! what the agent says meanwhile goes with the next one. At the end, and before each request for a decision, [`Reply::checkpoint`]
//! turns what was said into durable operations that give the shown messages their final form.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, UserId};
use crate::domain::outgoing::{Body, Op, Place};
use crate::domain::ports::{Render, SlackWrite, Trace, WriteError, WriteErrorKind};
use crate::outbox::Outbox;

use super::manager::Parts;
use super::words;

/// An answer that is complete by then is one plain message: no status, no stream.
pub(super) const QUIET: Duration = Duration::from_millis(250);
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
/// How many failures in a row end the cosmetic side of a turn; its answer comes all the same.
const GIVE_UP: u32 = 3;
/// How long the end of a turn waits for a call that is on its way.
const LAST_CALL: Duration = Duration::from_secs(5);
/// How much of an answer is kept.
const LONGEST: usize = 512 * 1024;

/// The writer of one turn.
pub(super) struct Reply {
    slack: Arc<dyn SlackWrite>,
    render: Arc<dyn Render>,
    outbox: Outbox,
    clock: Clock,
    key: ConversationKey,
    recipient: UserId,
    draft: Draft,
    call: Option<(Step, Call)>,
    /// By what the message that was started last would be found, and when that was, in milliseconds since the Unix epoch.
    started: (Trace, i64),
}

/// A cosmetic call on its way; one that starts a message yields its time stamp.
type Call = BoxFuture<'static, Result<Option<Ts>, WriteError>>;

/// What [`Reply::work`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Worked {
    /// A call came back.
    Done,
    /// It came back with word that the person pressed Slack's own Stop.
    StoppedByPerson,
}

/// A cosmetic call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Status(String),
    Start { upto: usize },
    Append { ts: Ts, upto: usize },
    Edit { ts: Ts, upto: usize },
    Stop { ts: Ts },
}

/// How a growing message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// With Slack's streams.
    Stream,
    /// With a plain message that is edited.
    Edit,
    /// Not at all any more.
    Dark,
}

/// The message that grows now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    ts: Ts,
    /// Where in the text it begins.
    from: usize,
    since: Instant,
}

/// What was said and how much of it is shown: pure, so that it can be tested without a Slack.
#[derive(Debug)]
struct Draft {
    /// Everything since the last checkpoint.
    text: String,
    /// How much of it is shown.
    shown: usize,
    /// The agent's id of the message that is being said.
    message: Option<String>,
    /// Whether anything was said in this turn.
    spoke: bool,
    truncated: bool,
    /// Messages that are shown for this text, oldest first; the last one may still grow.
    live: Vec<Ts>,
    growing: Option<Segment>,
    /// Whether a message was perhaps made of which we don't know: the answer to its start was lost.
    lost: bool,
    mode: Mode,
    wanted_status: String,
    shown_status: Option<(String, Instant)>,
    not_before: Instant,
    failures: u32,
}

impl Reply {
    pub(super) fn new(parts: &Parts, key: &ConversationKey, recipient: &UserId) -> Self {
        let now = parts.clock.now();
        Self {
            slack: parts.slack.clone(),
            render: parts.render.clone(),
            outbox: parts.outbox.clone(),
            clock: parts.clock.clone(),
            key: key.clone(),
            recipient: recipient.clone(),
            draft: Draft::new(now),
            call: None,
            started: (Trace::Growing, 0),
        }
    }

    /// Adds a piece of the answer; another `message` than before starts a new paragraph.
    pub(super) fn push(&mut self, message: Option<&str>, delta: &str) {
        self.draft.push(message, delta);
    }

    /// Says what is being done, below the thread.
    pub(super) fn status(&mut self, status: &str) {
        status.clone_into(&mut self.draft.wanted_status);
    }

    /// Whether nothing at all was said in this turn.
    pub(super) fn is_silent(&self) -> bool {
        !self.draft.spoke
    }

    /// Makes the next cosmetic call when its time has come, or waits for the one on its way. Pending for ever when there is nothing
    /// to show. Cancel safe: a call on its way goes on with the next `work`.
    pub(super) async fn work(&mut self) -> Worked {
        loop {
            if let Some((_, call)) = &mut self.call {
                let result = call.await;
                return self.came_back(result);
            }
            match self.draft.next(self.clock.now()) {
                Next::Step(step) => self.call = Some((step.clone(), self.begin(step))),
                Next::At(due) => self.clock.sleep_until(due).await,
                Next::Nothing => std::future::pending().await,
            }
        }
    }

    /// Turns what was said since the last checkpoint into operations that are owed, and forgets it. Waits for a call on its way, for
    /// a message that it starts must be known.
    pub(super) async fn checkpoint(&mut self) -> Vec<Op> {
        if let Some((_, call)) = &mut self.call {
            let result = self.clock.timeout(LAST_CALL, call).await.unwrap_or_else(|_late| Err(unanswered()));
            self.came_back(result);
        }
        if std::mem::take(&mut self.draft.lost) {
            self.find_lost().await;
        }
        let parts = self.render.parts(self.draft.text.trim());
        let now = self.clock.now();
        let live = self.draft.restart(now);
        finals(parts, live)
    }

    /// Looks for a message whose start was not answered: if it is there, it gets its final form like any other.
    async fn find_lost(&mut self) {
        let (trace, since_ms) = self.started;
        let look = self.slack.look_back(&self.key, since_ms, trace);
        match self.clock.timeout(LAST_CALL, look).await.unwrap_or_else(|_late| Err(unanswered())) {
            Ok(found) => self.draft.live.extend(found),
            Err(error) => {
                tracing::warn!(conversation = %self.key, %error, "A growing message may be left unfinished: its start was not answered");
            }
        }
    }

    fn came_back(&mut self, result: Result<Option<Ts>, WriteError>) -> Worked {
        let Some((step, _)) = self.call.take() else { return Worked::Done };
        if let Err(error) = &result {
            tracing::debug!(conversation = %self.key, %error, "A cosmetic call failed");
        }
        self.draft.came_back(step, result, self.clock.now())
    }

    fn begin(&mut self, step: Step) -> Call {
        let (slack, key) = (self.slack.clone(), self.key.clone());
        match step {
            Step::Status(status) => {
                async move { slack.status(&Place::from(&key), &status).await.map(|()| None) }.boxed()
            }
            Step::Start { upto } => self.start(upto),
            Step::Append { ts, upto } => {
                let piece = self.draft.text[self.draft.shown..upto].to_owned();
                async move { slack.append_stream(&key.channel, &ts, &piece).await.map(|()| None) }.boxed()
            }
            Step::Edit { ts, upto } => {
                let body = self.preview(upto);
                async move { slack.update(&key.channel, &ts, &body).await.map(|()| None) }.boxed()
            }
            Step::Stop { ts } => async move { slack.stop_stream(&key.channel, &ts).await.map(|()| None) }.boxed(),
        }
    }

    fn start(&mut self, upto: usize) -> Call {
        let (slack, key, outbox) = (self.slack.clone(), self.key.clone(), self.outbox.clone());
        let now_ms = self.clock.wall_ms();
        if self.draft.mode == Mode::Edit {
            let (body, id) = (self.preview(upto), OwedId::new());
            self.started = (Trace::Key(id), now_ms);
            return async move {
                outbox.settled(&key).await;
                slack.post(&Place::from(&key), &body, id).await.map(Some)
            }
            .boxed();
        }
        self.started = (Trace::Growing, now_ms);
        let (piece, recipient) = (self.draft.text[self.draft.shown..upto].to_owned(), self.recipient.clone());
        async move {
            // What is owed from before must stand above.
            outbox.settled(&key).await;
            slack.start_stream(&key, &recipient, &piece).await.map(Some)
        }
        .boxed()
    }

    /// The growing message as it would look if it ended here.
    fn preview(&self, upto: usize) -> Body {
        let from = self.draft.growing.as_ref().map_or(self.draft.shown, |segment| segment.from);
        let mut parts = self.render.parts(&self.draft.text[from..upto]);
        Body::Text(if parts.is_empty() { "…".to_owned() } else { parts.swap_remove(0) })
    }
}

/// What our own time-out of a call means.
fn unanswered() -> WriteError {
    let kind = WriteErrorKind::Transient { uncertain: true };
    WriteError { kind, call: "cosmetic call", code: "no answer in time".to_owned() }
}

/// The operations that give `parts` their place: first the messages that are shown already, then new ones; what is left over goes.
fn finals(parts: Vec<String>, live: Vec<Ts>) -> Vec<Op> {
    let mut live = live.into_iter();
    let mut ops: Vec<Op> = Vec::with_capacity(parts.len());
    for text in parts {
        let body = Body::Text(text);
        ops.push(live.next().map_or_else(|| Op::Post(body.clone()), |ts| Op::Finish { ts, body: body.clone() }));
    }
    ops.extend(live.map(|ts| Op::Delete { ts }));
    ops
}

/// What a draft wants.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Step(Step),
    At(Instant),
    Nothing,
}

impl Draft {
    fn new(now: Instant) -> Self {
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

    fn push(&mut self, message: Option<&str>, delta: &str) {
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
    fn restart(&mut self, now: Instant) -> Vec<Ts> {
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

    fn next(&self, now: Instant) -> Next {
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

    fn came_back(&mut self, step: Step, result: Result<Option<Ts>, WriteError>, now: Instant) -> Worked {
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
        self.failures += 1;
        self.not_before = match kind {
            WriteErrorKind::Rate { after_ms } => now + Duration::from_millis(after_ms),
            _ => now + STREAM_PAUSE,
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

#[cfg(test)]
mod tests;
