//! What is done at once, a press or a stop: through the end of the process, and while the store fails.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::{SessionId, Ts, TurnId};
use hitchline::domain::inbound::{Button, Inbound};
use hitchline::domain::ports::Line;
use hitchline::session::config::OnInterrupt;

use super::agent::Act;
use super::people;
use super::world::World;

const SOON: Duration = Duration::from_secs(9);

/// Stores what is to be done at once, as it stands on disk before anything of it is done.
fn store(world: &World, act: &Inbound) {
    let (key, body) = (act.queue(), serde_json::to_string(act).unwrap());
    let sql = "INSERT INTO inbox (team, channel, thread, line, state, version, body, received_ms)
               VALUES (?1, ?2, ?3, 'at_once', 'running', 1, ?4, 1)";
    let row = (key.team.as_str(), key.channel.as_str(), key.thread.as_str(), body);
    assert_eq!(world.database().execute(sql, row).unwrap(), 1);
}

/// Lets the store refuse changes of messages as long as `WHEN` holds.
fn refuse(world: &World, when: &str) {
    let trigger =
        format!("CREATE TRIGGER refuse BEFORE UPDATE ON inbox WHEN {when} BEGIN SELECT RAISE(ABORT, 'no'); END");
    world.database().execute_batch(&trigger).unwrap();
}

fn let_go_on(world: &World) {
    world.database().execute_batch("DROP TRIGGER refuse").unwrap();
}

/// `U1` wants a session in the thread `here`.
fn connects(session: SessionId, here: &Ts) -> Inbound {
    people::choose("U1", Some(here), Button::Connect { session, thread: Some(here.clone()) }, "reply")
}

async fn until_shown(world: &World, thread: &Ts, part: &str) {
    let told = || world.slack.texts(thread).iter().any(|text| text.contains(part));
    world.until_after(SOON, told).await;
}

/// How many messages stand so in the inbox.
fn count(world: &World, state: &str) -> u32 {
    let sql = "SELECT count(*) FROM inbox WHERE state = ?1";
    world.database().query_row(sql, [state], |row| row.get(0)).unwrap()
}

// holds: M-6, P-8
#[tokio::test]
async fn a_press_that_brings_a_session_here_is_carried_out_after_a_power_cut() {
    let before = World::new().await;
    let (_, record) = before.settled_thread("U1", "hello").await;
    let here = before.ts();
    store(&before, &connects(record.id, &here));
    let world = before.after_power_cut().await;
    world.until_told(&here, "goes on here").await;
    world.rest().await;
    assert_eq!(world.session_in(&here).await.map(|now| now.id), Some(record.id));
}

// holds: M-6
#[tokio::test]
async fn a_press_that_the_store_can_t_put_into_its_line_is_carried_out_a_little_later() {
    let world = World::new().await;
    let (_, record) = world.settled_thread("U1", "hello").await;
    let here = world.ts();
    refuse(&world, "NEW.state = 'queued'");
    world.deliver(connects(record.id, &here)).await;
    world.settle().await;
    assert!(world.slack.texts(&here).is_empty());
    let_go_on(&world);
    until_shown(&world, &here, "goes on here").await;
}

// holds: K-1
#[tokio::test]
async fn a_stop_where_nothing_runs_is_answered_through_a_power_cut_and_a_store_that_fails() {
    let before = World::new().await;
    let (thread, _) = before.settled_thread("U1", "hello").await;
    store(&before, &people::reply("U1", &thread, &before.ts(), "stop"));
    let world = before.after_power_cut().await;
    world.until_thread_is(&thread, &["Nothing is running here."]).await;
    world.rest().await;

    refuse(&world, "NEW.state = 'queued'");
    world.reply("U1", &thread, "stop").await;
    world.settle().await;
    let_go_on(&world);
    let answered_again = || world.slack.texts(&thread) == ["Nothing is running here."; 2];
    world.until_after(SOON, answered_again).await;
}

/// The ways to stop the turn that runs in a thread.
fn stops(world: &World, thread: &Ts) -> [Inbound; 4] {
    let say = |text| people::reply("U1", thread, &world.ts(), text);
    let turn: String = world.database().query_row("SELECT id FROM turn", [], |row| row.get(0)).unwrap();
    let button = Button::Stop { turn: TurnId::parse(&turn).unwrap() };
    [say("stop"), say("!stop all"), people::stop("U1", thread, "s"), people::choose("U1", Some(thread), button, "r")]
}

// holds: P-8
#[tokio::test]
async fn a_turn_that_was_stopped_before_its_agent_was_reached_does_not_begin_after_a_power_cut() {
    for way in 0..4 {
        let before = World::new().await;
        before.hold_starts();
        let thread = before.mention("U1", "first").await;
        before.until("its start", || before.agents.count("start") == 1).await;
        let stop = &stops(&before, &thread)[way];
        store(&before, stop);
        before.reply("U1", &thread, "second").await;
        let world = before.after_power_cut().await;
        world.prompted("second").await.ends(Outcome::Completed);
        world.until_told(&thread, "_Stopped._").await;
        world.rest().await;
        let texts = world.slack.texts(&thread);
        assert!(world.agents.count("prompt") == 1 && !texts.concat().contains("is running"), "{stop:?}: {texts:?}");
    }
}

