//! A turn that may have run is never silently repeated: people decide, or the policy does.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::OptionKind;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::{Button, Choice};
use hitchline::domain::outgoing::{Body, ListRow};
use hitchline::domain::ports::WriteErrorKind;
use hitchline::session::config::OnInterrupt;

use super::agent::{Act, locked};
use super::people;
use super::slack::Step;
use super::world::World;

const CARD: &str = "What is to become of it?";

/// A world whose turn `text` is cut off by a power cut while its agent speaks, and the thread.
async fn cut_off(policy: OnInterrupt, text: &str) -> (World, Ts) {
    let before = World::with(|rules| rules.on_interrupt = policy).await;
    let thread = before.mention("U1", text).await;
    before.prompted(text).await;
    (before.after_power_cut().await, thread)
}

/// The same where people are asked: the card is there.
async fn asked(text: &str) -> (World, Ts) {
    let (world, thread) = cut_off(OnInterrupt::Ask, text).await;
    world.until_told(&thread, CARD).await;
    assert_all_about(&world, &thread);
    (world, thread)
}

/// All that is said is said about this message, as whoever reads it back can see.
fn assert_all_about(world: &World, message: &Ts) {
    let database = world.database();
    let mut rows = database.prepare("SELECT coalesce(answers, '') FROM outbox").unwrap();
    let about: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(!about.is_empty() && about.iter().all(|ts| ts == message.as_str()), "{about:?}");
}

/// The buttons that a thread shows.
fn buttons(world: &World, thread: &Ts) -> Vec<Button> {
    let rows = |body| match body {
        Body::List(list) => list.rows,
        _ => Vec::<ListRow>::new(),
    };
    let shown = world.slack.thread(thread).into_iter().flat_map(|shown| rows(shown.body));
    shown.filter_map(|row| Some(row.button?.button)).collect()
}

/// Somebody presses a button of the newest card; the answer goes to `reply`.
async fn press(world: &World, user: &str, thread: &Ts, choice: Choice, reply: &str) {
    let chosen = |button: &Button| matches!(button, Button::Interrupted { choice: found, .. } if *found == choice);
    let button = buttons(world, thread).into_iter().rfind(chosen).expect("there is such a button");
    world.deliver(people::choose(user, Some(thread), button, reply)).await;
}

// holds: P-8
#[tokio::test]
async fn a_retried_prompt_is_answered_in_its_thread_and_the_card_says_who_wanted_it() {
    let (world, thread) = asked("risky").await;
    assert_eq!(world.agents.count("prompt"), 0, "nothing is repeated by itself");
    press(&world, "U1", &thread, Choice::Retry, "r").await;
    let session = world.prompted("risky").await;
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "done").await;
    world.rest().await;
    let texts = world.slack.texts(&thread);
    assert!(texts.len() == 2 && texts[0].contains("once more. (<@U1>)"), "{texts:?}");
    assert!(buttons(&world, &thread).is_empty());
    assert_eq!((world.agents.count("restore"), world.agents.count("start")), (1, 0));
}

// holds: S-10
#[tokio::test]
async fn a_resumed_session_is_told_to_go_on_and_with_what() {
    let (world, thread) = asked("risky").await;
    press(&world, "U1", &thread, Choice::Resume, "r").await;
    world.until("a prompt", || world.agents.count("prompt") == 1).await;
    let told = locked(&world.agents.prompts)[0].text.clone();
    assert!(told.contains("do not repeat it") && told.ends_with("the request was:\n\nrisky"), "{told}");
    world.answer_everything(1).await;
    world.rest().await;
    assert!(world.slack.texts(&thread)[0].contains("It is resumed. (<@U1>)"));
}

// holds: S-10
#[tokio::test]
async fn a_session_that_starts_afresh_can_not_go_on_so_it_is_asked_and_that_is_said() {
    let (world, thread) = asked("risky").await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
    press(&world, "U1", &thread, Choice::Resume, "r").await;
    world.prompted("risky").await.ends(Outcome::Completed);
    world.until_told(&thread, "starts afresh").await;
}

#[tokio::test]
async fn what_is_dropped_is_over() {
    let (world, thread) = asked("risky").await;
    press(&world, "UADMIN", &thread, Choice::Drop, "r").await;
    world.until_told(&thread, "It is dropped. (<@UADMIN>)").await;
    let after = world.after_power_cut_in(&world.slack).await;
    after.rest().await;
    assert_eq!((after.slack.texts(&thread).len(), after.agents.count("prompt")), (1, 0));
}

