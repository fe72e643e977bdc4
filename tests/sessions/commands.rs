//! Commands that start, and words that only look like commands.

use hitchline::backend::Outcome;
use hitchline::domain::ids::Ts;

use super::agent::locked;
use super::people;
use super::world::World;

async fn answered(world: &World, thread: &Ts, prompt: &str) {
    let session = world.prompted(prompt).await;
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.until_thread_is(thread, &["done"]).await;
}

// holds: M-2, K-3
#[tokio::test]
async fn what_follows_new_is_a_prompt_whatever_it_says() {
    for prompt in ["fix it", "stop", "end", "help", "new", "!status"] {
        let world = World::new().await;
        let thread = world.mention("U1", &format!("new {prompt}")).await;
        answered(&world, &thread, prompt).await;
        let record = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
        assert_eq!((record.description.as_str(), record.creator.as_str()), (prompt, "U1"));
    }
}

// holds: M-2
#[tokio::test]
async fn new_is_refused_where_a_session_lives_and_where_it_is_wrong() {
    let world = World::echoing().await;
    let thread = world.mention("U1", "hello").await;
    world.until_thread_is(&thread, &["hello"]).await;
    world.reply("U1", &thread, "!new another").await;
    world.until_told(&thread, "has a session already").await;
    let wrong = world.mention("U1", "new --agent nobody hello").await;
    world.until_told(&wrong, "there is no agent").await;
    assert_eq!((world.agents.count("prompt"), world.mappings()), (1, 1));
}

// holds: P-8
#[tokio::test]
async fn new_with_a_prompt_that_comes_while_we_stop_is_run_after_the_restart() {
    let before = World::new().await;
    let now = before.clock.now();
    before.within(before.manager.drain(now, now)).await;
    let thread = before.mention("U1", "new fix it").await;
    before.settle().await;
    let after = before.after_power_cut().await;
    answered(&after, &thread, "fix it").await;
}

// holds: K-2
#[tokio::test]
async fn an_empty_mention_is_help_outside_and_status_inside() {
    let world = World::echoing().await;
    let outside = world.mention("U1", "").await;
    let whispered =
        || locked(&world.slack.whispers).iter().any(|(_, text)| text.contains("Mention me with a question"));
    world.until("help", whispered).await;
    assert!(world.slack.texts(&outside).is_empty());
    let inside = world.mention("U1", "hello").await;
    world.until_thread_is(&inside, &["hello"]).await;
    world.deliver(people::mention_in("U1", &inside, &world.ts(), "")).await;
    world.until_told(&inside, "idle, 0 message(s) waiting").await;
}

// holds: K-3
#[tokio::test]
async fn a_command_does_not_wait_behind_the_turn() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.reply("U1", &thread, "next").await;
    world.reply("U1", &thread, "status").await;
    world.until_told(&thread, "working, 1 message(s) waiting").await;
    assert_eq!(locked(&world.agents.prompts).len(), 1);
    session.ends(Outcome::Completed);
    world.prompted("next").await.ends(Outcome::Completed);
    world.rest().await;
}

// holds: K-4
#[tokio::test]
async fn a_slash_command_is_answered_for_its_author_alone() {
    let world = World::new().await;
    for (text, part) in
        [("help", "Mention me"), ("status", "inside a session's thread"), ("dance", "there is no command")]
    {
        world.deliver(people::slash("U1", text, text)).await;
        let told = || locked(&world.slack.responses).iter().any(|(to, said)| to == text && said.contains(part));
        world.until(part, told).await;
    }
    assert!(world.slack.everything().is_empty());
}

// holds: K-4, M-2
#[tokio::test]
async fn new_as_a_slash_command_opens_a_thread_of_its_own_each_time() {
    let world = World::new().await;
    let mut threads = Vec::new();
    for (command, text) in [("new fix it", "fix it"), ("!start --agent puppet look", "look")] {
        world.deliver(people::slash("U1", command, command)).await;
        let session = world.prompted(text).await;
        session.says(&format!("about {text}")).await;
        session.ends(Outcome::Completed);
        let root =
            world.slack.everything().into_iter().find(|shown| shown.ts == shown.thread && !threads.contains(&shown.ts));
        let thread = root.unwrap().ts;
        world.until_thread_is(&thread, &[&format!("<@U1>: {text}"), &format!("about {text}")]).await;
        threads.push(thread);
    }
    world.deliver(people::slash("U1", "new", "without a prompt")).await;
    world
        .until("a third thread", || {
            world.slack.everything().iter().filter(|shown| shown.ts == shown.thread).count() == 3
        })
        .await;
    let third = world.slack.everything().pop().unwrap().thread;
    world.until_told(&third, "is ready").await;
    world.reply("U1", &third, "hello").await;
    world.prompted("hello").await;
    world.reply("U1", &threads[0], "again").await;
    world.prompted("again").await;
    assert_eq!((world.agents.count("start"), locked(&world.slack.responses).len()), (3, 0));
}

// holds: K-4
#[tokio::test]
async fn a_slash_command_that_can_start_nothing_says_why() {
    let world = World::new().await;
    world.slack.fail(super::slack::Step::Post, hitchline::domain::ports::WriteErrorKind::Permanent);
    for (user, text, part) in [
        ("U1", "new hello", "Invite me to this channel"),
        ("U1", "new --agent nobody hello", "there is no agent"),
        ("U9", "new hello", "not on the list"),
    ] {
        world.deliver(people::slash(user, text, part)).await;
        let told = || locked(&world.slack.responses).iter().any(|(to, said)| to == part && said.contains(part));
        world.until(part, told).await;
    }
    world.settle().await;
    assert_eq!((world.slack.everything().len(), world.agents.count("start")), (0, 0));
    let after = world.after_power_cut().await;
    after.settle().await;
    assert!(locked(&after.slack.responses).is_empty(), "each is answered once");
}