// holds: P-8
#[tokio::test]
async fn a_turn_that_was_stopped_is_neither_resumed_nor_retried_nor_asked_about_after_a_power_cut() {
    for policy in [OnInterrupt::Ask, OnInterrupt::Resume, OnInterrupt::Retry, OnInterrupt::Drop] {
        for way in 0..4 {
            let before = World::with(|rules| rules.on_interrupt = policy).await;
            let thread = before.mention("U1", "first").await;
            before.prompted("first").await;
            let stop = &stops(&before, &thread)[way];
            store(&before, stop);
            let world = before.after_power_cut().await;
            world.until_told(&thread, "_Stopped._").await;
            world.rest().await;
            assert_eq!(world.agents.count("prompt"), 0, "{policy:?}, {stop:?}");
            let told = world.slack.texts(&thread).len();
            assert_eq!(told, if way == 1 { 2 } else { 1 }, "{policy:?}, {stop:?}");
        }
    }
}

#[tokio::test]
async fn only_who_may_prompt_stops_what_a_power_cut_ended_and_only_that() {
    let before = World::with(|rules| rules.on_interrupt = OnInterrupt::Retry).await;
    let (thread, other) = (before.mention("U1", "first").await, before.mention("U1", "other").await);
    for text in ["first", "other"] {
        before.prompted(text).await;
    }
    store(&before, &people::reply("UNOBODY", &thread, &before.ts(), "stop"));
    store(&before, &people::choose("U1", Some(&thread), Button::Stop { turn: TurnId::new() }, "r"));
    store(&before, &people::stop("U1", &other, "s"));
    let world = before.after_power_cut().await;
    world.prompted("first").await.ends(Outcome::Completed);
    world.until_told(&other, "_Stopped._").await;
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 1);
}

// holds: P-8
#[tokio::test]
async fn what_was_to_be_done_at_once_and_can_t_be_read_is_a_dead_letter() {
    let before = World::new().await;
    let (thread, _) = before.settled_thread("U1", "hello").await;
    store(&before, &people::reply("U1", &thread, &before.ts(), "stop"));
    before.database().execute("UPDATE inbox SET version = 9 WHERE line = 'at_once'", []).unwrap();
    let world = before.after_power_cut().await;
    world.until("a dead letter", || count(&world, "dead") == 1).await;
    world.until_told(&thread, "dlq").await;
}

// holds: K-1
#[tokio::test]
async fn a_stop_of_all_stops_the_agent_at_once_though_the_store_fails() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    refuse(&world, "OLD.state = 'queued' AND NEW.state = 'done'");
    world.reply("U1", &thread, "!stop all").await;
    world.until("a cancellation", || world.agents.count("cancel") == 1).await;
    // What was said before the stop may get its turn before the store can drop it.
    world.prompted("second").await;
    let_go_on(&world);
    until_shown(&world, &thread, "Stopping. No message was waiting.").await;
    world.until("the end of that, too", || world.agents.count("cancel") == 2).await;
}

// holds: S-6
#[tokio::test]
async fn a_stop_of_all_that_is_tried_again_stops_nothing_that_was_asked_for_later() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    session.set(|manners| manners.cancel = Act::Ignore);
    world.reply("U1", &thread, "second").await;
    refuse(&world, "OLD.state = 'queued' AND NEW.state = 'done'");
    world.reply("U1", &thread, "!stop all").await;
    world.settle().await;
    session.ends(Outcome::Completed);
    world.prompted("second").await.ends(Outcome::Completed);
    world.reply("U1", &thread, "third").await;
    let third = world.prompted("third").await;
    let cancelled = world.agents.count("cancel");
    let_go_on(&world);
    until_shown(&world, &thread, "No message was waiting.").await;
    world.settle().await;
    assert_eq!(world.agents.count("cancel"), cancelled, "a turn was stopped that was asked for after the stop");
    third.ends(Outcome::Completed);
    world.rest().await;
}

// holds: S-6
#[tokio::test]
async fn a_stop_whose_session_can_t_be_looked_up_does_not_fall_through_to_the_channel() {
    let before = World::new().await;
    let (_, record) = before.settled_thread("U1", "hello").await;
    let whole = ConversationKey::channel_wide(people::HOME.into(), people::CHANNEL.into());
    before.store.move_session(record.id, whole.clone()).await.unwrap();
    let between = before.after_power_cut().await;
    let thread = between.ts();
    between.deliver(people::mention_in("U1", &thread, &between.ts(), "its own")).await;
    between.prompted("its own").await.ends(Outcome::Completed);
    between.rest().await;
    // Nothing is known of the thread there.
    let world = between.after_power_cut().await;
    world.deliver(people::written("U2", &world.ts(), "for the channel")).await;
    world.prompted("for the channel").await;
    world.deliver(people::written("U2", &world.ts(), "waits in the channel")).await;
    world.settle().await;
    world.database().execute_batch("ALTER TABLE session RENAME TO away").unwrap();
    world.reply("U1", &thread, "!stop all").await;
    for _ in 0..20 {
        world.store.probe().await.unwrap();
    }
    world.database().execute_batch("ALTER TABLE away RENAME TO session").unwrap();
    until_shown(&world, &thread, "Nothing is running here. No message was waiting.").await;
    let waiting = world.store.waiting(&whole, Line::Turn).await.unwrap();
    assert_eq!((world.agents.count("cancel"), waiting), (0, 1));
}
