//! A workspace that keeps what is posted, and answers as badly as it is told to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hitchline::clock::Clock;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::{ChannelId, OwedId, Ts, UserId};
use hitchline::domain::inbound::ReplyUrl;
use hitchline::domain::outgoing::{Body, Label, Place};
use hitchline::domain::ports::{Mark, SlackWrite, Trace, WriteError, WriteErrorKind};
use tokio::sync::watch;

const LOST: WriteErrorKind = WriteErrorKind::Transient { uncertain: true };

/// A message as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) ts: Ts,
    pub(crate) thread: Option<Ts>,
    pub(crate) text: String,
    pub(crate) key: Option<OwedId>,
    /// How late it is listed, in milliseconds.
    pub(crate) lag_ms: i64,
    /// From when on it is listed, in milliseconds since the Unix epoch.
    listed_ms: i64,
}

/// How badly it answers: each a share of the posts, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    /// It takes effect, and the answer does not come.
    pub(crate) lost: u32,
    /// Status 500, and it has not taken effect.
    pub(crate) failed: u32,
    /// Status 429, several times in a row.
    pub(crate) busy: u32,
    /// How late a message is listed at the most, in milliseconds.
    pub(crate) lag_ms: i64,
    /// Nobody may read.
    pub(crate) closed: bool,
}

/// When the process dies that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// After how many calls.
    pub(crate) calls: usize,
    /// Whether the last call takes effect.
    pub(crate) behind: bool,
}

/// The workspace; it outlives the processes that write to it.
#[derive(Debug)]
pub(crate) struct Workspace {
    manners: Manners,
    state: Mutex<State>,
    /// Whether the process that calls is dead: then no call of it goes on.
    pub(crate) dead: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    messages: Vec<Message>,
    made: u64,
    chance: fastrand::Rng,
    cut: Option<Cut>,
    busy_for: u32,
}

impl Workspace {
    pub(crate) fn new(manners: Manners, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        let state = State { messages: Vec::new(), made: 0, chance, cut: None, busy_for: 0 };
        Self { manners, state: Mutex::new(state), dead: watch::Sender::new(false) }
    }

    /// A new process calls, which dies at the cut.
    pub(crate) fn begin(&self, cut: Option<Cut>) {
        self.dead.send_replace(false);
        self.state().cut = cut;
    }

    /// A message of ours that grows already.
    pub(crate) fn grown(&self, thread: &Ts, text: &str) -> Ts {
        self.state().add(Some(thread.clone()), text, None, (0, 0))
    }

