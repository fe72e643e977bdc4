//! What waits for its turn: it bears a mark, and may still be changed or taken back.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::{Message, What};
use hitchline::domain::ports::Receipt;

use super::agent::locked;
use super::people;
use super::world::World;

/// Longer than what is about to begin goes without a mark.
const A_WHILE: Duration = Duration::from_secs(1);

/// A thread whose agent works, and two messages that wait.
struct Queue {
    world: World,
    thread: Ts,
    waiting: [Ts; 2],
}

async fn queue() -> Queue {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    let waiting = [world.ts(), world.ts()];
    for (ts, text) in waiting.iter().zip(["second", "third"]) {
        world.deliver(people::reply("U1", &thread, ts, text)).await;
    }
    Queue { world, thread, waiting }
}

impl Queue {
    async fn until_marked(&self, marked: &[&Ts]) {
        let is_so = || locked(&self.world.slack.marked).iter().collect::<Vec<_>>() == marked;
        self.world.until(&format!("marks on {marked:?}"), is_so).await;
    }

    fn edit(&self, user: &str, ts: &Ts, text: &str) -> hitchline::domain::inbound::Inbound {
        let text = text.to_owned();
        let message =
            Message { ts: ts.clone(), thread: Some(self.thread.clone()), text, mention: false, files: Vec::new() };
        people::by(user, &format!("edit {ts} {}", message.text), What::Edited(message))
    }

    fn delete(&self, user: &str, ts: &Ts) -> hitchline::domain::inbound::Inbound {
        let what = What::Deleted { ts: ts.clone(), thread: Some(self.thread.clone()) };
        people::by(user, &format!("delete {ts}"), what)
    }
}

// holds: S-8
#[tokio::test]
async fn what_waits_bears_a_mark_until_its_turn_comes() {
    let queue = queue().await;
    let (world, [second, third]) = (&queue.world, &queue.waiting);
    world.settle().await;
    queue.until_marked(&[]).await;
    world.hand.advance(A_WHILE);
    queue.until_marked(&[second, third]).await;
    world.prompted_now("first").ends(Outcome::Completed);
    let session = world.prompted("second").await;
    queue.until_marked(&[third]).await;
    session.ends(Outcome::Completed);
    world.prompted("third").await.ends(Outcome::Completed);
    queue.until_marked(&[]).await;
}

// holds: S-8
#[tokio::test]
async fn the_end_of_a_session_takes_its_marks_along() {
    let queue = queue().await;
    let world = &queue.world;
    world.settle().await;
    world.hand.advance(A_WHILE);
    queue.until_marked(&[&queue.waiting[0], &queue.waiting[1]]).await;
    world.reply("U1", &queue.thread, "end").await;
    world.until_told(&queue.thread, "2 messages that were waiting have not been passed on").await;
    queue.until_marked(&[]).await;
}

// holds: S-4
#[tokio::test]
async fn what_waited_for_a_session_that_is_gone_is_not_passed_on_and_that_is_said() {
    let queue = queue().await;
    let world = &queue.world;
    world.settle().await;
    world.hand.advance(A_WHILE);
    world.prompted_now("first").ends(Outcome::Failed(BackendError::Ended));
    world.until_told(&queue.thread, "2 messages that were waiting have not been passed on").await;
    world.rest().await;
    queue.until_marked(&[]).await;
    assert_eq!((world.agents.count("prompt"), world.mappings()), (1, 0));
}

// holds: S-8, P-8
#[tokio::test]
async fn a_mark_that_an_earlier_process_left_is_taken_off() {
    let queue = queue().await;
    let after = queue.world.after_power_cut().await;
    locked(&after.slack.marked).extend(queue.waiting.clone());
    for text in ["second", "third"] {
        after.prompted(text).await.ends(Outcome::Completed);
    }
    after.until("no marks", || locked(&after.slack.marked).is_empty()).await;
}

// holds: S-8
#[tokio::test]
async fn f_21_an_edit_of_what_waits_replaces_it_and_a_deletion_takes_it_back() {
    let queue = queue().await;
    let (world, [second, third]) = (&queue.world, &queue.waiting);
    assert_eq!(world.deliver(queue.edit("U2", second, "somebody else's words")).await, Receipt::Ignored);
    assert_eq!(world.deliver(queue.edit("U1", second, "better")).await, Receipt::Stored);
    assert_eq!(world.deliver(queue.edit("U1", second, "better")).await, Receipt::Duplicate);
    assert_eq!(world.deliver(queue.delete("U1", third)).await, Receipt::Stored);
    world.prompted_now("first").ends(Outcome::Completed);
    world.prompted("better").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 2);
    assert_eq!(world.deliver(queue.edit("U1", second, "too late")).await, Receipt::Ignored);
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 2, "an edit never starts a turn");
}

// holds: S-8
#[tokio::test]
async fn f_21_an_edit_of_what_runs_is_told_to_come_too_late_and_after_the_answer_it_is_nothing() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    let session = world.prompted("first").await;
    let edit = |user: &str, text: &str| {
        let message = Message { ts: thread.clone(), thread: None, text: text.into(), mention: true, files: Vec::new() };
        people::by(user, &format!("edit {text}"), What::Edited(message))
    };
    assert_eq!(world.deliver(edit("U1", "better")).await, Receipt::Ignored);
    world.until_whispered("U1", "as it was before").await;
    session.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.deliver(edit("U1", "better still")).await, Receipt::Ignored);
    world.settle().await;
    assert_eq!((world.agents.count("prompt"), locked(&world.slack.whispers).len()), (1, 1));
}

// holds: S-8, K-5
#[tokio::test]
async fn f_22_who_deletes_what_runs_is_offered_to_stop_it() {
    let world = World::new().await;
    let thread = world.mention("U1", "first").await;
    world.prompted("first").await;
    let what = What::Deleted { ts: thread.clone(), thread: None };
    assert_eq!(world.deliver(people::by("U1", "delete", what)).await, Receipt::Ignored);
    world.until_whispered("U1", "you have deleted").await;
    let stop = world.slack.buttons().pop().expect("a button");
    world.deliver(people::choose("U1", Some(&thread), stop, "stop")).await;
    world.until_told(&thread, "Stopped").await;
    world.rest().await;
    assert_eq!(world.agents.count("cancel"), 1);
}

#[tokio::test]
async fn f_22_what_waits_and_is_deleted_is_never_run() {
    let queue = queue().await;
    let (world, [second, third]) = (&queue.world, &queue.waiting);
    assert_eq!(world.deliver(queue.delete("U1", second)).await, Receipt::Stored);
    world.prompted_now("first").ends(Outcome::Completed);
    world.prompted("third").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!(world.agents.count("prompt"), 2, "{third}");
}
