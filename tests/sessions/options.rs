//! What people choose of an agent, and the agent's own commands.

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::{AgentCommand, AgentOption, Offers, OptionCategory, OptionValue};
use hitchline::domain::inbound::Button;

use super::agent::{Act, locked};
use super::people;
use super::world::World;

fn option(id: &str, category: OptionCategory, values: [&str; 2]) -> AgentOption {
    let value = |value: &str| OptionValue {
        value: value.to_owned(),
        name: value.to_uppercase(),
        description: Some(format!("what {value} means")),
    };
    let current = values[0].to_owned();
    AgentOption { id: id.to_owned(), name: id.to_owned(), category, current, values: values.map(value).to_vec() }
}

/// Agents with two models, two modes and a command of their own.
async fn offering() -> World {
    let world = World::new().await;
    locked(&world.agents.manners).offers = Offers {
        commands: vec![AgentCommand { name: "compact".into(), description: "Forgets a little".into(), hint: None }],
        options: vec![
            option("model", OptionCategory::Model, ["small", "large"]),
            option("mode", OptionCategory::Mode, ["ask", "plan"]),
        ],
    };
    world
}

fn set(world: &World) -> Vec<(String, String)> {
    locked(&world.agents.options_set).iter().map(|(_, option, value)| (option.clone(), value.clone())).collect()
}

// holds: K-1, K-5
#[tokio::test]
async fn the_menu_is_the_agents_own_and_a_press_chooses() {
    let world = offering().await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "model").await;
    world.until_whispered("U1", "model: SMALL").await;
    let large = Button::Option { session: record.id, option: "model".into(), value: "large".into() };
    assert_eq!(world.slack.buttons(), std::slice::from_ref(&large), "what is chosen already has no button");
    let rows = locked(&world.slack.lists).last().unwrap().rows.clone();
    assert!(rows[0].text.contains("✓ now") && rows[1].text.contains("what large means"), "{rows:?}");

    world.deliver(people::choose("U9", Some(&thread), large.clone(), "a stranger")).await;
    world.until_answered("a stranger", "You may not").await;
    world.deliver(people::choose("U2", None, large.clone(), "pressed")).await;
    world.until_told(&thread, "model: LARGE from now on").await;
    assert_eq!(set(&world), [("model".to_owned(), "large".to_owned())]);
    world.reply("U1", &thread, "status").await;
    world.until_told(&thread, "model: LARGE. mode: ASK.").await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    world.deliver(people::choose("U1", Some(&thread), large, "stale")).await;
    world.until_answered("stale", "settled already").await;
    assert_eq!(set(&world).len(), 1);
}

// holds: K-1
#[tokio::test]
async fn a_value_is_chosen_by_name_and_chosen_again_after_a_restart() {
    let before = offering().await;
    let (thread, _) = before.settled_thread("U1", "hello").await;
    before.reply("U1", &thread, "!mode PLAN").await;
    before.until_told(&thread, "mode: PLAN from now on").await;
    before.reply("U1", &thread, "!model huge").await;
    before.until_whispered("U1", "no model `huge`. It has: `small`, `large`").await;
    before.rest().await;
    let world = before.after_power_cut().await;
    let offers = locked(&before.agents.manners).offers.clone();
    locked(&world.agents.manners).offers = offers;
    world.reply("U1", &thread, "go on").await;
    world.prompted("go on").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(set(&world), [("mode".to_owned(), "plan".to_owned())], "before the prompt");
    let calls: Vec<String> =
        locked(&world.agents.calls).iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(calls, ["restore", "set_option", "prompt"]);
}

// holds: K-1
#[tokio::test]
async fn a_session_comes_up_for_its_menu_and_a_refused_choice_changes_nothing() {
    let before = offering().await;
    let (thread, record) = before.settled_thread("U1", "hello").await;
    let world = before.after_power_cut().await;
    world.reply("U1", &thread, "mode").await;
    world.until_whispered("U1", "offers no choice of a mode").await;
    assert_eq!(world.agents.count("restore"), 1);
    let offers = locked(&before.agents.manners).offers.clone();
    world.reply("U1", &thread, "hello again").await;
    let session = world.prompted("hello again").await;
    session.set(|manners| {
        manners.offers = offers;
        manners.set_option = Act::Fail(BackendError::Busy);
    });
    world.reply("U1", &thread, "!mode plan").await;
    world.until_told(&thread, "Try again when this turn is over").await;
    session.ends(Outcome::Completed);
    world.rest().await;
    assert!(world.store.session(record.id).await.unwrap().unwrap().options.is_empty());
}

// holds: K-3
#[tokio::test]
async fn the_agents_own_commands_are_listed_and_passed_on_with_their_own_mark() {
    let world = offering().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.reply("U1", &thread, "help").await;
    world.until_whispered("U1", "`!compact` Forgets a little").await;
    session.ends(Outcome::Completed);
    world.reply("U1", &thread, "!compact the first part").await;
    world.prompted("/compact the first part").await.ends(Outcome::Completed);
    world.reply("U1", &thread, "!important read this").await;
    world.prompted("!important read this").await.ends(Outcome::Completed);
    world.rest().await;
    let outside = world.mention("U2", "help").await;
    world.until_whispered("U2", "Mention me with a question").await;
    let told = locked(&world.slack.whispers).last().unwrap().1.clone();
    assert!(!told.contains("compact") && world.slack.texts(&outside).is_empty());
    assert_eq!(world.agents.count("start"), 1, "no agent is started for help");
}
