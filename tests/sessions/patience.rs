//! How long things may take, and agents that take longer.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::agent::OptionKind;

use super::agent::{Act, locked};
use super::people;
use super::world::{APPROVAL, INACTIVITY, TURN, World};

/// One second before a silent turn is cancelled.
const ALMOST: Duration = Duration::from_secs(INACTIVITY.as_secs() - 1);
/// Well beyond what an agent has to react to a cancellation, and then to be released.
const GRACE: Duration = Duration::from_secs(20);

// holds: S-5
#[tokio::test]
async fn f_50_a_silent_turn_is_cancelled_and_its_session_stays() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.hand.advance(ALMOST);
    session.says("still here").await;
    world.hand.advance(ALMOST);
    world.settle().await;
    assert_eq!(world.agents.count("cancel"), 0, "what is heard begins the time anew");
    world.hand.advance(Duration::from_secs(1));
    world.until_told(&thread, "did not say anything within 10 min").await;
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.ends(Outcome::Completed);
    assert_eq!((world.agents.count("cancel"), world.agents.count("start")), (1, 1));
}

#[tokio::test]
async fn a_start_that_takes_a_while_is_seen() {
    let world = World::new().await;
    locked(&world.agents.manners).start = Act::Hang;
    let thread = world.mention("U1", "hello").await;
    world.until("a start", || world.agents.count("start") == 1).await;
    world.settle().await;
    assert!(locked(&world.slack.statuses).is_empty(), "a quick one needs no words");
    world.hand.advance(Duration::from_millis(300));
    world.until("a status", || *locked(&world.slack.statuses) == ["is starting the agent…"]).await;
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "Stopped").await;
}

// holds: S-5
#[tokio::test]
async fn a_turn_that_talks_for_ever_is_cancelled() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    let step = INACTIVITY / 2;
    for _ in 1..TURN.as_secs() / step.as_secs() {
        world.hand.advance(step);
        session.says("and ").await;
    }
    assert_eq!(world.agents.count("cancel"), 0);
    world.hand.advance(step);
    world.until_told(&thread, "did not finish within 1 h").await;
    world.until_told(&thread, "Your session is kept").await;
    world.until_told(&thread, "and and").await;
    assert!(world.store.session_in(&people::key(&thread)).await.unwrap().is_some());
}

#[tokio::test]
async fn while_a_person_decides_silence_means_nothing() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.hand.advance(ALMOST);
    session.asks("a", &[OptionKind::AllowOnce, OptionKind::RejectOnce]).await;
    world.card(&thread).await;
    world.hand.advance(Duration::from_secs(APPROVAL.as_secs() - 1));
    world.settle().await;
    assert_eq!(world.agents.count("cancel"), 0);
    world.hand.advance(Duration::from_secs(1));
    world.until("the rejection", || !locked(&session.answers).is_empty()).await;
    world.hand.advance(ALMOST);
    world.settle().await;
    assert_eq!(world.agents.count("cancel"), 0, "the agent's time begins anew");
    session.ends(Outcome::Completed);
    world.rest().await;
}

#[tokio::test]
async fn an_agent_that_ignores_a_cancellation_is_released_by_force() {
    for cancel in [Act::Ignore, Act::Hang, Act::Fail(hitchline::backend::error::BackendError::Transient("no".into()))] {
        for release in [Act::Obey, Act::Hang] {
            let world = World::new().await;
            let thread = world.mention("U1", "hello").await;
            let session = world.prompted("hello").await;
            session.set(|manners| (manners.cancel, manners.release) = (cancel.clone(), release.clone()));
            world.reply("U1", &thread, "stop").await;
            world.until("a cancellation", || world.agents.count("cancel") == 1).await;
            world.until_after(GRACE, || world.slack.texts(&thread).join("").contains("Stopped")).await;
            assert!(world.agents.count("release") >= 1, "{cancel:?}, {release:?}");
            if matches!(release, Act::Obey) {
                world.reply("U1", &thread, "again").await;
                world.prompted("again").await.ends(Outcome::Completed);
                assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 1));
            }
            world.rest().await;
        }
    }
}

#[tokio::test]
async fn an_agent_that_never_takes_a_decision_can_still_be_stopped() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.set(|manners| manners.answer = Act::Hang);
    session.asks("a", &[OptionKind::AllowOnce]).await;
    let (at, card) = world.card(&thread).await;
    world.deliver(people::press("U1", &thread, &at, card.id, 0, "r1")).await;
    world.until("an answer", || world.agents.count("answer") == 1).await;
    world.reply("U1", &thread, "stop").await;
    world.until_after(GRACE, || world.slack.texts(&thread).join("").contains("Stopped")).await;
    world.rest().await;
}

#[tokio::test]
async fn a_session_that_never_takes_its_prompt_is_given_up() {
    let world = World::new().await;
    locked(&world.agents.manners).prompt = Act::Hang;
    let thread = world.mention("U1", "one").await;
    world.until("a prompt", || world.agents.count("prompt") == 1).await;
    locked(&world.agents.manners).prompt = Act::Obey;
    world.hand.advance(INACTIVITY);
    world.until_told(&thread, "did not say anything within 10 min").await;
    world.reply("U1", &thread, "two").await;
    world.prompted("two").await.ends(Outcome::Completed);
    assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 1), "nobody knows what became of it");
    assert!(world.agents.count("release") >= 1);
}

#[tokio::test]
async fn stop_is_heard_before_the_turn_has_begun() {
    let hangs: [fn(&mut super::agent::Manners); 2] =
        [|manners| manners.start = Act::Hang, |manners| manners.prompt = Act::Hang];
    for hang in hangs {
        let world = World::new().await;
        hang(&mut locked(&world.agents.manners));
        let thread = world.mention("U1", "one").await;
        world.until("a call", || world.agents.count("prompt") + world.agents.count("start") >= 1).await;
        world.settle().await;
        world.reply("U1", &thread, "stop").await;
        world.until_told(&thread, "Stopped").await;
        *locked(&world.agents.manners) = super::agent::Manners::default();
        world.reply("U1", &thread, "two").await;
        world.prompted("two").await.ends(Outcome::Completed);
        world.rest().await;
    }
}
