//! What the next process makes of what an earlier one left.

use super::*;
use crate::store::Trouble;
use metrics_exporter_prometheus::PrometheusBuilder;

fn finish(text: &str) -> Owed {
    owed(Op::Finish { ts: "2.2".into(), body: Body::Text(text.into()) })
}

/// Lets looking back find the message `ts`, at its second look.
fn listed_late(fixture: &Fixture, ts: &str) {
    fixture.slack.found.lock().unwrap().extend([None, Some(ts.into())]);
}

#[tokio::test]
async fn f_34_the_first_row_is_looked_for_after_a_crash_and_no_other() {
    let arrived = fixture(&[]);
    let (first, rest) = (post("a"), [post("b"), post("c")]);
    arrived.leave([vec![first.clone()], rest.to_vec()].concat()).await;
    listed_late(&arrived, "7.7");
    assert_eq!(arrived.next(true).await.settle().await, ["look back", "look back", "post b", "post c"]);
    assert_eq!(arrived.store.delivered_as(first.id).await.unwrap(), Some("7.7".into()));
    let never_left = fixture(&[]);
    never_left.leave(vec![post("a"), post("b")]).await;
    assert_eq!(never_left.next(true).await.settle().await, ["look back", "look back", "post a", "post b"]);
    let in_order = fixture(&[]);
    in_order.leave(vec![post("a"), post("b")]).await;
    assert_eq!(in_order.next(false).await.settle().await, ["post a", "post b"], "after an end in order nobody looks");
}

#[tokio::test]
async fn what_is_new_to_a_conversation_is_not_looked_for_after_a_crash() {
    let fixture = fixture(&[]);
    fixture.leave(vec![post("old")]).await;
    fixture.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    let next = fixture.next(true).await;
    let _kept = next.send(vec![post("new")]).await;
    let elsewhere = ConversationKey { thread: "2.0".into(), ..key() };
    let _sent = next.send(vec![Owed { conversation: elsewhere, ..post("elsewhere") }]).await;
    next.settle().await;
    next.called(3).await;
    let mut calls = next.slack.calls();
    calls.sort();
    assert_eq!(calls, ["look back", "post elsewhere", "post new"]);
}

