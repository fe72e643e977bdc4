use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::Hand;
use crate::domain::ids::{ChannelId, OwedId, Ts, UserId};
use crate::domain::inbound::ReplyUrl;
use crate::domain::outgoing::{Body, Label, Op, Place};
use crate::domain::ports::{Mark, Trace, WriteError, WriteErrorKind};

/// A Slack that notes each call and answers from a script; an empty script means success.
#[derive(Default)]
struct Script {
    calls: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<WriteErrorKind>>,
    /// Nothing gets through.
    away: AtomicBool,
    /// What looking back finds, one time after the other; nothing afterwards.
    found: Mutex<VecDeque<Option<Ts>>>,
    /// With what each message was posted.
    labels: Mutex<Vec<Label>>,
    /// How many calls crash.
    crashes: AtomicUsize,
    /// Whether posts wait on their way.
    slow: watch::Sender<bool>,
}

impl Script {
    fn call(&self, what: String) -> Result<(), WriteError> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(what);
        drop(calls);
        let crash = |left: usize| left.checked_sub(1);
        assert!(
            self.crashes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, crash).is_err(),
            "a crash in the way to Slack"
        );
        if self.away.load(Ordering::Relaxed) {
            let kind = WriteErrorKind::Transient { uncertain: false };
            return Err(WriteError { kind, call: "test", code: "away".into() });
        }
        match self.answers.lock().unwrap().pop_front() {
            None => Ok(()),
            Some(kind) => Err(WriteError { kind, call: "test", code: "scripted".into() }),
        }
    }

    fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn text(body: &Body) -> &str {
    let (Body::Text(text) | Body::Plain(text)) = body else { panic!("only texts here") };
    text
}

#[async_trait]
impl SlackWrite for Script {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        self.labels.lock().unwrap().push(label.clone());
        let whither = if to.thread.is_none() { format!(" to {}", to.channel) } else { String::new() };
        let how = if matches!(body, Body::Plain(_)) { " plainly" } else { "" };
        let posted = self.call(format!("post{whither}{how} {}", text(body))).map(|()| Ts::from("5.5"));
        let mut slow = self.slow.subscribe();
        let _through = slow.wait_for(|slow| !slow).await;
        posted
    }
    async fn update(&self, _: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.call(format!("update {ts} {}", text(body)))
    }
    async fn finish(&self, _: &ChannelId, ts: &Ts, body: &Body, _: &Label) -> Result<(), WriteError> {
        self.call(format!("finish {ts} {}", text(body)))
    }
    async fn delete(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.call(format!("delete {ts}"))
    }
    async fn whisper(&self, _: &Place, _: &UserId, _: &Body) -> Result<(), WriteError> {
        self.call("whisper".into())
    }
    async fn respond(&self, _: &ReplyUrl, _: &Body) -> Result<(), WriteError> {
        self.call("respond".into())
    }
    async fn mark(&self, _: &ChannelId, _: &Ts, _: Mark, _: bool) -> Result<(), WriteError> {
        self.call("mark".into())
    }
    async fn create_channel(&self, _: &str, _: &[UserId]) -> Result<ChannelId, WriteError> {
        self.call("create channel".into()).map(|()| ChannelId::from("CNEW"))
    }
    async fn status(&self, _: &Place, _: &str) -> Result<(), WriteError> {
        self.call("status".into())
    }
    async fn start_stream(&self, _: &ConversationKey, _: &UserId, _: &str) -> Result<Ts, WriteError> {
        self.call("start".into()).map(|()| Ts::from("5.5"))
    }
    async fn append_stream(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        self.call("append".into())
    }
    async fn start_draft(&self, _: &Place, _: &Body, _: &Label) -> Result<Ts, WriteError> {
        self.call("start draft".into()).map(|()| Ts::from("5.5"))
    }
    async fn edit_draft(&self, _: &ChannelId, _: &Ts, _: &Body) -> Result<(), WriteError> {
        self.call("edit draft".into())
    }
    async fn stop_stream(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.call(format!("stop {ts}"))
    }
    async fn look_back(&self, _: &ConversationKey, _: &Ts, _: Trace) -> Result<Option<Ts>, WriteError> {
        self.call("look back".into())?;
        Ok(self.found.lock().unwrap().pop_front().flatten())
    }
}

