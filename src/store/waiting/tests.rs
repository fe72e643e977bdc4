use super::*;
use crate::store::tests::{accept, key, message, open, plain};
use crate::store::{Accepted, Store};

/// What waits, in order.
async fn texts(store: &Store) -> Vec<String> {
    let said = |queued: Queued| match queued.inbound.unwrap().what {
        What::Message(message) => message.text,
        other => panic!("{other:?}"),
    };
    let sql = "SELECT seq, version, body, attempts, resumes FROM inbox WHERE state = 'queued' ORDER BY seq";
    let waiting = store.read(|connection| connection.prepare(sql)?.query_map([], queued_row)?.collect());
    let waiting: Vec<Queued> = waiting.await.unwrap();
    waiting.into_iter().map(said).collect()
}

/// An inbound of the author of the message `ts`, or of somebody else.
fn change(ts: &str, event: &str, user: &str, what: impl FnOnce(Message) -> What) -> Inbound {
    let Inbound { what: What::Message(said), mut author, .. } = message(ts, event) else { unreachable!() };
    author.user = user.into();
    let keys = vec![format!("event:{event}")];
    Inbound { keys, author, what: what(Message { text: event.to_owned(), ..said }), ..message(ts, event) }
}

fn deleted(message: Message) -> What {
    What::Deleted { ts: message.ts, thread: message.thread }
}

// holds: S-8
#[tokio::test]
async fn an_edit_replaces_what_waits_in_its_place_and_a_deletion_takes_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for ts in ["1.1", "1.2"] {
        accept(&store, message(ts, ts), plain()).await;
    }
    let apply = async |inbound| accept(&store, inbound, plain()).await;
    assert_eq!(apply(change("1.1", "better", "U1", What::Edited)).await, Accepted::Applied);
    assert_eq!(texts(&store).await, ["better", "hi"]);
    assert_eq!(apply(change("1.1", "best", "U1", What::Edited)).await, Accepted::Applied);
    assert_eq!(apply(change("1.1", "better", "U1", What::Edited)).await, Accepted::Duplicate);
    assert_eq!(texts(&store).await, ["best", "hi"], "an old edit that comes again undoes nothing");
    assert_eq!(apply(change("1.1", "gone", "U1", deleted)).await, Accepted::Applied);
    assert_eq!(texts(&store).await, ["hi"]);
    assert_eq!(apply(change("1.1", "late", "U1", What::Edited)).await, Accepted::NotFollowed);
    assert_eq!(apply(message("1.1", "again")).await, Accepted::Duplicate, "what was withdrawn does not come back");
    let rows =
        store.read(|connection| connection.query_row("SELECT count(*) FROM inbox", [], |row| row.get::<_, u32>(0)));
    assert_eq!(rows.await.unwrap(), 2, "changes are no events of their own");
}

#[tokio::test]
async fn nothing_but_the_message_itself_is_changed_and_by_nobody_but_its_author() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    accept(&store, message("1.1", "1.1"), plain()).await;
    let others = change("1.1", "of another", "U2", What::Edited);
    let elsewhere = Inbound { channel: "C2".into(), ..change("1.1", "elsewhere", "U1", What::Edited) };
    let unknown = change("1.10", "unknown", "U1", What::Edited);
    for inbound in [others, elsewhere, unknown] {
        assert_eq!(accept(&store, inbound, plain()).await, Accepted::NotFollowed);
    }
    assert_eq!(texts(&store).await, ["hi"]);
}

#[tokio::test]
async fn an_edit_keeps_its_message_where_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    accept(&store, message("1.1", "1.1"), plain()).await;
    let moved = |message: Message| What::Edited(Message { thread: Some("7.7".into()), ..message });
    accept(&store, change("1.1", "moved", "U1", moved), plain()).await;
    let next = store.next_in(&key(), Line::Turn).await.unwrap().unwrap();
    assert_eq!(next.inbound.unwrap().queue(), key());
}

// holds: S-8
#[tokio::test]
async fn people_are_told_at_which_places_their_messages_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (ts, user) in [("1.1", "U1"), ("1.2", "U2"), ("1.3", "U1")] {
        let mut inbound = message(ts, ts);
        inbound.author.user = user.into();
        let accept = super::super::Accept { inbound, keep: plain(), queue_limit: 9, now_ms: 1 };
        let (done, stored) = tokio::sync::oneshot::channel();
        Store::accept(store.slot().await.unwrap(), accept, |_, outcome| done.send(outcome).unwrap());
        stored.await.unwrap().unwrap();
    }
    let places = async |user: &str| store.waiting_of(&key(), &user.into()).await.unwrap();
    assert_eq!((places("U1").await, places("U2").await, places("U3").await), (vec![1, 3], vec![2], vec![]));
}

#[tokio::test]
async fn a_change_reads_only_what_waits_in_its_channel() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let plan = store.read(|connection| {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {CHANGEABLE}"))?;
        plan.query_map(params!["T1", "C1", "1.1"], |row| row.get("detail"))?.collect::<rusqlite::Result<Vec<String>>>()
    });
    let plan = plan.await.unwrap();
    assert!(plan.iter().any(|step| step.contains("inbox_waiting")), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN")), "{plan:?}");
}

// holds: S-8
#[tokio::test]
async fn what_waits_is_dropped_up_to_the_word_that_drops_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for ts in ["1.1", "1.2"] {
        accept(&store, message(ts, ts), plain()).await;
    }
    let first = store.next_in(&key(), Line::Turn).await.unwrap().unwrap().seq;
    assert_eq!(store.drop_waiting(&key(), first + 1).await.unwrap(), 1);
    assert_eq!(store.next_in(&key(), Line::Turn).await.unwrap().unwrap().seq, first + 1);
    assert_eq!(store.drop_waiting(&key(), first + 1).await.unwrap(), 0);
}

// holds: S-8
#[tokio::test]
async fn f_20_what_comes_out_of_order_is_taken_up_in_the_order_in_which_it_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for ts in ["10.2", "9.3", "10.1"] {
        let Inbound { what: What::Message(said), .. } = message(ts, ts) else { unreachable!() };
        let what = What::Message(Message { text: ts.to_owned(), ..said });
        let accept = super::super::Accept {
            inbound: Inbound { what, ..message(ts, ts) },
            keep: plain(),
            queue_limit: 9,
            now_ms: 1,
        };
        let (done, stored) = tokio::sync::oneshot::channel();
        Store::accept(store.slot().await.unwrap(), accept, |_, outcome| done.send(outcome).unwrap());
        stored.await.unwrap().unwrap();
    }
    let mut served = Vec::new();
    while let Some(next) = store.next_in(&key(), Line::Turn).await.unwrap() {
        let What::Message(message) = next.inbound.unwrap().what else { panic!("not a message") };
        served.push(message.text);
        store.done(next.seq).await.unwrap();
    }
    assert_eq!(served, ["9.3", "10.1", "10.2"]);
}
