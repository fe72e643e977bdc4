//! While Slack refuses the token.

use super::*;

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
async fn a_flush_does_not_wait_for_a_token_to_become_valid() {
    let fixture = fixture(&[WriteErrorKind::Auth, WriteErrorKind::Auth]);
    let _refused = fixture.send(vec![post("a")]).await;
    let deadline = fixture.outbox.0.clock.now() + Duration::from_secs(6);
    assert_eq!(fixture.outbox.flush(deadline).await, 1);
    assert_eq!(fixture.slack.count(), 1);
}
