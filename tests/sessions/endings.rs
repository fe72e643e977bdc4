//! What ends a session, what only ends a turn, and what is left after either.

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::outgoing::Body;
use hitchline::domain::ports::{Line, WriteErrorKind};

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

// holds: S-6
#[tokio::test]
async fn f_24_a_channel_that_is_closed_to_us_ends_its_sessions_and_what_waits_for_them() {
    let world = World::new().await;
    let works = world.mention("U2", "busy").await;
    world.prompted("busy").await;
    for text in ["one", "two"] {
        world.reply("U2", &works, text).await;
    }
    let answers = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.slack.fail(Step::Post, WriteErrorKind::PlaceClosed);
    session.ends(Outcome::Completed);
    world.until("both agents' ends", || world.agents.count("end") == 2).await;
    world.until_told(&works, "The 2 messages that were waiting have not been passed on").await;
    world.rest().await;
    assert_eq!((world.mappings(), world.manager.stats().active), (0, 0));
    assert_eq!(world.agents.count("prompt"), 2, "what waited is given to nobody");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1, "the answer");
    let told =
        |shown: &Shown| matches!(&shown.body, Body::Text(text) if text.starts_with("I could not answer you in <#C1>"));
    assert_eq!(world.slack.everything().iter().filter(|shown| told(shown)).count(), 1);
    world.deliver(people::mention_in("U1", &answers, &world.ts(), "are you back?")).await;
    world.prompted("are you back?").await.ends(Outcome::Completed);
    assert_eq!(world.agents.count("start"), 3, "a session of its own");
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
