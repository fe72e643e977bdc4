//! Rows 21 and 22: more than anybody asked for, and nobody who reads it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hitchline::backend::error::BackendError;
use hitchline::backend::{Outcome, Session, TURN_CAPACITY, TurnEvent};
use hitchline::domain::agent::{AgentEvent, OptionKind};

use super::{Cannot, Kept, KeptBut, Verdict};
use crate::peer::{MEMORY, Peer, Reach, asked, choose, hear, prompt, resident_mib, soon, turn, until};
use crate::proxy::Events;
use crate::server::Server;
use crate::size::sized;

/// How much more memory may be in use after a flood than before it.
const MORE: u64 = 64;

pub(super) async fn row_21_nonsense_is_survived(peer: &Peer) -> Verdict {
    let _alone = MEMORY.lock().await;
    let before = resident_mib();
    match &peer.reach {
        Reach::Inside => return Cannot("it is a part of Hitchline: nothing of it comes over a wire"),
        Reach::Streams => of_streams(peer).await,
        Reach::Screen => {
            let session = peer.start().await;
            let heard = turn(&session, "nonsense", OptionKind::AllowOnce).await;
            assert!(matches!(heard.outcome, Outcome::Completed | Outcome::Truncated), "{:?}", heard.outcome);
            assert!(!heard.text.contains('\u{1b}') && heard.text.len() < 10_000_000);
            assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.text, "you said: hello");
            peer.finish(&session).await;
        }
        Reach::Server(server) => of_events(peer, server).await,
    }
    let after = resident_mib();
    assert!(after < before + MORE, "{before} MiB became {after} MiB");
    Kept
}

async fn of_streams(peer: &Peer) {
    let bad = peer.meddled(&["--nonsense", "--stderr", "200"]);
    let session = bad.start().await;
    let heard = turn(&session, bad.hello, OptionKind::AllowOnce).await;
    assert_eq!(heard.outcome, Outcome::Completed);
    assert!(!heard.text.contains("not yours"));
    bad.finish(&session).await;
    // A long line passes, and one that is too long ends its agent.
    for (length, passes) in [(10_000_000_usize, true), (20_000_000, false)] {
        let long = peer.meddled(&["--long", &length.to_string()]);
        let session = long.start().await;
        let heard = turn(&session, long.hello, OptionKind::AllowOnce).await;
        let is_refused = matches!(heard.outcome, Outcome::Failed(BackendError::Protocol(_)));
        assert_eq!((heard.text.len() > length, !is_refused, session.is_alive()), (passes, passes, passes));
        long.finish(&session).await;
    }
    let half = peer.meddled(&["--half", "session/prompt"]);
    let session = half.start().await;
    let heard = turn(&session, half.hello, OptionKind::AllowOnce).await;
    assert!(matches!(heard.outcome, Outcome::Failed(BackendError::Crashed { .. })), "{:?}", heard.outcome);
    assert!(!session.is_alive());
    half.finish(&session).await;
}

/// Nonsense between events: no JSON, no text, no field, half an event, a line of 10 MB.
async fn of_events(peer: &Peer, server: &Server) {
    let session = peer.start().await;
    let plain = turn(&session, peer.hello, OptionKind::AllowOnce).await.text;
    let mut nonsense = b"data: {\"half\n\ndata: \xff\xfe\xfd\n\nno field at all\n\ndata\n\n: a comment\n\nevent: x\r\ndata: []\r\n\r\n".to_vec();
    server.proxy.events(Events::Before(nonsense.clone().into()));
    let heard = turn(&session, peer.hello, OptionKind::AllowOnce).await;
    assert_eq!((&heard.text, heard.outcome), (&plain, Outcome::Completed));
    nonsense.extend_from_slice(b"data: ");
    nonsense.resize(10_000_000, b'x');
    nonsense.extend_from_slice(b"\n\n");
    server.proxy.events(Events::Once(nonsense.into()));
    let heard = turn(&session, peer.hello, OptionKind::AllowOnce).await;
    assert_eq!((&heard.text, heard.outcome), (&plain, Outcome::Completed));
    peer.finish(&session).await;
}

