//! Things that meet: ends, moves, restarts and stops that cross each other, and what they must not lose or bring back.

use std::time::Duration;

use futures_util::poll;
use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::{Message, What};
use hitchline::domain::ports::{Receipt, Said};
use hitchline::store::SessionFilter;

use super::agent::{Act, locked};
use super::people;
use super::world::World;

const MINUTE: Duration = Duration::from_mins(1);

/// Lets everybody take one more step; the store's threads go on meanwhile.
async fn a_step() {
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_micros(300));
}

async fn one_turn(world: &World) -> Ts {
    let thread = world.mention("U1", "hello").await;
    world.prompted("hello").await.ends(Outcome::Completed);
    world.rest().await;
    thread
}

/// P-2, P-8: a message that waits while the answer before it is on its way to Slack must not begin when we stop.
#[tokio::test]
async fn what_waits_behind_an_answer_on_its_way_is_not_begun_when_we_stop() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    world.slack.slow.send_replace(true);
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 1);
    world.stop().await;
    world.settle().await;
    assert_eq!(world.slack.texts(&thread), Vec::<String>::new());
    world.slack.slow.send_replace(false);
    world.until_thread_is(&thread, &["done"]).await;
    world.settle().await;
    assert_eq!(world.slack.texts(&thread), ["done"], "a turn began after we had begun to stop, and was cut off");
    let after = world.after_power_cut().await;
    after.prompted("second").await;
}

/// S-6: an end whose caller goes away half-way (the control socket's client is gone).
#[tokio::test]
async fn an_end_that_nobody_waits_for_any_more_is_an_end() {
    let world = World::new().await;
    let thread = one_turn(&world).await;
    let record = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
    {
        let mut end = Box::pin(world.manager.end(record.id));
        while world.mappings() == 1 {
            assert!(poll!(end.as_mut()).is_pending());
            a_step().await;
        }
    }
    world.settle().await;
    assert_eq!(world.mappings(), 0);
    world.reply("U1", &thread, "anybody there?").await;
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 1, "an ended session answers");
}

/// S-10, S-12: the note and the history, when the first prompt of the fresh session is not taken.
#[tokio::test]
async fn what_a_fresh_session_does_not_know_is_told_with_the_first_prompt_that_it_takes() {
    let before = World::new().await;
    let thread = one_turn(&before).await;
    let world = before.after_power_cut().await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unsupported("restoring"));
    let once = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    locked(&world.agents.manners).prompt = Act::FailOnce(once, BackendError::Transient("overloaded".into()));
    *locked(&world.slack.history) = Some(vec![Said { author: "U1".into(), ours: false, text: "hello".into() }]);
    world.reply("U1", &thread, "go on").await;
    world.until_told(&thread, "overloaded").await;
    world.rest().await;
    world.reply("U1", &thread, "go on").await;
    world.until("a prompt", || !locked(&world.agents.prompts).is_empty()).await;
    let prompt = locked(&world.agents.prompts).last().unwrap().clone();
    prompt.session.ends(Outcome::Completed);
    world.rest().await;
    let texts = world.slack.texts(&thread);
    assert_eq!(world.agents.count("start"), 1, "the same fresh session");
    assert!(texts.iter().any(|text| text.contains("starts afresh")), "{texts:?}; it was told {:?}", prompt.text);
}

/// S-8: in a channel that is one conversation a thread may have a session of its own.
#[tokio::test]
async fn what_waits_in_a_thread_of_a_whole_channel_may_be_taken_back() {
    let before = World::new().await;
    one_turn(&before).await;
    let record = before.store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    let whole = ConversationKey::channel_wide(people::HOME.into(), people::CHANNEL.into());
    before.store.move_session(record.id, whole).await.unwrap();
    let world = before.after_power_cut().await;
    let thread = world.ts();
    world.deliver(people::mention_in("U1", &thread, &world.ts(), "first")).await;
    let session = world.prompted("first").await;
    let second = world.ts();
    world.deliver(people::reply("U1", &thread, &second, "second")).await;
    world.settle().await;
    let what = What::Deleted { ts: second.clone(), thread: Some(thread.clone()) };
    assert_eq!(world.deliver(people::by("U1", "delete", what)).await, Receipt::Stored);
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 1);
}

