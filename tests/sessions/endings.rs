//! What ends a session, what only ends a turn, and what is left after either.

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::{OwedId, SessionId};
use hitchline::domain::outgoing::{Body, Op, Owed};
use hitchline::domain::ports::{Line, WriteErrorKind};
use hitchline::domain::session::SessionRecord;
use hitchline::outbox::Fate;
use hitchline::store::{DeadId, DeadLetter};

use super::agent::{Act, locked};
use super::people;
use super::slack::{Shown, Step};
use super::world::World;

async fn is_mapped(world: &World, thread: &hitchline::domain::ids::Ts) -> bool {
    world.store.session_in(&people::key(thread)).await.unwrap().is_some()
}

// holds: S-4, S-6, S-7
#[tokio::test]
async fn a_permanent_error_ends_the_session_and_says_so() {
    for error in [BackendError::Ended, BackendError::Unknown] {
        let world = World::new().await;
        let thread = world.mention("U1", "hello").await;
        world.prompted("hello").await.ends(Outcome::Failed(error));
        world.until_told(&thread, "Session has ended. Start a new one").await;
        world.rest().await;
        assert!(!is_mapped(&world, &thread).await);
        assert_eq!((world.manager.stats().active, world.mappings()), (0, 0));
        world.reply("U1", &thread, "anybody there?").await;
        world.settle().await;
        assert_eq!(world.agents.count("prompt"), 1, "an ended session answers nobody");
        let again = people::mention_in("U1", &thread, &world.ts(), "once more");
        world.deliver(again).await;
        world.prompted("once more").await.ends(Outcome::Completed);
        assert_eq!((world.agents.count("start"), world.agents.count("restore")), (2, 0), "a new one, not the old one");
    }
}

// holds: S-4
#[tokio::test]
async fn a_prompt_that_is_refused_for_good_ends_the_session() {
    let world = World::new().await;
    locked(&world.agents.manners).prompt = Act::Fail(BackendError::Ended);
    let thread = world.mention("U1", "hello").await;
    world.until_told(&thread, "Session has ended. Start a new one").await;
    world.rest().await;
    assert!(!is_mapped(&world, &thread).await);
}

// holds: S-5
#[tokio::test]
async fn a_transient_error_keeps_the_session() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.ends(Outcome::Failed(BackendError::Transient("overloaded".into())));
    world.until_told(&thread, "Your session is kept").await;
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.says("better").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "better").await;
    assert_eq!(world.agents.count("start"), 1);
}

// holds: S-5, S-11
#[tokio::test]
async fn a_start_that_fails_or_hangs_can_be_tried_again() {
    let world = World::new().await;
    locked(&world.agents.manners).start = Act::Fail(BackendError::Transient("no route".into()));
    let thread = world.mention("U1", "one").await;
    world.until_told(&thread, "no route").await;
    locked(&world.agents.manners).start = Act::Hang;
    world.reply("U1", &thread, "two").await;
    world.until("a second start", || world.agents.count("start") == 2).await;
    world.hand.advance(super::world::CREATE * 2);
    world.until_told(&thread, "did not start within 30 s").await;
    locked(&world.agents.manners).start = Act::Obey;
    world.reply("U1", &thread, "three").await;
    world.prompted("three").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.manager.stats().active, 1);
}

#[tokio::test]
async fn stop_stops_the_turn_and_nothing_else() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.says("half of it").await;
    world.reply("U2", &thread, "stop").await;
    world.until_thread_is(&thread, &["half of it\n\n_Stopped._"]).await;
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "Nothing is running here").await;
    world.reply("U1", &thread, "go on").await;
    world.prompted("go on").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.agents.count("end")), (1, 0));
}

// holds: S-6, S-7
#[tokio::test]
async fn end_stops_the_turn_and_ends_the_session() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.says("half of it").await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    world.until_told(&thread, "half of it").await;
    world.rest().await;
    world.until("the agent's end", || world.agents.count("end") == 1).await;
    assert!(!is_mapped(&world, &thread).await);
    world.reply("U1", &thread, "late").await;
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 1);
}

