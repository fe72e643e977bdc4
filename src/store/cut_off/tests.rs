use super::*;
use crate::domain::agent::OptionKind;
use crate::domain::ids::ApprovalId;
use crate::domain::inbound::What;
use crate::domain::outgoing::{Answers, ApprovalCard, ApprovalState, Body, Op};
use crate::domain::ports::{Intent, Keep, Line};
use crate::domain::session::SessionRecord;
use crate::store::tests::{TEXT, accept, intent, key, message, open, plain, record};
use crate::store::{Accepted, Begun, TurnEnd};

/// How an event stands: state, attempts, resumes, reason, and whether its body is there.
type Event = (String, u32, bool, Option<String>, bool);

async fn event(store: &Store, seq: i64) -> Event {
    let sql = "SELECT state, attempts, resumes, reason, body IS NOT NULL FROM inbox WHERE seq = ?1";
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    store.write(move |connection| connection.query_row(sql, [seq], row)).await.unwrap()
}

fn stands(state: &str, attempts: u32, body: bool) -> Event {
    (state.to_owned(), attempts, false, None, body)
}

/// An event whose turn has begun with it, in a new session.
async fn begun(store: &Store, ts: &str, intent: Intent) -> i64 {
    let conversation = intent.new_session.as_ref().map(|record| record.conversation.clone());
    let keep = Keep { intent: Some(intent), conversation, ..plain() };
    match accept(store, message(ts, ts), keep).await {
        Accepted::Stored { seq, begun: true } => seq,
        other => panic!("{other:?}"),
    }
}

/// A session of another thread.
fn in_thread(ts: &str) -> SessionRecord {
    SessionRecord { conversation: ConversationKey { thread: ts.into(), ..key() }, ..record() }
}

fn row(turn: TurnId, op: Op) -> Owed {
    Owed { id: OwedId::new(), conversation: key(), turn: Some(turn), answers: None, op }
}

fn post(turn: TurnId) -> Owed {
    row(turn, Op::Post(Body::Text("interrupted".into())))
}

fn end(turn: TurnId, seq: i64, aftermath: Aftermath, owed: Vec<Owed>) -> CutOffEnd {
    CutOffEnd { turn, seq, aftermath, owed, now_ms: 2_000 }
}

async fn all(store: &Store) -> Vec<CutOff> {
    store.cut_off_turns().await.unwrap()
}

// holds: P-8
#[tokio::test]
async fn attempts_are_counted_in_the_commit_of_the_intent_whichever_way_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let at_once = begun(&store, "1.1", intent(&record)).await;
    assert_eq!(event(&store, at_once).await, stands("running", 1, true));
    store.done(at_once).await.unwrap();
    let Accepted::Stored { seq, .. } = accept(&store, message("1.2", "E2"), plain()).await else {
        panic!("not stored")
    };
    assert_eq!(event(&store, seq).await, stands("queued", 0, true));
    let later = store.begin_turn(Intent::follow(record.id), seq, TEXT.to_owned(), 1).await.unwrap();
    assert_eq!((later, event(&store, seq).await), (Begun::Begun, stands("running", 1, true)));
}

// holds: P-8
#[tokio::test]
async fn the_database_has_no_room_for_a_second_turn_of_a_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let runs = begun(&store, "1.1", intent(&record)).await;
    let Accepted::Stored { seq, .. } = accept(&store, message("1.2", "E2"), plain()).await else {
        panic!("not stored")
    };
    let second = async || store.begin_turn(Intent::follow(record.id), seq, TEXT.to_owned(), 1).await;
    assert!(matches!(second().await, Err(StoreError::Failed(_))));
    assert_eq!(event(&store, seq).await, stands("queued", 0, true), "it waits, and nothing of its turn is left");
    assert_eq!(all(&store).await.len(), 1);
    let at_once = Keep { line: Line::AtOnce, ..plain() };
    assert!(
        matches!(accept(&store, message("1.3", "E3"), at_once).await, Accepted::Stored { .. }),
        "it acts on the turn"
    );
    store.done(runs).await.unwrap();
    assert_eq!(second().await.unwrap(), Begun::Begun);
}

