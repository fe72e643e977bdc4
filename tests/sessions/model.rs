//! The session room against a model of it: whatever people, agents and machines do, in whatever order.
//!
//! What must hold after each step: one turn at a time in a conversation, one outcome for each turn, no revival of an ended session,
//! and the pool's numbers equal to the store's.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::ids::Ts;
use hitchline::store::SessionFilter;
use proptest::prelude::*;

use super::agent::locked;
use super::people;
use super::world::World;

const EXPIRY: Duration = Duration::from_mins(30);
const CONVERSATIONS: usize = 3;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody writes.
    Say(usize),
    /// The agent finishes.
    Finish(usize),
    /// The agent fails, and may work later.
    Fail(usize),
    /// The agent says that its session has ended.
    Gone(usize),
    /// The agent's process dies.
    Die(usize),
    /// Somebody stops the turn.
    Stop(usize),
    /// Somebody ends the session.
    End(usize),
    /// Time goes by without a word.
    Expire,
    /// We stop in order, and start again.
    Restart,
    /// The power is cut.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..CONVERSATIONS;
    prop_oneof![
        8 => which.clone().prop_map(Step::Say),
        4 => which.clone().prop_map(Step::Finish),
        1 => which.clone().prop_map(Step::Fail),
        1 => which.clone().prop_map(Step::Gone),
        2 => which.clone().prop_map(Step::Die),
        2 => which.clone().prop_map(Step::Stop),
        2 => which.prop_map(Step::End),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
        1 => Just(Step::Cut),
    ]
}

/// What a conversation should be like.
#[derive(Debug, Default)]
struct Conversation {
    thread: Option<Ts>,
    mapped: bool,
    /// The session's name, once it has been heard of.
    session: Option<String>,
    running: Option<String>,
    waiting: VecDeque<String>,
}

impl Conversation {
    /// The turn is over; the next one begins.
    fn next(&mut self) {
        self.running = self.waiting.pop_front();
    }

    fn ended(&mut self) -> Option<String> {
        let thread = self.thread.take();
        std::mem::replace(self, Self { thread, ..Self::default() }).session
    }
}

/// The room and its model.
struct Both {
    world: World,
    conversations: [Conversation; CONVERSATIONS],
    /// Sessions that must never be heard of again.
    ended: BTreeSet<String>,
    /// How many turns have begun.
    turns: usize,
    said: usize,
}

