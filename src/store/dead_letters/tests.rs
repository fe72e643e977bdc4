use super::*;
use crate::domain::ids::{ApprovalId, OfferId, OwedId, TurnId};
use crate::domain::inbound::{Author, ReplyUrl, Slash};
use crate::domain::outgoing::{ApprovalCard, ApprovalState, Body};
use crate::domain::ports::Keep;
use crate::store::tests::{accept, key, message, open, plain};
use crate::store::{Accepted, Late, Lot};

async fn stored(store: &Store, ts: &str, keep: Keep) -> i64 {
    match accept(store, message(ts, ts), keep).await {
        Accepted::Stored { seq, .. } => seq,
        other => panic!("{other:?}"),
    }
}

fn told() -> Owed {
    let op = Op::Post(Body::Text("given up".into()));
    Owed { id: OwedId::new(), conversation: key(), turn: None, answers: None, op }
}

async fn buried(store: &Store, ts: &str, keep: Keep) -> i64 {
    let seq = stored(store, ts, keep).await;
    assert!(store.bury(seq, "broken".to_owned(), vec![told()], 7).await.unwrap());
    seq
}

#[test]
fn names_are_read_as_they_are_written() {
    for id in [DeadId::Message(12), DeadId::Outgoing(34)] {
        assert_eq!(DeadId::parse(&id.to_string()), Some(id));
    }
    for nonsense in ["", "m", "12", "x12", "m-1", "m1 ", "é1", "m99999999999999999999"] {
        assert_eq!(DeadId::parse(nonsense), None, "{nonsense:?}");
    }
}

#[tokio::test]
async fn what_is_given_up_is_told_in_the_same_commit_and_only_while_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seq = stored(&store, "1.1", plain()).await;
    let owed = told();
    assert!(store.bury(seq, "broken".to_owned(), vec![owed.clone()], 7).await.unwrap());
    assert!(store.still_owed(owed.id).await.unwrap().is_some());
    assert!(store.next_in(&key(), Line::Turn).await.unwrap().is_none());
    let again = told();
    assert!(!store.bury(seq, "again".to_owned(), vec![again.clone()], 8).await.unwrap());
    assert!(store.still_owed(again.id).await.unwrap().is_none(), "it is told once");
}

#[tokio::test]
async fn taking_up_counts_an_attempt_as_long_as_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seq = stored(&store, "1.1", Keep { line: Line::Command, ..plain() }).await;
    let attempts = async || store.next_in(&key(), Line::Command).await.unwrap().unwrap().attempts;
    assert!(store.take_up(seq).await.unwrap() && store.take_up(seq).await.unwrap());
    assert_eq!(attempts().await, 2);
    store.done(seq).await.unwrap();
    assert!(!store.take_up(seq).await.unwrap());
}

#[tokio::test]
async fn a_list_tells_everything_but_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seq = buried(&store, "1.1", plain()).await;
    let slash = Inbound {
        keys: Vec::new(),
        author: Author { user: "U2".into(), team: None, bot: None },
        what: What::Slash(Slash { text: "status".into(), reply: ReplyUrl("https://secret".into()) }),
        ..message("1.2", "1.2")
    };
    let keep = Keep { line: Line::Command, ..plain() };
    let Accepted::Stored { seq: second, .. } = accept(&store, slash, keep).await else { panic!("not stored") };
    assert!(store.bury(second, "broken".to_owned(), Vec::new(), 7).await.unwrap());
    let row = told();
    store.owe(vec![row.clone()], None, 2_000).await.unwrap();
    let pos = store.last_owed().await.unwrap().unwrap();
    store.set_aside(pos, "channel_not_found".to_owned()).await.unwrap();

    let letters = store.dead_letters(10).await.unwrap();
    let shown = |letter: &DeadLetter| (letter.id.to_string(), letter.kind, letter.since_ms, letter.reason.clone());
    let expected = [
        (format!("o{pos}"), "post", 2_000, "channel_not_found".to_owned()),
        (format!("m{second}"), "slash command", 1_000, "broken".to_owned()),
        (format!("m{seq}"), "message", 1_000, "broken".to_owned()),
    ];
    assert_eq!(letters.iter().map(shown).collect::<Vec<_>>(), expected);
    let who: Vec<Option<&str>> = letters.iter().map(|letter| letter.author.as_ref().map(UserId::as_str)).collect();
    assert_eq!(who, [None, Some("U2"), Some("U1")]);
    assert_eq!(store.count_dead_letters().await.unwrap(), 3);
    assert_eq!(store.dead_letters(1).await.unwrap().len(), 2, "so many of each kind");
}