// holds: P-8
#[tokio::test]
async fn a_turn_that_never_started_waits_again_and_one_that_may_have_run_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let may_have_run = begun(&store, "1.1", intent(&record())).await;
    let record = in_thread("2.0");
    let never_started = begun(&store, "1.2", Intent::begin(record.clone())).await;
    let late = Intent::begin(in_thread("3.0"));
    let just_reached = begun(&store, "1.3", late.clone()).await;
    store.reach(late.turn).await.unwrap();
    assert_eq!(store.requeue_unreached().await.unwrap(), 1);
    assert_eq!(event(&store, never_started).await, stands("queued", 1, true));
    let open: Vec<(i64, u32, bool)> =
        all(&store).await.iter().map(|turn| (turn.seq, turn.attempts, turn.session_lives)).collect();
    assert_eq!(open, [(may_have_run, 1, true), (just_reached, 1, true)]);
    assert_eq!(store.requeue_unreached().await.unwrap(), 0, "twice is fine");
    let again = store.begin_turn(Intent::follow(record.id), never_started, TEXT.to_owned(), 3).await.unwrap();
    assert_eq!((again, event(&store, never_started).await), (Begun::Begun, stands("running", 2, true)));
}

// holds: P-8
#[tokio::test]
async fn what_a_person_stopped_does_not_wait_again_and_ends_as_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stopped = Intent::begin(record());
    let seq = begun(&store, "1.1", stopped.clone()).await;
    let other = begun(&store, "1.2", Intent::begin(in_thread("2.0"))).await;
    let stop = async |before, turn| store.stop_cut_off(&key(), before, turn).await.unwrap();
    assert!(!stop(seq, None).await, "it was asked for after the stop");
    assert!(!stop(9, Some(TurnId::new())).await, "it is not the one that was meant");
    assert!(stop(9, Some(stopped.turn)).await && stop(9, None).await, "twice is fine");
    assert_eq!(store.requeue_unreached().await.unwrap(), 1);
    assert_eq!(event(&store, other).await, stands("queued", 1, true));
    let open: Vec<(i64, bool)> = all(&store).await.iter().map(|turn| (turn.seq, turn.stopped)).collect();
    assert_eq!(open, [(seq, true)]);
    store.close_cut_off(end(stopped.turn, seq, Aftermath::Stopped, Vec::new())).await.unwrap();
    assert_eq!(event(&store, seq).await.0, "done");
    let outcome = store.write(|connection| {
        connection.query_row("SELECT outcome FROM turn ORDER BY id", [], |row| row.get::<_, String>(0))
    });
    assert_eq!(outcome.await.unwrap(), "cancelled");
    assert!(!stop(9, None).await, "it is over");
}

#[tokio::test]
async fn an_answer_for_now_is_told_from_a_final_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for answers in [None, Some(Answers::Finally("1.1".into())), Some(Answers::Interim("1.1".into()))] {
        let owed = Owed { answers, ..post(TurnId::new()) };
        store.owe(vec![owed.clone()], None, 1).await.unwrap();
        assert_eq!(store.still_owed(owed.id).await.unwrap().unwrap().owed, Ok(owed));
    }
}

#[tokio::test]
async fn what_is_given_back_has_one_attempt_more_and_what_was_taken_back_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let seq = begun(&store, "1.1", Intent::begin(record.clone())).await;
    store.give_back(seq, 1).await.unwrap();
    assert_eq!(event(&store, seq).await, stands("queued", 1, true));
    store.give_back(seq, 2).await.unwrap();
    assert_eq!(event(&store, seq).await, stands("queued", 2, true), "its attempt was not counted before it broke off");
    store.done(seq).await.unwrap();
    store.give_back(seq, 3).await.unwrap();
    assert_eq!(event(&store, seq).await, stands("done", 2, false));
}

