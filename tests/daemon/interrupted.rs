//! What a killed daemon leaves half done: people decide, and what kills it each time ends.

use super::harness::until;
use super::sessions::Place;

const CHANNEL: &str = "C0GENERAL";

// holds: P-8, S-10
#[test]
fn a_turn_that_kill_9_cut_off_is_decided_by_its_person() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    let threads = ["Resume", "Retry", "Drop"].map(|choice| (choice, place.begin("!stream 60")));
    until("three growing answers", || {
        threads.iter().all(|(_, thread)| !place.slack.replies(CHANNEL, thread).is_empty())
    });
    daemon.kill();

    let daemon = place.slack.daemon(&place.dir);
    for (choice, thread) in &threads {
        place.wait_for(thread, "I was interrupted");
        assert_eq!(place.slack.replies(CHANNEL, thread).len(), 1, "one message, never two");
        place.slack.choose("U0ALICE", CHANNEL, thread, choice);
    }
    let [(_, resumed), (_, retried), (_, dropped)] = &threads;
    place.wait_for(dropped, "It is dropped. (<@U0ALICE>)");
    place.wait_for(resumed, "It is resumed. (<@U0ALICE>)");
    // The agent says what it is told.
    place.wait_for(resumed, "Go on with the last request");
    place.slack.wait(&[("channel", CHANNEL), ("thread_ts", retried), ("text_contains", "59 60"), ("final", "true")]);
    let said = |thread: &str| place.slack.replies(CHANNEL, thread).len();
    assert_eq!((said(resumed), said(retried), said(dropped)), (2, 2, 1));
    assert_eq!(daemon.stop(), 0);
}

// holds: P-8, K-5
#[test]
fn f_56_a_question_that_kill_9_left_open_loses_its_buttons() {
    let place = Place::new();
    let daemon = place.slack.daemon(&place.dir);
    let thread = place.begin("!ask");
    let card = place.slack.wait_for_buttons(CHANNEL, &thread);
    // By then it is on disk that the question has arrived.
    let fence = place.begin("fence");
    place.slack.wait_for_answer(CHANNEL, &fence, "fence");
    daemon.kill();
    let daemon = place.slack.daemon(&place.dir);
    until("no buttons", || place.slack.buttons(CHANNEL, &thread, &card).is_empty());
    let shown =
        place.slack.replies(CHANNEL, &thread).into_iter().find(|message| message["ts"] == card.as_str()).unwrap();
    assert!(shown.to_string().contains("Expired: Hitchline was restarted"), "{shown}");
    assert_eq!(daemon.stop(), 0);
}

// holds: P-8
#[test]
fn what_kills_the_daemon_each_time_becomes_a_dead_letter_that_an_operator_may_retry_or_drop() {
    let place = Place::new();
    let start = || place.slack.changed(&place.dir, "[access]", "[sessions]\non_interrupt = \"retry\"\n[access]");
    let work = |sessions: usize| {
        until("turns", || place.sessions().iter().filter(|session| session["state"] == "working").count() == sessions);
    };
    let mut daemon = start();
    let threads = [place.begin("!sleep 61"), place.begin("!sleep 62")];
    for _ in 0..3 {
        work(2);
        daemon.kill();
        daemon = start();
    }
    for thread in &threads {
        place.wait_for(thread, "hitchline dlq list");
    }
    let listed = place.json(&["dlq", "list"]);
    let letters = listed.as_array().unwrap();
    assert!(letters.len() == 2 && letters.iter().all(|letter| letter["attempts"] == 3), "{listed}");
    assert!(!listed.to_string().contains("sleep"), "a list never tells what was said: {listed}");
    assert_eq!(place.json(&["status"])["dead_letters"], 2);
    let (code, shown) = place.ask(&["dlq", "list"]);
    assert!(code == 0 && shown.contains("U0ALICE") && shown.contains("never came to an end"), "{shown}");
    let id_in = |thread: &String| {
        let here = letters.iter().find(|letter| letter["conversation"].as_str().unwrap().ends_with(thread));
        here.unwrap()["id"].as_str().unwrap().to_owned()
    };

    let (code, shown) = place.ask(&["dlq", "retry", &id_in(&threads[0])]);
    assert!(code == 0 && shown.contains("is tried once more"), "{shown}");
    work(1);
    let (code, shown) = place.ask(&["dlq", "drop", &id_in(&threads[1])]);
    assert!(code == 0 && shown.contains("is dropped"), "{shown}");
    assert_eq!(place.ask(&["dlq", "list"]), (0, "no dead letters\n".to_owned()));
    let (code, shown) = place.ask(&["dlq", "drop", &id_in(&threads[1])]);
    assert!(code == 1 && shown.contains("there is no dead letter"), "{shown}");
    assert_eq!(place.ask(&["dlq", "retry", "12"]).0, 64);
    daemon.kill();
}