#[tokio::test]
async fn a_dead_message_waits_again_once_somebody_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seq = buried(&store, "1.1", plain()).await;
    let retried = store.retry_dead_letter(DeadId::Message(seq)).await.unwrap();
    assert!(matches!(retried, Retried::Message(line_of, Line::Turn) if line_of == key()));
    let waits = store.next_in(&key(), Line::Turn).await.unwrap().unwrap();
    assert_eq!((waits.seq, waits.attempts), (seq, 1));
    assert!(matches!(store.retry_dead_letter(DeadId::Message(seq)).await.unwrap(), Retried::Unknown));
    assert!(!store.drop_dead_letter(DeadId::Message(seq)).await.unwrap(), "it is not dead any more");
}

#[tokio::test]
async fn what_cant_be_read_cant_be_tried_but_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seq = buried(&store, "1.1", plain()).await;
    let row = told();
    store.owe(vec![row.clone()], None, 2_000).await.unwrap();
    let pos = store.last_owed().await.unwrap().unwrap();
    store.set_aside(pos, "broken".to_owned()).await.unwrap();
    store.spoil(row.id).await;
    let spoil = move |connection: &Connection| connection.execute("UPDATE inbox SET body = '{' WHERE seq = ?1", [seq]);
    store.write(spoil).await.unwrap();
    for id in [DeadId::Message(seq), DeadId::Outgoing(pos)] {
        let retried = store.retry_dead_letter(id).await.unwrap();
        assert!(matches!(&retried, Retried::Unreadable(why) if !why.is_empty()), "{retried:?}");
    }
    assert!(store.dead_letters(9).await.unwrap().iter().all(|letter| letter.kind == "unreadable"));
    for id in [DeadId::Message(seq), DeadId::Outgoing(pos)] {
        assert!(store.drop_dead_letter(id).await.unwrap());
        assert!(!store.drop_dead_letter(id).await.unwrap());
        assert!(matches!(store.retry_dead_letter(id).await.unwrap(), Retried::Unknown));
    }
    assert_eq!(store.count_dead_letters().await.unwrap(), 0);
}

#[tokio::test]
async fn a_row_that_slack_never_took_is_owed_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let row = told();
    store.owe(vec![row.clone()], None, 2_000).await.unwrap();
    let pos = store.last_owed().await.unwrap().unwrap();
    store.set_aside(pos, "is_archived".to_owned()).await.unwrap();
    assert!(store.still_owed(row.id).await.unwrap().is_none());
    let retried = store.retry_dead_letter(DeadId::Outgoing(pos)).await.unwrap();
    assert!(matches!(retried, Retried::Outgoing(place) if place == key()));
    assert_eq!(store.still_owed(row.id).await.unwrap().unwrap().owed, Ok(row));
}

#[tokio::test]
async fn what_was_offered_is_not_told_again_because_an_operator_dropped_the_note() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let late = Late { inbound: message("1.1", "1.1"), keep: plain(), lot: Lot::Offer };
    store.keep_late(vec![late], 9, 1).await.unwrap();
    let note = |offer: OfferId, _away| vec![Owed { id: offer.into(), ..told() }];
    let place = ConversationKey { thread: "".into(), ..key() };
    assert_eq!(store.leave_place(place.clone(), 9, 2_000, note).await.unwrap().len(), 1);
    let pos = store.last_owed().await.unwrap().unwrap();
    store.set_aside(pos, "is_archived".to_owned()).await.unwrap();
    assert!(store.drop_dead_letter(DeadId::Outgoing(pos)).await.unwrap());
    assert_eq!(store.untold_offers().await.unwrap(), []);
    assert_eq!(store.leave_place(place, 9, 3_000, note).await.unwrap(), []);
    assert_eq!((store.last_owed().await.unwrap(), store.count_dead_letters().await.unwrap()), (None, 0));
}

#[tokio::test]
async fn a_question_that_an_operator_dropped_is_not_open_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let turn = TurnId::new();
    let card = ApprovalCard {
        id: ApprovalId::new(),
        requester: "U1".into(),
        title: "touch f".into(),
        detail: None,
        options: Vec::new(),
        attached: false,
        state: ApprovalState::Open { expires_after_s: 9 },
    };
    let row = Owed { turn: Some(turn), op: Op::Post(Body::Approval(card)), ..told() };
    store.owe(vec![row.clone()], None, 2_000).await.unwrap();
    let pos = store.last_owed().await.unwrap().unwrap();
    store.set_aside(pos, "is_archived".to_owned()).await.unwrap();
    assert!(store.drop_dead_letter(DeadId::Outgoing(pos)).await.unwrap());
    assert_eq!(store.open_approvals(None).await.unwrap(), []);
    assert_eq!(store.row(row.id).await, ("sent".to_owned(), None, String::new()), "nothing of what it said is left");
}