// holds: P-8
#[tokio::test]
async fn a_session_whose_first_turn_begins_anew_is_followed_since_the_same_message() {
    for crash_of_process in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let record = SessionRecord { created_ms: 1_000, ..record() };
        let seq = begun(&store, "7.000001", Intent::begin(record.clone())).await;
        if crash_of_process {
            store.requeue_unreached().await.unwrap();
        } else {
            store.give_back(seq, 1).await.unwrap();
        }
        let again = store.begin_turn(Intent::follow(record.id), seq, TEXT.to_owned(), 60_000).await.unwrap();
        assert_eq!(again, Begun::Begun);
        assert_eq!(
            store.followed_since(key()).await.unwrap(),
            Some(7_000_001),
            "the process ended: {crash_of_process}"
        );
        assert!(all(&store).await.is_empty(), "it may not have run");
    }
}

#[tokio::test]
async fn each_aftermath_is_one_commit_with_what_is_told() {
    let card = OwedId::new();
    let dead = || Some("it can't be read".to_owned());
    for (aftermath, expected) in [
        (Aftermath::Asks(card), stands("interrupted", 1, true)),
        (Aftermath::Waits { resumes: false }, stands("queued", 1, true)),
        (Aftermath::Waits { resumes: true }, ("queued".to_owned(), 1, true, None, true)),
        (Aftermath::Over, stands("done", 1, false)),
        (Aftermath::Dead("it can't be read".to_owned()), ("dead".to_owned(), 1, false, dead(), true)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let intent = intent(&record());
        let seq = begun(&store, "1.1", intent.clone()).await;
        let told = Owed { id: card, ..post(intent.turn) };
        store.close_cut_off(end(intent.turn, seq, aftermath.clone(), vec![told.clone()])).await.unwrap();
        assert_eq!(event(&store, seq).await, expected, "{aftermath:?}");
        assert!(all(&store).await.is_empty());
        assert_eq!(store.still_owed(card).await.unwrap().unwrap().owed, Ok(told));
        let may_be_decided = store.interrupted(intent.turn).await.unwrap().is_some();
        assert_eq!(may_be_decided, matches!(aftermath, Aftermath::Asks(_)), "{aftermath:?}");
    }
}

// holds: P-8, S-8
#[tokio::test]
async fn the_first_decision_counts_and_goes_with_the_cards_new_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let intent = intent(&record());
    let seq = begun(&store, "1.1", intent.clone()).await;
    let card = post(intent.turn);
    store.close_cut_off(end(intent.turn, seq, Aftermath::Asks(card.id), vec![card.clone()])).await.unwrap();
    let found = store.interrupted(intent.turn).await.unwrap().unwrap();
    assert_eq!((found.seq, found.card, found.session_lives), (seq, card.id, true));
    assert_eq!((found.author.as_str(), found.conversation, found.place), ("U1", key(), key()));
    let Accepted::Stored { seq: press, .. } = accept(&store, message("5.1", "E5"), plain()).await else { panic!() };
    let settle = async |turn, aftermath| {
        let owed = vec![row(turn, Op::Revise { of: card.id, body: Body::Text("retried".into()) })];
        let settlement = Settlement { turn, seq, aftermath, owed, press, now_ms: 3_000 };
        store.settle_interrupted(settlement).await.unwrap()
    };
    assert!(settle(intent.turn, Aftermath::Waits { resumes: true }).await);
    assert_eq!(event(&store, seq).await, ("queued".to_owned(), 1, true, None, true));
    assert_eq!(event(&store, press).await, stands("done", 0, false));
    assert!(!settle(intent.turn, Aftermath::Over).await, "it is decided");
    assert!(!settle(TurnId::new(), Aftermath::Over).await);
    assert_eq!(event(&store, seq).await.0, "queued");
    assert!(store.interrupted(intent.turn).await.unwrap().is_none());
    let waits = store.next_in(&key(), Line::Turn).await.unwrap().unwrap();
    let What::Message(message) = waits.inbound.unwrap().what else { panic!("not a message") };
    assert!(message.mention && waits.resumes, "a person wants it");
    // Interrupted once more, the buttons of the first card mean nothing.
    let again = Intent { reached: true, ..Intent::follow(record_of(&store).await) };
    assert_eq!(store.begin_turn(again.clone(), seq, TEXT.to_owned(), 4).await.unwrap(), Begun::Begun);
    let second = post(again.turn);
    store.close_cut_off(end(again.turn, seq, Aftermath::Asks(second.id), vec![second])).await.unwrap();
    assert!(store.interrupted(intent.turn).await.unwrap().is_none());
    assert!(store.interrupted(again.turn).await.unwrap().is_some());
}

