//! A Slack that notes what is shown in each thread, and fails as the test says.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use hitchline::domain::conversation::{ConversationKey, Markup};
use hitchline::domain::ids::{ChannelId, OwedId, Ts, UserId};
use hitchline::domain::inbound::{Button, File, ReplyUrl};
use hitchline::domain::outgoing::{ApprovalCard, Body, Label, List, Place};
use hitchline::domain::ports::{
    Answered, Files, Mark, NotFetched, Render, Said, SlackRead, SlackWrite, Trace, Upload, WriteError, WriteErrorKind,
};

use tokio::sync::watch;

use super::agent::locked;
use super::people;

/// Time stamps differ even between two of these, for they may stand for the same workspace.
static MADE: AtomicU32 = AtomicU32::new(1);

/// How many characters one message takes.
pub(crate) const PART: usize = 1_000;

/// A call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Post,
    Update,
    Start,
    Append,
    Stop,
    Status,
    Look,
    /// Asking whether a channel is closed.
    Closed,
}

/// A message of ours, as it stands there now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) ts: Ts,
    /// The channel; of a direct message that begins with us, the person.
    pub(crate) channel: ChannelId,
    pub(crate) thread: Ts,
    pub(crate) body: Body,
    /// What it was posted with.
    pub(crate) key: Option<OwedId>,
    /// Whether it is still a stream.
    pub(crate) streams: bool,
}

#[derive(Debug, Default)]
pub(crate) struct FakeSlack {
    shown: Mutex<Vec<Shown>>,
    faults: Mutex<VecDeque<(Step, WriteErrorKind)>>,
    /// What was said to one person alone.
    pub(crate) whispers: Mutex<Vec<(UserId, String)>>,
    /// Status lines, in order.
    pub(crate) statuses: Mutex<Vec<String>>,
    /// Lists that one person alone was shown.
    pub(crate) lists: Mutex<Vec<List>>,
    /// Where whispers went.
    pub(crate) whispered_in: Mutex<Vec<Place>>,
    /// Channels that were made, by name; making one of these again fails.
    pub(crate) channels: Mutex<Vec<String>>,
    /// How Slack refuses to make a channel.
    pub(crate) no_channel: Mutex<Option<WriteError>>,
    /// Answers to presses and slash commands, by their address.
    pub(crate) responses: Mutex<Vec<(String, String)>>,
    /// People's messages that are marked as waiting.
    pub(crate) marked: Mutex<BTreeSet<Ts>>,
    /// What threads hold when they are read back; nothing when they can't be.
    pub(crate) history: Mutex<Option<Vec<Said>>>,
    /// Which threads were read back.
    pub(crate) reads: Mutex<Vec<ConversationKey>>,
    pub(crate) steps: Mutex<Vec<Step>>,
    /// How the next files are not fetched; any other holds its own name.
    pub(crate) not_fetched: Mutex<VecDeque<NotFetched>>,
    /// What was uploaded, and where to.
    pub(crate) uploads: Mutex<Vec<(Place, Upload)>>,
    /// How uploads fail.
    pub(crate) no_upload: Mutex<Option<WriteError>>,
    /// Channels in which nothing can be said.
    pub(crate) closed: Mutex<BTreeSet<ChannelId>>,
    /// Whether posts wait on their way.
    pub(crate) slow: watch::Sender<bool>,
}

/// Cuts text into messages and changes nothing else.
pub(crate) struct Plain;

impl Render for Plain {
    fn parts(&self, _markup: Markup, markdown: &str) -> Vec<String> {
        let chars: Vec<char> = markdown.chars().collect();
        chars.chunks(PART).map(|part| part.iter().collect()).collect()
    }

    fn shows_whole(&self, _markup: Markup, card: &ApprovalCard) -> bool {
        card.command().len() <= PART
    }
}

impl FakeSlack {
    /// Lets the next call of this kind fail; again for the one after it.
    pub(crate) fn fail(&self, step: Step, kind: WriteErrorKind) {
        locked(&self.faults).push_back((step, kind));
    }

    /// Shows all that another one shows: it is the same workspace.
    pub(crate) fn remember(&self, other: &Self) {
        locked(&self.shown).extend(other.everything());
    }

    /// A message of an earlier turn, above every question, that was left growing.
    pub(crate) fn grown_before(&self, thread: &Ts) {
        let body = Body::Text("older".to_owned());
        let channel = people::CHANNEL.into();
        let older = Shown { ts: "0.1".into(), channel, thread: thread.clone(), body, key: None, streams: true };
        locked(&self.shown).push(older);
    }

    /// What stands in a thread, in its order.
    pub(crate) fn thread(&self, thread: &Ts) -> Vec<Shown> {
        locked(&self.shown).iter().filter(|shown| shown.thread == *thread).cloned().collect()
    }

    /// All that stands anywhere.
    pub(crate) fn everything(&self) -> Vec<Shown> {
        locked(&self.shown).clone()
    }

