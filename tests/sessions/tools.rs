//! What an agent does with its tools: it posts and asks, in its own conversation, as long as its session lives.

use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::ids::{SessionId, Ts};
use hitchline::domain::outgoing::ApprovalState;
use hitchline::domain::ports::WriteErrorKind;
use hitchline::session::NotDone;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::agent::{Act, locked};
use super::people;
use super::puppet::Puppet;
use super::slack::Step;
use super::world::{APPROVAL, INACTIVITY, World};

type Asked = JoinSet<Result<Option<usize>, NotDone>>;

/// A turn of U1.
struct Turn {
    world: World,
    session: Arc<Puppet>,
    id: SessionId,
    thread: Ts,
}

impl Turn {
    async fn new() -> Self {
        let world = World::new().await;
        let thread = world.mention("U1", "hello").await;
        let session = world.prompted("hello").await;
        let id = world.session_in(&thread).await.expect("it has a session").id;
        Self { world, session, id, thread }
    }

    /// The agent asks; its question's place, and who waits for the answer.
    fn asks(&self, question: &str) -> Asked {
        let (manager, id, question) = (self.world.manager.clone(), self.id, question.to_owned());
        let mut asked = JoinSet::new();
        asked.spawn(async move { manager.ask(id, question, vec!["left".into(), "right".into()]).await });
        asked
    }

    async fn answer(&self, mut asked: Asked) -> Result<Option<usize>, NotDone> {
        self.world.within(asked.join_next()).await.expect("somebody asked").expect("it did not crash")
    }

    /// `user` presses a choice of the last question; what they alone are told.
    async fn press(&self, user: &str, choice: usize, reply: &str) -> Option<String> {
        let (at, card) = self.world.card(&self.thread).await;
        self.world.deliver(people::press(user, &self.thread, &at, card.id, choice, reply)).await;
        self.world.settle().await;
        let responses = locked(&self.world.slack.responses);
        responses.iter().find(|(to, _)| to == reply).map(|(_, text)| text.clone())
    }

    async fn until_state_is(&self, state: ApprovalState) {
        let shown = || self.world.slack.cards(&self.thread).last().map(|(_, card)| card.state.clone());
        self.world.until(&format!("{state:?}"), || shown().as_ref() == Some(&state)).await;
    }

    async fn ends(&self) {
        self.session.ends(Outcome::Completed);
        self.world.rest().await;
    }
}

#[tokio::test]
async fn what_a_tool_posts_stands_below_what_was_said_and_above_what_follows() {
    let turn = Turn::new().await;
    turn.session.says("before").await;
    turn.world.settle().await;
    turn.world.within(turn.world.manager.post(turn.id, "by a tool".into())).await.unwrap();
    turn.session.says("after").await;
    turn.ends().await;
    turn.world.until_thread_is(&turn.thread, &["before", "by a tool", "after"]).await;
}

#[tokio::test]
async fn a_turn_that_only_posts_has_said_something() {
    let turn = Turn::new().await;
    turn.world.within(turn.world.manager.post(turn.id, "by a tool".into())).await.unwrap();
    turn.ends().await;
    turn.world.until_thread_is(&turn.thread, &["by a tool"]).await;
}

#[tokio::test]
async fn without_a_turn_an_agent_posts_and_does_not_ask() {
    let turn = Turn::new().await;
    turn.session.says("done").await;
    turn.ends().await;
    turn.world.within(turn.world.manager.post(turn.id, "by the way".into())).await.unwrap();
    turn.world.until_thread_is(&turn.thread, &["done", "by the way"]).await;
    let asked = turn.asks("which?");
    assert_eq!(turn.answer(asked).await, Err(NotDone::NoTurn));
    let caller = turn.world.manager.caller(turn.id).expect("it lives");
    assert_eq!((caller.record.id, caller.asked), (turn.id, None));
}

