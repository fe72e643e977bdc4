//! Lists of our own sessions, what they do, the settings and the notebook.

use hitchline::backend::Outcome;
use hitchline::domain::inbound::{Button, ChannelKind, Inbound};

use super::agent::locked;
use super::people;
use super::world::World;

/// Asks in a thread of its own and returns what only whoever asked is told.
async fn asked(world: &World, user: &str, text: &str) -> String {
    let before = locked(&world.slack.whispers).len();
    let thread = world.mention(user, text).await;
    world.until("an answer", || locked(&world.slack.whispers).len() > before).await;
    assert!(world.slack.texts(&thread).is_empty(), "nobody else is told");
    locked(&world.slack.whispers).last().unwrap().1.clone()
}

// holds: K-1, S-7
#[tokio::test]
async fn people_see_their_own_sessions_and_an_admin_all_of_them() {
    let world = World::new().await;
    assert!(asked(&world, "U1", "list").await.contains("You have no sessions in this channel"));
    let (_, mine) = world.settled_thread("U1", "mine, *all* mine").await;
    let (ended, gone) = world.settled_thread("U1", "over soon").await;
    world.reply("U1", &ended, "end").await;
    world.until_told(&ended, "The session has ended").await;
    let (_, theirs) = world.settled_thread("U2", "theirs").await;
    let elsewhere = Inbound {
        channel: "D1".into(),
        channel_kind: ChannelKind::Direct,
        ..people::mention("U1", &world.ts(), "direct")
    };
    world.deliver(elsewhere).await;
    world.prompted("direct").await.ends(Outcome::Completed);
    world.rest().await;
    let shows = |told: &str| [&mine, &gone, &theirs].map(|record| told.contains(&record.id.short()));
    let list = asked(&world, "U1", "ls").await;
    assert_eq!(shows(&list), [true, false, false]);
    assert!(list.contains("idle, used just now: mine, \\*all\\* mine") && !list.contains("direct"), "{list}");
    let Some(Button::Connect { session, thread: Some(_) }) = world.slack.buttons().pop() else { panic!("no button") };
    assert_eq!(session, mine.id);
    let all = asked(&world, "U1", "sessions").await;
    assert_eq!((shows(&all), all.contains("direct")), ([true, false, false], true));
    assert!(all.contains("in <#C1>, started by <@U1>"), "{all}");
    assert_eq!(shows(&asked(&world, "UADMIN", "sessions").await), [true, false, true]);
    assert!(asked(&world, "UADMIN", "list").await.contains("no sessions in this channel"));
}

// holds: K-1, K-5
#[tokio::test]
async fn work_status_shows_what_runs_and_stops_it_from_afar() {
    let world = World::new().await;
    let (_, idle) = world.settled_thread("U1", "resting").await;
    let thread = world.mention("U1", "long work").await;
    world.prompted("long work").await;
    world.mention("U2", "of another").await;
    world.prompted("of another").await;
    let told = asked(&world, "U1", "work-status").await;
    assert!(told.contains("1 of 2 are working") && told.contains(&idle.id.short()), "{told}");
    let [stop @ Button::Stop { .. }] = &world.slack.buttons()[..] else { panic!("one button") };
    let from_afar =
        |user: &str, reply: &str| Inbound { channel: "C2".into(), ..people::choose(user, None, stop.clone(), reply) };
    world.deliver(Inbound { channel_kind: ChannelKind::Direct, ..from_afar("U2", "another") }).await;
    world.until_answered("another", "Only the person who asked").await;
    world.deliver(Inbound { channel_kind: ChannelKind::Direct, ..from_afar("U1", "mine") }).await;
    world.until_answered("mine", "Stopping").await;
    world.until_told(&thread, "Stopped").await;
    world.settle().await;
    world.deliver(people::choose("U1", Some(&thread), stop.clone(), "again")).await;
    world.until_answered("again", "settled already").await;
    assert_eq!(world.agents.count("cancel"), 1);
}

