//! What the agents themselves know.

use std::path::PathBuf;
use std::time::Duration;

use hitchline::backend::Listed;
use hitchline::backend::error::BackendError;
use hitchline::domain::inbound::Button;
use hitchline::domain::session::BackendRef;

use super::agent::{Act, locked};
use super::people;
use super::world::World;

fn listed(name: &str, dir: Option<PathBuf>) -> Listed {
    Listed {
        backend_ref: BackendRef(name.to_owned()),
        working_dir: dir,
        title: Some(format!("about *{name}*")),
        updated_ms: Some(900_000),
    }
}

// holds: K-1, K-6
#[tokio::test]
async fn discover_shows_what_the_agent_knows_and_a_press_brings_it_here() {
    let world = World::new().await;
    *locked(&world.agents.listed) = vec![
        listed("newest", None),
        listed("outside", Some("/usr".into())),
        listed("older", None),
        listed("oldest", None),
    ];
    let here = world.ts();
    world.deliver(people::mention_in("U1", &here, &world.ts(), "!discover 2")).await;
    world.until_whispered("U1", "The newest sessions that `puppet` knows").await;
    let adopt =
        |name: &str| Button::Adopt { backend: "puppet".into(), backend_ref: name.into(), thread: Some(here.clone()) };
    assert_eq!(world.slack.buttons(), [adopt("newest"), adopt("older")]);
    let told = locked(&world.slack.whispers).last().unwrap().1.clone();
    assert!(told.contains("`newest` with `puppet`, used 1 min ago: about \\*newest\\*"), "{told}");

    world.deliver(people::choose("U1", Some(&here), adopt("older"), "mine")).await;
    world.until_told(&here, "goes on here").await;
    world.rest().await;
    assert_eq!(world.session_in(&here).await.unwrap().backend_ref, Some(BackendRef("older".into())));
    world.deliver(people::choose("U1", Some(&here), adopt("older"), "again")).await;
    world.until_answered("again", "has a session already").await;

    // What is ours now is shown as ours, and with nobody's button but its creator's.
    for (user, ours) in [("U1", true), ("U2", false)] {
        let elsewhere = world.ts();
        let before = locked(&world.slack.lists).len();
        world.deliver(people::mention_in(user, &elsewhere, &world.ts(), "discover")).await;
        world.until("a list", || locked(&world.slack.lists).len() > before).await;
        let connects = world.slack.buttons().iter().filter(|button| matches!(button, Button::Connect { .. })).count();
        assert_eq!((connects, world.slack.buttons().len()), (usize::from(ours), 2 + usize::from(ours)), "{user}");
    }
    world.reply("U1", &here, "end").await;
    world.until_told(&here, "The session has ended").await;
    world.deliver(people::slash("U1", "discover", "slash")).await;
    world.until_answered("slash", "`oldest`").await;
    assert_eq!(world.slack.buttons().len(), 2, "what has ended is not shown");
}

// holds: K-6
#[tokio::test]
async fn an_agent_without_a_list_or_in_trouble_is_said_to_be_so() {
    for (act, told) in [
        (Act::Fail(BackendError::Unsupported("list its sessions")), "has no list of its sessions"),
        (Act::Fail(BackendError::Transient("overloaded".into())), "did not list its sessions: overloaded"),
        (Act::Obey, "knows no session"),
    ] {
        let world = World::new().await;
        locked(&world.agents.manners).list = act;
        world.mention("U1", "discover").await;
        world.until_whispered("U1", told).await;
    }
}

// holds: K-6
#[tokio::test]
async fn projects_count_ours_and_the_agents_own_and_one_that_hangs_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let site = root.join("site");
    std::fs::create_dir(&site).unwrap();
    let world = World::with(|policy| policy.roots = vec![root.clone()]).await;
    locked(&world.others.manners).list = Act::Hang;
    *locked(&world.agents.listed) =
        vec![listed("theirs", Some(site.clone())), listed("outside", Some("/usr".into())), listed("nowhere", None)];
    let thread = world.mention("U1", &format!("new --dir {} hello", site.display())).await;
    world.prompted("hello").await.ends(hitchline::backend::Outcome::Completed);
    world.rest().await;
    world.reply("U1", &thread, "projects").await;
    let told = || locked(&world.slack.whispers).last().map(|(_, text)| text.clone()).unwrap_or_default();
    world.until_after(Duration::from_secs(11), || told().contains("2 with `puppet`")).await;
    assert!(told().contains(&format!("`{}`: 2 with `puppet`", site.display())), "{}", told());
    assert!(told().contains("`other` did not list its sessions: the agent did not list its sessions within 10 s"));
    assert!(!told().contains("/usr"));
}

// holds: K-4
#[tokio::test]
async fn an_agent_that_is_slow_to_answer_holds_up_no_other_slash_command() {
    let world = World::new().await;
    locked(&world.agents.manners).list = Act::Hang;
    for text in ["discover", "projects", "help"] {
        world.deliver(people::slash("U1", text, text)).await;
    }
    world.until_answered("help", "Mention me").await;
    let both =
        || ["discover", "projects"].iter().all(|to| locked(&world.slack.responses).iter().any(|(at, _)| at == to));
    world.until_after(Duration::from_secs(11), both).await;
}
