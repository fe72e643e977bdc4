//! What Slack refuses for good, and what becomes of it.

use super::*;

const UNFIT: WriteErrorKind = WriteErrorKind::Unfit { too_long: false };
const TOO_LONG: WriteErrorKind = WriteErrorKind::Unfit { too_long: true };

#[tokio::test]
async fn f_24_who_asked_is_told_once_where_the_bot_is_not_any_more() {
    let fixture = fixture(&[WriteErrorKind::Permanent; 3]);
    let asked = fixture.store.event_of("U7").await;
    let rows = vec![post("a"), post("b")];
    fixture.store.owe(rows.clone(), Some(asked), 0).await.unwrap();
    assert_eq!(fixture.outbox.send(rows.clone()).await, Fate::Dead);
    fixture.settle().await;
    fixture.called(3).await;
    let calls = fixture.slack.calls();
    let notices: Vec<&String> = calls.iter().filter(|call| call.starts_with("post to U7 I could not")).collect();
    assert_eq!(notices.len(), 1, "{calls:?}");
    assert!(notices[0].contains("<#C1>") && notices[0].contains("hitchline dlq"), "{notices:?}");
    let direct = ConversationKey::channel_wide("T1".into(), "U7".into());
    fixture.outbox.settled(&direct).await;
    assert_eq!(fixture.slack.count(), 3, "Slack refuses the notice, too, of which nobody is told");
    let (state, error, content) = fixture.store.row(rows[1].id).await;
    assert_eq!((state.as_str(), error.as_deref()), ("dead", Some("test: scripted")));
    assert!(content.contains("\"b\""), "it can be sent again");
}

#[tokio::test]
async fn who_asked_on_the_page_or_is_unknown_gets_no_notice() {
    let fixture = fixture(&[WriteErrorKind::Permanent; 2]);
    let asked = fixture.store.event_of("U7").await;
    let web = vec![Owed { conversation: ConversationKey::web("w1"), ..post("on the page") }];
    fixture.store.owe(web.clone(), Some(asked), 0).await.unwrap();
    assert_eq!(fixture.outbox.send(web).await, Fate::Dead);
    assert_eq!(fixture.deliver(vec![post("a")]).await, ["post on the page", "post a"]);
}

#[tokio::test]
async fn what_an_operator_sends_again_is_delivered_before_what_came_since() {
    let fixture = fixture(&[WriteErrorKind::Permanent]);
    let row = post("a");
    fixture.deliver(vec![row.clone(), post("b")]).await;
    fixture.store.revive(row.id).await;
    fixture.outbox.take_up(key());
    assert_eq!(fixture.settle().await, ["post a", "post b", "post a"]);
    assert_eq!(fixture.store.row(row.id).await.0, "sent");
}

#[tokio::test]
async fn what_may_have_been_posted_is_looked_for_before_an_operator_sends_it_again() {
    let fixture = fixture(&[LOST, WriteErrorKind::Permanent].repeat(3));
    let row = post("a");
    let tried = fixture.deliver(vec![row.clone()]).await.len();
    fixture.store.revive(row.id).await;
    fixture.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    fixture.outbox.take_up(key());
    assert_eq!(fixture.settle().await[tried..], ["look back"]);
    assert_eq!(fixture.store.delivered_as(row.id).await.unwrap(), Some("7.7".into()));
}

#[tokio::test]
async fn f_32_what_is_refused_for_its_form_is_sent_once_more_as_plain_text() {
    let form = fixture(&[UNFIT]);
    assert_eq!(form.deliver(vec![post("a"), post("b")]).await, ["post a", "post plainly a", "post b"]);
    let for_good = fixture(&[UNFIT, UNFIT]);
    let row = post("a");
    assert_eq!(for_good.deliver(vec![row.clone(), post("b")]).await, ["post a", "post plainly a", "post b"]);
    assert_eq!(for_good.store.row(row.id).await.0, "dead");
    let streamed = fixture(&[WriteErrorKind::StreamUnavailable, TOO_LONG, WriteErrorKind::StreamUnavailable]);
    let finish = owed(Op::Finish { ts: "2.2".into(), body: Body::Text("z".into()) });
    let calls = streamed.deliver(vec![finish]).await;
    assert_eq!(calls, ["stop 2.2", "finish 2.2 z", "stop 2.2", "delete 2.2", "post plainly z"]);
}

#[tokio::test]
async fn f_32_what_is_too_long_goes_in_shorter_parts_each_once() {
    let long = format!("{}{}", "a".repeat(1_000), "b".repeat(500));
    let fixture = fixture(&[TOO_LONG, LOST, WriteErrorKind::Rate { after_ms: 1_000 }]);
    // The first part's post was not answered, and the look for it came too fast at first.
    fixture.slack.found.lock().unwrap().push_back(Some("7.7".into()));
    let row = post(&long);
    let calls = fixture.deliver(vec![row.clone()]).await;
    let (first, second) = (format!("post plainly {}", &long[..1_000]), format!("post plainly {}", &long[1_000..]));
    assert_eq!(calls[1..], [first, "look back".into(), "look back".into(), second]);
    let keys: Vec<OwedId> = fixture.slack.labels.lock().unwrap().iter().map(|label| label.key).collect();
    assert_eq!(keys, [row.id, row.id.part(0), row.id], "found as a whole by what comes last");
}

#[tokio::test]
async fn a_message_says_which_one_it_answers() {
    let fixture = fixture(&[]);
    let row = Owed { answers: Some(Answers::Finally("1.5".into())), ..post("a") };
    fixture.leave(vec![row.clone()]).await;
    fixture.next(false).await.settle().await;
    let label = Label { key: row.id, answers: row.answers.clone() };
    assert_eq!(*fixture.slack.labels.lock().unwrap(), [label], "also when it was read back");
}