#[tokio::test]
async fn a_session_that_has_ended_does_nothing_any_more() {
    let turn = Turn::new().await;
    turn.ends().await;
    turn.world.within(turn.world.manager.end(turn.id)).await.unwrap();
    let posted = turn.world.within(turn.world.manager.post(turn.id, "too late".into())).await;
    assert_eq!(posted, Err(NotDone::SessionEnded));
    let asked = turn.asks("which?");
    assert_eq!(turn.answer(asked).await, Err(NotDone::SessionEnded));
    assert_eq!(turn.world.manager.caller(turn.id), None);
    let posted = turn.world.within(turn.world.manager.post(SessionId::new(), "of nobody".into())).await;
    assert_eq!(posted, Err(NotDone::SessionEnded));
}

#[tokio::test]
async fn what_is_posted_survives_a_power_cut() {
    let turn = Turn::new().await;
    turn.world.slack.slow.send_replace(true);
    turn.world.within(turn.world.manager.post(turn.id, "on disk".into())).await.unwrap();
    let next = turn.world.after_power_cut().await;
    // It is looked for before it is sent.
    let told = || next.slack.texts(&turn.thread).iter().any(|text| text == "on disk");
    next.until_after(Duration::from_secs(10), told).await;
}

#[tokio::test]
async fn an_agent_says_who_asked_and_where() {
    let turn = Turn::new().await;
    let caller = turn.world.manager.caller(turn.id).expect("it lives");
    let asked = caller.asked.expect("a turn runs");
    assert_eq!((asked.message, asked.at), (turn.thread.clone(), people::key(&turn.thread)));
}

#[tokio::test]
async fn only_the_requester_and_admins_answer_and_only_once() {
    let turn = Turn::new().await;
    turn.session.says("let me ask").await;
    let asked = turn.asks("which way?");
    let (_, card) = turn.world.card(&turn.thread).await;
    assert!(card.is_question());
    assert_eq!((card.title.as_str(), card.requester.as_str()), ("which way?", "U1"));
    let told = turn.press("U2", 0, "somebody else").await.expect("told");
    assert!(told.contains("Only the person who asked"), "{told}");
    assert!(turn.press("U1", 7, "no choice").await.expect("told").contains("settled already"));
    assert_eq!(turn.press("U1", 1, "who asked").await, None);
    assert_eq!(turn.answer(asked).await, Ok(Some(1)));
    turn.until_state_is(ApprovalState::Decided { by: "U1".into(), option: 1 }).await;
    assert!(turn.press("UADMIN", 0, "late").await.expect("told").contains("settled already"));
    assert_eq!(turn.world.agents.count("answer"), 0, "its protocol has nothing to do with it");

    let asked = turn.asks("and now?");
    turn.world.until("two cards", || turn.world.slack.cards(&turn.thread).len() == 2).await;
    assert_eq!(turn.press("UADMIN", 0, "an admin").await, None);
    assert_eq!(turn.answer(asked).await, Ok(Some(0)));
    turn.ends().await;
    turn.world.until_thread_is(&turn.thread, &["let me ask"]).await;
}

#[tokio::test]
async fn a_question_expires_and_silence_meanwhile_is_no_trouble() {
    let turn = Turn::new().await;
    let asked = turn.asks("which?");
    turn.world.card(&turn.thread).await;
    turn.world.settle().await;
    turn.world.hand.advance(APPROVAL);
    turn.until_state_is(ApprovalState::Expired).await;
    assert_eq!(turn.answer(asked).await, Ok(None));
    turn.world.hand.advance(INACTIVITY / 2);
    turn.session.says("then not").await;
    turn.ends().await;
    turn.world.until_told(&turn.thread, "then not").await;
}

