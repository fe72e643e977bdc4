//! How many sessions a person may have.

use std::time::Duration;

use super::people;
use super::world::World;

const EXPIRY: Duration = Duration::from_mins(30);

async fn limited(max: u32) -> World {
    let world = World::with(|policy| {
        policy.max_per_user = Some(max);
        policy.idle_expiry = Some(EXPIRY);
    });
    let world = world.await;
    world.agents.echo.store(true, std::sync::atomic::Ordering::Relaxed);
    world
}

// holds: S-9
#[tokio::test]
async fn a_session_too_many_is_refused_with_the_limit_and_the_way_out() {
    let world = limited(2).await;
    let first = world.mention("U1", "first").await;
    world.mention("U1", "second").await;
    world.rest().await;
    for text in ["third", "new", "new do this"] {
        let refused = world.mention("U1", text).await;
        world.until_told(&refused, "you have 2 already").await;
        let told = world.slack.texts(&refused).join("");
        assert!(
            told.contains("`sessions.max_per_user`") && told.contains("`end`") && told.contains("30 min"),
            "{told}"
        );
    }
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.mappings()), (2, 2), "a refused one leaves nothing behind");

    let other = world.mention("U2", "another person").await;
    world.until_thread_is(&other, &["another person"]).await;
    world.reply("U1", &first, "end").await;
    world.until_told(&first, "The session has ended").await;
    let again = world.mention("U1", "third").await;
    world.until_thread_is(&again, &["third"]).await;
}

// holds: S-9, S-12
#[tokio::test]
async fn what_nobody_uses_does_not_count_and_counts_again_when_it_is_used() {
    let world = limited(1).await;
    let first = world.mention("U1", "first").await;
    world.rest().await;
    world.hand.advance(EXPIRY + Duration::from_secs(1));
    let second = world.mention("U1", "second").await;
    world.until_thread_is(&second, &["second"]).await;
    world.reply("U1", &first, "and this").await;
    world.until_told(&first, "and this").await;
    let refused = world.mention("U1", "third").await;
    world.until_told(&refused, "you have 1 already").await;
}

// holds: S-9
#[tokio::test]
async fn a_session_that_works_for_long_counts() {
    let world = limited(1).await;
    world.agents.echo.store(false, std::sync::atomic::Ordering::Relaxed);
    world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    for _ in 0..10 {
        world.hand.advance(EXPIRY / 5);
        session.says("and ").await;
    }
    let refused = world.mention("U1", "second").await;
    world.until_told(&refused, "you have 1 already").await;
}

// holds: S-9
#[tokio::test]
async fn many_at_once_get_no_more_than_the_limit() {
    let world = limited(3).await;
    let threads: Vec<_> = (0..20).map(|_| world.ts()).collect();
    let deliver = |ts| world.deliver(people::mention("U1", ts, "at once"));
    futures_util::future::join_all(threads.iter().map(deliver)).await;
    world.rest().await;
    let texts: Vec<String> = threads.iter().map(|ts| world.slack.texts(ts).join("")).collect();
    assert_eq!(texts.iter().filter(|text| *text == "at once").count(), 3, "{texts:?}");
    assert_eq!(texts.iter().filter(|text| text.contains("you have 3 already")).count(), 17);
}
