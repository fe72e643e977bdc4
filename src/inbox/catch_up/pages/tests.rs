use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::clock::Hand;
use crate::domain::inbound::ChannelKind;

type Answer = Result<ReadPage<Reading>, WriteError>;

/// A Slack whose channel answers as the test says, and whose threads hold one reply each.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    /// What is answered when nothing is left.
    rest: Answer,
    calls: Mutex<usize>,
}

#[async_trait]
impl ReadBack for Script {
    fn now_us(&self) -> i64 {
        0
    }

    async fn channels(&self, _cursor: Option<&str>) -> Result<ReadPage<Joined>, WriteError> {
        Ok(ReadPage { items: Vec::new(), next: None, cut: false })
    }

    async fn said_since(&self, _channel: &Joined, thread: Option<&Ts>, _since: &Ts, _cursor: Option<&str>) -> Answer {
        *self.calls.lock().unwrap() += 1;
        match thread {
            Some(root) => Ok(page(&[&format!("{root}1")], None)),
            None => self.answers.lock().unwrap().pop_front().unwrap_or_else(|| self.rest.clone()),
        }
    }
}

fn message(ts: &str) -> Reading {
    Reading { ts: ts.into(), inbound: None, latest_reply: None }
}

fn page(items: &[&str], next: Option<&str>) -> ReadPage<Reading> {
    let items = items.iter().map(|ts| message(ts)).collect();
    ReadPage { items, next: next.map(str::to_owned), cut: false }
}

fn error(kind: WriteErrorKind) -> Answer {
    Err(WriteError { kind, call: "conversations.history", code: "as_the_test_says".into() })
}

fn place() -> Place {
    let channel = Joined { team: "T".into(), channel: "C".into(), kind: ChannelKind::Channel, shared: false };
    Place { channel, thread: None }
}

/// What is read of a channel, how complete that is, after how many calls and how much time.
async fn read(answers: Vec<Answer>, rest: Answer) -> (Vec<String>, Completeness, usize, Duration) {
    let (clock, hand) = Clock::manual(0);
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), rest, calls: Mutex::default() });
    let mut pages = Pages::new(script.clone(), clock.clone());
    let start = clock.now();
    let said = while_time_passes(&hand, pages.said_since(&place(), &"1.0".into(), |_| false)).await;
    let texts = said.into_iter().map(|message| message.ts.to_string()).collect();
    let calls = *script.calls.lock().unwrap();
    (texts, pages.completeness, calls, clock.now() - start)
}

async fn while_time_passes<F: Future>(hand: &Hand, future: F) -> F::Output {
    tokio::pin!(future);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return output,
            () = tokio::task::yield_now() => hand.advance(Duration::from_millis(500)),
        }
    }
}

/// What is answered at the end.
const NOTHING: Answer = Ok(ReadPage { items: Vec::new(), next: None, cut: false });

#[tokio::test]
async fn what_comes_newest_first_is_put_in_order_and_each_once() {
    let answers = vec![Ok(page(&["5.0", "4.0"], Some("a"))), Ok(page(&["4.0", "3.0"], None))];
    let (said, completeness, calls, _) = read(answers, NOTHING).await;
    assert_eq!(
        (said.as_slice(), completeness, calls),
        (&["3.0", "4.0", "5.0"].map(str::to_owned)[..], Completeness::Whole, 2)
    );
}

#[tokio::test]
async fn f_82_a_history_that_lies_about_its_end_is_left() {
    let cut = Ok(ReadPage { cut: true, ..page(&["2.0"], None) });
    let cases = [
        ("more, but not where", vec![cut], NOTHING, 1, 1),
        ("the same cursor again", vec![Ok(page(&["3.0"], Some("a")))], Ok(page(&["2.0"], Some("a"))), 2, 2),
    ];
    for (what, answers, rest, items, calls) in cases {
        let (said, completeness, made, _) = read(answers, rest).await;
        assert_eq!((said.len(), completeness, made), (items, Completeness::Partial, calls), "{what}");
    }
    // A new cursor each time, for ever.
    let endless = (0..1_000).map(|n| Ok(page(&[&format!("{}.0", 2_000 - n)], Some(&n.to_string())))).collect();
    let (said, completeness, made, took) = read(endless, NOTHING).await;
    assert_eq!((said.len(), completeness, made), (PAGES, Completeness::Partial, PAGES));
    assert!(took >= Duration::from_secs(15), "within the budget: {took:?}");
}

#[tokio::test]
async fn what_slack_refuses_for_good_is_partial_and_what_may_work_later_is_unfinished() {
    use WriteErrorKind::{Auth, Permanent, Rate, Transient};
    let transient = Transient { uncertain: true };
    let said = Ok(page(&["2.0"], None));
    let (found, completeness, calls, _) = read(vec![error(Permanent)], said.clone()).await;
    assert_eq!((found.len(), completeness, calls), (0, Completeness::Partial, 1));
    let (found, completeness, calls, took) =
        read(vec![error(Rate { after_ms: 30_000 }), error(transient)], said.clone()).await;
    assert_eq!((found.len(), completeness, calls), (1, Completeness::Whole, 3));
    assert!(took >= Duration::from_secs(30), "Retry-After is honoured: {took:?}");
    for kind in [Auth, transient] {
        let (found, completeness, calls, _) = read(Vec::new(), error(kind)).await;
        assert_eq!((found.len(), completeness, calls), (0, Completeness::Unfinished, ATTEMPTS), "{kind:?}");
    }
}

#[tokio::test]
async fn threads_without_a_session_are_read_where_their_root_tells_of_replies() {
    let root = |ts: &str, latest: Option<&str>| Reading { latest_reply: latest.map(Ts::from), ..message(ts) };
    let items = vec![root("4.0", Some("4.5")), root("3.0", Some("0.5")), root("2.0", None)];
    let (said, completeness, calls, _) = read(vec![Ok(ReadPage { items, next: None, cut: false })], NOTHING).await;
    assert_eq!((said.as_slice(), calls), (&["2.0", "3.0", "4.0", "4.01"].map(str::to_owned)[..], 2));
    assert_eq!(completeness, Completeness::Whole);
    let many = (0..60).map(|n| root(&format!("{}.0", 100 + n), Some("900.0"))).collect();
    let (_, completeness, calls, _) = read(vec![Ok(ReadPage { items: many, next: None, cut: false })], NOTHING).await;
    assert_eq!((completeness, calls), (Completeness::Partial, 1 + THREADS));
}
