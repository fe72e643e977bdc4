//! Posts whose answers were lost.

use super::*;

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
async fn only_a_post_is_looked_for() {
    let finish = || owed(Op::Finish { ts: "2.2".into(), body: Body::Text("z".into()) });
    let ended = fixture(&[LOST]);
    assert_eq!(ended.deliver(vec![finish()]).await, ["stop 2.2", "stop 2.2", "finish 2.2 z"]);
    let gone = fixture(&[WriteErrorKind::StreamUnavailable, WriteErrorKind::MessageGone, LOST]);
    gone.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    let calls = gone.deliver(vec![finish(), post("b")]).await;
    assert_eq!(calls, ["stop 2.2", "finish 2.2 z", "post z", "look back", "post b"]);
}
