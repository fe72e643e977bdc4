//! Idle sessions expire, lost ones come back once, and nobody meets one that is leaving.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::ids::Ts;
use hitchline::domain::ports::Said;
use hitchline::store::SessionFilter;

use super::agent::{Act, locked};
use super::world::World;

const MINUTE: Duration = Duration::from_mins(1);
/// In minutes.
const EXPIRY: u32 = 30;

async fn expiring() -> World {
    World::with(|policy| policy.idle_expiry = Some(EXPIRY * MINUTE)).await
}

async fn one_turn(world: &World) -> Ts {
    let thread = world.mention("U1", "hello").await;
    world.prompted("hello").await.ends(Outcome::Completed);
    world.rest().await;
    thread
}

async fn minutes_pass(world: &World, minutes: u32) {
    for _ in 0..minutes {
        world.settle().await;
        world.hand.advance(MINUTE);
    }
    world.settle().await;
}

// holds: S-12
#[tokio::test]
async fn an_idle_session_is_released_and_the_next_message_brings_it_back() {
    let world = expiring().await;
    let thread = one_turn(&world).await;
    minutes_pass(&world, EXPIRY - 1).await;
    world.reply("U1", &thread, "still here").await;
    world.prompted("still here").await.ends(Outcome::Completed);
    world.rest().await;
    minutes_pass(&world, EXPIRY - 1).await;
    assert_eq!(world.agents.count("release"), 0, "each use begins the time anew");
    minutes_pass(&world, 2).await;
    world.until("its release", || world.agents.count("release") == 1 && world.manager.stats().active == 0).await;
    assert_eq!(world.mappings(), 1, "its mapping stays");

    world.reply("U1", &thread, "back again").await;
    let session = world.prompted("back again").await;
    session.says("I remember").await;
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 1));
    assert_eq!(world.slack.texts(&thread).last().unwrap(), "I remember");
}

// holds: S-12, S-10
#[tokio::test]
async fn an_expired_session_that_can_not_be_brought_back_starts_afresh_and_says_so() {
    let world = expiring().await;
    let thread = one_turn(&world).await;
    minutes_pass(&world, EXPIRY + 1).await;
    world.until("its release", || world.manager.stats().active == 0).await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
    world.reply("U1", &thread, "back again").await;
    world.prompted("back again").await.ends(Outcome::Completed);
    world.until_told(&thread, "starts afresh").await;
    assert_eq!((world.agents.count("start"), world.mappings()), (2, 1));
}

// holds: S-10, W-4
#[tokio::test]
async fn one_that_was_brought_up_before_its_turn_says_so_too_and_once() {
    let world = expiring().await;
    let thread = one_turn(&world).await;
    minutes_pass(&world, EXPIRY + 1).await;
    world.until("its release", || world.manager.stats().active == 0).await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
    let session = world.manager.sessions(SessionFilter::default()).await.unwrap().remove(0).record.id;
    for _ in 0..2 {
        world.manager.resume(session).await.unwrap();
    }
    world.reply("U1", &thread, "back again").await;
    world.prompted("back again").await.ends(Outcome::Completed);
    world.until_told(&thread, "starts afresh").await;
    world.reply("U1", &thread, "and on").await;
    world.prompted("and on").await.ends(Outcome::Completed);
    world.rest().await;
    let notes = world.slack.texts(&thread).iter().filter(|text| text.contains("starts afresh")).count();
    assert_eq!((world.agents.count("start"), notes), (2, 1));
}

// holds: S-12
#[tokio::test]
async fn a_working_session_does_not_expire_and_without_an_expiry_none_does() {
    let working = expiring().await;
    working.mention("U1", "hello").await;
    let session = working.prompted("hello").await;
    for _ in 0..EXPIRY {
        session.says("and ").await;
        minutes_pass(&working, 1).await;
    }
    minutes_pass(&working, 5).await;
    assert_eq!(working.agents.count("release"), 0);

    let lasting = World::new().await;
    one_turn(&lasting).await;
    minutes_pass(&lasting, 10 * EXPIRY).await;
    assert_eq!((lasting.agents.count("release"), lasting.manager.stats().active), (0, 1));
}