    /// The texts that stand in a thread.
    pub(crate) fn texts(&self, thread: &Ts) -> Vec<String> {
        let text = |shown: Shown| match shown.body {
            Body::Text(text) | Body::Plain(text) => Some(text),
            Body::List(list) => Some(list.text),
            Body::Approval(_) => None,
        };
        self.thread(thread).into_iter().filter_map(text).collect()
    }

    /// The approvals in a thread, with the messages that show them.
    pub(crate) fn cards(&self, thread: &Ts) -> Vec<(Ts, ApprovalCard)> {
        let card = |shown: Shown| match shown.body {
            Body::Approval(card) => Some((shown.ts, card)),
            Body::Text(_) | Body::Plain(_) | Body::List(_) => None,
        };
        self.thread(thread).into_iter().filter_map(card).collect()
    }

    /// How often `step` was tried.
    pub(crate) fn count(&self, step: Step) -> usize {
        locked(&self.steps).iter().filter(|made| **made == step).count()
    }

    fn step(&self, step: Step, ts: Option<&Ts>) -> Result<(), WriteError> {
        locked(&self.steps).push(step);
        let mut faults = locked(&self.faults);
        let Some(found) = faults.iter().position(|(failing, _)| *failing == step) else { return Ok(()) };
        let Some((_, kind)) = faults.remove(found) else { return Ok(()) };
        let mut shown = locked(&self.shown);
        match kind {
            WriteErrorKind::MessageGone => shown.retain(|shown| Some(&shown.ts) != ts),
            // The stream is over already, and that is what the error says.
            WriteErrorKind::StreamUnavailable | WriteErrorKind::StoppedByUser => {
                shown.iter_mut().filter(|shown| Some(&shown.ts) == ts).for_each(|shown| shown.streams = false);
            }
            _ => {}
        }
        Err(error(kind))
    }

    /// Fails in a channel in which nothing can be said.
    fn open(&self, channel: &ChannelId) -> Result<(), WriteError> {
        if locked(&self.closed).contains(channel) { Err(error(WriteErrorKind::PlaceClosed)) } else { Ok(()) }
    }

    /// A step that makes a message: when it is uncertain whether it worked, it has.
    fn make(&self, step: Step, show: impl FnOnce() -> Ts) -> Result<Ts, WriteError> {
        match self.step(step, None) {
            Ok(()) => Ok(show()),
            Err(error) => {
                if error.kind == (WriteErrorKind::Transient { uncertain: true }) {
                    show();
                }
                Err(error)
            }
        }
    }

    fn note_list(&self, body: &Body) {
        if let Body::List(list) = body {
            locked(&self.lists).push(list.clone());
        }
    }

    /// The buttons of the newest list that one person alone was shown.
    pub(crate) fn buttons(&self) -> Vec<Button> {
        let rows = locked(&self.lists).last().map(|list| list.rows.clone()).unwrap_or_default();
        rows.into_iter().filter_map(|row| Some(row.button?.button)).collect()
    }

    /// Without a thread it begins one.
    fn show(&self, to: &Place, body: Body, key: Option<OwedId>, streams: bool) -> Ts {
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let ts = Ts::from(format!("9000.{made:06}"));
        let thread = to.thread.clone().unwrap_or_else(|| ts.clone());
        locked(&self.shown).push(Shown { ts: ts.clone(), channel: to.channel.clone(), thread, body, key, streams });
        ts
    }

    fn change(&self, ts: &Ts, change: impl FnOnce(&mut Shown)) -> Result<(), WriteError> {
        let mut shown = locked(&self.shown);
        let found = shown.iter_mut().find(|shown| shown.ts == *ts).ok_or(error(WriteErrorKind::MessageGone))?;
        change(found);
        Ok(())
    }
}

/// What a message for one person alone says.
fn said(body: &Body) -> String {
    match body {
        Body::Text(text) | Body::Plain(text) => text.clone(),
        Body::Approval(card) => card.title.clone(),
        Body::List(list) => {
            let rows = list.rows.iter().map(|row| row.text.as_str());
            std::iter::once(list.text.as_str()).chain(rows).collect::<Vec<_>>().join("\n")
        }
    }
}

/// How Slack refuses to make a channel.
pub(crate) fn refusal(code: &str) -> WriteError {
    WriteError { kind: WriteErrorKind::Permanent, call: "conversations.create", code: code.to_owned() }
}

fn error(kind: WriteErrorKind) -> WriteError {
    WriteError { kind, call: "test", code: "as_the_test_says".into() }
}

#[async_trait]
impl Files for FakeSlack {
    async fn fetch(&self, file: &File, into: &Path, limit: u64) -> Result<(), NotFetched> {
        if let Some(error) = locked(&self.not_fetched).pop_front() {
            return Err(error);
        }
        if file.size.is_some_and(|size| size > limit) {
            return Err(NotFetched::TooLarge { limit });
        }
        assert!(!into.exists(), "there is something in the way");
        std::fs::write(into, &file.name).map_err(|error| NotFetched::NotKept(error.to_string()))
    }

