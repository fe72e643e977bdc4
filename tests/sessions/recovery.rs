//! What a power cut leaves is taken up: once.

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::OptionKind;
use hitchline::domain::outgoing::ApprovalState;

use super::agent::{Act, locked};
use super::people;
use super::world::World;

// holds: P-8, S-10
#[tokio::test]
async fn a_turn_that_was_cut_off_is_told_and_what_waited_is_answered() {
    let before = World::new().await;
    let thread = before.mention("U1", "cut off").await;
    before.prompted("cut off").await.says("half of").await;
    before.reply("U1", &thread, "second").await;
    before.reply("U1", &thread, "third").await;
    let other = before.mention("U2", "elsewhere").await;
    before.prompted("elsewhere").await.ends(Outcome::Completed);
    before.until_told(&other, "without saying anything").await;
    before.settle().await;

    let after = before.after_power_cut().await;
    for text in ["second", "third"] {
        let session = after.prompted(text).await;
        session.says(&format!("about {text}")).await;
        session.ends(Outcome::Completed);
    }
    after.rest().await;
    let texts = after.slack.texts(&thread);
    assert!(texts.len() == 3 && texts[0].contains("interrupted"), "{texts:?}");
    assert_eq!(texts[1..], ["about second", "about third"]);
    assert!(after.slack.texts(&other).is_empty(), "what was answered is not answered again");
    assert_eq!((after.agents.count("restore"), after.agents.count("start")), (1, 0), "the same session goes on");

    let again = after.after_power_cut().await;
    again.settle().await;
    assert!(again.slack.texts(&thread).is_empty(), "{:?}", again.slack);
    assert_eq!(again.agents.count("prompt"), 0);
}

// holds: S-10
#[tokio::test]
async fn f_57_a_session_that_is_lost_is_replaced_and_says_so() {
    for lost in [BackendError::Unknown, BackendError::Unsupported("restoring")] {
        let before = World::new().await;
        let thread = before.mention("U1", "hello").await;
        before.prompted("hello").await.says("half of").await;
        before.settle().await;
        let after = before.after_power_cut().await;
        locked(&after.agents.manners).restore = Act::Fail(lost);
        after.until_told(&thread, "interrupted").await;
        after.reply("U1", &thread, "go on").await;
        let session = after.prompted("go on").await;
        session.says("gladly").await;
        session.ends(Outcome::Completed);
        after.until_told(&thread, "starts afresh").await;
        after.until_told(&thread, "gladly").await;
    }
}

// holds: S-4, S-6
#[tokio::test]
async fn what_its_backend_calls_ended_is_not_started_again() {
    let before = World::echoing().await;
    let thread = before.mention("U1", "hello").await;
    before.until_thread_is(&thread, &["hello"]).await;
    let after = before.after_power_cut().await;
    locked(&after.agents.manners).restore = Act::Fail(BackendError::Ended);
    after.reply("U1", &thread, "go on").await;
    after.until_told(&thread, "Session has ended").await;
    after.rest().await;
    assert_eq!(after.mappings(), 0);
}

// holds: S-6, S-7, M-3
#[tokio::test]
async fn ended_stays_ended_and_kept_stays_kept() {
    let before = World::echoing().await;
    let (kept, ended) = (before.mention("U1", "one").await, before.mention("U1", "two").await);
    before.until_thread_is(&kept, &["one"]).await;
    before.until_thread_is(&ended, &["two"]).await;
    before.reply("U1", &ended, "end").await;
    before.until_told(&ended, "has ended").await;
    let record = before.store.session_in(&people::key(&kept)).await.unwrap();
    let after = before.after_power_cut().await;
    assert_eq!(after.mappings(), 1);
    assert_eq!(after.store.session_in(&people::key(&kept)).await.unwrap(), record);
    after.agents.echo.store(true, std::sync::atomic::Ordering::Relaxed);
    after.reply("U1", &ended, "still there?").await;
    after.reply("U1", &kept, "go on").await;
    after.until_thread_is(&kept, &["go on"]).await;
    after.rest().await;
    assert!(after.slack.texts(&ended).is_empty());
}

// holds: T-2
#[tokio::test]
async fn an_event_that_comes_again_after_a_restart_is_known() {
    let before = World::echoing().await;
    let ts = before.ts();
    let event = people::mention("U1", &ts, "hello");
    before.deliver(event.clone()).await;
    before.until_thread_is(&ts, &["hello"]).await;
    let after = before.after_power_cut().await;
    after.deliver(event).await;
    after.rest().await;
    assert_eq!((after.agents.count("prompt"), after.slack.texts(&ts).len()), (0, 0));
}

// holds: K-5
#[tokio::test]
async fn f_56_after_a_restart_a_question_has_no_buttons_and_a_late_press_does_nothing() {
    let before = World::new().await;
    let thread = before.mention("U1", "hello").await;
    before.prompted("hello").await.asks("a", &[OptionKind::AllowOnce, OptionKind::RejectOnce]).await;
    let (at, card) = before.card(&thread).await;
    before.rest_of_outbox().await;
    let after = before.after_power_cut_in(&before.slack).await;
    after.until("a closed question", || after.slack.cards(&thread)[0].1.state == ApprovalState::CutOff).await;
    after.until_told(&thread, "interrupted").await;
    after.deliver(people::press("U1", &thread, &at, card.id, 0, "late")).await;
    after.until_answered("late", "settled already").await;
    assert_eq!(after.slack.cards(&thread)[0].1.state, ApprovalState::CutOff);
    let again = after.after_power_cut_in(&after.slack).await;
    again.rest().await;
    assert_eq!(again.slack.thread(&thread).len(), 2, "closed once");
}