pub(super) async fn row_22_a_reader_that_stalls_costs_no_memory(peer: &Peer) -> Verdict {
    let _alone = MEMORY.lock().await;
    let all = sized(100_000);
    match &peer.reach {
        Reach::Inside => {
            of_time(peer).await;
            Kept
        }
        Reach::Screen => {
            let session = peer.start().await;
            let before = resident_mib();
            let stream = soon(session.prompt(prompt(&format!("lines {all}")))).await.unwrap();
            until("it is done", || peer.dir.path().join("lines").exists()).await;
            assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Truncated);
            let after = resident_mib();
            assert!(after < before + MORE, "{before} MiB became {after} MiB");
            peer.finish(&session).await;
            KeptBut("an answer that is longer than the terminal remembers is cut, which is said")
        }
        Reach::Streams => {
            let peer = peer.meddled(&["--repeat", &all.to_string()]);
            let dir = peer.dir.clone();
            let written =
                move || std::fs::read_to_string(dir.path().join("written")).map_or(0, |text| text.parse().unwrap_or(0));
            flood(&peer, all, written).await;
            Kept
        }
        Reach::Server(server) => {
            let part = if server.is_opencode() { "message.part.delta" } else { "content_block:end" };
            server.proxy.events(Events::Repeat(part, all));
            flood(peer, all, || server.proxy.passed()).await;
            Kept
        }
    }
}

/// One that says each text so often, to a reader that begins late. What it asks at last still gets through.
async fn flood(peer: &Peer, times: usize, written: impl Fn() -> usize) {
    let session = peer.start().await;
    let before = resident_mib();
    let mut stream = soon(session.prompt(prompt(peer.ask.unwrap_or(peer.hello)))).await.unwrap();
    stalls(peer, &written, times).await;
    // To others it makes no difference, not even while nobody reads it.
    others(peer).await;
    let mut texts = 0;
    loop {
        match soon(stream.next()).await.expect("it has not ended") {
            TurnEvent::Agent(AgentEvent::Permission(request)) => {
                session.answer(&request.id, choose(&request, OptionKind::AllowOnce)).await;
                break;
            }
            TurnEvent::Agent(AgentEvent::Text { .. }) => texts += 1,
            TurnEvent::Agent(_) => {}
            TurnEvent::End(outcome) => {
                assert_eq!((outcome, peer.ask), (Outcome::Completed, None));
                break;
            }
        }
    }
    assert!(texts >= times, "{texts} of {times} came");
    let after = resident_mib();
    assert!(after < before + MORE, "{before} MiB became {after} MiB");
    session.cancel().await.unwrap();
    drop(stream);
    soon(session.end(peer.deadline())).await.unwrap();
    soon(peer.backend.shutdown(peer.deadline())).await;
}

/// Waits until no more is taken from the agent, long before it has said everything.
async fn stalls(peer: &Peer, written: &impl Fn() -> usize, times: usize) {
    until("the flood has begun", || written() > 0).await;
    let mut last = 0;
    while written() > last {
        last = written();
        peer.clock.sleep(Duration::from_millis(200)).await;
    }
    assert!(last < times / 2, "{last} were taken although nobody read them");
}

async fn others(peer: &Peer) {
    let other: Arc<dyn Session> = peer.start().await;
    let stream = soon(other.prompt(prompt(peer.wait))).await.unwrap();
    other.cancel().await.unwrap();
    assert_eq!(hear(&other, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    soon(other.end(peer.deadline())).await.unwrap();
}

/// The echo agent says as much as there is room for, and the rest when that was read.
async fn of_time(peer: &Peer) {
    let (peer, hand) = peer.by_hand();
    let session = peer.start().await;
    let mut stream = soon(session.prompt(prompt("!stream 1000"))).await.unwrap();
    for _ in 0..2_000 {
        hand.advance(Duration::from_millis(50));
        tokio::task::yield_now().await;
    }
    let mut waiting = 0;
    while let Some(Some(TurnEvent::Agent(_))) = stream.next().now_or_never() {
        waiting += 1;
    }
    assert!((100..=TURN_CAPACITY + 2).contains(&waiting), "{waiting} were inside");
    let mut rest = Box::pin(hear(&session, stream, OptionKind::AllowOnce));
    let heard = loop {
        if let Some(heard) = (&mut rest).now_or_never() {
            break heard;
        }
        hand.advance(Duration::from_millis(50));
        tokio::task::yield_now().await;
    };
    assert_eq!((heard.events.len(), heard.outcome), (1_000 - waiting, Outcome::Completed));
    let mut stream = soon(session.prompt(prompt("!ask"))).await.unwrap();
    let request = asked(&mut stream).await;
    session.answer(&request.id, choose(&request, OptionKind::AllowOnce)).await;
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    drop(rest);
    peer.finish(&session).await;
}