// holds: K-5
#[tokio::test]
async fn only_who_asked_or_an_admin_decides_and_the_first_decision_counts() {
    let (world, thread) = asked("risky").await;
    let card = buttons(&world, &thread);
    press(&world, "U2", &thread, Choice::Retry, "other").await;
    world.until_answered("other", "Only the person who asked").await;
    assert_eq!(buttons(&world, &thread), card, "nothing has changed");
    for (user, button) in [("U1", &card[1]), ("UADMIN", &card[0]), ("U1", &card[1])] {
        let reply = format!("{user} {button:?}");
        world.deliver(people::choose(user, Some(&thread), button.clone(), &reply)).await;
    }
    world.prompted("risky").await.ends(Outcome::Completed);
    world.until_answered(&format!("UADMIN {:?}", card[0]), "settled already").await;
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 1);
}

#[tokio::test]
async fn a_decision_survives_a_crash_before_it_is_acted_upon() {
    let (world, thread) = asked("risky").await;
    world.hold_restores();
    press(&world, "U1", &thread, Choice::Retry, "r").await;
    world.until("it is begun", || world.agents.count("restore") == 1).await;
    let after = world.after_power_cut().await;
    after.prompted("risky").await.ends(Outcome::Completed);
    after.until_told(&thread, "without saying anything").await;
}

// holds: S-6
#[tokio::test]
async fn of_an_ended_session_nothing_is_resumed_but_a_prompt_can_be_sent_anew() {
    let (world, thread) = asked("risky").await;
    world.reply("U1", &thread, "end").await;
    world.until_told(&thread, "has ended").await;
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 0, "the end brings nothing back");
    press(&world, "U1", &thread, Choice::Resume, "r").await;
    world.until_answered("r", "can't be resumed").await;
    press(&world, "U1", &thread, Choice::Retry, "again").await;
    world.prompted("risky").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.mappings()), (1, 1));
}

// holds: S-6
#[tokio::test]
async fn a_session_that_was_ended_while_its_turn_ran_offers_nothing() {
    let before = World::new().await;
    let thread = before.mention("U1", "risky").await;
    let session = before.prompted("risky").await;
    session.set(|manners| (manners.cancel, manners.end) = (Act::Hang, Act::Hang));
    // From then on it is stopped by a cancellation.
    session.says("half").await;
    before.reply("U1", &thread, "end").await;
    before.until("its end", || before.mappings() == 0).await;
    let after = before.after_power_cut_in(&before.slack).await;
    let told = || after.slack.texts(&thread).iter().any(|text| text.contains("half done. The session has ended"));
    // The answer to `end` may have been on its way, and is looked for twice.
    after.until_after(Duration::from_secs(5), told).await;
    assert!(buttons(&after, &thread).is_empty());
}

#[tokio::test]
async fn stopping_all_brings_back_nothing_that_was_interrupted() {
    let (world, thread) = asked("risky").await;
    world.reply("U1", &thread, "!stop all").await;
    world.rest().await;
    let after = world.after_power_cut_in(&world.slack).await;
    after.rest().await;
    assert_eq!(after.agents.count("prompt"), 0);
    press(&after, "U1", &thread, Choice::Retry, "r").await;
    after.prompted("risky").await.ends(Outcome::Completed);
}

/// A thread in which one turn runs and a message waits, and in which everything is to be stopped while the store can't do that.
async fn stopping_all() -> (World, Ts) {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    world.reply("U1", &thread, "second").await;
    let refuse =
        "CREATE TRIGGER refuse BEFORE UPDATE ON inbox WHEN NEW.state = 'done' BEGIN SELECT RAISE(ABORT, 'no'); END";
    world.database().execute_batch(refuse).unwrap();
    world.reply("U1", &thread, "!stop all").await;
    world.settle().await;
    world.database().execute_batch("DROP TRIGGER refuse").unwrap();
    (world, thread)
}

#[tokio::test]
async fn a_stop_of_all_is_tried_again_when_the_store_fails() {
    let (world, thread) = stopping_all().await;
    world.hand.advance(Duration::from_secs(1));
    world.until_told(&thread, "The message that was waiting is dropped").await;
    world.rest().await;
    assert_eq!((world.agents.count("prompt"), world.agents.count("cancel")), (1, 1));
}

// holds: P-8
#[tokio::test]
async fn a_stop_of_all_that_was_cut_off_is_done_before_anything_begins_again() {
    let (before, thread) = stopping_all().await;
    let after = before.after_power_cut().await;
    after.until_told(&thread, "The message that was waiting is dropped").await;
    after.until_told(&thread, "_Stopped._").await;
    after.rest().await;
    assert_eq!(after.agents.count("prompt"), 0);
}

