//! Row 25: whatever is done to a session in whatever order, each turn ends once and says nothing afterwards, what has ended stays ended,
//! and nothing is left.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session, TurnEvent, TurnStream};
use hitchline::clock::{Clock, Hand};
use hitchline::domain::agent::{AgentEvent, Decision};
use hitchline::domain::ids::RequestId;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{Kept, Verdict};
use crate::peer::{Peer, Reach, prompt, soon};

/// Something that is done to a session, or to the world around it.
#[derive(Debug, Clone)]
enum Act {
    Prompt(&'static str),
    /// Reads one event, if there is one.
    Read,
    /// Goes away without reading on.
    Unread,
    Cancel,
    /// Answers the request that was read last.
    Answer,
    Choose,
    Release,
    End,
    Restore,
    /// Lets time pass.
    Wait,
    /// Lets tasks run for so many steps.
    Run(usize),
    /// Kills its agent, or breaks off what its server was saying.
    Crash,
}

/// How long an event is waited for where agents have a time of their own.
const MOMENT: Duration = Duration::from_millis(50);

/// The prompts that make an agent do something else each.
fn prompts(peer: &Peer) -> &'static [&'static str] {
    match &peer.reach {
        Reach::Inside => {
            &["hello", "!stream 3", "!sleep 2", "!ask", "!plan", "!fail transient", "!fail crash", "!vanish"]
        }
        Reach::Streams => &["hello", "chunks 30", "ask", "wait", "error -32603 no", "garbage", "half"],
        Reach::Server(server) if server.is_opencode() => &["hello", "TOOL", "SLOW", "FAIL400"],
        Reach::Server(_) => &["hello", "many", "wait", "rate", "empty", "cut"],
        Reach::Screen => &["hello", "lines 50", "wait", "die"],
    }
}

fn acts(prompts: &'static [&'static str], longest: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => prop::sample::select(prompts).prop_map(Act::Prompt),
        6 => Just(Act::Read),
        4 => (1..9_usize).prop_map(Act::Run),
        3 => Just(Act::Wait),
        3 => Just(Act::Restore),
        2 => Just(Act::Cancel),
        2 => Just(Act::Answer),
        1 => Just(Act::Choose),
        1 => Just(Act::Unread),
        1 => Just(Act::Release),
        1 => Just(Act::End),
        1 => Just(Act::Crash),
    ];
    prop::collection::vec(act, 1..longest)
}

/// A session, and all that a caller knows of it.
struct Model {
    peer: Peer,
    /// Turns the clock, where agents have no time of their own.
    hand: Option<Hand>,
    session: Arc<dyn Session>,
    /// The turn that is being read.
    turn: Option<TurnStream>,
    asked: Option<RequestId>,
    /// Whether a turn was left unread, of which the end is not known.
    unread: bool,
    /// Whether it is gone for good. One that vanished is so, although nobody is told.
    ended: bool,
}

impl Model {
    async fn new(peer: Peer, hand: Option<Hand>) -> Self {
        let session = peer.start().await;
        Self { peer, hand, session, turn: None, asked: None, unread: false, ended: false }
    }

    async fn take(&mut self, act: Act) {
        match act {
            Act::Prompt(text) => self.prompt(text).await,
            Act::Read => self.look().await,
            Act::Unread => self.unread |= self.turn.take().is_some(),
            Act::Cancel => self.session.cancel().await.unwrap(),
            Act::Answer => self.answer().await,
            Act::Choose => self.choose().await,
            Act::Release => soon(self.session.release(self.peer.deadline())).await.unwrap(),
            Act::End => self.end().await,
            Act::Restore => self.restore().await,
            Act::Wait => match &self.hand {
                Some(hand) => hand.advance(Duration::from_secs(1)),
                None => self.look().await,
            },
            Act::Run(steps) => run(steps).await,
            Act::Crash => self.crash().await,
        }
        if self.hand.is_some() {
            let is_known = !self.session.is_alive() || self.is_listed().await || self.ended;
            assert!(is_known, "a session that lives is not listed");
        }
    }

    /// Reads an event, if one is there.
    async fn look(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let event = match self.hand {
            Some(_) => turn.next().now_or_never(),
            None => self.peer.clock.timeout(MOMENT, turn.next()).await.ok(),
        };
        if let Some(event) = event {
            self.read(event).await;
        }
    }

    async fn choose(&self) {
        let Some(option) = self.session.offers().options.into_iter().next() else { return };
        let chosen = soon(self.session.set_option(&option.id, &option.values[0].value)).await;
        // An agent that dies just then is not yet known to be dead.
        assert!(self.hand.is_none() || chosen.is_ok() || !self.session.is_alive() || self.ended, "{chosen:?}");
    }

    async fn crash(&self) {
        match &self.peer.reach {
            Reach::Inside => {}
            Reach::Streams | Reach::Screen => {
                for id in self.peer.processes() {
                    drop(Command::new("kill").args(["-KILL", &id]).status());
                }
            }
            Reach::Server(server) => {
                server.proxy.down().await;
                server.proxy.up().await;
            }
        }
    }

