//! Whatever is done to a session in whatever order: each turn ends once and says nothing afterwards, and what has ended stays ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Answered, Outcome, Session, TurnEvent, TurnStream};
use hitchline::clock::{Clock, Hand};
use hitchline::domain::agent::{AgentEvent, Decision};
use hitchline::domain::ids::RequestId;
use proptest::prelude::*;

use super::peer::{Peer, prompt, soon};

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
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    const PROMPTS: [&str; 8] =
        ["hello", "!stream 3", "!sleep 2", "!ask", "!plan", "!fail transient", "!fail crash", "!vanish"];
    let act = prop_oneof![
        6 => prop::sample::select(&PROMPTS[..]).prop_map(Act::Prompt),
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
    ];
    prop::collection::vec(act, 1..40)
}

/// A session, and all that a caller knows of it.
struct Model {
    peer: Peer,
    hand: Hand,
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
    async fn new() -> Self {
        let (clock, hand) = Clock::manual(0);
        let peer = Peer::echo_at(clock);
        let session = peer.start().await;
        Self { peer, hand, session, turn: None, asked: None, unread: false, ended: false }
    }

    async fn take(&mut self, act: Act) {
        match act {
            Act::Prompt(text) => self.prompt(text).await,
            Act::Read => {
                if let Some(event) = self.turn.as_mut().and_then(|turn| turn.next().now_or_never()) {
                    self.read(event).await;
                }
            }
            Act::Unread => self.unread |= self.turn.take().is_some(),
            Act::Cancel => self.session.cancel().await.unwrap(),
            Act::Answer => self.answer().await,
            Act::Choose => {
                let chosen = self.session.set_option("model", "shout").await;
                assert!(chosen.is_ok() || !self.session.is_alive() || self.ended, "{chosen:?}");
            }
            Act::Release => self.session.release(self.peer.deadline()).await.unwrap(),
            Act::End => self.end().await,
            Act::Restore => self.restore().await,
            Act::Wait => self.hand.advance(Duration::from_secs(1)),
            Act::Run(steps) => run(steps).await,
        }
        assert!(!self.session.is_alive() || self.is_listed().await || self.ended, "a session that lives is not listed");
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
                assert!(!self.session.is_alive());
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
        assert!(first == Answered::NotWaiting || self.session.is_alive());
        assert_eq!(self.session.answer(&id, Decision::Cancelled).await, Answered::NotWaiting, "answered twice");
    }

    async fn end(&mut self) {
        self.session.end(self.peer.deadline()).await.unwrap();
        self.ended = true;
        assert!(!self.session.is_alive() && !self.is_listed().await);
    }

    async fn restore(&mut self) {
        // Its owner lets go of one before it brings it back.
        self.session.release(self.peer.deadline()).await.unwrap();
        match self.peer.backend.restore(&self.session.backend_ref(), self.peer.spec()).await {
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
        let listed = self.peer.list(9).await.unwrap();
        listed.iter().any(|listed| listed.backend_ref == self.session.backend_ref())
    }

    /// Releases what is left: the last turn ends too, and nothing runs any more.
    async fn finish(mut self) {
        self.session.release(self.peer.deadline()).await.unwrap();
        self.finish_turn().await;
        soon(self.peer.scope.wait()).await;
    }
}

async fn run(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

proptest! {
    // holds: S-1, S-3
    #[test]
    fn each_turn_ends_once_and_nothing_comes_back_from_its_end(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for act in acts {
                model.take(act).await;
            }
            model.finish().await;
        });
    }
}