// holds: S-8
#[tokio::test]
async fn what_waited_comes_after_the_card_and_a_resumed_turn_before_what_waited() {
    for policy in [OnInterrupt::Ask, OnInterrupt::Retry] {
        let before = World::with(|rules| rules.on_interrupt = policy).await;
        let thread = before.mention("U1", "first").await;
        before.prompted("first").await;
        before.reply("U1", &thread, "second").await;
        let after = before.after_power_cut().await;
        let expected: &[&str] = if policy == OnInterrupt::Ask { &["second"] } else { &["first", "second"] };
        for text in expected {
            let session = after.prompted(text).await;
            session.says(text).await;
            session.ends(Outcome::Completed);
        }
        after.rest().await;
        let texts = after.slack.texts(&thread);
        assert!(texts[0].contains("interrupted") && texts[1..] == *expected, "{policy:?}: {texts:?}");
    }
}

#[tokio::test]
async fn by_policy_a_turn_goes_on_or_is_lost_without_a_question() {
    for (policy, told, prompted) in [
        (OnInterrupt::Resume, "The agent goes on", 1),
        (OnInterrupt::Retry, "asked once more", 1),
        (OnInterrupt::Drop, "send a message to go on", 0),
    ] {
        let (world, thread) = cut_off(policy, "risky").await;
        world.until_told(&thread, told).await;
        world.until("as the policy says", || world.agents.count("prompt") == prompted).await;
        let asked_again = locked(&world.agents.prompts).iter().any(|prompt| prompt.text == "risky");
        assert_eq!(asked_again, policy == OnInterrupt::Retry, "{policy:?}");
        assert!(buttons(&world, &thread).is_empty());
    }
}

// holds: P-8
#[tokio::test]
async fn what_kills_us_each_time_ends_after_three_attempts() {
    for policy in [OnInterrupt::Retry, OnInterrupt::Resume] {
        let mut world = World::with(|rules| rules.on_interrupt = policy).await;
        let thread = world.mention("U1", "deadly").await;
        for attempt in 1..=3 {
            world.until("a prompt", || world.agents.count("prompt") == 1).await;
            assert_eq!(world.store.count_dead_letters().await.unwrap(), 0, "attempt {attempt}");
            world = world.after_power_cut().await;
        }
        world.until_told(&thread, "hitchline dlq list").await;
        world.rest().await;
        assert_eq!(world.agents.count("prompt"), 0);
        let letters = world.store.dead_letters(9).await.unwrap();
        assert_eq!((letters.len(), letters[0].attempts), (1, 3));
        assert_all_about(&world, &thread);
    }
}

// holds: P-8
#[tokio::test]
async fn a_turn_that_never_reached_its_agent_simply_runs() {
    let before = World::new().await;
    before.hold_starts();
    let thread = before.mention("U1", "!new early").await;
    before.until("its start", || before.agents.count("start") == 1).await;
    let after = before.after_power_cut().await;
    let session = after.prompted("early").await;
    session.says("here").await;
    session.ends(Outcome::Completed);
    after.until_thread_is(&thread, &["here"]).await;
    after.rest().await;
    assert_eq!(after.slack.texts(&thread).len(), 1, "nobody hears of it");
}

// holds: P-8
#[tokio::test]
async fn what_kills_us_before_its_agent_is_reached_ends_after_three_attempts() {
    let mut world = World::new().await;
    world.hold_starts();
    let thread = world.mention("U1", "deadly").await;
    for _ in 0..3 {
        world.until("its start", || world.agents.count("start") == 1).await;
        world = world.after_power_cut_with(|manners| manners.start = Act::Hang).await;
    }
    world.until_told(&thread, "hitchline dlq list").await;
    assert_all_about(&world, &thread);
    assert_eq!(world.agents.count("start"), 0);
}

/// A world in which an answer has begun to grow and the power is cut; in the same workspace.
async fn cut_off_while_growing(by_edits: bool) -> (World, Ts) {
    let before = World::new().await;
    if by_edits {
        before.slack.fail(Step::Start, WriteErrorKind::StreamUnavailable);
    }
    let thread = before.mention("U1", "long").await;
    let session = before.prompted("long").await;
    session.says("half of an answer").await;
    let grows = || before.slack.thread(&thread).len() == 1;
    before.until_after(Duration::from_secs(9), grows).await;
    before.settle().await;
    (before, thread)
}

#[tokio::test]
async fn the_message_that_grew_becomes_the_card() {
    for by_edits in [false, true] {
        let (before, thread) = cut_off_while_growing(by_edits).await;
        let looked = before.slack.count(Step::Look);
        let after = before.after_power_cut_in(&before.slack).await;
        after.until_told(&thread, CARD).await;
        after.rest().await;
        let shown = after.slack.thread(&thread);
        assert!(shown.len() == 1 && !shown[0].streams, "one message, never two: {shown:?}");
        assert_eq!((looked, after.slack.count(Step::Look)), (0, 0), "it was noted");
        press(&after, "U1", &thread, Choice::Drop, "r").await;
        after.until_told(&thread, "It is dropped").await;
        assert_eq!(after.slack.thread(&thread).len(), 1);
    }
}