impl Both {
    async fn new() -> Self {
        let world = World::with(|policy| policy.idle_expiry = Some(EXPIRY)).await;
        Self { world, conversations: Default::default(), ended: BTreeSet::new(), turns: 0, said: 0 }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Say(which) => self.say(which).await,
            Step::Finish(which) => self.finish(which, Outcome::Completed),
            Step::Fail(which) => self.finish(which, Outcome::Failed(BackendError::Transient("overloaded".into()))),
            Step::Gone(which) => self.gone(which),
            Step::Die(which) => self.die(which),
            Step::Stop(which) => self.stop(which).await,
            Step::End(which) => self.end(which).await,
            Step::Expire => self.expire().await,
            Step::Restart => {
                self.world.stop().await;
                self.world.manager.release(self.world.clock.now() + Duration::from_secs(1)).await;
                self.start_again().await;
            }
            Step::Cut => self.start_again().await,
        }
        self.check(step).await;
    }

    async fn say(&mut self, which: usize) {
        self.said += 1;
        let (text, ts) = (format!("message {}", self.said), self.world.ts());
        let conversation = &mut self.conversations[which];
        let inbound = match &conversation.thread {
            Some(thread) => people::mention_in("U1", thread, &ts, &text),
            None => people::mention("U1", &ts, &text),
        };
        conversation.thread.get_or_insert(ts);
        conversation.mapped = true;
        conversation.waiting.push_back(text);
        if conversation.running.is_none() {
            conversation.next();
        }
        self.world.deliver(inbound).await;
    }

    fn finish(&mut self, which: usize, outcome: Outcome) {
        let conversation = &mut self.conversations[which];
        if let Some(text) = &conversation.running {
            self.world.prompted_now(text).ends(outcome);
            conversation.next();
        }
    }

    fn gone(&mut self, which: usize) {
        let conversation = &mut self.conversations[which];
        if let Some(text) = &conversation.running {
            self.world.prompted_now(text).ends(Outcome::Failed(BackendError::Ended));
            self.ended.extend(conversation.ended());
        }
    }

    fn die(&mut self, which: usize) {
        let conversation = &mut self.conversations[which];
        if let Some(text) = &conversation.running {
            self.world.prompted_now(text).dies();
            conversation.next();
        }
    }

    async fn stop(&mut self, which: usize) {
        if let Some(thread) = self.conversations[which].thread.clone() {
            self.world.reply("U1", &thread, "stop").await;
            self.conversations[which].next();
        }
    }

    async fn end(&mut self, which: usize) {
        if let Some(thread) = self.conversations[which].thread.clone() {
            self.world.reply("U1", &thread, "end").await;
            self.ended.extend(self.conversations[which].ended());
        }
    }

    /// A turn would run out of patience first.
    async fn expire(&mut self) {
        if self.conversations.iter().any(|conversation| conversation.running.is_some()) {
            return;
        }
        for _ in 0..=EXPIRY.as_secs() / 60 {
            self.world.hand.advance(Duration::from_mins(1));
            self.world.settle().await;
        }
        self.world.until("nothing live", || self.world.manager.stats().total == 0).await;
    }

    async fn start_again(&mut self) {
        self.world.settle().await;
        self.world = self.world.after_power_cut().await;
        for conversation in &mut self.conversations {
            conversation.next();
        }
    }

    async fn check(&mut self, step: Step) {
        for conversation in &mut self.conversations {
            let Some(text) = conversation.running.clone() else { continue };
            let heard = || locked(&self.world.agents.prompts).iter().any(|prompt| prompt.text == text);
            self.world.until(&format!("{text} after {step:?}"), heard).await;
            let session = self.world.prompted_now(&text).name().to_owned();
            assert!(!self.ended.contains(&session), "{session} has come back after {step:?}");
            let known = conversation.session.get_or_insert(session.clone());
            assert_eq!(*known, session, "another session answers after {step:?}");
        }
        self.world.settle().await;
        let expected = |what: fn(&Conversation) -> bool| self.conversations.iter().filter(|one| what(one)).count();
        let (mapped, running) = (expected(|one| one.mapped), expected(|one| one.running.is_some()));
        let at_rest = || self.world.manager.stats().busy == running;
        self.world.until(&format!("{running} busy after {step:?}"), at_rest).await;
        let asked: BTreeSet<String> = {
            let prompts = locked(&self.world.agents.prompts);
            let asked = prompts.iter().filter(|prompt| prompt.session.is_asked());
            asked.map(|prompt| prompt.session.name().to_owned()).collect()
        };
        assert_eq!(asked.len(), running, "turns that run after {step:?}");
        let (turns, open) = self.stored_turns();
        assert_eq!(open, running, "turns without an outcome after {step:?}");
        assert!(turns >= self.turns, "turns are never forgotten");
        self.turns = turns;
        assert_eq!(self.world.mappings() as usize, mapped, "mappings after {step:?}");
        let listed = self.world.manager.sessions(SessionFilter::default()).await.unwrap();
        assert_eq!((listed.len(), self.world.manager.count().await.unwrap() as usize), (mapped, mapped));
        assert!(self.world.manager.stats().total <= mapped, "what runs without a mapping is leaked");
    }

    /// How many turns there are in the store, and how many of them have no outcome.
    fn stored_turns(&self) -> (usize, usize) {
        let store = self.world.database();
        let sql = "SELECT count(*), count(*) - count(outcome) FROM turn";
        let (turns, open): (u32, u32) = store.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        (turns as usize, open as usize)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // holds: S-4, S-5, S-6, S-7, S-8, S-10, S-12, S-14, P-8
    #[test]
    fn whatever_happens_the_room_is_as_its_model(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut both = Both::new().await;
            for step in steps {
                both.take(step).await;
            }
            prop_assert!(both.said >= both.turns, "no message begins two turns");
            Ok(())
        })?;
    }
}