#[tokio::test]
async fn a_row_is_not_begun_before_the_end_of_the_one_before_it_is_on_disk() {
    for first in [None, Some(WriteErrorKind::Permanent)] {
        let fixture = fixture(&first.into_iter().collect::<Vec<_>>());
        let rows = vec![post("a"), post("b")];
        let first = rows[0].id;
        let _sent = fixture.send(rows).await;
        fixture.called(2).await;
        // Beside the writer, so that nothing that is only handed over counts.
        assert_eq!(fixture.store.still_owed(first).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_finish_is_repeated_at_each_cut_and_only_its_post_is_looked_for() {
    let ended = || WriteErrorKind::StreamUnavailable;
    let before = fixture(&[]);
    before.leave(vec![finish("z")]).await;
    assert_eq!(before.next(true).await.settle().await, ["stop 2.2", "finish 2.2 z"]);
    let behind_the_stop = fixture(&[ended()]);
    behind_the_stop.leave(vec![finish("z")]).await;
    assert_eq!(behind_the_stop.next(true).await.settle().await, ["stop 2.2", "finish 2.2 z"]);
    let behind_the_post = fixture(&[WriteErrorKind::MessageGone, WriteErrorKind::MessageGone]);
    behind_the_post.leave(vec![finish("z"), post("b")]).await;
    listed_late(&behind_the_post, "7.7");
    let calls = behind_the_post.next(true).await.settle().await;
    assert_eq!(calls, ["stop 2.2", "finish 2.2 z", "look back", "look back", "post b"]);
}

#[tokio::test]
async fn a_revision_finds_a_message_of_which_the_store_knows_nothing() {
    let fixture = fixture(&[WriteErrorKind::Permanent]);
    let card = post("open");
    let closed = owed(Op::Revise { of: card.id, body: Body::Text("closed".into()) });
    fixture.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    assert_eq!(fixture.deliver(vec![card, closed]).await, ["post open", "look back", "update 7.7 closed"]);
}

#[tokio::test]
async fn f_31_where_nobody_may_look_a_post_is_repeated_once_for_each_crash_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let is_counted = |times: usize| {
        let line = format!("hitchline_outbox_possible_duplicates_total {times}");
        recorder.handle().render().lines().any(|found| found == line)
    };
    let fixture = fixture(&[WriteErrorKind::Permanent]);
    fixture.leave(vec![post("a"), post("b")]).await;
    assert_eq!(fixture.next(true).await.settle().await, ["look back", "post a", "post b"]);
    assert!(is_counted(1), "{}", recorder.handle().render());
}

#[tokio::test]
async fn f_27_a_429_makes_only_its_own_channel_wait_and_outlasts_a_restart() {
    let before = fixture(&[WriteErrorKind::Rate { after_ms: 30_000 }]);
    let elsewhere = ConversationKey { channel: "C2".into(), ..key() };
    let _kept = before.send(vec![post("a")]).await;
    before.called(1).await;
    let sent = before.send(vec![Owed { conversation: elsewhere, ..post("b") }]).await;
    assert_eq!(sent.await, Fate::Sent);
    before.store.probe().await.unwrap();
    before.scope.stop().cancel();
    before.scope.wait().await;
    assert!(before.outbox.is_at_rest(), "a 429 was answered");
    before.hand.advance(Duration::from_secs(10));
    let after = before.next(false).await;
    after.hand.advance(Duration::from_secs(19));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        after.store.probe().await.unwrap();
    }
    assert_eq!(after.slack.calls(), ["post a", "post b"]);
    after.hand.advance(Duration::from_secs(1));
    after.called(3).await;
    assert_eq!(after.settle().await, ["post a", "post b", "post a"]);
}

#[tokio::test]
async fn a_clock_that_jumped_keeps_no_row_for_longer_than_slack_ever_asks() {
    let fixture = fixture(&[]);
    let row = post("a");
    fixture.leave(vec![row.clone()]).await;
    let far = Trouble { not_before_ms: Some(i64::MAX), ..Trouble::default() };
    fixture.store.put_off(row.id, far).await.unwrap();
    let next = fixture.next(false).await;
    let now = next.outbox.0.clock.now();
    let hour = Duration::from_hours(1);
    let waits = async {
        let for_almost_an_hour = || {
            let lanes = next.outbox.lanes();
            lanes.len() == 1 && lanes.rest_beyond(now + Duration::from_mins(59))
        };
        while !for_almost_an_hour() {
            next.store.probe().await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waits).await.is_ok());
    assert_eq!(next.slack.count(), 0);
    next.hand.advance(hour);
    next.called(1).await;
}

#[tokio::test]
async fn the_day_after_which_a_row_is_given_up_counts_across_restarts() {
    let day = Duration::from_hours(24).as_millis();
    let since = |ago: u128| Trouble { failing_since_ms: Some(-i64::try_from(ago).unwrap()), ..Trouble::default() };
    // The second one failed for longer than a row may: the clock has jumped, or nobody was there to try.
    for ago in [day - 1_000, 9 * day] {
        let before = fixture(&[]);
        before.slack.away.store(true, Ordering::Relaxed);
        let row = post("a");
        before.leave(vec![row.clone()]).await;
        before.store.put_off(row.id, since(ago)).await.unwrap();
        let next = before.next(false).await;
        while next.slack.count() < 2 {
            next.hand.advance(Duration::from_secs(1));
            next.store.probe().await.unwrap();
        }
        assert_eq!(next.store.row(row.id).await.0, "pending", "each process tries for a while");
        next.settle().await;
        assert_eq!(next.store.row(row.id).await.0, "dead");
        assert!(next.outbox.0.clock.wall_ms() < 3_600_000, "but not for a day");
    }
}

#[tokio::test]
async fn a_look_that_finds_nothing_shows_that_the_token_is_taken_again() {
    let fixture = fixture(&[WriteErrorKind::Auth]);
    fixture.leave(vec![post("a")]).await;
    let next = fixture.next(true).await;
    next.called(1).await;
    let refused = next.outbox.refused();
    assert!(refused.borrow().is_some());
    let taken = async {
        while refused.borrow().is_some() {
            next.hand.advance(Duration::from_secs(1));
            next.store.probe().await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), taken).await.is_ok());
    assert_eq!(next.slack.calls(), ["look back", "look back"], "others need not wait for the second look");
    assert_eq!(next.settle().await, ["look back", "look back", "look back", "post a"]);
}

#[tokio::test]
async fn f_25_while_the_token_is_revoked_nothing_is_lost_across_a_restart() {
    let before = fixture(&[WriteErrorKind::Auth]);
    let refused = before.outbox.refused();
    let _kept = before.send(vec![post("a"), post("b")]).await;
    while refused.borrow().is_none() {
        tokio::task::yield_now().await;
    }
    before.scope.stop().cancel();
    before.scope.wait().await;
    assert!(before.outbox.is_at_rest());
    let after = before.next(false).await;
    assert_eq!(after.settle().await, ["post a", "post a", "post b"]);
}

#[tokio::test]
async fn an_end_is_at_rest_unless_something_may_be_in_slack_without_our_knowing() {
    let fixture = fixture(&[LOST]);
    assert!(fixture.outbox.is_at_rest());
    fixture.slack.slow.send_replace(true);
    let _sent = fixture.send(vec![post("a")]).await;
    fixture.called(1).await;
    assert!(!fixture.outbox.is_at_rest(), "it is on its way");
    fixture.slack.slow.send_replace(false);
    fixture.outbox.wait_until(|lanes| lanes.rest_beyond(fixture.outbox.0.clock.now())).await;
    assert!(!fixture.outbox.is_at_rest(), "its answer was lost");
    fixture.settle().await;
    assert!(fixture.outbox.is_at_rest());
    fixture.leave(vec![post("b")]).await;
    let next = fixture.next(true).await;
    assert!(!next.outbox.is_at_rest(), "an earlier process may have sent it");
    next.settle().await;
    assert!(next.outbox.is_at_rest());
}