/// S-8, P-8: taken back while we stop.
#[tokio::test]
async fn what_came_while_we_stop_may_be_taken_back() {
    let world = World::new().await;
    let thread = one_turn(&world).await;
    world.stop().await;
    world.settle().await;
    let ts = world.ts();
    // Another conversation, of which nothing is in memory.
    world.deliver(people::mention("U2", &ts, "a secret")).await;
    world.settle().await;
    let message = Message { ts: ts.clone(), thread: None, text: "no secret".into(), mention: true, files: Vec::new() };
    let edited = world.deliver(people::by("U2", "edit", What::Edited(message))).await;
    let after = world.after_power_cut().await;
    after.until("a prompt", || after.agents.count("prompt") == 1).await;
    let prompts: Vec<String> = locked(&after.agents.prompts).iter().map(|prompt| prompt.text.clone()).collect();
    assert_eq!((edited, prompts), (Receipt::Stored, vec!["no secret".to_owned()]));
    drop(thread);
}

/// K-1, S-12: a command is a command, whether or not the slot was forgotten.
#[tokio::test]
async fn a_status_does_not_count_itself() {
    let before = World::new().await;
    let thread = one_turn(&before).await;
    let world = before.after_power_cut().await;
    world.reply("U1", &thread, "!status").await;
    world.until("an answer", || !world.slack.texts(&thread).is_empty()).await;
    let texts = world.slack.texts(&thread);
    assert!(!texts[0].contains("1 message"), "{texts:?}");
}

/// M-5: breakout as the first thing after a restart, or after expiry.
#[tokio::test]
async fn a_breakout_is_not_in_its_own_way() {
    for restart in [false, true] {
        let before = World::open_everywhere().await;
        let thread = one_turn(&before).await;
        let world = if restart { before.after_power_cut().await } else { before };
        world.reply("U1", &thread, "!breakout somewhere").await;
        world.until("an answer", || !world.slack.everything().is_empty()).await;
        world.rest().await;
        let record = world.store.sessions(SessionFilter::default()).await.unwrap().remove(0);
        assert!(record.conversation.is_channel_wide(), "restart: {restart}: {:?}", world.slack.texts(&thread));
    }
}

/// S-6: the mapping is being read while an operator ends it; what follows must not bring it back.
#[tokio::test]
async fn a_mapping_that_ends_while_it_is_read_is_not_remembered() {
    for polls in 0..40 {
        let before = World::new().await;
        let thread = one_turn(&before).await;
        let record = before.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
        let world = before.after_power_cut().await;
        let first = world.ts();
        world.deliver(people::mention_in("U1", &thread, &first, "one")).await;
        for _ in 0..polls {
            a_step().await;
        }
        if world.agents.count("restore") > 0 {
            break;
        }
        world.within(world.manager.end(record.id)).await.unwrap();
        let restored = world.agents.count("restore");
        world.deliver(people::mention_in("U1", &thread, &world.ts(), "two")).await;
        world.settle().await;
        let calls = locked(&world.agents.calls).clone();
        assert_eq!(world.agents.count("restore"), restored, "polls: {polls}; it came back: {calls:?}");
    }
}

/// S-6: brought up by a page while an operator ends it.
#[tokio::test]
async fn a_resume_that_meets_an_end_brings_nothing_back() {
    for polls in 0..12 {
        let before = World::new().await;
        let thread = one_turn(&before).await;
        let record = before.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
        let world = before.after_power_cut().await;
        let mut resume = Box::pin(world.manager.resume(record.id));
        let mut done = false;
        for _ in 0..polls {
            done = poll!(resume.as_mut()).is_ready();
            if done {
                break;
            }
            a_step().await;
        }
        if done {
            break;
        }
        world.within(world.manager.end(record.id)).await.unwrap();
        let resumed = world.within(resume).await.is_ok();
        world.settle().await;
        let live = world.manager.stats().total;
        assert_eq!(live, 0, "polls: {polls}; resumed: {resumed}, {:?}", world.agents.calls);
    }
}

/// S-12, S-10: what a page brings up afresh says so with the next message.
#[tokio::test]
async fn a_resume_that_has_to_start_afresh_is_told() {
    let before = World::new().await;
    let thread = one_turn(&before).await;
    let record = before.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
    let world = before.after_power_cut().await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
    *locked(&world.slack.history) = Some(vec![Said { author: "U1".into(), ours: false, text: "hello".into() }]);
    world.within(world.manager.resume(record.id)).await.unwrap();
    world.reply("U1", &thread, "go on").await;
    world.until("a prompt", || world.agents.count("prompt") == 1).await;
    let prompt = locked(&world.agents.prompts).last().unwrap().clone();
    prompt.session.ends(Outcome::Completed);
    world.rest().await;
    let texts = world.slack.texts(&thread);
    assert!(texts.iter().any(|text| text.contains("starts afresh")), "{texts:?}, {:?}", prompt.text);
}