// holds: K-1, S-8
#[tokio::test]
async fn status_tells_whoever_asks_where_their_messages_wait_and_has_a_button_to_stop() {
    let world = World::new().await;
    let thread = world.mention("U1", "long work").await;
    world.prompted("long work").await;
    for (user, text) in [("U1", "one"), ("U2", "two"), ("U1", "three")] {
        world.reply(user, &thread, text).await;
    }
    world.reply("U1", &thread, "status").await;
    world.until_told(&thread, "working, 3 message(s) waiting. Yours are numbers 1 and 3.").await;
    world.reply("U2", &thread, "status").await;
    world.until_told(&thread, "Yours is number 2.").await;
    let lists = world.slack.thread(&thread).into_iter().filter_map(|shown| match shown.body {
        hitchline::domain::outgoing::Body::List(list) => list.rows[0].button.clone(),
        _ => None,
    });
    let stop = lists.last().expect("a button").button;
    world.deliver(people::choose("U2", Some(&thread), stop, "stop")).await;
    world.until_answered("stop", "Stopping").await;
    world.prompted("one").await;
}

// holds: K-1, S-8
#[tokio::test]
async fn stop_leaves_what_waits_and_stop_all_drops_it() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    world.reply("U1", &thread, "stop").await;
    world.prompted("second").await;
    for text in ["third", "fourth"] {
        world.reply("U1", &thread, text).await;
    }
    world.reply("U1", &thread, "!stop all").await;
    world.until_told(&thread, "Stopping. The 2 messages that were waiting are dropped.").await;
    world.rest().await;
    world.reply("U1", &thread, "!stop all").await;
    world.until_told(&thread, "Nothing is running here. No message was waiting.").await;
    world.reply("U1", &thread, "fifth").await;
    world.prompted("fifth").await;
    assert_eq!(world.agents.count("prompt"), 3);
}

// holds: K-1
#[tokio::test]
async fn the_settings_of_a_conversation_are_told_with_and_without_a_session() {
    let world = World::with(|policy| policy.max_per_user = Some(7)).await;
    let outside = asked(&world, "U1", "config").await;
    for part in
        ["would have", "agent: `puppet`", "directory: `/`", "at most 1 h", "sessions for each person: 7", "never"]
    {
        assert!(outside.contains(part), "{part}: {outside}");
    }
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "config").await;
    world.until_whispered("U1", &format!("Session `{}` has:", record.id.short())).await;
}

// holds: K-1
#[tokio::test]
async fn the_notebook_is_its_workspaces() {
    let world = World::new().await;
    assert!(asked(&world, "U1", "recall").await.contains("empty"));
    world.deliver(people::slash("U1", "remember the *deploy* key is in the vault", "noted")).await;
    world.until_answered("noted", "Noted").await;
    let told = {
        world.deliver(people::slash("U2", "recall KEY deploy", "found")).await;
        world.until_answered("found", "the newest first").await;
        locked(&world.slack.responses).last().unwrap().1.clone()
    };
    assert!(told.contains("the \\*deploy\\* key is in the vault (just now)"), "{told}");
    world.deliver(people::slash("U2", "recall nothing", "not found")).await;
    world.until_answered("not found", "No note has all of these words: `nothing`").await;
}

// holds: K-4
#[tokio::test]
async fn an_answer_for_one_person_stands_where_it_can_be_seen() {
    let world = World::new().await;
    world.mention("U1", "list").await;
    world.until_whispered("U1", "You have no sessions").await;
    let (thread, _) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "list").await;
    world.until_whispered("U1", "Your sessions in this channel").await;
    let places: Vec<_> = locked(&world.slack.whispered_in).iter().map(|place| place.thread.clone()).collect();
    assert_eq!(places, [None, Some(thread)], "not in a thread that has no replies yet");

    let direct = people::mention("U1", &world.ts(), "list");
    world.deliver(Inbound { channel: "D1".into(), channel_kind: ChannelKind::Direct, ..direct }).await;
    let posted = |part: &str| world.slack.everything().iter().any(|shown| format!("{:?}", shown.body).contains(part));
    world.until("a post in the direct message", || posted("no sessions in this channel")).await;
    assert_eq!(locked(&world.slack.whispers).len(), 2);
}