// holds: S-12, S-10
#[tokio::test]
async fn a_message_that_meets_a_leaving_session_waits_for_its_end() {
    let world = expiring().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    let leave = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    session.set(|manners| manners.release = Act::Wait(leave.clone()));
    session.ends(Outcome::Completed);
    world.rest().await;
    minutes_pass(&world, EXPIRY).await;
    world.until("its leaving", || world.agents.count("release") == 1).await;
    world.reply("U1", &thread, "wait").await;
    world.settle().await;
    assert_eq!(world.manager.stats().draining, 1);
    assert_eq!(world.agents.count("restore"), 0, "two processes of one session would quarrel over its files");
    leave.add_permits(1);
    world.prompted("wait").await.ends(Outcome::Completed);
    assert_eq!(world.agents.count("restore"), 1);
}

// holds: S-10
#[tokio::test]
async fn a_session_that_its_backend_lost_is_brought_back_once() {
    let world = World::new().await;
    let thread = one_turn(&world).await;
    world.reply("U1", &thread, "second").await;
    world.prompted("second").await.ends(Outcome::Failed(BackendError::Unknown));
    let session = world.prompted("second").await;
    session.says("here I am").await;
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.slack.texts(&thread).last().unwrap(), "here I am", "{:?}", world.slack.texts(&thread));
    assert_eq!((world.agents.count("release"), world.agents.count("restore"), world.mappings()), (1, 1, 1));

    world.reply("U1", &thread, "third").await;
    world.prompted("third").await.ends(Outcome::Failed(BackendError::Unknown));
    world.prompted("third").await.ends(Outcome::Failed(BackendError::Unknown));
    world.until_told(&thread, "Session has ended").await;
    assert_eq!((world.agents.count("restore"), world.mappings()), (2, 0), "not for ever");
}

// holds: S-10, S-4
#[tokio::test]
async fn a_session_that_its_backend_lost_for_good_has_ended() {
    for lost in [BackendError::Unknown, BackendError::Unsupported("restoring"), BackendError::Ended] {
        let world = World::new().await;
        let thread = one_turn(&world).await;
        locked(&world.agents.manners).restore = Act::Fail(lost);
        world.reply("U1", &thread, "second").await;
        world.prompted("second").await.ends(Outcome::Failed(BackendError::Unknown));
        world.until_told(&thread, "Session has ended. Start a new one").await;
        assert_eq!((world.agents.count("start"), world.mappings()), (1, 0));
    }
}

// holds: S-10
#[tokio::test]
async fn what_was_said_before_it_was_lost_is_not_asked_again() {
    let world = World::new().await;
    let thread = one_turn(&world).await;
    world.reply("U1", &thread, "second").await;
    let session = world.prompted("second").await;
    session.says("half of").await;
    session.ends(Outcome::Failed(BackendError::Unknown));
    world.until_told(&thread, "Session has ended").await;
    assert_eq!((world.agents.count("prompt"), world.agents.count("restore")), (2, 0));
}

// holds: S-10, S-12, S-14
#[tokio::test]
async fn a_session_that_starts_afresh_is_told_the_threads_last_messages_as_data() {
    let said = |author: &str, ours, text: &str| Said { author: author.into(), ours, text: text.into() };
    let history = vec![said("U1", false, "hello"), said("UBOT", true, "hi")];
    for told in [true, false] {
        let world = World::with(|policy| {
            policy.idle_expiry = Some(EXPIRY * MINUTE);
            policy.history_on_loss = told;
        });
        let world = world.await;
        let thread = one_turn(&world).await;
        minutes_pass(&world, EXPIRY + 1).await;
        world.until("its release", || world.manager.stats().active == 0).await;
        locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
        *locked(&world.slack.history) = Some(history.clone());
        world.reply("U1", &thread, "go on").await;
        world.until("a prompt", || world.agents.count("prompt") == 2).await;
        let prompt = locked(&world.agents.prompts).last().unwrap().clone();
        prompt.session.ends(Outcome::Completed);
        assert_eq!(prompt.text.contains("```text\n<@U1>: hello\nyou: hi\n```"), told, "{}", prompt.text);
        assert!(prompt.text.ends_with("go on"));
        let note = if told { "knows only the last 2 messages" } else { "does not remember" };
        world.until_told(&thread, note).await;
        assert_eq!(locked(&world.slack.reads).len(), usize::from(told));
    }
}
