//! Rows 9 and 10: what agents ask.

use hitchline::backend::{Answered, Outcome, TurnEvent};
use hitchline::domain::agent::{AgentEvent, Decision, OptionKind, PermissionRequest};
use hitchline::domain::ids::RequestId;

use super::{Cannot, Kept, Verdict};
use crate::peer::{Peer, Reach, asked, choose, hear, prompt, soon, turn, until};
use crate::proxy::Events;

pub(super) async fn row_09_a_decision_is_applied_once(peer: &Peer) -> Verdict {
    let Some(ask) = peer.ask else { return never_asks(peer).await };
    withdrawn(peer, ask).await;
    assert!(!peer.dir.path().join("made_by_tool").exists(), "it was not allowed to");
    once(peer, ask).await;
    by_kind(peer, ask).await;
    if matches!(peer.reach, Reach::Streams) && !peer.is_example() {
        // With ids that are texts; the others are numbers.
        let texts = Peer::fake_with(&["--string-ids"]).unwrap();
        once(&texts, ask).await;
        by_kind(&texts, ask).await;
        withdrawn(&texts, ask).await;
    }
    Kept
}

async fn once(peer: &Peer, ask: &str) {
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(ask))).await.unwrap();
    let request = asked(&mut stream).await;
    assert!(!request.title.is_empty());
    let decision = choose(&request, OptionKind::AllowOnce);
    assert_eq!(session.answer(&RequestId::from("another"), decision.clone()).await, Answered::NotWaiting);
    assert_eq!(session.answer(&request.id, decision.clone()).await, Answered::Applied);
    assert_eq!(session.answer(&request.id, decision.clone()).await, Answered::NotWaiting);
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert_eq!(session.answer(&request.id, decision).await, Answered::NotWaiting);
    soon(session.end(peer.deadline())).await.unwrap();
}

async fn by_kind(peer: &Peer, ask: &str) {
    let session = peer.start().await;
    let allowed = turn(&session, ask, OptionKind::AllowOnce).await;
    let rejected = turn(&session, ask, OptionKind::RejectOnce).await;
    assert_eq!((allowed.asked.len(), rejected.asked.len()), (1, 1));
    assert_eq!((&allowed.outcome, &rejected.outcome), (&Outcome::Completed, &Outcome::Completed));
    let offers = |request: &PermissionRequest, kind| request.options.iter().any(|option| option.kind == kind);
    assert!([OptionKind::AllowOnce, OptionKind::RejectOnce].iter().all(|kind| offers(&allowed.asked[0], *kind)));
    assert_ne!((allowed.text, last_tool(&allowed.events)), (rejected.text, last_tool(&rejected.events)));
    soon(session.end(peer.deadline())).await.unwrap();
}

/// How the last thing that it did went.
fn last_tool(events: &[AgentEvent]) -> Option<&AgentEvent> {
    events.iter().rev().find(|event| matches!(event, AgentEvent::Tool(_)))
}

/// A turn that is cancelled waits for no decision; that the agent hears of it, its own end says.
async fn withdrawn(peer: &Peer, ask: &str) {
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt(ask))).await.unwrap();
    let request = asked(&mut stream).await;
    session.cancel().await.unwrap();
    let before = peer.clock.now();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Cancelled);
    assert!((peer.clock.now() - before).as_secs() < 5, "it waited for a decision");
    assert_eq!(session.answer(&request.id, choose(&request, OptionKind::AllowOnce)).await, Answered::NotWaiting);
    assert!(session.is_alive());
    soon(session.end(peer.deadline())).await.unwrap();
}

/// An agent that asks nobody waits for no decision, whatever it is told.
async fn never_asks(peer: &Peer) -> Verdict {
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
    assert_eq!(session.answer(&RequestId::from("request-1"), Decision::Cancelled).await, Answered::NotWaiting);
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!((heard.asked, heard.outcome), (vec![], Outcome::Cancelled));
    peer.finish(&session).await;
    match peer.reach {
        Reach::Screen => Cannot("it asks on its own screen, and is answered there"),
        _ => Cannot("it asks nobody: its server has no way to be answered"),
    }
}

pub(super) async fn row_10_an_unknown_request_is_answered(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => Cannot("it is a part of Hitchline and can't be made to ask anything else"),
        Reach::Screen => Cannot("it has a screen, and no requests"),
        Reach::Streams => {
            let peer = peer.meddled(&["--request"]);
            let session = peer.start().await;
            assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
            let answers = || std::fs::read_to_string(peer.dir.path().join("answers")).unwrap_or_default();
            until("both were answered", || answers() == r#"[["a text", -32601], [4711, -32601]]"#).await;
            peer.finish(&session).await;
            Kept
        }
        Reach::Server(server) => {
            let unknown =
                "data: {\"type\": \"form.asked\", \"event\": \"form:required\", \"properties\": {\"id\": \"f\"}}\n\n";
            server.proxy.events(Events::Before(unknown.into()));
            let session = peer.start().await;
            let mut stream = soon(session.prompt(prompt(peer.hello))).await.unwrap();
            let mut events = Vec::new();
            while let Some(event) = soon(stream.next()).await {
                events.push(event);
            }
            assert_eq!(events.last(), Some(&TurnEvent::End(Outcome::Completed)));
            let asks = |event: &TurnEvent| matches!(event, TurnEvent::Agent(AgentEvent::Permission(_)));
            assert!(!events.iter().any(asks), "{events:?}");
            peer.finish(&session).await;
            Cannot("its server sends events and no requests")
        }
    }
}
