//! Messages keep their order, none is lost, none is answered twice.

use std::collections::BTreeMap;

use hitchline::backend::Outcome;
use hitchline::domain::ids::Ts;
use hitchline::domain::ports::Line;
use hitchline::session::config::WhenBusy;

use super::agent::locked;
use super::people;
use super::world::{QUEUE_LIMIT, World};

/// More than the manager holds in memory at once.
const MANY: usize = 700;

fn prompts(world: &World) -> Vec<String> {
    locked(&world.agents.prompts).iter().map(|prompt| prompt.text.clone()).collect()
}

// holds: S-8
#[tokio::test]
async fn messages_of_one_conversation_wait_for_each_other_and_others_do_not() {
    let world = World::new().await;
    let one = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    world.reply("U2", &one, "second").await;
    world.reply("U1", &one, "third").await;
    let other = world.mention("U2", "elsewhere").await;
    let elsewhere = world.prompted("elsewhere").await;
    world.settle().await;
    assert_eq!(prompts(&world), ["first", "elsewhere"], "only one at a time in one conversation");
    elsewhere.ends(Outcome::Completed);
    world.until_told(&other, "without saying anything").await;
    for text in ["first", "second", "third"] {
        if text != "first" {
            world.prompted(text).await;
        }
        session.says(&format!("about {text}")).await;
        session.ends(Outcome::Completed);
    }
    world.until_thread_is(&one, &["about first", "about second", "about third"]).await;
    assert_eq!(world.agents.count("start"), 2, "one session for each conversation");
}

// holds: S-13
#[tokio::test]
async fn conversations_that_begin_together_have_sessions_of_their_own() {
    let world = World::echoing().await;
    let mut threads = Vec::new();
    for n in 0..50 {
        threads.push((world.mention("U1", &format!("hello {n}")).await, format!("hello {n}")));
    }
    for (thread, text) in &threads {
        world.until_thread_is(thread, &[text]).await;
    }
    assert_eq!((world.agents.count("start"), world.manager.stats().active), (50, 50));
    assert_eq!(world.mappings(), 50);
}

// holds: T-1, S-8
#[tokio::test]
async fn more_messages_than_fit_into_memory_are_answered_in_order_and_once() {
    let world = World::new().await;
    // While each conversation's first turn runs, everything else piles up, most of it in the store only.
    let mut threads: BTreeMap<Ts, Vec<String>> = BTreeMap::new();
    for n in 0..20 {
        threads.insert(world.mention("U1", &format!("{n}: 0")).await, vec![format!("{n}: 0")]);
    }
    world.until("20 prompts", || prompts(&world).len() == 20).await;
    let roots: Vec<Ts> = threads.keys().cloned().collect();
    for n in 20..MANY {
        let thread = &roots[n % roots.len()];
        world.reply("U1", thread, &format!("{n}")).await;
        threads.get_mut(thread).unwrap().push(format!("{n}"));
    }
    world.answer_everything(MANY).await;
    for (thread, expected) in &threads {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        world.until_thread_is(thread, &expected).await;
    }
    world.rest().await;
    assert_eq!(prompts(&world).len(), MANY);
    assert!(world.store.queued(Line::Turn, 0, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn beyond_the_limit_a_message_is_refused_and_its_sender_told() {
    let world = World::new().await;
    let thread = world.mention("U1", "busy").await;
    let session = world.prompted("busy").await;
    for n in 0..QUEUE_LIMIT {
        world.reply("U1", &thread, &format!("waiting {n}")).await;
    }
    world.reply("U2", &thread, "one too many").await;
    world.until("a whisper", || !locked(&world.slack.whispers).is_empty()).await;
    // Who goes on is not told each time: a flood would make as many notes.
    world.reply("U2", &thread, "one too many, again").await;
    let whispers = locked(&world.slack.whispers).clone();
    assert_eq!((whispers.len(), whispers[0].0.as_str()), (1, "U2"));
    assert!(whispers[0].1.contains("not taken"), "{whispers:?}");
    session.ends(Outcome::Completed);
    world.answer_everything(QUEUE_LIMIT).await;
    world.rest().await;
    assert!(!prompts(&world).contains(&"one too many".to_owned()));
    assert_eq!(prompts(&world).len(), QUEUE_LIMIT + 1);
}

// holds: T-2
#[tokio::test]
async fn a_message_that_comes_twice_is_answered_once() {
    let world = World::echoing().await;
    let ts = world.ts();
    let (first, second) = (people::mention("U1", &ts, "once"), people::mention("U1", &ts, "once"));
    let receipts = tokio::join!(world.deliver(first.clone()), world.deliver(second));
    world.deliver(first).await;
    world.until_thread_is(&ts, &["once"]).await;
    world.rest().await;
    assert_eq!(world.slack.texts(&ts), ["once"], "{receipts:?}");
    assert_eq!(world.agents.count("prompt"), 1);
}

// holds: S-8
#[tokio::test]
async fn a_newer_message_stops_the_turn_where_that_is_the_rule() {
    let world = World::with(|policy| policy.when_busy = WhenBusy::Interrupt).await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await.says("half of").await;
    world.reply("U1", &thread, "rather this").await;
    let session = world.prompted("rather this").await;
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "done").await;
    let texts = world.slack.texts(&thread);
    assert!(texts[0].starts_with("half of") && texts[0].contains("Stopped for the newer message"), "{texts:?}");
    assert_eq!((world.agents.count("cancel"), world.agents.count("start")), (1, 1));
}