#[tokio::test]
async fn a_growing_message_of_which_nothing_was_noted_is_found() {
    for by_edits in [false, true] {
        let (before, thread) = cut_off_while_growing(by_edits).await;
        before.database().execute("UPDATE turn SET shown = NULL", []).unwrap();
        let after = before.after_power_cut_in(&before.slack).await;
        after.until_told(&thread, CARD).await;
        after.rest().await;
        assert_eq!(after.slack.thread(&thread).len(), 1, "by edits: {by_edits}");
    }
}

#[tokio::test]
async fn a_growing_message_that_was_refused_at_first_is_found_as_well() {
    let before = World::new().await;
    before.slack.fail(Step::Start, WriteErrorKind::StreamUnavailable);
    before.slack.fail(Step::Post, WriteErrorKind::Rate { after_ms: 1_000 });
    before.slack.fail(Step::Post, WriteErrorKind::Transient { uncertain: false });
    let thread = before.mention("U1", "long").await;
    before.prompted("long").await.says("half of an answer").await;
    before.until_after(Duration::from_secs(9), || before.slack.thread(&thread).len() == 1).await;
    assert_eq!(before.slack.count(Step::Post), 3);
    before.settle().await;
    before.database().execute("UPDATE turn SET shown = NULL", []).unwrap();
    let after = before.after_power_cut_in(&before.slack).await;
    after.until_told(&thread, CARD).await;
    after.rest().await;
    assert_eq!(after.slack.thread(&thread).len(), 1, "one message, never two");
}

// holds: P-8
#[tokio::test]
async fn what_was_said_before_a_question_is_not_written_over() {
    for by_edits in [false, true] {
        let (before, thread) = cut_off_while_growing(by_edits).await;
        // Its final form is on disk, and not in Slack yet.
        before.slack.fail(Step::Update, WriteErrorKind::Transient { uncertain: false });
        before.prompted_now("long").asks("a", &[OptionKind::AllowOnce]).await;
        before.until("an attempt", || before.slack.count(Step::Update) > 0).await;
        let slack = super::slack::FakeSlack::default();
        slack.remember(&before.slack);
        slack.fail(Step::Update, WriteErrorKind::Transient { uncertain: false });
        let after = before.after_power_cut_with_slack(slack).await;
        let told = || after.slack.texts(&thread).iter().any(|text| text.contains(CARD));
        after.until_after(Duration::from_secs(9), told).await;
        after.rest().await;
        let texts = after.slack.texts(&thread);
        assert!(texts[0] == "half of an answer" && texts.len() == 2, "by edits: {by_edits}: {texts:?}");
    }
}

#[tokio::test]
async fn a_card_comes_even_where_slack_lets_nobody_look() {
    let before = World::new().await;
    let thread = before.mention("U1", "hello").await;
    before.prompted("hello").await;
    let slack = super::slack::FakeSlack::default();
    slack.fail(Step::Look, WriteErrorKind::Permanent);
    let after = before.after_power_cut_with_slack(slack).await;
    after.until_told(&thread, CARD).await;
}

// holds: S-8
#[tokio::test]
async fn f_20_of_what_waits_the_earlier_said_is_answered_first() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    let (earlier, later) = (world.ts(), world.ts());
    world.deliver(people::reply("U1", &thread, &later, "said later")).await;
    world.deliver(people::reply("U1", &thread, &earlier, "said earlier")).await;
    session.ends(Outcome::Completed);
    for text in ["said earlier", "said later"] {
        let session = world.prompted(text).await;
        session.says(text).await;
        session.ends(Outcome::Completed);
    }
    world.rest().await;
    assert_eq!(world.slack.texts(&thread)[1..], ["said earlier", "said later"]);
}

// holds: S-8
#[tokio::test]
async fn f_20_what_comes_after_a_later_message_whose_turn_runs_is_answered_next_and_its_author_told() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    let earlier = [world.ts(), world.ts()];
    let running = world.ts();
    session.ends(Outcome::Completed);
    world.rest().await;
    world.deliver(people::reply("U1", &thread, &running, "said later")).await;
    let session = world.prompted("said later").await;
    for (ts, text) in earlier.iter().zip(["said earlier", "said early"]) {
        world.deliver(people::reply("U2", &thread, ts, text)).await;
    }
    world.until_whispered("U2", "after a later one").await;
    session.ends(Outcome::Completed);
    for text in ["said earlier", "said early"] {
        world.prompted(text).await.ends(Outcome::Completed);
    }
    world.rest().await;
    assert_eq!(locked(&world.slack.whispers).len(), 1, "once for each turn");
    world.reply("U1", &thread, "in order").await;
    world.prompted("in order").await;
    world.reply("U1", &thread, "in order, too").await;
    world.settle().await;
    assert_eq!(locked(&world.slack.whispers).len(), 1);
}
