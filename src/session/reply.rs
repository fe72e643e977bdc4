//! The one writer of a turn: what is shown while the agent speaks, and what is owed in the end.
//!
//! While the agent speaks, everything is cosmetic: a status line, then a message that grows. At most one such call is on its way, and
//! what the agent says meanwhile goes with the next one. At the end, and before each request for a decision, [`Reply::checkpoint`]
//! turns what was said into durable operations that give the shown messages their final form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::domain::agent::Prompt;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts, TurnId, UserId};
use crate::domain::outgoing::{Body, List, ListRow, Op, Place};
use crate::domain::ports::{Render, SlackWrite, Trace, WriteError, WriteErrorKind};
use crate::outbox::Outbox;
use crate::store::Store;

use super::commands::stop_button;
use super::manager::Parts;
use super::words;

mod draft;

use draft::{Draft, Mode, Next, Step};
pub(super) use draft::{QUIET, Worked, finals};

/// How long the end of a turn waits for a call that is on its way.
const LAST_CALL: Duration = Duration::from_secs(5);
/// How often a message whose start was not answered is looked for, and the pause in between.
const LOOKS: (u32, Duration) = (3, Duration::from_secs(1));

/// The writer of one turn.
pub(super) struct Reply {
    slack: Arc<dyn SlackWrite>,
    render: Arc<dyn Render>,
    outbox: Outbox,
    clock: Clock,
    key: ConversationKey,
    turn: TurnId,
    recipient: UserId,
    /// The message that asked: what is said in this turn stands after it.
    asked: Ts,
    draft: Draft,
    call: Option<Call>,
    /// By what the message that was started last would be found.
    started: Trace,
    /// How many messages grow by edits, or did: only one that is there uses up its key, so that a crash leaves none under an unexpected one.
    drafts: u32,
    store: Store,
}

/// A cosmetic call that was begun.
struct Call {
    step: Step,
    /// Whether it has left for Slack, rather than waits for what must stand above.
    left: Arc<AtomicBool>,
    answer: Answer,
}

/// What comes of a cosmetic call; one that starts a message yields its time stamp.
type Answer = BoxFuture<'static, Result<Option<Ts>, WriteError>>;

impl Reply {
    pub(super) fn new(parts: &Parts, key: &ConversationKey, prompt: &Prompt, asked: &Ts) -> Self {
        let now = parts.clock.now();
        Self {
            slack: parts.slack.clone(),
            render: parts.render.clone(),
            outbox: parts.outbox.clone(),
            clock: parts.clock.clone(),
            key: key.clone(),
            turn: prompt.turn(),
            recipient: prompt.requester().clone(),
            asked: asked.clone(),
            draft: Draft::new(now),
            call: None,
            started: Trace::Growing,
            drafts: 0,
            store: parts.store.clone(),
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
            if let Some(call) = &mut self.call {
                let result = (&mut call.answer).await;
                return self.came_back(result);
            }
            match self.draft.next(self.clock.now()) {
                Next::Step(step) => self.call = Some(self.begin(step)),
                Next::At(due) => self.clock.sleep_until(due).await,
                Next::Nothing => std::future::pending().await,
            }
        }
    }

    /// Turns what was said since the last checkpoint into operations that are owed, and forgets it. Waits for a call on its way, for
    /// a message that it starts must be known; one that has not left is superfluous.
    pub(super) async fn checkpoint(&mut self) -> Vec<Op> {
        self.call.take_if(|call| !call.left.load(Ordering::Relaxed));
        if let Some(call) = &mut self.call {
            let result =
                self.clock.timeout(LAST_CALL, &mut call.answer).await.unwrap_or_else(|_late| Err(unanswered()));
            self.came_back(result);
        }
        if std::mem::take(&mut self.draft.lost) {
            self.find_lost().await;
        }
        let parts = self.render.parts(self.key.markup(), self.draft.text.trim());
        let now = self.clock.now();
        let live = self.draft.restart(now);
        finals(parts.into_iter().map(Body::Text).collect(), live)
    }

    /// Looks for a message whose start was not answered: if it is there, it gets its final form like any other.
    async fn find_lost(&mut self) {
        let look = look(&*self.slack, &self.clock, &self.key, &self.asked, self.started);
        match self.clock.timeout(LAST_CALL, look).await.unwrap_or_else(|_late| Err(unanswered())) {
            Ok(found) => self.draft.live.extend(found),
            Err(error) => {
                tracing::warn!(conversation = %self.key, %error, "A growing message may be left unfinished: its start was not answered");
            }
        }
    }