/// S-8: what `stop all` drops waits no more.
#[tokio::test]
async fn what_stop_all_drops_bears_no_mark() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    world.settle().await;
    world.hand.advance(Duration::from_secs(1));
    world.until("a mark", || locked(&world.slack.marked).len() == 1).await;
    world.reply("U1", &thread, "!stop all").await;
    world.until_told(&thread, "dropped").await;
    world.rest().await;
    world.settle().await;
    assert!(locked(&world.slack.marked).is_empty(), "{:?}", world.slack.marked);
}

/// S-9: a session that is live counts, however it was brought up.
#[tokio::test]
async fn a_session_that_was_brought_up_counts() {
    let world = World::with(|policy| {
        policy.max_per_user = Some(1);
        policy.idle_expiry = Some(30 * MINUTE);
    })
    .await;
    let thread = one_turn(&world).await;
    for _ in 0..32 {
        world.settle().await;
        world.hand.advance(MINUTE);
    }
    world.until("its release", || world.manager.stats().total == 0).await;
    let record = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
    world.within(world.manager.resume(record.id)).await.unwrap();
    assert_eq!(world.manager.stats().total, 1);
    let second = world.mention("U1", "one more").await;
    world.settle().await;
    assert_eq!(world.agents.count("start"), 1, "{:?}", world.slack.texts(&second));
}

/// S-6, M-6: a session is brought up by a page while `connect` moves it.
#[tokio::test]
async fn a_resume_that_meets_a_move_does_not_end_the_session() {
    for polls in 0..60 {
        let world = World::new().await;
        let thread = one_turn(&world).await;
        let record = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
        let other = world.ts();
        let connect = format!("!connect {}", record.id.short());
        world.deliver(people::mention_in("U1", &other, &world.ts(), &connect)).await;
        for _ in 0..polls {
            a_step().await;
        }
        let mut resume = Box::pin(world.manager.resume(record.id));
        let mut over = false;
        for _ in 0..6 {
            over = poll!(resume.as_mut()).is_ready();
            if over {
                break;
            }
            a_step().await;
        }
        if !over {
            let _whatever = world.within(resume).await;
        }
        world.until("an answer", || !world.slack.texts(&other).is_empty()).await;
        world.settle().await;
        assert_eq!(world.mappings(), 1, "polls: {polls}; {:?}", world.slack.texts(&other));
    }
}

/// S-6, M-6: an operator ends a session while `connect` moves it.
#[tokio::test]
async fn an_end_that_meets_a_move_ends_the_session() {
    for polls in 0..60 {
        let world = World::new().await;
        let thread = one_turn(&world).await;
        let record = world.store.session_in(&people::key(&thread)).await.unwrap().unwrap();
        let other = world.ts();
        let connect = format!("!connect {}", record.id.short());
        world.deliver(people::mention_in("U1", &other, &world.ts(), &connect)).await;
        for _ in 0..polls {
            a_step().await;
        }
        world.within(world.manager.end(record.id)).await.unwrap();
        world.settle().await;
        assert_eq!(world.mappings(), 0, "polls: {polls}");
        let live = world.manager.stats().total;
        world.reply("U1", &thread, "one").await;
        world.reply("U1", &other, "two").await;
        world.settle().await;
        assert_eq!((live, world.agents.count("prompt")), (0, 1), "polls: {polls}; {:?}", world.agents.calls);
    }
}

/// M-1: a stop in a thread with a session of its own is about that session.
#[tokio::test]
async fn a_stop_in_a_thread_with_its_own_session_does_not_fall_through_to_the_channel() {
    let before = World::new().await;
    one_turn(&before).await;
    let record = before.store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    let whole = ConversationKey::channel_wide(people::HOME.into(), people::CHANNEL.into());
    before.store.move_session(record.id, whole.clone()).await.unwrap();
    let world = before.after_power_cut().await;
    let thread = world.ts();
    world.deliver(people::mention_in("U1", &thread, &world.ts(), "its own")).await;
    world.prompted("its own").await.ends(Outcome::Completed);
    world.rest().await;
    world.deliver(people::written("U2", &world.ts(), "for the channel")).await;
    world.prompted("for the channel").await;
    world.deliver(people::written("U2", &world.ts(), "waits in the channel")).await;
    world.settle().await;
    world.reply("U1", &thread, "!stop all").await;
    world.settle().await;
    let waiting = world.store.waiting(&whole, hitchline::domain::ports::Line::Turn).await.unwrap();
    assert_eq!((world.agents.count("cancel"), waiting), (0, 1), "{:?}", world.slack.texts(&thread));
}