struct Fixture {
    outbox: Outbox,
    slack: Arc<Script>,
    store: Store,
    hand: Hand,
    scope: Scope,
    _dir: tempfile::TempDir,
}

fn fixture(answers: &[WriteErrorKind]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let slack = Arc::new(Script::default());
    slack.answers.lock().unwrap().extend(answers);
    let (clock, hand) = Clock::manual(0);
    let scope = Scope::new();
    let outbox = Outbox::new(store.clone(), slack.clone(), clock, scope.clone());
    Fixture { outbox, slack, store, hand, scope, _dir: dir }
}

fn key() -> ConversationKey {
    ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.0".into() }
}

fn owed(op: Op) -> Owed {
    Owed { id: OwedId::new(), conversation: key(), turn: None, answers: None, op }
}

fn post(text: &str) -> Owed {
    owed(Op::Post(Body::Text(text.into())))
}

impl Fixture {
    /// The next process, on the same store and before the same Slack.
    async fn next(&self, suspect: bool) -> Self {
        let (clock, hand) = Clock::manual(self.outbox.0.clock.wall_ms());
        let scope = Scope::new();
        let outbox = Outbox::new(self.store.clone(), self.slack.clone(), clock, scope.clone());
        outbox.recover(suspect).await.unwrap();
        Self {
            outbox,
            slack: self.slack.clone(),
            store: self.store.clone(),
            hand,
            scope,
            _dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Commits `rows` without sending them, as a process that is killed between the two.
    async fn leave(&self, rows: Vec<Owed>) {
        self.store.owe(rows, None, 0).await.unwrap();
    }

    /// Waits until Slack has been called so often.
    async fn called(&self, times: usize) {
        let reached = async {
            while self.slack.count() < times {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(reached.is_ok(), "only {:?}", self.slack.calls());
    }

    /// Commits and sends `rows`.
    async fn send(&self, rows: Vec<Owed>) -> impl Future<Output = Fate> + use<> {
        self.store.owe(rows.clone(), None, 0).await.unwrap();
        self.outbox.send(rows)
    }

    /// Commits and sends `rows`, turns the clock until all are settled, and returns Slack's calls.
    async fn deliver(&self, rows: Vec<Owed>) -> Vec<String> {
        let _nobody_waits = self.send(rows).await;
        self.settle().await
    }

    /// Turns the clock until all are settled, and returns Slack's calls.
    async fn settle(&self) -> Vec<String> {
        let key = key();
        let settled = self.outbox.settled(&key);
        tokio::pin!(settled);
        let (real, mut turned) = (Clock::system(), 0);
        let deadline = real.now() + Duration::from_secs(30);
        while real.now() < deadline {
            if futures_util::poll!(settled.as_mut()).is_ready() {
                return self.slack.calls();
            }
            // Not for ever: on a busy machine the store's threads may take longer than a day on this clock.
            if turned < 10_000 {
                turned += 1;
                self.hand.advance(Duration::from_secs(1));
            }
            tokio::task::yield_now().await;
            // The writer is a thread of its own: a round trip through it is the wait.
            self.store.probe().await.unwrap();
        }
        panic!("not settled: {:?}", self.slack.calls());
    }
}

#[tokio::test]
async fn rows_leave_in_order_and_are_noted() {
    let fixture = fixture(&[]);
    let calls = fixture.deliver(vec![post("a"), post("b"), post("c")]).await;
    assert_eq!(calls, ["post a", "post b", "post c"]);
    fixture.store.close().await;
}

#[tokio::test]
async fn a_row_that_fails_for_now_holds_back_the_ones_behind_it() {
    let rate = WriteErrorKind::Rate { after_ms: 30_000 };
    let fixture = fixture(&[WriteErrorKind::Transient { uncertain: false }, rate, WriteErrorKind::Auth]);
    let calls = fixture.deliver(vec![post("a"), post("b")]).await;
    assert_eq!(calls, ["post a", "post a", "post a", "post a", "post b"]);
}

#[tokio::test]
async fn a_row_that_can_never_be_sent_makes_way() {
    let fixture = fixture(&[WriteErrorKind::Permanent]);
    assert_eq!(fixture.deliver(vec![post("a"), post("b")]).await, ["post a", "post b"]);
    assert_eq!(fixture.store.next_owed(key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_streamed_message_gets_its_final_text_or_a_new_post() {
    let finish = || owed(Op::Finish { ts: "2.2".into(), body: Body::Text("z".into()) });
    let ended_already = fixture(&[WriteErrorKind::StreamUnavailable]);
    assert_eq!(ended_already.deliver(vec![finish()]).await, ["stop 2.2", "finish 2.2 z"]);
    let gone = fixture(&[WriteErrorKind::StreamUnavailable, WriteErrorKind::MessageGone]);
    assert_eq!(gone.deliver(vec![finish()]).await, ["stop 2.2", "finish 2.2 z", "post z"]);
    let kept_by_somebody = fixture(&[WriteErrorKind::StoppedByUser, WriteErrorKind::StreamUnavailable]);
    let calls = kept_by_somebody.deliver(vec![finish()]).await;
    assert_eq!(calls, ["stop 2.2", "finish 2.2 z", "delete 2.2", "post z"]);
}

#[tokio::test]
async fn a_revision_finds_the_message_that_its_row_became() {
    let fixture = fixture(&[]);
    let first = post("open");
    let second = owed(Op::Revise { of: first.id, body: Body::Text("closed".into()) });
    let orphan = owed(Op::Revise { of: OwedId::new(), body: Body::Text("never".into()) });
    assert_eq!(fixture.deliver(vec![first, second, orphan]).await, ["post open", "update 5.5 closed", "look back"]);
}

#[tokio::test]
async fn what_is_not_sent_when_we_stop_is_taken_up_again() {
    let first = fixture(&[WriteErrorKind::Auth]);
    let row = post("a");
    first.store.owe(vec![row.clone()], None, 0).await.unwrap();
    let _nobody_waits = first.outbox.send(vec![row.clone()]);
    first.scope.stop().cancel();
    first.scope.wait().await;
    assert_eq!(first.store.next_owed(key()).await.unwrap().unwrap().owed, Ok(row));
    let again = Outbox::new(first.store.clone(), first.slack.clone(), Clock::system(), Scope::new());
    again.recover(false).await.unwrap();
    again.settled(&key()).await;
    assert_eq!(first.slack.calls().last().map(String::as_str), Some("post a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_comes_as_its_lane_ends_is_sent_once() {
    const ROWS: usize = 2_000;
    let fixture = fixture(&[]);
    for n in 0..ROWS {
        let _nobody_waits = fixture.outbox.send(vec![post(&n.to_string())]);
        // As the last one leaves: when its lane is just about to end.
        while fixture.slack.count() <= n {
            tokio::task::yield_now().await;
        }
        fixture.store.probe().await.unwrap();
    }
    fixture.outbox.settled(&key()).await;
    fixture.scope.wait().await;
    let sent = fixture.slack.calls();
    let odd = sent.iter().enumerate().find(|(n, call)| **call != format!("post {n}"));
    assert_eq!((odd, sent.len()), (None, ROWS));
}

#[tokio::test]
async fn whoever_sends_can_wait_until_all_of_it_is_settled() {
    let fixture = fixture(&[]);
    fixture.slack.slow.send_replace(true);
    let mut delivered = std::pin::pin!(fixture.outbox.send(vec![post("a"), post("b")]));
    while fixture.slack.count() < 1 {
        tokio::task::yield_now().await;
    }
    assert!(futures_util::poll!(delivered.as_mut()).is_pending());
    fixture.slack.slow.send_replace(false);
    assert_eq!(delivered.await, Fate::Sent);
    assert_eq!(fixture.slack.calls(), ["post a", "post b"]);
}

#[tokio::test]
async fn whoever_sends_learns_that_one_of_its_rows_can_never_be_sent() {
    let fixture = fixture(&[WriteErrorKind::Permanent]);
    assert_eq!(fixture.outbox.send(vec![post("never"), post("b")]).await, Fate::Dead);
    assert_eq!(fixture.outbox.send(vec![post("c")]).await, Fate::Sent, "each has a fate of its own");
    assert_eq!(fixture.outbox.send(Vec::new()).await, Fate::Sent);
}

#[tokio::test]
async fn whoever_waits_is_told_nothing_when_we_stop_first() {
    let Fixture { outbox, slack, hand, scope, .. } = fixture(&[WriteErrorKind::Auth]);
    let mut delivered = std::pin::pin!(outbox.send(vec![post("a")]));
    scope.stop().cancel();
    scope.wait().await;
    drop((outbox, slack, hand));
    assert!(futures_util::poll!(delivered.as_mut()).is_pending());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_set_aside_and_the_others_are_sent() {
    let fixture = fixture(&[]);
    let spoiled = post("spoiled");
    let rows = vec![post("a"), spoiled.clone(), post("b")];
    fixture.store.owe(rows, None, 0).await.unwrap();
    fixture.store.spoil(spoiled.id).await;
    fixture.outbox.recover(false).await.unwrap();
    fixture.outbox.settled(&key()).await;
    assert_eq!(fixture.slack.calls(), ["post a", "post b"]);
    let (state, error, content) = fixture.store.row(spoiled.id).await;
    assert_eq!((state.as_str(), content.as_str()), ("dead", "{\"no such op"), "a person can look at it");
    assert!(error.unwrap().contains("Eof error"));
}

#[tokio::test]
async fn an_earlier_backlog_stays_in_the_store_until_its_turn_comes() {
    const CONVERSATIONS: usize = 600;
    let fixture = fixture(&[]);
    let conversation = |n: usize| ConversationKey { thread: format!("1.{n:06}").into(), ..key() };
    for n in 0..CONVERSATIONS {
        let row = |text: &str| Owed { conversation: conversation(n), ..post(&format!("{n} {text}")) };
        fixture.store.owe(vec![row("a"), row("b")], None, 0).await.unwrap();
    }
    fixture.slack.slow.send_replace(true);
    fixture.outbox.recover(false).await.unwrap();
    // The last one is not taken up by itself while posts are slow; what is new to it comes behind what is old.
    let new = Owed { conversation: conversation(CONVERSATIONS - 1), ..post("599 new") };
    assert_eq!(fixture.send(vec![new]).await.await, Fate::Kept);
    while fixture.slack.count() < read_back::AT_ONCE {
        tokio::task::yield_now().await;
    }
    fixture.store.probe().await.unwrap();
    assert_eq!(fixture.slack.count(), read_back::AT_ONCE, "the others wait in the store");
    fixture.slack.slow.send_replace(false);
    while fixture.slack.count() < 2 * CONVERSATIONS + 1 {
        tokio::task::yield_now().await;
    }
    let mut calls = fixture.slack.calls();
    let of_the_last: Vec<_> = calls.iter().filter(|call| call.starts_with("post 599")).cloned().collect();
    assert_eq!(of_the_last, ["post 599 a", "post 599 b", "post 599 new"]);
    calls.sort();
    calls.dedup();
    assert_eq!(calls.len(), 2 * CONVERSATIONS + 1, "each was sent once");
}

#[tokio::test]
async fn conversations_that_fail_do_not_hold_back_the_others_of_the_backlog() {
    const CONVERSATIONS: usize = 600;
    let fixture = fixture(&[]);
    for n in 0..CONVERSATIONS {
        let conversation = ConversationKey { thread: format!("{n}.0").into(), ..key() };
        fixture.store.owe(vec![Owed { conversation, ..post("a") }], None, 0).await.unwrap();
    }
    fixture.slack.away.store(true, Ordering::Relaxed);
    fixture.outbox.recover(false).await.unwrap();
    let tried = async {
        while fixture.slack.count() < CONVERSATIONS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tried).await.expect("some were never tried");
}

#[tokio::test]
async fn a_conversation_whose_rows_are_still_in_the_store_is_not_settled() {
    let fixture = fixture(&[]);
    fixture.store.owe(vec![post("a")], None, 0).await.unwrap();
    fixture.outbox.recover(false).await.unwrap();
    fixture.outbox.settled(&key()).await;
    assert_eq!(fixture.slack.calls(), ["post a"]);
}

#[tokio::test]
async fn while_the_token_is_refused_one_attempt_at_a_time_asks_again() {
    const CONVERSATIONS: usize = 20;
    let fixture = fixture(&[WriteErrorKind::Auth; 12]);
    let refused = fixture.outbox.refused();
    assert_eq!(*refused.borrow(), None);
    let row =
        |n: usize| Owed { conversation: ConversationKey { thread: format!("{n}.0").into(), ..key() }, ..post("a") };
    let first = fixture.send(vec![row(0)]).await;
    while refused.borrow().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(refused.borrow().as_deref(), Some("scripted"));
    for n in 1..CONVERSATIONS {
        let _nobody_waits = fixture.send(vec![row(n)]).await;
    }
    for asked in 1..12 {
        assert_eq!(fixture.slack.count(), asked);
        // Whatever the delay is, it is over then; and it is there.
        fixture.hand.advance(Duration::from_mins(1));
        while fixture.slack.count() == asked {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    fixture.hand.advance(Duration::from_mins(1));
    assert_eq!(first.await, Fate::Kept);
    while fixture.slack.count() < 12 + CONVERSATIONS {
        fixture.hand.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!((*refused.borrow()).clone(), None);
}

#[tokio::test]
async fn what_does_not_go_to_slack_waits_for_no_token_and_says_nothing_of_it() {
    let fixture = fixture(&[WriteErrorKind::Auth]);
    let refused = fixture.outbox.refused();
    let _nobody_waits = fixture.send(vec![post("to slack")]).await;
    while refused.borrow().is_none() {
        tokio::task::yield_now().await;
    }
    let row = Owed { conversation: ConversationKey::web("w1"), ..post("to the page") };
    assert_eq!(fixture.send(vec![row]).await.await, Fate::Sent);
    assert_eq!(fixture.slack.calls(), ["post to slack", "post to the page"]);
    assert_eq!(refused.borrow().as_deref(), Some("scripted"));
}

#[tokio::test]
async fn a_row_whose_delivery_crashes_is_tried_again_and_given_up_before_it_holds_back_the_others() {
    let once = fixture(&[]);
    once.slack.crashes.store(1, Ordering::Relaxed);
    assert_eq!(
        once.deliver(vec![post("a"), post("b")]).await,
        ["post a", "look back", "look back", "post a", "post b"]
    );
    let always = fixture(&[]);
    always.slack.crashes.store(3, Ordering::Relaxed);
    let row = post("a");
    let calls = always.deliver(vec![row.clone(), post("b")]).await;
    assert_eq!(calls, ["post a", "look back", "look back", "post b"], "each of them crashed, except for the last");
    assert_eq!(always.store.row(row.id).await.0, "dead");
}

const LOST: WriteErrorKind = WriteErrorKind::Transient { uncertain: true };

#[tokio::test]
async fn f_28_a_post_whose_answer_was_lost_is_looked_for_before_it_is_repeated() {
    let arrived = fixture(&[LOST]);
    arrived.slack.found.lock().unwrap().extend([None, Some("7.7".into())]);
    let row = post("a");
    assert_eq!(arrived.deliver(vec![row.clone(), post("b")]).await, ["post a", "look back", "look back", "post b"]);
    assert_eq!(arrived.store.delivered_as(row.id).await.unwrap(), Some("7.7".into()));
    let not_there = fixture(&[LOST, WriteErrorKind::Rate { after_ms: 9_000 }]);
    let calls = not_there.deliver(vec![post("a"), post("b")]).await;
    assert_eq!(calls, ["post a", "look back", "look back", "look back", "post a", "post b"]);
    let may_not_look = fixture(&[LOST, WriteErrorKind::Permanent]);
    assert_eq!(may_not_look.deliver(vec![post("a")]).await, ["post a", "look back", "post a"]);
}

#[tokio::test]
async fn a_post_that_is_never_answered_is_repeated_twice_and_then_given_up() {
    let may_not_look = fixture(&[LOST, WriteErrorKind::Permanent].repeat(3));
    let row = post("a");
    let calls = may_not_look.deliver(vec![row.clone(), post("b")]).await;
    assert_eq!(calls, ["post a", "look back", "post a", "look back", "post a", "look back", "post b"]);
    let (state, error, _) = may_not_look.store.row(row.id).await;
    assert_eq!(state, "dead");
    assert!(error.unwrap().contains("may have been posted already"));
}

#[tokio::test]
async fn a_row_that_fails_for_a_day_is_given_up() {
    let fixture = fixture(&[]);
    fixture.slack.away.store(true, Ordering::Relaxed);
    let row = post("a");
    let kept = fixture.send(vec![row.clone(), post("b")]).await;
    assert_eq!(kept.await, Fate::Kept);
    let hours = async {
        let mut minutes = 0;
        while !fixture.slack.calls().contains(&"post b".to_owned()) {
            fixture.hand.advance(Duration::from_mins(1));
            minutes += 1;
            tokio::task::yield_now().await;
            fixture.store.probe().await.unwrap();
        }
        minutes / 60
    };
    assert!(hours.await >= 24);
    let (state, error, _) = fixture.store.row(row.id).await;
    assert_eq!((state.as_str(), error.as_deref()), ("dead", Some("it has failed for 24 hours: test: away")));
}

#[tokio::test]
async fn a_row_is_not_given_up_because_the_token_was_refused_for_long() {
    let away = WriteErrorKind::Transient { uncertain: false };
    let fixture = fixture(&[away, WriteErrorKind::Auth, away]);
    let _kept = fixture.send(vec![post("a")]).await;
    while fixture.slack.count() < 2 {
        fixture.hand.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    fixture.hand.advance(Duration::from_hours(48));
    assert_eq!(fixture.settle().await, ["post a"; 4]);
}

#[tokio::test]
async fn only_a_post_is_looked_for() {
    let finish = || owed(Op::Finish { ts: "2.2".into(), body: Body::Text("z".into()) });
    let ended = fixture(&[LOST]);
    assert_eq!(ended.deliver(vec![finish()]).await, ["stop 2.2", "stop 2.2", "finish 2.2 z"]);
    let gone = fixture(&[WriteErrorKind::StreamUnavailable, WriteErrorKind::MessageGone, LOST]);
    gone.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    let calls = gone.deliver(vec![finish(), post("b")]).await;
    assert_eq!(calls, ["stop 2.2", "finish 2.2 z", "post z", "look back", "post b"]);
}

#[tokio::test]
async fn a_flush_does_not_wait_for_what_is_not_tried_again_in_time() {
    let fixture = fixture(&[WriteErrorKind::Rate { after_ms: 60_000 }, WriteErrorKind::Rate { after_ms: 2_000 }]);
    let row =
        |n: usize| Owed { conversation: ConversationKey { thread: format!("{n}.0").into(), ..key() }, ..post("a") };
    let _late = fixture.send(vec![row(1)]).await;
    let _in_time = fixture.send(vec![row(2)]).await;
    while fixture.slack.count() < 2 {
        tokio::task::yield_now().await;
    }
    let deadline = fixture.outbox.0.clock.now() + Duration::from_secs(6);
    let mut flush = std::pin::pin!(fixture.outbox.flush(deadline));
    assert!(futures_util::poll!(flush.as_mut()).is_pending(), "one of them is tried again in time");
    fixture.hand.advance(Duration::from_secs(2));
    assert_eq!(flush.await, 1);
    assert_eq!(fixture.slack.count(), 3);
}

#[tokio::test]
async fn a_flush_does_not_wait_for_a_token_to_become_valid() {
    let fixture = fixture(&[WriteErrorKind::Auth, WriteErrorKind::Auth]);
    let _refused = fixture.send(vec![post("a")]).await;
    let deadline = fixture.outbox.0.clock.now() + Duration::from_secs(6);
    assert_eq!(fixture.outbox.flush(deadline).await, 1);
    assert_eq!(fixture.slack.count(), 1);
}

mod crash;
mod refusals;
mod spill;