// holds: S-6, S-11
#[tokio::test]
async fn what_waits_for_a_session_ends_with_it() {
    let world = World::new().await;
    let thread = world.mention("U1", "busy").await;
    world.prompted("busy").await;
    for text in ["one", "two"] {
        world.reply("U1", &thread, text).await;
    }
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The 2 messages that were waiting have not been passed on").await;
    world.rest().await;
    assert_eq!(
        (world.agents.count("start"), world.agents.count("prompt")),
        (1, 1),
        "they start no session of their own"
    );
    assert!(world.store.queued(Line::Turn, 0, 1).await.unwrap().is_empty(), "a restart does not bring them back");
}

// holds: S-6, P-2
#[tokio::test]
async fn f_24_a_channel_that_is_closed_to_us_ends_its_sessions_and_keeps_what_waits_for_them() {
    let world = World::new().await;
    let works = world.mention("U2", "busy").await;
    world.prompted("busy").await;
    for (user, text) in [("U1", "one"), ("U2", "two")] {
        world.reply(user, &works, text).await;
    }
    world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    close(&world);
    session.ends(Outcome::Completed);
    world.until("both agents' ends", || world.agents.count("end") == 2).await;
    world.rest().await;
    assert_eq!((world.mappings(), world.manager.stats().active), (0, 0));
    assert_eq!(world.agents.count("prompt"), 2, "what waited is given to nobody");
    for user in ["U1", "U2"] {
        assert_eq!(told(&world, user, "I did not pass on what you wrote last in <#C1>"), 1, "{user}");
        assert_eq!(told(&world, user, "I could not answer you in <#C1>"), 1, "{user}");
    }
    let mut waited = messages_given_up(&world).await;
    waited.sort_by_key(|letter| letter.id.to_string());
    let authors: Vec<_> = waited.iter().map(|letter| letter.author.as_ref().unwrap().as_str()).collect();
    assert_eq!(authors, ["U1", "U2"]);
    assert!(waited.iter().all(|letter| letter.reason == "its channel is closed to us"), "{waited:?}");

    locked(&world.slack.closed).clear();
    for (letter, text) in waited.iter().zip(["one", "two"]) {
        world.manager.retry_dead_letter(letter.id).await.unwrap();
        world.prompted(text).await.answers_if_it_can(text);
        world.until_told(&works, text).await;
    }
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.mappings()), (3, 1), "a session of their own");
    assert!(messages_given_up(&world).await.is_empty());
}

/// Nothing can be said any more where everybody is.
fn close(world: &World) {
    locked(&world.slack.closed).insert(people::CHANNEL.into());
}

/// How often a person was told something alone.
fn told(world: &World, user: &str, start: &str) -> usize {
    let told = |shown: &Shown| matches!(&shown.body, Body::Text(text) if text.starts_with(start));
    world.slack.everything().iter().filter(|shown| shown.channel.as_str() == user && told(shown)).count()
}

async fn messages_given_up(world: &World) -> Vec<DeadLetter> {
    let mut letters = world.manager.dead_letters(9).await.unwrap();
    letters.retain(|letter| matches!(letter.id, DeadId::Message(_)));
    letters
}

/// A session at work, whose answer is refused for its place.
async fn refused_once(world: &World) {
    world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.slack.fail(Step::Post, WriteErrorKind::PlaceClosed);
    session.ends(Outcome::Completed);
}

#[tokio::test]
async fn a_channel_that_is_open_when_slack_is_asked_keeps_its_sessions() {
    let world = World::new().await;
    refused_once(&world).await;
    world.until("a question", || world.slack.count(Step::Closed) == 1).await;
    world.rest().await;
    world.settle().await;
    assert_eq!((world.mappings(), world.agents.count("end")), (1, 0));
}

