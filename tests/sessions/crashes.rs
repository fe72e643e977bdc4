//! A panic below us ends one turn, visibly, and nothing else.

use hitchline::backend::Outcome;
use hitchline::domain::agent::OptionKind;

use super::agent::{Act, Manners, locked};
use super::people;
use super::world::World;

// holds: T-8
#[tokio::test]
async fn a_panic_in_the_backend_ends_one_turn_and_the_conversation_goes_on() {
    let panics: [fn(&mut Manners); 3] = [
        |manners| manners.start = Act::Panic,
        |manners| manners.prompt = Act::Panic,
        |manners| (manners.prompt, manners.release) = (Act::Panic, Act::Panic),
    ];
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