    fn came_back(&mut self, result: Result<Option<Ts>, WriteError>) -> Worked {
        let Some(Call { step, .. }) = self.call.take() else { return Worked::Done };
        match &result {
            Ok(_) if matches!((&step, self.started), (Step::Start { .. }, Trace::Key(_))) => self.drafts += 1,
            Ok(_) => {}
            Err(error) => tracing::debug!(conversation = %self.key, %error, "A cosmetic call failed"),
        }
        self.draft.came_back(step, result, self.clock.now())
    }

    fn begin(&mut self, step: Step) -> Call {
        // Only the start of a message waits for something before it leaves.
        let left = Arc::new(AtomicBool::new(!matches!(step, Step::Start { .. })));
        let answer = self.answer(step.clone(), left.clone());
        Call { step, left, answer }
    }

    fn answer(&mut self, step: Step, left: Arc<AtomicBool>) -> Answer {
        let (slack, key) = (self.slack.clone(), self.key.clone());
        match step {
            Step::Status(status) => {
                async move { slack.status(&Place::from(&key), &status).await.map(|()| None) }.boxed()
            }
            Step::Start { upto } => self.start(upto, left),
            Step::Append { ts, upto } => {
                let piece = self.draft.text[self.draft.shown..upto].to_owned();
                async move { slack.append_stream(&key.channel, &ts, &piece).await.map(|()| None) }.boxed()
            }
            Step::Edit { ts, upto } => {
                let body = self.preview(upto);
                async move { slack.edit_draft(&key.channel, &ts, &body).await.map(|()| None) }.boxed()
            }
            Step::Stop { ts } => async move { slack.stop_stream(&key.channel, &ts).await.map(|()| None) }.boxed(),
        }
    }

    fn start(&mut self, upto: usize, left: Arc<AtomicBool>) -> Answer {
        let (slack, key, outbox) = (self.slack.clone(), self.key.clone(), self.outbox.clone());
        let (store, turn) = (self.store.clone(), self.turn);
        // What is owed from before must stand above.
        let settled = async move |key: &ConversationKey| {
            outbox.settled(key).await;
            left.store(true, Ordering::Relaxed);
        };
        if self.draft.mode == Mode::Edit {
            let (body, id) = (self.preview(upto), OwedId::of_draft(turn, self.drafts));
            self.started = Trace::Key(id);
            return async move {
                settled(&key).await;
                let ts = slack.start_draft(&Place::from(&key), &body, &id.into()).await?;
                note(&store, turn, &ts).await;
                Ok(Some(ts))
            }
            .boxed();
        }
        self.started = Trace::Growing;
        let (piece, recipient) = (self.draft.text[self.draft.shown..upto].to_owned(), self.recipient.clone());
        async move {
            settled(&key).await;
            let ts = slack.start_stream(&key, &recipient, &piece).await?;
            note(&store, turn, &ts).await;
            Ok(Some(ts))
        }
        .boxed()
    }

    /// The growing message as it would look if it ended here.
    fn preview(&self, upto: usize) -> Body {
        let from = self.draft.growing.as_ref().map_or(self.draft.shown, |segment| segment.from);
        let mut parts = self.render.parts(self.key.markup(), &self.draft.text[from..upto]);
        let text = if parts.is_empty() { "…".to_owned() } else { parts.swap_remove(0) };
        // A stream has Slack's own button.
        let row = ListRow { text: words::WRITING.to_owned(), button: Some(stop_button(self.turn)) };
        Body::List(List { text, rows: vec![row] })
    }
}

/// Notes a message that grows, so that what a crash leaves of it is taken over.
async fn note(store: &Store, turn: TurnId, ts: &Ts) {
    // A store that is closed takes no notes any more, and then nothing else either.
    let _closed = store.note_shown(turn, ts.clone()).await;
}

/// Looks for a message more than once: what was just posted may not be listed yet.
async fn look(
    slack: &dyn SlackWrite,
    clock: &Clock,
    key: &ConversationKey,
    asked: &Ts,
    trace: Trace,
) -> Result<Option<Ts>, WriteError> {
    let (looks, pause) = LOOKS;
    for _ in 1..looks {
        if let Ok(Some(found)) = slack.look_back(key, asked, trace).await {
            return Ok(Some(found));
        }
        clock.sleep(pause).await;
    }
    slack.look_back(key, asked, trace).await
}

/// What our own time-out of a call means.
fn unanswered() -> WriteError {
    let kind = WriteErrorKind::Transient { uncertain: true };
    WriteError { kind, call: "cosmetic call", code: "no answer in time".to_owned() }
}
