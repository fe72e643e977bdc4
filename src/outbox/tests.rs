use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::Hand;
use crate::domain::ids::{ChannelId, OwedId, Ts, UserId};
use crate::domain::inbound::ReplyUrl;
use crate::domain::outgoing::{Answers, Body, Label, Op, Place};
use crate::domain::ports::{Mark, Trace, WriteError, WriteErrorKind};

use script::Script;

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

mod crash;
mod lost;
mod refusals;
mod script;
mod spill;
mod token;
