//! Rows 3 to 6: turns, one after the other and many at once.

use futures_util::future::join_all;
use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::{AgentEvent, OptionKind, Progress};

use super::{Kept, Verdict};
use crate::peer::{Heard, Peer, Reach, asked, choose, hear, prompt, soon, turn};
use crate::proxy::Events;

pub(super) async fn row_03_a_turn_says_something_and_ends_once(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    for _ in 0..2 {
        // Whoever reads fails when there is a second end, or something after it.
        let heard = turn(&session, peer.hello, OptionKind::AllowOnce).await;
        assert_eq!(heard.outcome, Outcome::Completed);
        assert!(!heard.text.is_empty());
    }
    assert!(session.is_alive());
    peer.finish(&session).await;
    Kept
}

/// A prompt that is answered in many pieces, and the whole answer: where the agent can, with numbers from `first` on.
fn counting(peer: &Peer, first: usize) -> (String, Option<String>) {
    let numbers = |first: usize, between: &str| {
        (first..first + 20).flat_map(|number| [number.to_string(), between.to_owned()]).collect::<String>()
    };
    match &peer.reach {
        Reach::Inside => ("!stream 20".to_owned(), Some(numbers(1, " "))),
        // Answers with a part of the prompt.
        Reach::Server(server) if server.is_opencode() => {
            let said = numbers(first, " ").chars().take(60).collect::<String>().trim().to_owned();
            (said.clone(), Some(format!("You said: {said}")))
        }
        Reach::Streams if peer.is_example() => ("count".to_owned(), None),
        Reach::Streams | Reach::Server(_) => (format!("count {first}"), Some(numbers(first, " "))),
        Reach::Screen => (format!("count {first}"), Some(numbers(first, "\n").trim().to_owned())),
    }
}

/// Counts, and sees that nothing is missing, doubled, out of order, or of somebody else.
async fn count(peer: &Peer, first: usize) -> Heard {
    let (text, expected) = counting(peer, first);
    let session = peer.start().await;
    let heard = turn(&session, &text, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    match expected {
        Some(expected) => {
            assert_eq!(heard.text, expected);
            // A screen is looked at now and then, and may have all of it by then.
            assert!(heard.events.len() > 1 || matches!(peer.reach, Reach::Screen), "it came in one piece");
        }
        None => assert_eq!(outline(&heard), EXAMPLE),
    }
    soon(session.end(peer.deadline())).await.unwrap();
    heard
}

/// What the example agent does in each turn.
const EXAMPLE: [&str; 8] = ["I'll", "call_1", "call_1 done", "Now", "call_2", "asks", "call_2 done", "Perfect!"];

/// The events of a turn, a word or two for each.
fn outline(heard: &Heard) -> Vec<String> {
    let word = |event: &AgentEvent| match event {
        AgentEvent::Text { delta, .. } => delta.split_whitespace().next().unwrap_or_default().to_owned(),
        AgentEvent::Tool(call) if call.status == Some(Progress::Done) => format!("{} done", call.id),
        AgentEvent::Tool(call) => call.id.clone(),
        AgentEvent::Permission(_) => "asks".to_owned(),
        other => format!("{other:?}"),
    };
    heard.events.iter().map(word).collect()
}

/// Events that nobody knows: of another kind, of another session, and some that are none.
const UNKNOWN: &str = "event: of_tomorrow\ndata: {\"event\": \"of_tomorrow\", \"type\": \"of.tomorrow\", \"data\": {\"delta\": \"?\"}}\n\n\
    data: {\"type\": \"message.part.delta\", \"properties\": {\"sessionID\": \"another\", \"delta\": \"not yours\"}}\n\n\
    data: {\"event\": \"content_block:end\", \"session_id\": \"another\", \"data\": {\"block\": {\"type\": \"text\", \"text\": \"not yours\"}}}\n\n\
    : a comment\n\ndata: 7\n\n";

pub(super) async fn row_04_events_keep_their_order(peer: &Peer) -> Verdict {
    count(peer, 700).await;
    match &peer.reach {
        // A screen, and what is told within one process, has nothing unknown in it.
        Reach::Inside | Reach::Screen => {}
        Reach::Streams => drop(count(&peer.meddled(&["--nonsense"]), 300).await),
        Reach::Server(server) => {
            server.proxy.events(Events::Before(UNKNOWN.into()));
            count(peer, 300).await;
        }
    }
    Kept
}

pub(super) async fn row_05_a_second_prompt_is_busy(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    let first = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    assert_eq!(soon(session.prompt(prompt(peer.hello))).await.unwrap_err(), BackendError::Busy);
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, first, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    let (text, expected) = counting(peer, 100);
    let text = peer.ask.unwrap_or(&text);
    let mut first = soon(session.prompt(prompt(text))).await.unwrap();
    if peer.ask.is_some() {
        let request = asked(&mut first).await;
        assert_eq!(soon(session.prompt(prompt(peer.hello))).await.unwrap_err(), BackendError::Busy);
        session.answer(&request.id, choose(&request, OptionKind::AllowOnce)).await;
    }
    let heard = hear(&session, first, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert!(peer.ask.is_some() || expected.is_some_and(|expected| expected == heard.text));
    peer.finish(&session).await;
    Kept
}

pub(super) async fn row_06_sessions_do_not_mix(peer: &Peer) -> Verdict {
    let (one, two) = tokio::join!(peer.start(), peer.start());
    let waiting = soon(one.prompt(prompt(peer.wait))).await.unwrap();
    let heard = turn(&two, peer.hello, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    one.cancel().await.unwrap();
    let other = hear(&one, waiting, OptionKind::AllowOnce).await;
    assert_eq!(other.outcome, Outcome::Cancelled);
    assert!(!other.text.contains(&heard.text));
    soon(two.end(peer.deadline())).await.unwrap();
    soon(one.end(peer.deadline())).await.unwrap();
    // Each counts from a number of its own.
    soon(join_all((0..peer.crowd).map(|n| count(peer, 1_000 * (n + 1))))).await;
    Kept
}
