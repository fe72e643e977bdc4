//! How agents are started: again after they have died, and many at once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hitchline::backend::Outcome;
use hitchline::clock::Clock;
use hitchline::domain::ids::Ts;

use super::agent::locked;
use super::logs;
use super::people;
use super::world::World;

/// A thread whose agent has died three times, and whose next message waits for another start.
async fn dying() -> (World, Ts) {
    logs::collect();
    let world = World::new().await;
    let thread = world.mention("U1", "0").await;
    for attempt in 0..3 {
        world.prompted(&attempt.to_string()).await.dies();
        world.until("it is told", || world.slack.texts(&thread).len() == attempt + 1).await;
        assert!(world.slack.texts(&thread)[attempt].contains("exit code 1"), "{:?}", world.slack.texts(&thread));
        world.reply("U1", &thread, &(attempt + 1).to_string()).await;
    }
    world.until("the start waits", || logs::with("its next start waits").len() == 1).await;
    (world, thread)
}

// holds: S-5
#[tokio::test]
async fn f_49_an_agent_that_dies_again_and_again_is_started_three_times_a_minute_at_the_most() {
    let (world, _thread) = dying().await;
    world.settle().await;
    let starts = world.agents.count("start") + world.agents.count("restore");
    assert_eq!(starts, 3, "the fourth waits");
    // Others don't.
    world.mention("U1", "elsewhere").await;
    world.prompted("elsewhere").await.ends(Outcome::Completed);
    world.hand.advance(Duration::from_mins(1));
    world.prompted("3").await.ends(Outcome::Completed);
    world.rest().await;
}

#[tokio::test]
async fn a_start_that_waits_can_be_stopped() {
    let (world, thread) = dying().await;
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "Stopped").await;
    world.rest().await;
}

// holds: S-9, S-13
#[tokio::test]
async fn f_64_two_hundred_conversations_at_once_begin_side_by_side_and_are_all_answered() {
    const MANY: usize = 200;
    let (world, real) = (World::new().await, Clock::system());
    let permits = world.hold_starts();
    let texts: Vec<String> = (0..MANY).map(|number| format!("conversation {number}")).collect();
    let (mut threads, mut asked): (Vec<Ts>, Vec<Instant>) = Default::default();
    for text in &texts {
        asked.push(real.now());
        threads.push(world.mention("U1", text).await);
    }
    let mut begun = Vec::new();
    world
        .until("all of them begin", || {
            begun.resize_with(world.agents.count("start"), || real.now());
            begun.len() == MANY
        })
        .await;
    // They begin in the order in which they were asked for.
    let mut waited: Vec<Duration> = begun.iter().zip(&asked).map(|(begun, asked)| *begun - *asked).collect();
    waited.sort();
    println!("waited for a start, of {MANY}: p95 {:?}", waited[MANY * 95 / 100]);
    permits.add_permits(MANY);
    world.answer_everything(MANY).await;
    for (thread, text) in threads.iter().zip(&texts) {
        world.until_thread_is(thread, &[text]).await;
    }
    world.rest().await;
    let prompts: BTreeSet<String> = locked(&world.agents.prompts).iter().map(|prompt| prompt.text.clone()).collect();
    assert_eq!((prompts.len(), locked(&world.agents.prompts).len()), (MANY, MANY), "each once");
}

// holds: S-9
#[tokio::test]
async fn f_64_of_two_hundred_conversations_at_once_no_more_begin_than_each_person_may_have() {
    const MANY: usize = 200;
    const EACH: u32 = 20;
    let world = World::with(|policy| policy.max_per_user = Some(EACH)).await;
    world.agents.echo.store(true, Ordering::Relaxed);
    let said: Vec<(&str, Ts)> =
        (0..MANY).map(|number| (if number % 2 == 0 { "U1" } else { "U2" }, world.ts())).collect();
    join_all(said.iter().map(|(user, ts)| world.deliver(people::mention(user, ts, "at once")))).await;
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.mappings()), (2 * EACH as usize, 2 * EACH));
    for user in ["U1", "U2"] {
        let texts: Vec<String> =
            said.iter().filter(|(by, _)| *by == user).map(|(_, ts)| world.slack.texts(ts).join("")).collect();
        let count = |part: &str| texts.iter().filter(|text| text.contains(part)).count();
        let all = (count("at once"), count("you have 20 already"));
        assert_eq!(all, (EACH as usize, MANY / 2 - EACH as usize), "each is answered, or told why not: {texts:?}");
    }
}
