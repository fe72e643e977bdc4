//! A panic below us ends one turn, visibly, and nothing else.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::agent::OptionKind;

use super::agent::{Act, Manners, locked};
use super::people;
use super::world::World;

// holds: T-8
#[tokio::test]
async fn a_panic_in_the_backend_ends_one_turn_and_the_conversation_goes_on() {
    let panics: [fn(&mut Manners); 2] =
        [|manners| manners.prompt = Act::Panic, |manners| (manners.prompt, manners.release) = (Act::Panic, Act::Panic)];
    for (n, panic) in panics.into_iter().enumerate() {
        let world = World::new().await;
        let quiet = world.mention("U2", "another conversation").await;
        let other = world.prompted("another conversation").await;
        panic(&mut locked(&world.agents.manners));
        let thread = world.mention("U1", "hello").await;
        world.until_told(&thread, "interrupted").await;
        *locked(&world.agents.manners) = Manners::default();
        world.reply("U1", &thread, "again").await;
        let session = world.prompted("again").await;
        session.says("fine").await;
        session.ends(Outcome::Completed);
        world.until_told(&thread, "fine").await;
        assert_eq!(world.slack.texts(&thread).len(), 2, "case {n}: {:?}", world.slack.texts(&thread));
        other.ends(Outcome::Completed);
        world.until_told(&quiet, "without saying anything").await;
        world.rest().await;
    }
}

// holds: T-8
#[tokio::test]
async fn f_65_what_breaks_before_the_agent_is_reached_is_tried_three_times_and_its_neighbours_go_on() {
    let world = World::new().await;
    let quiet = world.mention("U2", "another conversation").await;
    let other = world.prompted("another conversation").await;
    locked(&world.agents.manners).start = Act::Panic;
    let thread = world.mention("U1", "poison").await;
    world.until_after(Duration::from_secs(9), || !world.slack.texts(&thread).is_empty()).await;
    assert!(world.slack.texts(&thread)[0].contains("hitchline dlq list"), "{:?}", world.slack.texts(&thread));
    assert_eq!(world.agents.count("start"), 1 + 3);
    locked(&world.agents.manners).start = Act::Obey;
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.ends(Outcome::Completed);
    other.ends(Outcome::Completed);
    world.until_told(&quiet, "without saying anything").await;
    world.rest().await;
    assert_eq!(world.slack.texts(&thread).len(), 2, "it is told once");
    let letters = world.store.dead_letters(9).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts, letters[0].kind), (1, 3, "message"));
    let after = world.after_power_cut().await;
    after.settle().await;
    assert_eq!(after.agents.count("start") + after.agents.count("restore"), 0, "a restart does not begin it again");
}

// holds: T-8
#[tokio::test]
async fn f_65_what_breaks_once_is_answered_by_itself() {
    let world = World::new().await;
    locked(&world.agents.manners).start = Act::Panic;
    let thread = world.mention("U1", "unlucky").await;
    world.until("the first try", || world.agents.count("start") == 1).await;
    locked(&world.agents.manners).start = Act::Obey;
    world.until_after(Duration::from_secs(3), || world.agents.count("prompt") == 1).await;
    let session = world.prompted("unlucky").await;
    session.says("fine").await;
    session.ends(Outcome::Completed);
    world.until_thread_is(&thread, &["fine"]).await;
}

// holds: T-8, P-8
#[tokio::test]
async fn what_breaks_while_the_store_fails_is_not_forgotten() {
    let world = World::new().await;
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON turn BEGIN SELECT RAISE(ABORT, 'no'); END";
    world.database().execute_batch(refuse).unwrap();
    locked(&world.agents.manners).start = Act::Panic;
    let thread = world.mention("U1", "unlucky").await;
    world.until("the first try", || world.agents.count("start") == 1).await;
    locked(&world.agents.manners).start = Act::Obey;
    world.time_passes().await;
    world.database().execute_batch("DROP TRIGGER refuse").unwrap();
    world.until_after(Duration::from_secs(5), || world.agents.count("prompt") == 1).await;
    world.prompted("unlucky").await.ends(Outcome::Completed);
    world.until_told(&thread, "without saying anything").await;
}

// holds: T-8
#[tokio::test]
async fn a_command_that_breaks_each_time_is_given_up_too() {
    let world = World::new().await;
    let (thread, _) = world.settled_thread("U1", "hello").await;
    locked(&world.agents.manners).list = Act::Panic;
    world.reply("U1", &thread, "!discover").await;
    let told = |text: &String| text.contains("hitchline dlq list");
    world.until_after(Duration::from_secs(9), || world.slack.texts(&thread).iter().any(told)).await;
    assert_eq!(world.agents.count("list"), 3);
}

// holds: T-8
#[tokio::test]
async fn a_panic_while_the_turn_runs_ends_it_visibly() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.set(|manners| manners.cancel = Act::Panic);
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "interrupted").await;
    let asking = world.mention("U1", "ask").await;
    let session = world.prompted("ask").await;
    session.set(|manners| manners.answer = Act::Panic);
    session.asks("a", &[OptionKind::AllowOnce]).await;
    let (at, card) = world.card(&asking).await;
    world.deliver(people::press("U1", &asking, &at, card.id, 0, "r")).await;
    world.until_told(&asking, "interrupted").await;
    world.rest().await;
}

// holds: S-10
#[tokio::test]
async fn what_crashed_is_restored_and_not_begun_anew() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.set(|manners| manners.cancel = Act::Panic);
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "interrupted").await;
    world.rest().await;
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await.ends(Outcome::Completed);
    assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 1));
}