#[tokio::test]
async fn a_question_ends_with_its_turn_however_that_ends() {
    for end in ["stop", "end", "finish"] {
        let turn = Turn::new().await;
        let asked = turn.asks("which?");
        turn.world.card(&turn.thread).await;
        match end {
            "finish" => turn.session.ends(Outcome::Completed),
            word => drop(turn.world.reply("U1", &turn.thread, &format!("!{word}")).await),
        }
        assert_eq!(turn.answer(asked).await, Ok(None), "{end}");
        turn.until_state_is(ApprovalState::Withdrawn).await;
    }
}

#[tokio::test]
async fn who_hangs_up_takes_the_question_back() {
    let turn = Turn::new().await;
    let asked = turn.asks("which?");
    turn.world.card(&turn.thread).await;
    drop(asked);
    turn.until_state_is(ApprovalState::Withdrawn).await;
    assert!(turn.press("U1", 0, "late").await.expect("told").contains("settled already"));
    turn.ends().await;
}

#[tokio::test]
async fn only_so_many_questions_wait_at_once() {
    let turn = Turn::new().await;
    let mut waiting = Vec::new();
    for n in 1..=4 {
        waiting.push(turn.asks("which?"));
        turn.world.until("its card", || turn.world.slack.cards(&turn.thread).len() == n).await;
    }
    let asked = turn.asks("one more?");
    assert_eq!(turn.answer(asked).await, Err(NotDone::TooMany));
    turn.ends().await;
}

#[tokio::test]
async fn a_question_that_slack_does_not_take_is_no_answer() {
    let turn = Turn::new().await;
    turn.world.slack.fail(Step::Post, WriteErrorKind::Permanent);
    let asked = turn.asks("which?");
    assert_eq!(turn.answer(asked).await, Ok(None));
    turn.ends().await;
    turn.world.until_told(&turn.thread, "goes on without an answer").await;
}

#[tokio::test]
async fn each_start_has_a_way_in_of_its_own_that_closes_first_of_all() {
    let world = World::new().await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    assert_eq!((world.tickets.holders(), world.tickets.given()), (vec![record.id], 1));

    let permits = Arc::new(Semaphore::new(0));
    let session = world.prompted_now("hello");
    session.set(|manners| manners.end = Act::Wait(permits.clone()));
    world.reply("U1", &thread, "!end").await;
    world.until("the end to begin", || world.agents.count("end") == 1).await;
    assert!(world.tickets.holders().is_empty(), "it is closed before the agent is told");
    permits.add_permits(1);
    world.rest().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_has_another_way_in() {
    let world = World::new().await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.dies();
    world.rest().await;
    assert!(world.tickets.holders().is_empty(), "a dead agent has none");
    world.reply("U1", &thread, "once more").await;
    world.prompted("once more").await;
    assert_eq!((world.tickets.holders(), world.tickets.given()), (vec![record.id], 2));
    world.prompted_now("once more").ends(Outcome::Completed);
    world.rest().await;
}

#[tokio::test]
async fn an_agent_that_does_not_come_up_has_no_way_in() {
    let world = World::new().await;
    locked(&world.agents.manners).start = Act::Fail(BackendError::Transient("no".into()));
    let thread = world.mention("U1", "hello").await;
    world.until_told(&thread, "no").await;
    world.rest().await;
    assert_eq!((world.tickets.holders(), world.tickets.given()), (Vec::new(), 1));
}

// holds: P-6
#[tokio::test]
async fn a_session_with_a_way_in_is_left_and_attached_to_as_any_other() {
    let world = World::new().await;
    let (_, record) = world.settled_thread("U1", "hello").await;
    let shown = world.manager.sessions_named(&record.id.to_string(), 1).await.unwrap().remove(0);
    let name = world.prompted_now("hello").name().to_owned();
    assert_eq!(shown.attach, Some(format!("attach to {name}")));
    world.within(world.manager.release(world.clock.now() + Duration::from_secs(1))).await;
    assert_eq!(world.agents.count("detach"), 1, "what may outlive us is not released");
    assert!(world.tickets.holders().is_empty());
}