async fn record_of(store: &Store) -> crate::domain::ids::SessionId {
    store.session_in(&key()).await.unwrap().unwrap().id
}

// holds: S-6
#[tokio::test]
async fn what_its_session_ended_with_can_be_repeated_and_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let intent = intent(&record);
    let seq = begun(&store, "1.1", intent.clone()).await;
    let card = post(intent.turn);
    store.close_cut_off(end(intent.turn, seq, Aftermath::Asks(card.id), vec![card])).await.unwrap();
    store.end_session(record.id, i64::MAX, 3_000).await.unwrap();
    assert_eq!(
        event(&store, seq).await.0,
        "interrupted",
        "it does not wait, so it is not dropped, nor does it come back"
    );
    assert!(!store.interrupted(intent.turn).await.unwrap().unwrap().session_lives);
}

#[tokio::test]
async fn what_was_growing_is_known_until_it_is_owed_its_final_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let intent = intent(&record());
    let seq = begun(&store, "1.1", intent.clone()).await;
    let shown = async || store.cut_off_turn(seq).await.unwrap().unwrap().shown;
    assert!(shown().await.is_empty());
    for ts in ["2.1", "2.2"] {
        store.note_shown(intent.turn, ts.into()).await.unwrap();
    }
    assert_eq!(shown().await, [Ts::from("2.1"), "2.2".into()]);
    let part = row(intent.turn, Op::Finish { ts: "2.1".into(), body: Body::Text("one".into()) });
    store.owe(vec![part], None, 1).await.unwrap();
    assert!(shown().await.is_empty(), "a later card must not take a finished message over");
    store.note_shown(intent.turn, "2.3".into()).await.unwrap();
    assert_eq!(shown().await, [Ts::from("2.3")]);
}

fn question(turn: TurnId, state: ApprovalState) -> ApprovalCard {
    let id = ApprovalId::parse(&turn.to_string()).unwrap();
    let options = vec![("Allow".to_owned(), OptionKind::AllowOnce)];
    ApprovalCard { id, requester: "U1".into(), title: "touch f".into(), detail: None, options, attached: false, state }
}

// holds: K-5
#[tokio::test]
async fn a_question_is_open_from_its_own_commit_to_that_of_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let intent = intent(&record());
    begun(&store, "1.1", intent.clone()).await;
    let asked = question(intent.turn, ApprovalState::Open { expires_after_s: 9 });
    let posted = row(intent.turn, Op::Post(Body::Approval(asked.clone())));
    store.owe(vec![posted.clone()], None, 1).await.unwrap();
    let open = store.open_approvals(None).await.unwrap();
    assert_eq!((open.len(), &open[0].card, open[0].row, &open[0].conversation), (1, &asked, posted.id, &key()));
    assert_eq!(store.open_approvals(Some(intent.turn)).await.unwrap(), open);
    assert!(store.open_approvals(Some(TurnId::new())).await.unwrap().is_empty());
    let body = Body::Approval(question(intent.turn, ApprovalState::Expired));
    store.owe(vec![row(intent.turn, Op::Revise { of: posted.id, body })], None, 2).await.unwrap();
    assert!(store.open_approvals(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_turn_that_ended_is_not_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = record();
    let intent = intent(&record);
    let seq = begun(&store, "1.1", intent.clone()).await;
    let (turn, session, owed) = (intent.turn, record.id, vec![post(intent.turn)]);
    let end = TurnEnd { turn, seq, session, outcome: "completed", session_ended: None, owed, now_ms: 2 };
    store.finish_turn(end).await.unwrap();
    assert!(all(&store).await.is_empty() && store.interrupted(intent.turn).await.unwrap().is_none());
    assert_eq!(store.requeue_unreached().await.unwrap(), 0);
}
