//! The edges of commands and of whole channels: what must not be told, lost, doubled or brought back there.

use std::time::Duration;

use hitchline::backend::error::BackendError;
use hitchline::backend::{Listed, Outcome};
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::Inbound;
use hitchline::domain::ports::Receipt;
use hitchline::domain::session::BackendRef;
use hitchline::store::SessionFilter;

use super::agent::{Act, locked};
use super::people;
use super::world::World;

fn listed(name: &str) -> Listed {
    Listed {
        backend_ref: BackendRef(name.to_owned()),
        working_dir: None,
        title: Some(format!("secret of {name}")),
        updated_ms: None,
    }
}

fn in_channel(channel: &str, inbound: Inbound) -> Inbound {
    Inbound { channel: channel.into(), ..inbound }
}

async fn broken_out(world: &World) -> ConversationKey {
    let (thread, _) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "!breakout").await;
    world.until_told(&thread, "goes on in <#C-hello>").await;
    world.rest().await;
    ConversationKey::channel_wide(people::HOME.into(), "C-hello".into())
}

/// An ambiguous prefix of agents' ids shows what `discover` hides.
#[tokio::test]
async fn candidates_of_an_agent_tell_nothing_about_somebody_elses() {
    let world = World::new().await;
    *locked(&world.agents.listed) = vec![listed("sess-1"), listed("sess-2")];
    for name in ["sess-1", "sess-2"] {
        let here = world.mention("U1", &format!("connect {name}")).await;
        world.until_told(&here, "goes on here").await;
    }
    world.mention("U2", "connect sess").await;
    world.settle().await;
    let told: Vec<String> = locked(&world.slack.whispers).iter().map(|(_, text)| text.clone()).collect();
    assert!(!told.iter().any(|text| text.contains("secret of")), "{told:?}");
}

/// A week after its end an ended session is nobody's and may be brought in by anybody.
#[tokio::test]
async fn an_ended_session_does_not_come_back_after_the_purge() {
    let world = World::new().await;
    *locked(&world.agents.listed) = vec![listed("their-session")];
    let here = world.mention("U1", "connect their-session").await;
    world.until_told(&here, "goes on here").await;
    world.reply("U1", &here, "end").await;
    world.until_told(&here, "The session has ended").await;
    world.rest().await;
    world.store.purge(1_000_000 + 8 * 24 * 3_600_000).await.unwrap();
    let there = world.mention("U2", "connect their-session").await;
    world.until("an answer", || !world.slack.texts(&there).is_empty()).await;
    let texts = world.slack.texts(&there);
    assert!(!texts.iter().any(|text| text.contains("goes on here")), "{texts:?}");
}

/// A mention that waits behind an end in a whole channel.
#[tokio::test]
async fn a_session_that_begins_in_a_whole_channels_line_can_be_reached() {
    let world = World::open_everywhere().await;
    let whole = broken_out(&world).await;
    world.deliver(in_channel("C-hello", people::written("U1", &world.ts(), "long work"))).await;
    let session = world.prompted("long work").await;
    let (end, asked) = (world.ts(), world.ts());
    let _stored = tokio::join!(
        world.deliver(in_channel("C-hello", people::written("U1", &end, "end"))),
        world.deliver(in_channel("C-hello", people::mention("U2", &asked, "something else"))),
    );
    world.settle().await;
    session.ends(Outcome::Cancelled);
    world.prompted("something else").await.ends(Outcome::Completed);
    world.rest().await;
    let place = world.store.sessions(SessionFilter::default()).await.unwrap().remove(0).conversation;
    let below = world.deliver(in_channel("C-hello", people::reply("U2", &asked, &world.ts(), "and below"))).await;
    let beside = world.deliver(in_channel("C-hello", people::written("U2", &world.ts(), "and beside"))).await;
    assert!(
        below == Receipt::Stored || beside == Receipt::Stored,
        "{place:?} (whole: {}), nothing reaches it: {below:?}, {beside:?}",
        place == whole
    );
}

/// The answer that is for whoever asked is posted for everybody.
#[tokio::test]
async fn a_slash_stop_all_where_nothing_runs_is_answered_to_its_author_alone() {
    let world = World::new().await;
    world.deliver(people::slash("U1", "stop all", "alone")).await;
    world.until_answered("alone", "Nothing is running").await;
    world.settle().await;
    assert!(world.slack.everything().is_empty(), "{:?}", world.slack.everything());
}

/// What says that too much is asked can't be said, and other private answers are lost.
#[tokio::test]
async fn slow_slash_commands_take_no_answers_from_others() {
    let world = World::new().await;
    locked(&world.agents.manners).list = Act::Hang;
    for n in 0..65 {
        world.deliver(people::slash("U1", "discover", &format!("d{n}"))).await;
        world.settle().await;
    }
    world.deliver(people::slash("U2", "help", "help")).await;
    world.until_answered("d64", "Try again").await;
    world.until_answered("help", "help").await;
}

/// All discoveries end at once: are they answered?
#[tokio::test]
async fn each_slow_slash_command_is_answered() {
    let world = World::new().await;
    locked(&world.agents.manners).list = Act::Hang;
    for n in 0..64 {
        world.deliver(people::slash("U1", "discover", &format!("d{n}"))).await;
        world.settle().await;
    }
    for _ in 0..15 {
        world.hand.advance(Duration::from_secs(1));
        world.settle().await;
    }
    world.until("64 answers", || locked(&world.slack.responses).len() == 64).await;
}

