//! What waits, waits in the store: in its order, for its conversation alone, through trouble.

use hitchline::backend::Outcome;
use hitchline::domain::ids::Ts;
use hitchline::domain::ports::{Intent, Line, WriteErrorKind};
use hitchline::store::Begun;

use super::agent::locked;
use super::people;
use super::slack::Step;
use super::world::{QUEUE_LIMIT, World};

/// Slack lets a thread wait for a minute.
const RATE: WriteErrorKind = WriteErrorKind::Rate { after_ms: 60_000 };

async fn busy(world: &World, text: &str) -> Ts {
    let thread = world.mention("U1", text).await;
    world.prompted(text).await;
    thread
}

// holds: S-8
#[tokio::test]
async fn threads_full_of_messages_leave_room_for_others() {
    let world = World::new().await;
    for n in 0..12 {
        let thread = busy(&world, &format!("busy {n}")).await;
        for waiting in 0..QUEUE_LIMIT {
            world.reply("U1", &thread, &format!("{n}: {waiting}")).await;
        }
    }
    world.mention("U2", "elsewhere").await;
    world.prompted("elsewhere").await;
}

// holds: S-6
#[tokio::test]
async fn an_end_and_what_follows_it_keep_their_order() {
    let world = World::new().await;
    let thread = busy(&world, "first").await;
    let (ts, next) = (world.ts(), world.ts());
    // Side by side, as sockets do: the second is claimed before the first is carried out.
    tokio::join!(
        world.deliver(people::reply("U1", &thread, &ts, "!end")),
        world.deliver(people::mention_in("U1", &thread, &next, "!new second")),
    );
    let session = world.prompted("second").await;
    session.says("anew").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "The session has ended").await;
    world.until_told(&thread, "anew").await;
    assert_eq!(world.agents.count("start"), 2);
}

// holds: S-6
#[tokio::test]
async fn an_end_takes_along_what_came_before_it_and_nothing_else() {
    let world = World::new().await;
    let thread = busy(&world, "first").await;
    world.reply("U1", &thread, "before").await;
    let before = world.store.next_in(&people::key(&thread), Line::Turn).await.unwrap().unwrap();
    world.reply("U1", &thread, "after").await;
    let session = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
    // The end was said between the two.
    let ended = world.store.end_session(session.id, before.seq + 1, 1).await.unwrap();
    let left = world.store.next_in(&people::key(&thread), Line::Turn).await.unwrap().unwrap();
    assert_eq!((ended, left.seq), (Some((people::key(&thread), 1)), before.seq + 1));
    // What an end took along while it was being taken up is not begun any more.
    let intent = Intent::follow(session.id);
    assert_eq!(world.store.begin_turn(intent, before.seq, "before".to_owned(), 1).await.unwrap(), Begun::NotWaiting);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_answers_that_slack_does_not_take() {
    let world = World::new().await;
    let thread = busy(&world, "first").await;
    world.slack.slow.send_replace(true);
    for _ in 0..9 {
        world.reply("U1", &thread, "status").await;
    }
    world.settle().await;
    let waiting = world.store.waiting(&people::key(&thread), Line::Command).await.unwrap();
    assert!(waiting >= 5, "{waiting}: a few answers are in memory, the rest waits in the store");
    world.reply("U1", &thread, "stop").await;
    world.until("a cancellation", || world.agents.count("cancel") == 1).await;
    world.slack.slow.send_replace(false);
    let answered = || world.slack.texts(&thread).iter().filter(|text| text.contains("message(s) waiting")).count() == 9;
    world.until_after(std::time::Duration::from_secs(90), answered).await;
}

#[tokio::test]
async fn prompts_wait_too_when_slack_takes_no_answers() {
    let world = World::echoing().await;
    let thread = world.mention("U1", "0").await;
    world.until_thread_is(&thread, &["0"]).await;
    world.slack.slow.send_replace(true);
    for n in 1..9 {
        world.reply("U1", &thread, &n.to_string()).await;
        world.settle().await;
    }
    let waiting = world.store.waiting(&people::key(&thread), Line::Turn).await.unwrap();
    assert_eq!((waiting, world.agents.count("prompt")), (4, 5));
    world.slack.slow.send_replace(false);
    let answered = || world.slack.texts(&thread) == ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    world.until_after(std::time::Duration::from_secs(90), answered).await;
}

#[tokio::test]
async fn answers_that_slack_does_not_take_for_now_hold_up_no_prompt() {
    let world = World::echoing().await;
    let thread = world.mention("U1", "0").await;
    world.until_thread_is(&thread, &["0"]).await;
    world.slack.fail(Step::Post, RATE);
    for n in 1..9 {
        world.reply("U1", &thread, &n.to_string()).await;
    }
    world.until("all prompts", || world.agents.count("prompt") == 9).await;
    let answered = || world.slack.texts(&thread) == ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    world.until_after(std::time::Duration::from_secs(90), answered).await;
}

#[tokio::test]
async fn more_commands_than_may_wait_are_refused_and_their_sender_told() {
    let world = World::new().await;
    let thread = busy(&world, "first").await;
    world.slack.slow.send_replace(true);
    for _ in 0..4 {
        world.reply("U1", &thread, "status").await;
        world.settle().await;
    }
    for _ in 0..QUEUE_LIMIT + 10 {
        world.reply("U1", &thread, "status").await;
    }
    world.until("a whisper", || !locked(&world.slack.whispers).is_empty()).await;
    let waiting = world.store.waiting(&people::key(&thread), Line::Command).await.unwrap();
    assert_eq!((waiting, locked(&world.slack.whispers).len()), (QUEUE_LIMIT, 1));
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_the_rest_goes_on() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    for text in ["damaged", "of a later version", "good"] {
        world.reply("U1", &thread, text).await;
    }
    let database = world.database();
    let spoil = |change: &str, text: &str| {
        let sql = format!("UPDATE inbox SET {change} WHERE body LIKE '%{text}%'");
        assert_eq!(database.execute(&sql, []).unwrap(), 1);
    };
    spoil("body = '{' || body", "damaged");
    spoil("version = 9", "of a later version");
    session.ends(Outcome::Completed);
    world.prompted("good").await.ends(Outcome::Completed);
    world.rest().await;
    let kept = "SELECT count(*) FROM inbox WHERE state = 'dead' AND body IS NOT NULL";
    assert_eq!(database.query_row(kept, [], |row| row.get::<_, u32>(0)).unwrap(), 2);
    let after = world.after_power_cut().await;
    after.settle().await;
    assert_eq!(after.agents.count("prompt"), 0, "they are not tried again");
}

#[tokio::test]
async fn what_the_store_cannot_do_now_is_done_a_little_later() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    let database = world.database();
    database.execute_batch("ALTER TABLE inbox RENAME TO away").unwrap();
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.time_passes().await;
    assert!(world.slack.texts(&thread).is_empty(), "an answer that is not on disk is not sent");
    database.execute_batch("ALTER TABLE away RENAME TO inbox; ALTER TABLE turn RENAME TO away").unwrap();
    world.time_passes().await;
    database.execute_batch("ALTER TABLE away RENAME TO turn").unwrap();
    let prompted = || locked(&world.agents.prompts).iter().any(|prompt| prompt.text == "second");
    world.until_after(std::time::Duration::from_secs(9), prompted).await;
    world.prompted("second").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 2);
}