    /// Somebody deletes a message.
    pub(crate) fn vanish(&self, ts: &Ts) {
        self.state().messages.retain(|message| message.ts != *ts);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.state().messages.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call take effect, unless the process dies before.
    async fn call<T>(&self, effect: impl FnOnce(&mut State) -> Result<T, WriteError> + Send) -> Result<T, WriteError>
    where
        T: Send,
    {
        let (outcome, dies) = self.state().step(effect);
        if dies {
            self.dead.send_replace(true);
        }
        // Behind the death of its process no call comes back.
        let alive = self.dead.subscribe().borrow().then_some(());
        match (alive, outcome) {
            (None, Some(outcome)) => outcome,
            _ => std::future::pending().await,
        }
    }
}

impl State {
    /// What a call leads to, if it takes effect, and whether its process dies with it.
    fn step<T>(
        &mut self,
        effect: impl FnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> (Option<Result<T, WriteError>>, bool) {
        let Some(cut) = &mut self.cut else { return (Some(effect(self)), false) };
        match cut.calls.checked_sub(1) {
            Some(left) => {
                cut.calls = left;
                (Some(effect(self)), false)
            }
            None if std::mem::replace(&mut cut.behind, false) => (Some(effect(self)), true),
            None => (None, true),
        }
    }

    /// A message that is made at some time, and listed so much later, both in milliseconds.
    fn add(&mut self, thread: Option<Ts>, text: &str, key: Option<OwedId>, (made_ms, lag_ms): (i64, i64)) -> Ts {
        self.made += 1;
        let (ts, listed_ms) = (Ts::from(format!("9000.{:06}", self.made)), made_ms + lag_ms);
        self.messages.push(Message { ts: ts.clone(), thread, text: text.to_owned(), key, lag_ms, listed_ms });
        ts
    }

    fn change(&mut self, ts: &Ts, change: impl FnOnce(&mut Message)) -> Result<(), WriteError> {
        let found = self.messages.iter_mut().find(|message| message.ts == *ts);
        found.map(change).ok_or_else(|| error(WriteErrorKind::MessageGone))
    }

    fn percent(&mut self, share: u32) -> bool {
        self.chance.u32(..100) < share
    }

    fn post(&mut self, manners: Manners, now_ms: i64, to: &Place, text: &str, key: OwedId) -> Result<Ts, WriteError> {
        if self.busy_for == 0 && self.percent(manners.busy) {
            self.busy_for = self.chance.u32(1..4);
        }
        if let Some(left) = self.busy_for.checked_sub(1) {
            self.busy_for = left;
            return Err(error(WriteErrorKind::Rate { after_ms: self.chance.u64(1_000..5_000) }));
        }
        if self.percent(manners.failed) {
            return Err(error(LOST));
        }
        let lag_ms = self.chance.i64(0..=manners.lag_ms);
        let ts = self.add(to.thread.clone(), text, Some(key), (now_ms, lag_ms));
        if self.percent(manners.lost) { Err(error(LOST)) } else { Ok(ts) }
    }
}

fn error(kind: WriteErrorKind) -> WriteError {
    WriteError { kind, call: "test", code: "as_told".to_owned() }
}

fn text(body: &Body) -> &str {
    match body {
        Body::Text(text) | Body::Plain(text) => text,
        Body::Approval(_) | Body::List(_) => "",
    }
}

/// A process's way to the workspace, with its clock.
pub(crate) struct Line {
    pub(crate) workspace: std::sync::Arc<Workspace>,
    pub(crate) clock: Clock,
}

#[async_trait]
impl SlackWrite for Line {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        let (manners, now_ms) = (self.workspace.manners, self.clock.wall_ms());
        self.workspace.call(|state| state.post(manners, now_ms, to, text(body), label.key)).await
    }
    async fn update(&self, _: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.workspace.call(|state| state.change(ts, |message| text(body).clone_into(&mut message.text))).await
    }
    async fn finish(&self, _: &ChannelId, ts: &Ts, body: &Body, label: &Label) -> Result<(), WriteError> {
        let change = |message: &mut Message| {
            text(body).clone_into(&mut message.text);
            message.key = Some(label.key);
        };
        self.workspace.call(|state| state.change(ts, change)).await
    }
    async fn delete(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        let gone = |state: &mut State| {
            state.messages.retain(|message| message.ts != *ts);
            Ok(())
        };
        self.workspace.call(gone).await
    }
    async fn stop_stream(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.workspace.call(|state| state.change(ts, |_| {})).await
    }
    async fn look_back(&self, to: &ConversationKey, _: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError> {
        let (closed, now_ms) = (self.workspace.manners.closed, self.clock.wall_ms());
        let find = |state: &mut State| {
            if closed {
                return Err(error(WriteErrorKind::Permanent));
            }
            let Trace::Key(key) = trace else { return Ok(None) };
            let is_it = |message: &&Message| {
                message.thread.as_ref() == Some(&to.thread) && message.key == Some(key) && message.listed_ms <= now_ms
            };
            Ok(state.messages.iter().find(is_it).map(|message| message.ts.clone()))
        };
        self.workspace.call(find).await
    }
    async fn whisper(&self, _: &Place, _: &UserId, _: &Body) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn respond(&self, _: &ReplyUrl, _: &Body) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn mark(&self, _: &ChannelId, _: &Ts, _: Mark, _: bool) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn create_channel(&self, _: &str, _: &[UserId]) -> Result<ChannelId, WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn status(&self, _: &Place, _: &str) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn start_stream(&self, _: &ConversationKey, _: &UserId, _: &str) -> Result<Ts, WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn append_stream(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn start_draft(&self, _: &Place, _: &Body, _: &Label) -> Result<Ts, WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
    async fn edit_draft(&self, _: &ChannelId, _: &Ts, _: &Body) -> Result<(), WriteError> {
        Err(error(WriteErrorKind::Permanent))
    }
}