#[tokio::test]
async fn a_channel_of_which_slack_does_not_say_that_it_is_closed_keeps_its_sessions() {
    let lost = WriteErrorKind::Transient { uncertain: true };
    for (trouble, asked) in [(vec![WriteErrorKind::Permanent], 1), (vec![WriteErrorKind::Auth], 1), (vec![lost; 3], 3)]
    {
        let world = World::new().await;
        for kind in &trouble {
            world.slack.fail(Step::Closed, *kind);
        }
        refused_once(&world).await;
        close(&world);
        let time = std::time::Duration::from_secs(30);
        world.until_after(time, || world.slack.count(Step::Closed) == asked).await;
        world.hand.advance(time);
        world.settle().await;
        assert_eq!(world.slack.count(Step::Closed), asked, "{trouble:?}");
        assert_eq!((world.mappings(), world.agents.count("end")), (1, 0), "{trouble:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_about_a_closed_channel_is_asked_for_again() {
    let world = World::new().await;
    world.slack.fail(Step::Closed, WriteErrorKind::Transient { uncertain: false });
    refused_once(&world).await;
    close(&world);
    world.until_after(std::time::Duration::from_secs(30), || world.agents.count("end") == 1).await;
    assert_eq!((world.slack.count(Step::Closed), world.mappings()), (2, 0));
}

#[tokio::test]
async fn a_token_for_another_workspace_ends_no_session_of_the_one_before() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    let before = ConversationKey { team: "T0".into(), ..people::key(&thread) };
    let record = world.session_in(&thread).await.unwrap();
    let left = SessionRecord { id: SessionId::new(), conversation: before.clone(), ..record };
    assert!(world.store.create_session(left, None).await.unwrap());
    close(&world);
    let op = Op::Post(Body::Text("an answer of before".into()));
    let owed = vec![Owed { id: OwedId::new(), conversation: before, turn: None, answers: None, op }];
    world.store.owe(owed.clone(), None, 1).await.unwrap();
    assert_eq!(world.within(world.outbox.send(owed)).await, Fate::Dead);
    session.ends(Outcome::Completed);
    world.until("the end of the other", || world.agents.count("end") == 1).await;
    assert_eq!((world.slack.count(Step::Closed), world.mappings()), (1, 1), "nobody asks for it");
}

#[tokio::test]
async fn a_message_that_is_refused_for_itself_ends_no_session() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.slack.fail(Step::Post, WriteErrorKind::Permanent);
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.mappings()), (1, 1));
}

#[tokio::test]
async fn end_while_the_session_starts_leaves_nothing_behind() {
    let world = World::new().await;
    let start = world.hold_starts();
    let thread = world.mention("U1", "hello").await;
    world.until("a start", || world.agents.count("start") == 1).await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    world.rest().await;
    start.add_permits(1);
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 0, "an ended session is told nothing");
    assert_eq!((start.available_permits(), world.manager.stats().active), (1, 0), "its start was given up");
    assert!(!is_mapped(&world, &thread).await);
}

// holds: S-6
#[tokio::test]
async fn what_started_for_an_ended_session_is_not_taken_for_its_successor() {
    let world = World::new().await;
    let start = world.hold_starts();
    let thread = world.mention("U1", "hello").await;
    world.until("a start", || world.agents.count("start") == 1).await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    let new = people::mention_in("U1", &thread, &world.ts(), "new");
    world.deliver(new).await;
    world.until_told(&thread, "is ready").await;
    world.reply("U1", &thread, "to the new one").await;
    start.add_permits(1);
    let successor = world.prompted("to the new one").await;
    let record = world.store.session_in(&people::key(&thread)).await.unwrap().expect("the new session stays");
    assert_eq!(successor.name(), record.id.short());
    successor.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.manager.stats().active), (2, 1));
}

// holds: S-4, S-6
#[tokio::test]
async fn an_end_that_hangs_keeps_nobody_waiting() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.set(|manners| manners.end = Act::Hang);
    session.ends(Outcome::Failed(BackendError::Unknown));
    world.until_told(&thread, "Session has ended").await;
    assert!(!is_mapped(&world, &thread).await);

    let thread = world.mention("U1", "another").await;
    let session = world.prompted("another").await;
    session.set(|manners| manners.end = Act::Hang);
    session.ends(Outcome::Completed);
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    world.deliver(people::mention_in("U1", &thread, &world.ts(), "once more")).await;
    world.prompted("once more").await.ends(Outcome::Completed);
    world.hand.advance(std::time::Duration::from_secs(9));
    world.rest().await;
    assert_eq!(world.manager.stats().active, 1);
}

// holds: P-3
#[tokio::test]
async fn a_dead_session_that_can_not_be_released_keeps_nobody_uninformed() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.set(|manners| manners.release = Act::Hang);
    session.dies();
    world.until_told(&thread, "Your session is kept").await;
    world.reply("U1", &thread, "again").await;
    world.settle().await;
    assert_eq!(world.agents.count("restore"), 0, "one at a time");
    world.hand.advance(std::time::Duration::from_secs(8));
    world.prompted("again").await.ends(Outcome::Completed);
    assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 1));
}
