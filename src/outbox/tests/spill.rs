use super::*;
use crate::domain::ids::OfferId;
use crate::outbox::lanes::IN_MEMORY;

#[tokio::test]
async fn what_fails_for_now_keeps_nobody_waiting_and_is_delivered_from_the_store() {
    let fixture = fixture(&[]);
    fixture.slack.away.store(true, Ordering::Relaxed);
    let first = fixture.send(vec![post("a"), post("b")]).await;
    assert_eq!(first.await, Fate::Kept);
    assert_eq!(fixture.outbox.lanes().held(), 0);
    let second = fixture.send(vec![post("c")]).await;
    assert_eq!(second.await, Fate::Kept, "behind them it does not wait in memory either");
    for _ in 0..100 {
        tokio::task::yield_now().await;
        fixture.store.probe().await.unwrap();
    }
    assert_eq!(fixture.slack.calls(), ["post a"], "the next attempt has its time");
    fixture.slack.away.store(false, Ordering::Relaxed);
    assert_eq!(fixture.settle().await, ["post a", "post a", "post b", "post c"]);
    assert_eq!(fixture.send(vec![post("d")]).await.await, Fate::Sent, "the next one is in memory again");
}

#[tokio::test]
async fn a_row_that_dies_at_its_first_attempt_says_so_whatever_becomes_of_the_others() {
    let fixture = fixture(&[WriteErrorKind::Permanent, WriteErrorKind::Transient { uncertain: false }]);
    assert_eq!(fixture.send(vec![post("never"), post("later")]).await.await, Fate::Dead);
    assert_eq!(fixture.settle().await, ["post never", "post later", "post later"]);
}

#[tokio::test]
async fn what_is_too_much_for_the_memory_stays_in_the_store() {
    const CONVERSATIONS: usize = 40;
    let fixture = fixture(&[]);
    fixture.slack.slow.send_replace(true);
    let conversation = |n: usize| ConversationKey { thread: format!("{n}.0").into(), ..key() };
    let large = |n: usize| Owed { conversation: conversation(n), ..post(&format!("{n:02}{}", "x".repeat(1 << 20))) };
    let mut fates = Vec::new();
    for n in 0..CONVERSATIONS {
        fates.push(fixture.send(vec![large(n)]).await);
        assert!(fixture.outbox.lanes().held() <= IN_MEMORY);
    }
    fixture.slack.slow.send_replace(false);
    let fates = futures_util::future::join_all(fates).await;
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Sent).count(), 15);
    for n in 0..CONVERSATIONS {
        fixture.outbox.settled(&conversation(n)).await;
    }
    let mut calls = fixture.slack.calls();
    calls.sort();
    calls.dedup();
    assert_eq!((calls.len(), fixture.slack.count()), (CONVERSATIONS, CONVERSATIONS), "each was sent once");
    assert_eq!(fixture.outbox.lanes().held(), 0);
}

#[tokio::test]
async fn a_row_that_was_read_back_before_it_was_sent_is_not_delivered_again() {
    let fixture = fixture(&[WriteErrorKind::Transient { uncertain: false }]);
    let note = Owed { id: OfferId::of("T1/C1/1.0", 5).into(), ..post("c") };
    let early = [post("b"), note];
    let _kept = fixture.send(vec![post("a")]).await;
    fixture.store.owe(early.to_vec(), None, 0).await.unwrap();
    assert_eq!(fixture.settle().await, ["post a", "post a", "post b", "post c"]);
    for row in early {
        assert_eq!(fixture.outbox.send(vec![row]).await, Fate::Kept);
        assert_eq!(fixture.settle().await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_as_a_lane_spills_and_ends_are_sent_once_and_in_order() {
    const ROWS: usize = 500;
    let fixture = fixture(&[]);
    let produce = async |name: &str| {
        for n in 0..ROWS {
            if n % 5 == 0 {
                fixture.slack.answers.lock().unwrap().push_back(WriteErrorKind::Transient { uncertain: false });
            }
            let sent = fixture.send(vec![post(&format!("{name} {n:03}"))]).await;
            if n % 7 == 0 {
                sent.await;
            }
            fixture.hand.advance(Duration::from_mins(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(produce("a"), produce("b"));
    let calls = fixture.settle().await;
    for name in ["a", "b"] {
        let mut sent: Vec<_> = calls.iter().filter(|call| call.starts_with(&format!("post {name}"))).collect();
        // An attempt that failed is repeated at once.
        sent.dedup();
        assert!(sent.is_sorted() && sent.len() == ROWS, "{name}: {sent:?}");
    }
    let failed = 2 * ROWS.div_ceil(5);
    assert_eq!(calls.len(), 2 * ROWS + failed - fixture.slack.answers.lock().unwrap().len(), "each was sent once");
}