/// `model` in a session whose agent says that it has ended.
#[tokio::test]
async fn an_option_of_an_ended_session_does_not_say_that_it_is_kept() {
    let before = World::new().await;
    let (thread, _) = before.settled_thread("U1", "hello").await;
    let world = before.after_power_cut().await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Ended);
    world.reply("U1", &thread, "!model").await;
    world.until("an answer", || !world.slack.texts(&thread).is_empty()).await;
    world.rest().await;
    assert_eq!(world.mappings(), 0, "{:?}", world.slack.texts(&thread));
}

/// A stop below the answer that is growing, in a channel of a session's own.
#[tokio::test]
async fn a_stop_below_the_running_answer_stops_it() {
    let world = World::open_everywhere().await;
    broken_out(&world).await;
    let asked: Ts = world.ts();
    world.deliver(in_channel("C-hello", people::written("U1", &asked, "long work"))).await;
    world.prompted("long work").await;
    let stop = people::reply("U1", &asked, &world.ts(), "stop");
    assert_eq!(world.deliver(in_channel("C-hello", stop)).await, Receipt::Stored);
    world.until_told(&asked, "Stopped").await;
    let idle = people::reply("U1", &asked, &world.ts(), "stop");
    assert_eq!(world.deliver(in_channel("C-hello", idle)).await, Receipt::Ignored, "between people");
}

/// A press on a list that is out of date leaves no thread behind.
#[tokio::test]
async fn a_stale_press_opens_no_thread() {
    let world = World::new().await;
    let (thread, record) = world.settled_thread("U1", "hello").await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "The session has ended").await;
    world.rest().await;
    let shown = world.slack.everything().len();
    let button = hitchline::domain::inbound::Button::Connect { session: record.id, thread: None };
    world.deliver(people::choose("U2", None, button, "stale")).await;
    world.until_answered("stale", "").await;
    assert_eq!(world.slack.everything().len(), shown, "{:?}", world.slack.everything().last());
}

/// Two clicks on one button.
#[tokio::test]
async fn a_double_click_connects_once() {
    let world = World::new().await;
    let (_, record) = world.settled_thread("U1", "hello").await;
    let shown = world.slack.everything().len();
    for click in ["one", "two"] {
        let button = hitchline::domain::inbound::Button::Connect { session: record.id, thread: None };
        world.deliver(people::choose("U1", None, button, click)).await;
    }
    // Each click is a task until it waits in its line: whichever comes there second is stale.
    let answered = |click: &str| locked(&world.slack.responses).iter().any(|(to, _)| to == click);
    world.until("the other is stale", || answered("one") || answered("two")).await;
    world.rest().await;
    let roots = world.slack.everything()[shown..]
        .iter()
        .filter(|shown| format!("{:?}", shown.body).contains("A session for"))
        .count();
    assert_eq!(roots, 1);
}

/// The control of the one above: fewer than there are places are answered.
#[tokio::test]
async fn ten_slow_slash_commands_are_answered() {
    let world = World::new().await;
    locked(&world.agents.manners).list = Act::Hang;
    for n in 0..10 {
        world.deliver(people::slash("U1", "discover", &format!("d{n}"))).await;
        world.settle().await;
    }
    for _ in 0..15 {
        world.hand.advance(Duration::from_secs(1));
        world.settle().await;
    }
    world.until("10 answers", || locked(&world.slack.responses).len() == 10).await;
}

/// What was written to a session, and waits while that moves away, is answered in some way.
#[tokio::test]
async fn what_is_written_during_a_move_is_not_passed_over_in_silence() {
    for polls in 0..60 {
        let world = World::new().await;
        let (old, record) = world.settled_thread("U1", "hello").await;
        let other = world.ts();
        let connect = format!("!connect {}", record.id.short());
        world.deliver(people::mention_in("U1", &other, &world.ts(), &connect)).await;
        for _ in 0..polls {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_micros(100));
        }
        let stored = world.reply("U1", &old, "please do this").await;
        world.until("an answer", || !world.slack.texts(&other).is_empty()).await;
        let told = |(_, text): &(_, String)| text.contains("did not pass your message on");
        let heard = || world.agents.count("prompt") == 2 || locked(&world.slack.whispers).iter().any(told);
        world.until(&format!("polls: {polls}; not lost"), || stored != Receipt::Stored || heard()).await;
    }
}

/// Without a mention only the command mark makes a command of words with arguments.
#[tokio::test]
async fn a_message_without_a_mention_is_no_connect() {
    let world = World::with(|policy| policy.require_mention = false).await;
    world.deliver(people::written("U1", &world.ts(), "connect Postgres")).await;
    world.prompted("connect Postgres").await;
}

// holds: M-1, M-5
#[tokio::test]
async fn the_welcome_of_a_channel_says_what_is_heard_there() {
    let world = World::open_everywhere().await;
    broken_out(&world).await;
    let welcome = format!("{:?}", world.slack.everything());
    assert!(welcome.contains("in the channel itself") && welcome.contains("unless I am mentioned"), "{welcome}");
    let asked = world.ts();
    world.deliver(in_channel("C-hello", people::written("U1", &asked, "first"))).await;
    world.prompted("first").await.ends(Outcome::Completed);
    world.rest().await;
    let below = world.deliver(in_channel("C-hello", people::reply("U1", &asked, &world.ts(), "and then?"))).await;
    assert_eq!(below, Receipt::Ignored);
}
