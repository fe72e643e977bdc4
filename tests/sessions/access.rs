//! Who is not admitted changes nothing, whichever way they come.

use std::sync::Arc;

use hitchline::backend::Outcome;
use hitchline::domain::agent::OptionKind;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::{Author, ChannelKind, Inbound, What};

use super::agent::locked;
use super::people;
use super::puppet::Puppet;
use super::world::World;

/// Who is kept out, and the change to an inbound that makes it theirs.
type Outsider = (&'static str, fn(Inbound) -> Inbound);

const OUTSIDERS: [Outsider; 4] = [
    ("a person who is not listed", |inbound| author(inbound, "U9", people::HOME, None)),
    ("a listed id of another workspace", |inbound| author(inbound, "U1", "T2", None)),
    ("an admin's id of another workspace", |inbound| author(inbound, "UADMIN", "T2", None)),
    ("a bot under a listed id", |inbound| author(inbound, "U1", people::HOME, Some("B1"))),
];

fn author(inbound: Inbound, user: &str, team: &str, bot: Option<&str>) -> Inbound {
    let author = Author { user: user.into(), team: Some(team.into()), bot: bot.map(Into::into) };
    Inbound { author, ..inbound }
}

/// A turn of U1 that waits for a decision.
async fn asking() -> (World, Arc<Puppet>, Ts) {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.asks("a", &[OptionKind::AllowOnce]).await;
    world.card(&thread).await;
    (world, session, thread)
}

// holds: K-3
#[tokio::test]
async fn outsiders_start_nothing_and_only_people_are_told_once() {
    for (who, outside) in OUTSIDERS {
        let world = World::new().await;
        for text in ["hello", "new", "help", "hello again"] {
            world.deliver(outside(people::mention("U1", &world.ts(), text))).await;
        }
        let direct = Inbound {
            channel: "D1".into(),
            channel_kind: ChannelKind::Direct,
            ..people::mention("U1", &world.ts(), "psst")
        };
        world.deliver(outside(direct)).await;
        world.settle().await;
        assert_eq!((world.agents.count("start"), world.slack.everything()), (0, Vec::new()), "{who}");
        assert_eq!(world.mappings(), 0, "{who}");
        let told = usize::from(!who.contains("bot"));
        world.until(who, || locked(&world.slack.whispers).len() >= told).await;
        assert_eq!(locked(&world.slack.whispers).len(), told, "{who}");
    }
}

#[tokio::test]
async fn outsiders_do_nothing_to_a_running_turn() {
    for (who, outside) in OUTSIDERS {
        let (world, session, thread) = asking().await;
        let (at, card) = world.card(&thread).await;
        let before = world.slack.everything();
        for text in ["hello", "stop", "end", "!end", "status"] {
            world.deliver(outside(people::reply("U1", &thread, &world.ts(), text))).await;
            world.deliver(outside(people::mention_in("U1", &thread, &world.ts(), text))).await;
        }
        world.deliver(outside(people::stop("U1", &thread, "native"))).await;
        world.deliver(outside(people::press("U1", &thread, &at, card.id, 0, "press"))).await;
        world.deliver(outside(people::slash("U1", "help", "slash"))).await;
        world.until("two answers for them alone", || locked(&world.slack.responses).len() == 2).await;
        world.settle().await;
        assert_eq!(world.slack.everything(), before, "{who}");
        let calls = ["cancel", "answer", "end", "release"].map(|call| world.agents.count(call));
        assert_eq!((calls, world.agents.count("prompt")), ([0; 4], 1), "{who}");
        session.ends(Outcome::Completed);
        world.rest().await;
        assert_eq!(world.agents.count("prompt"), 1, "{who}");
        assert!(world.store.session_in(&people::key(&thread)).await.unwrap().is_some(), "{who}");
    }
}

#[tokio::test]
async fn slacks_own_stop_stops_the_turn_of_its_thread() {
    let (world, _session, thread) = asking().await;
    let other = world.mention("U2", "elsewhere").await;
    let elsewhere = world.prompted("elsewhere").await;
    world.deliver(people::stop("U2", &thread, "native")).await;
    world.until_told(&thread, "Stopped").await;
    elsewhere.says("not me").await;
    elsewhere.ends(Outcome::Completed);
    world.until_thread_is(&other, &["not me"]).await;
}

#[tokio::test]
async fn an_unlisted_channel_is_closed_to_all_but_admins() {
    let world = World::echoing().await;
    let elsewhere = |user: &str, ts: &Ts| Inbound { channel: "C9".into(), ..people::mention(user, ts, "hello") };
    let (first, second) = (world.ts(), world.ts());
    world.deliver(elsewhere("U1", &first)).await;
    world.deliver(elsewhere("UADMIN", &second)).await;
    world.until_thread_is(&second, &["hello"]).await;
    world.rest().await;
    assert!(world.slack.texts(&first).is_empty());
    assert!(locked(&world.slack.whispers)[0].1.contains("access.channels"));
}

// holds: M-1, T-3
#[tokio::test]
async fn what_is_not_for_us_is_not_even_stored() {
    use hitchline::domain::ports::Receipt;
    let world = World::echoing().await;
    let thread = world.mention("U1", "hello").await;
    world.until_thread_is(&thread, &["hello"]).await;
    let elsewhere = world.ts();
    assert_eq!(world.reply("U1", &elsewhere, "a thread without a session").await, Receipt::Ignored);
    let top_level = hitchline::domain::inbound::Message {
        ts: world.ts(),
        thread: None,
        text: "not for you".into(),
        mention: false,
        files: Vec::new(),
    };
    let receipt = world.deliver(people::by("U1", "top level", What::Message(top_level))).await;
    assert_eq!(receipt, Receipt::Ignored);
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 1);
}
