use super::*;
use crate::domain::ids::UserId;
use crate::domain::inbound::{Author, Inbound};
use crate::domain::ports::Line;
use crate::domain::session::{SessionRecord, SessionStatus};
use crate::store::tests::{accept, key, message, open, plain, record};
use crate::store::{DeadId, DeadLetter, Retried};

fn closure(channel: &str) -> Closure {
    let (reason, notice) = ("closed".to_owned(), "not passed on".to_owned());
    Closure { team: key().team, channel: channel.into(), reason, notice }
}

fn by(user: &str, ts: &str) -> Inbound {
    Inbound { author: Author { user: user.into(), team: None, bot: None }, ..message(ts, ts) }
}

/// A session in the usual conversation, for which messages of these people wait.
async fn awaited(store: &Store, authors: &[&str]) -> SessionRecord {
    let record = record();
    assert!(store.create_session(record.clone(), None).await.unwrap());
    for (n, author) in authors.iter().enumerate() {
        accept(store, by(author, &format!("1.{n}")), plain()).await;
    }
    record
}

async fn close(store: &Store, id: SessionId, channel: &ChannelId) -> Option<Closed> {
    store.close_session(id, closure(channel.as_str()), 9).await.unwrap()
}

#[tokio::test]
async fn what_waits_in_a_closed_channel_is_kept_and_each_author_told_in_the_same_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = awaited(&store, &["U2", "U1"]).await;
    let closed = close(&store, record.id, &key().channel).await.unwrap();
    assert_eq!(closed.conversation, key());
    let told: Vec<&str> = closed.notices.iter().map(|notice| notice.conversation.channel.as_str()).collect();
    assert_eq!(told, ["U1", "U2"]);
    for notice in &closed.notices {
        assert_eq!(store.still_owed(notice.id).await.unwrap().unwrap().owed, Ok(notice.clone()));
    }
    let letters = store.dead_letters(9).await.unwrap();
    let shown = |letter: &DeadLetter| (letter.author.clone().unwrap(), letter.kind, letter.reason.clone());
    let mut shown: Vec<_> = letters.iter().map(shown).collect();
    shown.sort();
    let letter = |author: &str| (UserId::from(author), "message", "closed".to_owned());
    assert_eq!(shown, [letter("U1"), letter("U2")]);
    assert!(store.next_in(&key(), Line::Turn).await.unwrap().is_none());
    assert_eq!(store.session(record.id).await.unwrap().unwrap().status, SessionStatus::Ended);
    assert_eq!(close(&store, record.id, &key().channel).await, None, "it has ended before");
}

#[tokio::test]
async fn what_was_given_up_with_its_channel_waits_again_once_somebody_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = awaited(&store, &["U1", "U1"]).await;
    let closed = close(&store, record.id, &key().channel).await.unwrap();
    assert_eq!(closed.notices.len(), 1, "one for each person");
    let DeadId::Message(seq) = store.dead_letters(9).await.unwrap()[0].id else { panic!("a message") };
    let retried = store.retry_dead_letter(DeadId::Message(seq)).await.unwrap();
    assert!(matches!(retried, Retried::Message(line_of, Line::Turn) if line_of == key()));
    let waits = store.next_in(&key(), Line::Turn).await.unwrap().unwrap();
    assert_eq!((waits.seq, waits.inbound.unwrap().author.user), (seq, "U1".into()));
}

#[tokio::test]
async fn a_session_that_has_moved_to_another_channel_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = awaited(&store, &["U1"]).await;
    let elsewhere = ConversationKey { channel: "C9".into(), ..key() };
    store.move_session(record.id, elsewhere.clone()).await.unwrap();
    assert_eq!(close(&store, record.id, &key().channel).await, None);
    assert_eq!(store.session_in(&elsewhere).await.unwrap().map(|found| found.id), Some(record.id));
    assert_eq!(store.count_dead_letters().await.unwrap(), 0);
    let other = Closure { team: "T9".into(), ..closure("C9") };
    assert_eq!(store.close_session(record.id, other, 9).await.unwrap(), None, "the same name in another workspace");
    assert!(close(&store, record.id, &elsewhere.channel).await.is_some());
}