    async fn prompt(&mut self, text: &'static str) {
        match self.session.prompt(prompt(text)).await {
            Ok(stream) => {
                assert!(!self.ended, "it was ended and took a prompt");
                self.finish_turn().await;
                (self.turn, self.unread) = (Some(stream), false);
                self.ended = text == "!vanish";
            }
            Err(BackendError::Ended) => assert!(self.ended, "nobody ended it"),
            Err(BackendError::Busy) => assert!(self.turn.is_some() || self.unread, "its turn was over"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Transient, "{error}");
                assert!(!self.session.is_alive(), "{error}");
            }
        }
    }

    /// The turn before one that was accepted: only its reader is behind.
    async fn finish_turn(&mut self) {
        while self.turn.is_some() {
            let event = soon(self.turn.as_mut().unwrap().next()).await;
            self.read(event).await;
        }
    }

    async fn read(&mut self, event: Option<TurnEvent>) {
        match event.expect("nothing is read after an end") {
            TurnEvent::Agent(AgentEvent::Permission(request)) => self.asked = Some(request.id),
            TurnEvent::Agent(_) => {}
            TurnEvent::End(outcome) => {
                assert!(!matches!(outcome, Outcome::Failed(BackendError::Ended | BackendError::Unknown)));
                let mut turn = self.turn.take().unwrap();
                assert_eq!(soon(turn.next()).await, None, "the end was not the last");
            }
        }
    }

    async fn answer(&mut self) {
        let Some(id) = self.asked.take() else { return };
        let first = self.session.answer(&id, Decision::Cancelled).await;
        assert!(self.hand.is_none() || first == Answered::NotWaiting || self.session.is_alive());
        assert_eq!(self.session.answer(&id, Decision::Cancelled).await, Answered::NotWaiting, "answered twice");
    }

    async fn end(&mut self) {
        soon(self.session.end(self.peer.deadline())).await.unwrap();
        self.ended = true;
        assert!(!self.session.is_alive() && !self.is_listed().await);
    }

    async fn restore(&mut self) {
        // Its owner lets go of one before it brings it back.
        soon(self.session.release(self.peer.deadline())).await.unwrap();
        match self.peer.restore(&self.session.backend_ref()).await {
            Err(BackendError::Unsupported(_)) => {
                assert!(!self.ended, "what has ended is not even looked for");
                self.finish_turn().await;
                (self.session, self.unread) = (self.peer.start().await, false);
            }
            Ok(again) => {
                assert!(!self.ended, "what has ended came back");
                assert_eq!(again.backend_ref(), self.session.backend_ref());
                self.finish_turn().await;
                (self.session, self.unread) = (again, false);
            }
            Err(error) => assert!(self.ended && error == BackendError::Ended, "{error}"),
        }
    }

    async fn is_listed(&self) -> bool {
        match self.peer.list(9).await {
            Ok(listed) => listed.iter().any(|listed| listed.backend_ref == self.session.backend_ref()),
            Err(error) => {
                assert!(matches!(error, BackendError::Unsupported(_)), "{error:?}");
                false
            }
        }
    }

    /// Releases what is left: the last turn ends too, and nothing runs any more.
    async fn finish(mut self) {
        soon(self.session.release(self.peer.deadline())).await.unwrap();
        self.finish_turn().await;
        if self.hand.is_none() {
            soon(self.peer.backend.shutdown(self.peer.deadline())).await;
        }
        soon(self.peer.scope.wait()).await;
        assert_eq!(self.peer.processes(), [""; 0]);
    }
}

async fn run(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

async fn play(peer: Peer, hand: Option<Hand>, acts: &[Act]) {
    let mut model = Model::new(peer, hand).await;
    for act in acts {
        model.take(act.clone()).await;
    }
    model.finish().await;
}

// holds: S-1, S-3
pub(super) async fn row_25_any_order_keeps_the_rules(peer: &Peer) -> Verdict {
    let (prompts, mut runner) = (prompts(peer), TestRunner::default());
    let (cases, longest) = if matches!(peer.reach, Reach::Inside) { (50, 40) } else { (3, 16) };
    for _ in 0..cases {
        let acts = acts(prompts, longest).new_tree(&mut runner).unwrap().current();
        println!("{acts:?}");
        match peer.reach {
            Reach::Inside => {
                let (peer, hand) = peer.by_hand();
                play(peer, Some(hand), &acts).await;
            }
            Reach::Streams | Reach::Server(_) | Reach::Screen => play(peer.again(), None, &acts).await,
        }
    }
    Kept
}

proptest! {
    // holds: S-1, S-3
    #[test]
    fn each_turn_ends_once_and_nothing_comes_back_from_its_end(acts in acts(prompts(&Peer::echo()), 40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (clock, hand) = Clock::manual(0);
            play(Peer::echo_at(clock), Some(hand), &acts).await;
        });
    }
}
