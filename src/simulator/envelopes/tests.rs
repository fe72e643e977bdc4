use super::*;

fn envelopes(redelivery: &[u64]) -> (Envelopes, crate::clock::Hand) {
    let (clock, hand) = Clock::manual(1_000);
    let redelivery = redelivery.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
    (Envelopes::new(clock, redelivery, Holding::default()), hand)
}

fn connected(envelopes: &Envelopes) -> super::super::connections::Registered {
    let registered = envelopes.with_connections(|connections| connections.open(0));
    envelopes.greeted(registered.id);
    registered
}

fn next(connection: &mut super::super::connections::Registered) -> Value {
    serde_json::from_str(&connection.frames.try_recv().unwrap()).unwrap()
}

#[test]
fn an_unacknowledged_event_comes_again_with_a_new_envelope_until_its_attempts_are_used_up() {
    let (envelopes, hand) = envelopes(&[3, 60]);
    let mut connection = connected(&envelopes);
    envelopes.event(Named::new("Ev1", &Value::Null), r#"{"event_id":"Ev1"}"#.into(), Travel::Once);
    let first = next(&mut connection);
    assert_eq!((&first["retry_attempt"], &first["retry_reason"]), (&0.into(), &"".into()));
    for (attempt, wait) in [(1, 3), (2, 60)] {
        hand.advance(Duration::from_secs(wait));
        envelopes.send_due();
        let again = next(&mut connection);
        assert_eq!((&again["retry_attempt"], &again["retry_reason"]), (&attempt.into(), &"timeout".into()));
        assert_eq!(again["payload"], first["payload"]);
        assert_ne!(again["envelope_id"], first["envelope_id"]);
    }
    hand.advance(Duration::from_hours(1));
    assert_eq!(envelopes.send_due(), None);
    assert!(connection.frames.try_recv().is_err());
}

#[test]
fn an_acknowledged_event_does_not_come_again_and_each_ack_is_counted() {
    let (envelopes, hand) = envelopes(&[3]);
    let mut connection = connected(&envelopes);
    envelopes.event(Named::new("Ev1", &Value::Null), "{}".into(), Travel::Once);
    let ack = format!(r#"{{"envelope_id":{},"payload":{{}}}}"#, next(&mut connection)["envelope_id"]);
    envelopes.take(&ack);
    envelopes.take(&ack);
    hand.advance(Duration::from_secs(3));
    assert_eq!(envelopes.send_due(), None);
    assert!(connection.frames.try_recv().is_err());
    let records = envelopes.sent(0, usize::MAX);
    assert_eq!((records.len(), records[0].acks, records[0].acked_ms), (1, 2, Some(1_000)));
}

#[test]
fn an_ack_slack_would_drop_for_its_size_is_dropped() {
    let (envelopes, _hand) = envelopes(&[3]);
    let mut connection = connected(&envelopes);
    envelopes.event(Named::new("Ev1", &Value::Null), "{}".into(), Travel::Once);
    let id = next(&mut connection)["envelope_id"].clone();
    envelopes.take(&format!(r#"{{"envelope_id":{id},"payload":{{"text":"{}"}}}}"#, "x".repeat(ACK_LIMIT)));
    assert_eq!(envelopes.sent(0, 1)[0].acks, 0);
}

#[test]
fn a_doubled_event_is_settled_by_either_ack() {
    let (envelopes, _hand) = envelopes(&[3]);
    let mut connection = connected(&envelopes);
    envelopes.event(Named::new("Ev1", &Value::Null), "{}".into(), Travel::Twice);
    next(&mut connection);
    envelopes.take(&format!(r#"{{"envelope_id":{}}}"#, next(&mut connection)["envelope_id"]));
    assert!(envelopes.lock().pending.is_empty() && envelopes.lock().due.is_empty());
}

#[test]
fn a_delayed_event_waits_for_its_time() {
    let (envelopes, hand) = envelopes(&[]);
    let mut connection = connected(&envelopes);
    envelopes.event(Named::new("Ev1", &Value::Null), "{}".into(), Travel::After(Duration::from_secs(1)));
    envelopes.send_due();
    assert!(connection.frames.try_recv().is_err());
    hand.advance(Duration::from_secs(1));
    envelopes.send_due();
    assert_eq!(next(&mut connection)["retry_attempt"], 0);
}

#[test]
fn without_a_greeted_connection_an_event_waits_and_a_question_fails() {
    let (envelopes, hand) = envelopes(&[3]);
    envelopes.with_connections(|connections| connections.open(0));
    envelopes.event(Named::new("Ev1", &Value::Null), "{}".into(), Travel::Once);
    assert!(envelopes.question("slash_commands", "{}", true).is_none());
    let mut connection = connected(&envelopes);
    hand.advance(Duration::from_secs(3));
    envelopes.send_due();
    assert_eq!(next(&mut connection)["retry_attempt"], 1);
}

#[test]
fn an_answer_reaches_who_asked() {
    let (envelopes, _hand) = envelopes(&[]);
    let mut connection = connected(&envelopes);
    let mut question = envelopes.question("slash_commands", "{}", true).unwrap();
    let envelope = next(&mut connection);
    assert_eq!(envelope["accepts_response_payload"], true);
    envelopes.take(&format!(r#"{{"envelope_id":{},"payload":{{"text":"hi"}}}}"#, envelope["envelope_id"]));
    assert_eq!(question.answer.try_recv().unwrap().unwrap()["text"], "hi");
}