    async fn upload(&self, to: &Place, file: Upload, _label: &Label) -> Result<(), WriteError> {
        if let Some(error) = locked(&self.no_upload).clone() {
            return Err(error);
        }
        locked(&self.uploads).push((to.clone(), file));
        Ok(())
    }
}

#[async_trait]
impl SlackRead for FakeSlack {
    async fn thread(
        &self,
        conversation: &ConversationKey,
        _before: &Ts,
        limit: usize,
    ) -> Result<Vec<Said>, WriteError> {
        locked(&self.reads).push(conversation.clone());
        let kind = WriteErrorKind::Permanent;
        let said = locked(&self.history).clone();
        let mut said = said.ok_or(WriteError { kind, call: "conversations.replies", code: "closed".into() })?;
        Ok(said.split_off(said.len().saturating_sub(limit)))
    }

    async fn answered(&self, _conversation: &ConversationKey, _ts: &Ts) -> Result<Answered, WriteError> {
        Ok(Answered::No)
    }

    async fn is_closed(&self, channel: &ChannelId) -> Result<bool, WriteError> {
        self.step(Step::Closed, None)?;
        Ok(self.open(channel).is_err())
    }
}

#[async_trait]
impl SlackWrite for FakeSlack {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        let mut slow = self.slow.subscribe();
        let _through = slow.wait_for(|slow| !slow).await;
        self.open(&to.channel)?;
        self.make(Step::Post, || self.show(to, body.clone(), Some(label.key), false))
    }
    async fn update(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.open(channel)?;
        self.step(Step::Update, Some(ts))?;
        self.change(ts, |shown| shown.body = body.clone())
    }
    async fn finish(&self, channel: &ChannelId, ts: &Ts, body: &Body, label: &Label) -> Result<(), WriteError> {
        self.open(channel)?;
        self.step(Step::Update, Some(ts))?;
        self.change(ts, |shown| {
            shown.body = body.clone();
            shown.key = Some(label.key);
        })
    }
    async fn delete(&self, _channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        locked(&self.shown).retain(|shown| shown.ts != *ts);
        Ok(())
    }
    async fn whisper(&self, to: &Place, user: &UserId, body: &Body) -> Result<(), WriteError> {
        locked(&self.whispered_in).push(to.clone());
        self.note_list(body);
        locked(&self.whispers).push((user.clone(), said(body)));
        Ok(())
    }
    async fn respond(&self, to: &ReplyUrl, body: &Body) -> Result<(), WriteError> {
        self.note_list(body);
        locked(&self.responses).push((to.0.clone(), said(body)));
        Ok(())
    }
    async fn mark(&self, _channel: &ChannelId, ts: &Ts, _mark: Mark, on: bool) -> Result<(), WriteError> {
        let mut marked = locked(&self.marked);
        let _was_so_already = if on { marked.insert(ts.clone()) } else { marked.remove(ts) };
        Ok(())
    }
    async fn create_channel(&self, name: &str, _members: &[UserId]) -> Result<ChannelId, WriteError> {
        if let Some(refused) = locked(&self.no_channel).clone() {
            return Err(refused);
        }
        let mut channels = locked(&self.channels);
        if channels.iter().any(|taken| taken == name) {
            return Err(refusal("name_taken"));
        }
        channels.push(name.to_owned());
        Ok(ChannelId::from(format!("C-{name}")))
    }
    async fn status(&self, _to: &Place, text: &str) -> Result<(), WriteError> {
        locked(&self.statuses).push(text.to_owned());
        self.step(Step::Status, None)
    }
    async fn start_stream(&self, to: &ConversationKey, _user: &UserId, markdown: &str) -> Result<Ts, WriteError> {
        self.open(&to.channel)?;
        self.make(Step::Start, || self.show(&Place::from(to), Body::Text(markdown.to_owned()), None, true))
    }
    async fn append_stream(&self, _channel: &ChannelId, ts: &Ts, markdown: &str) -> Result<(), WriteError> {
        self.step(Step::Append, Some(ts))?;
        self.change(ts, |shown| {
            if let Body::Text(text) = &mut shown.body {
                text.push_str(markdown);
            }
        })
    }
    async fn start_draft(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        self.post(to, body, label).await
    }
    async fn edit_draft(&self, channel: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.update(channel, ts, body).await
    }
    async fn stop_stream(&self, _channel: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.step(Step::Stop, Some(ts))?;
        self.change(ts, |shown| shown.streams = false)
    }
    async fn look_back(&self, to: &ConversationKey, since: &Ts, trace: Trace) -> Result<Option<Ts>, WriteError> {
        self.step(Step::Look, None)?;
        let ours = |shown: &&Shown| {
            shown.thread == to.thread
                && shown.ts > *since
                && match trace {
                    Trace::Key(key) => shown.key == Some(key),
                    Trace::Growing => shown.streams,
                }
        };
        Ok(locked(&self.shown).iter().find(ours).map(|shown| shown.ts.clone()))
    }
}
