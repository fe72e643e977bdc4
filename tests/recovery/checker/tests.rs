//! Made-up histories: a good one, and what must be caught of it.

use super::*;
use crate::history::Delivered;

fn place(thread: &str) -> Place {
    Place { channel: "C1".to_owned(), thread: thread.to_owned() }
}

fn asked(number: u32, thread: &str, ts: &str) -> Asked {
    Asked { number, place: place(thread), ts: ts.to_owned() }
}

fn line(number: u32, at: u32, of: u32) -> Line {
    Line { number, at, of }
}

fn shown(thread: &str, ts: &str, lines: &[Line]) -> Shown {
    let (place, ts, lines) = (place(thread), ts.to_owned(), lines.to_vec());
    Shown { place, ts, lines, growing: false, answers: None, gives_up: false }
}

/// A message without a line of an answer, about one that was asked.
fn about(asked: &str, gives_up: bool) -> Shown {
    Shown { answers: Some(asked.to_owned()), gives_up, ..shown("3.0", "7.0", &[]) }
}

fn heard(pid: u32, number: u32, what: What) -> Heard {
    Heard { pid, at_ms: 0, what, number }
}

/// Two conversations. In the first there are two messages, of which the first is answered in two parts; in the second one.
fn good() -> History {
    let acked = |event: &str, ts: &str, at| Delivered { event: event.to_owned(), ts: ts.to_owned(), acked_ms: at };
    History {
        asked: vec![asked(1, "1.0", "1.0"), asked(2, "1.0", "2.0"), asked(3, "3.0", "3.0")],
        delivered: vec![acked("E1", "1.0", Some(1_100)), acked("E2", "2.0", Some(2_100)), acked("E3", "3.0", None)],
        stored: ["event:E1", "event:E2"].map(ToOwned::to_owned).into(),
        heard: vec![
            heard(7, 1, What::Begin),
            heard(8, 3, What::Begin),
            heard(7, 1, What::End),
            heard(7, 2, What::Begin),
            heard(8, 3, What::End),
            heard(7, 2, What::End),
        ],
        shown: vec![
            shown("1.0", "4.0", &[line(1, 0, 3), line(1, 1, 3)]),
            shown("1.0", "5.0", &[line(1, 2, 3)]),
            shown("1.0", "6.0", &[line(2, 0, 1)]),
            shown("3.0", "7.0", &[line(3, 0, 1)]),
        ],
        ..History::default()
    }
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(check(&good()), []);
}

#[test]
fn each_fault_is_caught_and_nothing_else() {
    type Fault = fn(&mut History);
    let cases: [(Fault, Violation); 13] = [
        (
            |history| history.stored.retain(|key| key != "event:E2"),
            Violation::Lost { event: "E2".to_owned(), ts: "2.0".to_owned() },
        ),
        (|history| drop(history.shown.pop()), Violation::Unanswered(3)),
        (|history| history.given_up.extend([2]), Violation::GivenUpAndAnswered(2)),
        (
            |history| history.heard.extend([heard(9, 2, What::Begin), heard(9, 2, What::End)]),
            Violation::Prompted { number: 2, times: 2, allowed: 1 },
        ),
        (|history| drop(history.shown.remove(1)), Violation::Missing { number: 1, lines: 1 }),
        (
            |history| history.shown.push(shown("3.0", "8.0", &[line(3, 0, 1)])),
            Violation::Doubled { number: 3, lines: 1 },
        ),
        (|history| history.shown.swap(0, 1), Violation::OutOfOrder { first: 1, second: 1 }),
        (
            |history| history.shown.push(Shown { growing: true, ..shown("1.0", "8.0", &[]) }),
            Violation::Unfinished { ts: "8.0".to_owned() },
        ),
        (|history| history.heard.rotate_left(3), Violation::OutOfOrder { first: 1, second: 2 }),
        (
            |history| {
                history.heard[2] = heard(9, 2, What::Begin);
                history.heard[3] = heard(7, 1, What::End);
                history.heard[5] = heard(9, 2, What::End);
            },
            Violation::AtOnce(1, 2),
        ),
        (|history| history.shown[3].place = place("1.0"), Violation::Strayed { number: 3, ts: "7.0".to_owned() }),
        (|history| history.shown.push(shown("9.0", "8.0", &[])), Violation::Unasked { ts: "8.0".to_owned() }),
        (|history| history.left.push(4_711), Violation::Left(4_711)),
    ];
    for (fault, expected) in cases {
        let mut history = good();
        fault(&mut history);
        assert_eq!(check(&history), [expected]);
    }
}

#[test]
fn what_people_ask_for_again_may_be_prompted_again_and_come_late() {
    let mut history = good();
    history.heard.extend([heard(9, 1, What::Begin), heard(9, 1, What::End)]);
    history.again.insert(1, 1);
    assert_eq!(check(&history), []);
    // The agent of the first turn was killed before it saw its prompt.
    history.heard.drain(..1);
    assert_eq!(check(&history), []);
}

#[test]
fn who_wrote_before_the_other_was_acknowledged_may_overtake() {
    let mut history = good();
    history.delivered[0].acked_ms = Some(2_050);
    history.heard.rotate_left(3);
    assert_eq!(check(&history), []);
}

#[test]
fn only_a_note_about_itself_is_the_outcome_of_what_was_given_up() {
    let unanswered = vec![Violation::Unanswered(3)];
    let unnamed = Shown { answers: None, ..about("", true) };
    let elsewhere = Shown { place: place("1.0"), ..about("3.0", true) };
    let cases = [
        ("a note", vec![about("3.0", true)], vec![]),
        ("nothing", vec![], unanswered.clone()),
        ("a card about an earlier turn of it", vec![about("3.0", false)], unanswered.clone()),
        ("a note that names no message", vec![unnamed], unanswered.clone()),
        ("a note in another place", vec![elsewhere], unanswered.clone()),
        ("a note about its neighbour", vec![about("3.5", true)], unanswered),
    ];
    for (said, instead, expected) in cases {
        let mut history = good();
        history.shown.truncate(3);
        history.shown.extend(instead);
        history.given_up.insert(3);
        assert_eq!(check(&history), expected, "{said}");
    }
}