// holds: K-4, P-8
#[tokio::test]
async fn a_slash_command_that_we_could_not_carry_out_is_carried_out_after_the_restart() {
    let before = World::new().await;
    before.slack.fail(Step::Post, WriteErrorKind::Transient { uncertain: false });
    before.deliver(people::slash("U1", "new fix it", "slash")).await;
    before.until("the first attempt", || before.slack.count(Step::Post) == 1).await;
    before.stop().await;
    before.settle().await;
    assert!(before.slack.everything().is_empty() && locked(&before.slack.responses).is_empty(), "{:?}", before.slack);
    let after = before.after_power_cut().await;
    after.prompted("fix it").await.ends(Outcome::Completed);
    after.rest().await;
    let roots = after.slack.everything().into_iter().filter(|shown| shown.ts == shown.thread).count();
    assert_eq!((roots, after.agents.count("start")), (1, 1));
}

// holds: K-4
#[tokio::test]
async fn more_slash_commands_than_may_wait_in_a_channel_are_refused() {
    let world = World::new().await;
    world.slack.fail(Step::Post, WriteErrorKind::Transient { uncertain: false });
    for n in 0..QUEUE_LIMIT + 10 {
        world.deliver(people::slash("U1", "new", &n.to_string())).await;
    }
    world.until("ten refusals", || locked(&world.slack.responses).len() == 10).await;
    assert!(locked(&world.slack.responses).iter().all(|(_, text)| text.contains("not taken")));
    let opened = || world.agents.count("start") == 0 && world.mappings() as usize == QUEUE_LIMIT;
    world.until_after(std::time::Duration::from_secs(9), opened).await;
}

// holds: S-6
#[tokio::test]
async fn a_stop_that_was_cut_off_stops_no_later_turn() {
    let before = World::new().await;
    let thread = busy(&before, "first").await;
    before.reply("U1", &thread, "second").await;
    before.settle().await;
    let stop = serde_json::to_string(&people::reply("U1", &thread, &before.ts(), "stop")).unwrap();
    let sql = "INSERT INTO inbox (team, channel, thread, line, state, version, body, received_ms)
               SELECT team, channel, thread, 'at_once', 'running', version, ?1, 1 FROM inbox LIMIT 1";
    assert_eq!(before.database().execute(sql, [stop]).unwrap(), 1);
    let after = before.after_power_cut().await;
    let session = after.prompted("second").await;
    after.settle().await;
    assert_eq!(after.agents.count("cancel"), 0);
    session.ends(Outcome::Completed);
    after.rest().await;
}
