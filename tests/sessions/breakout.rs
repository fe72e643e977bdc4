//! A thread's session gets a channel of its own.

use hitchline::backend::Outcome;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::Inbound;
use hitchline::domain::ports::Receipt;

use super::agent::locked;
use super::people;
use super::slack::refusal;
use super::world::World;

fn whole(channel: &str) -> ConversationKey {
    ConversationKey::channel_wide(people::HOME.into(), channel.into())
}

fn in_channel(channel: &str, user: &str, ts: &Ts, text: &str) -> Inbound {
    Inbound { channel: channel.into(), ..people::written(user, ts, text) }
}

// holds: M-5, K-1
#[tokio::test]
async fn a_session_moves_into_a_channel_of_its_own_and_comes_back() {
    let world = World::open_everywhere().await;
    let (thread, record) = world.settled_thread("U1", "Fix the parser!").await;
    world.reply("U1", &thread, "!breakout").await;
    world.until_told(&thread, "goes on in <#C-fix-the-parser>").await;
    world.rest().await;
    let moved = world.store.session_in(&whole("C-fix-the-parser")).await.unwrap();
    assert_eq!(moved.map(|moved| moved.id), Some(record.id));
    let welcomed =
        |text: &str| text.contains(&format!("Session `{}` from <#C1> goes on in this channel", record.id.short()));
    assert!(
        world
            .slack
            .everything()
            .iter()
            .any(|shown| matches!(&shown.body, hitchline::domain::outgoing::Body::Text(text) if welcomed(text)))
    );

    assert_eq!(world.reply("U1", &thread, "anybody?").await, Receipt::Ignored, "the thread is followed no more");
    let asked = world.ts();
    assert_eq!(world.deliver(in_channel("C-fix-the-parser", "U2", &asked, "without a mention")).await, Receipt::Stored);
    world.prompted("without a mention").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.agents.count("restore")), (1, 0));

    let back = people::mention_in("U1", &thread, &world.ts(), &format!("connect {}", record.id.short()));
    world.deliver(back).await;
    world.until_told(&thread, "goes on here").await;
    world.rest().await;
    assert_eq!(world.session_in(&thread).await.map(|now| now.id), Some(record.id));
    let late = in_channel("C-fix-the-parser", "U1", &world.ts(), "anybody?");
    assert_eq!(world.deliver(late).await, Receipt::Ignored, "the channel is one like any other");
}

// holds: M-5
#[tokio::test]
async fn the_channel_gets_the_name_that_is_asked_for_or_one_beside_it() {
    let world = World::open_everywhere().await;
    locked(&world.slack.channels).extend(["big-plans".to_owned(), "big-plans-2".to_owned()]);
    let (thread, _) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "!breakout Big plans").await;
    world.until_told(&thread, "goes on in <#C-big-plans-3>").await;
}

// holds: M-5
#[tokio::test]
async fn breakout_is_refused_where_it_can_not_be_or_may_not_be() {
    let world = World::open_everywhere().await;
    let outside = world.ts();
    world.deliver(people::mention_in("U1", &outside, &world.ts(), "breakout")).await;
    world.until_told(&outside, "There is no session in this thread").await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U2", &thread, "!breakout").await;
    world.until_told(&thread, "Only whoever started this session").await;
    for (code, advice) in [
        ("missing_scope", "`groups:write`"),
        ("restricted_action", "An admin of this workspace"),
        ("name_taken", "Give it another name"),
    ] {
        *locked(&world.slack.no_channel) = Some(refusal(code));
        world.reply("U1", &thread, "!breakout").await;
        world.until_told(&thread, &format!("Slack says `{code}`. ")).await;
        world.until_told(&thread, advice).await;
    }
    *locked(&world.slack.no_channel) = None;
    world.reply("U1", &thread, "long work").await;
    let session = world.prompted("long work").await;
    world.reply("U1", &thread, "!breakout").await;
    world.until_told(&thread, "busy right now").await;
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.session_in(&thread).await.map(|now| now.id), Some(record.id));
    assert!(locked(&world.slack.channels).is_empty(), "no channel was left behind");
}

// holds: M-5
#[tokio::test]
async fn no_channel_is_made_in_which_nobody_may_write() {
    let world = World::new().await;
    let (thread, _) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "!breakout").await;
    world.until_told(&thread, "`access.channels`").await;
    assert!(locked(&world.slack.channels).is_empty());
}

// holds: K-4, M-5
#[tokio::test]
async fn a_slash_command_acts_on_the_channels_own_session() {
    let world = World::open_everywhere().await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "!breakout").await;
    world.until_told(&thread, "goes on in <#C-hello>").await;
    let slash = |text: &str| Inbound { channel: "C-hello".into(), ..people::slash("U1", text, text) };
    for (text, told) in [
        ("status", "idle, 0 message(s) waiting"),
        ("stop", "Nothing is running"),
        ("new fix it", "has a session already"),
    ] {
        world.deliver(slash(text)).await;
        world.until_answered(text, told).await;
    }
    world.deliver(in_channel("C-hello", "U1", &world.ts(), "long work")).await;
    world.prompted("long work").await;
    world.deliver(in_channel("C-hello", "U1", &world.ts(), "and then this")).await;
    world.settle().await;
    world.deliver(slash("stop all")).await;
    let announced =
        |part: &str| world.slack.everything().iter().any(|shown| format!("{:?}", shown.body).contains(part));
    world.until("the stop", || announced("The message that was waiting is dropped")).await;
    world.rest().await;
    world.deliver(slash("end")).await;
    world.until("the end", || announced("The session has ended")).await;
    assert_eq!((world.agents.count("prompt"), world.mappings()), (2, 0));
    assert!(!locked(&world.slack.responses).iter().any(|(to, _)| to == "end"), "everybody is told");
    assert!(world.store.session(record.id).await.unwrap().is_some());
}
