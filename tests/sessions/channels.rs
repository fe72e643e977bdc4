//! A whole channel that is one conversation.

use hitchline::backend::Outcome;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::Ts;
use hitchline::domain::outgoing::Body;
use hitchline::domain::ports::Receipt;
use hitchline::store::{Moved, SessionFilter};

use super::agent::Act;
use super::people;
use super::slack::Shown;
use super::world::World;

/// A session that answers in all of our channel.
async fn whole_channel() -> World {
    let before = World::new().await;
    before.mention("U1", "hello").await;
    before.prompted("hello").await.ends(Outcome::Completed);
    before.rest().await;
    let record = before.store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    let whole = ConversationKey::channel_wide(people::HOME.into(), people::CHANNEL.into());
    assert_eq!(before.store.move_session(record.id, whole).await.unwrap(), Moved::Moved);
    before.after_power_cut().await
}

async fn write(world: &World, text: &str) -> Ts {
    let ts = world.ts();
    assert_eq!(world.deliver(people::written("U1", &ts, text)).await, Receipt::Stored);
    ts
}

// holds: M-1, M-5
#[tokio::test]
async fn a_whole_channel_needs_no_mention_and_is_answered_in_each_messages_thread() {
    let world = whole_channel().await;
    let first = write(&world, "first").await;
    let second = write(&world, "second").await;
    let session = world.prompted("first").await;
    session.says("about the first").await;
    session.ends(Outcome::Completed);
    let session = world.prompted("second").await;
    session.says("about the second").await;
    session.ends(Outcome::Completed);
    world.until_thread_is(&first, &["about the first"]).await;
    world.until_thread_is(&second, &["about the second"]).await;
    assert_eq!((world.agents.count("restore"), world.agents.count("start")), (1, 0), "one session for all");
}

// holds: M-1
#[tokio::test]
async fn a_thread_never_falls_through_to_its_channel() {
    let world = whole_channel().await;
    let thread = world.ts();
    assert_eq!(world.reply("U1", &thread, "between people").await, Receipt::Ignored);
    world.deliver(people::mention_in("U1", &thread, &world.ts(), "a session of its own")).await;
    world.prompted("a session of its own").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("restore"), world.agents.count("start"), world.mappings()), (0, 1, 2));
}

// holds: M-5, K-5
#[tokio::test]
async fn a_turn_of_a_whole_channel_is_stopped_from_its_messages_thread() {
    let world = whole_channel().await;
    let first = write(&world, "first").await;
    world.prompted("first").await.says("half of").await;
    world.deliver(people::stop("U1", &first, "1")).await;
    world.until_told(&first, "Stopped").await;
    world.rest().await;
    write(&world, "end").await;
    world.until("its end", || world.mappings() == 0).await;
    world.rest().await;
    assert_eq!(world.deliver(people::written("U1", &world.ts(), "anybody?")).await, Receipt::Ignored);
}

// holds: M-5
#[tokio::test]
async fn what_a_tool_posts_while_its_turn_is_being_stopped_stands_in_its_messages_thread() {
    let world = whole_channel().await;
    let first = write(&world, "first").await;
    let session = world.prompted("first").await;
    session.set(|manners| manners.cancel = Act::Ignore);
    let record = world.store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    world.deliver(people::stop("U1", &first, "1")).await;
    world.until("it is told to stop", || world.agents.count("cancel") == 1).await;
    world.within(world.manager.post(record.id, "one more thing".into())).await.unwrap();
    world.until_told(&first, "one more thing").await;
    session.ends(Outcome::Cancelled);
    world.rest().await;
}

// holds: M-5, P-8
#[tokio::test]
async fn what_a_crash_cut_off_in_a_whole_channel_is_asked_in_its_messages_thread() {
    let before = whole_channel().await;
    let first = write(&before, "first").await;
    before.prompted("first").await;
    let world = before.after_power_cut().await;
    world.until_told(&first, "What is to become of it?").await;
    let list = |shown: Shown| if let Body::List(list) = shown.body { Some(list) } else { None };
    let card = world.slack.thread(&first).into_iter().find_map(list).expect("a card");
    let retry = card.rows[1].button.clone().expect("a button").button;
    world.deliver(people::choose("U1", Some(&first), retry, "r")).await;
    let session = world.prompted("first").await;
    session.says("about the first").await;
    session.ends(Outcome::Completed);
    world.until_told(&first, "about the first").await;
    world.rest().await;
    assert_eq!((world.agents.count("restore"), world.agents.count("start")), (1, 0));
}
