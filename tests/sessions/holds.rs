//! Turns that are held back everywhere, and clocks that jump.

use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::ports::Receipt;
use hitchline::session::Hold;

use super::agent::locked;
use super::people;
use super::world::{INACTIVITY, World};

/// Longer than what is about to begin goes without a mark.
const A_WHILE: Duration = Duration::from_secs(1);
const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn in_safe_mode_messages_wait_and_then_one_conversation_goes_on_before_the_others() {
    let world = World::new().await;
    world.manager.hold(Hold::Everything);
    let threads = [world.mention("U1", "one").await, world.mention("U2", "two").await];
    world.mention("U1", "!list").await;
    world.settle().await;
    world.hand.advance(A_WHILE);
    world.until("marks on what waits", || locked(&world.slack.marked).iter().eq(&threads)).await;
    assert_eq!((world.agents.count("start"), world.slack.texts(&threads[0]).len()), (0, 0));
    world.manager.hold(Hold::OneAtATime);
    world.until("a turn", || world.agents.count("prompt") == 1).await;
    world.settle().await;
    assert_eq!(world.agents.count("prompt"), 1, "the others wait for its end");
    let tried = locked(&world.agents.prompts)[0].clone();
    tried.session.ends(Outcome::Completed);
    world.until("the other turn", || world.agents.count("prompt") == 2).await;
    assert_eq!(*world.manager.held().borrow(), Hold::Nothing);
}

#[tokio::test]
async fn what_is_held_back_does_not_hold_up_a_stop_and_waits_for_the_next_start() {
    let world = World::new().await;
    world.manager.hold(Hold::Everything);
    let thread = world.mention("U1", "wait").await;
    world.settle().await;
    world.stop().await;
    world.until("rest", || world.manager.stats().busy == 0).await;
    let next = world.after_power_cut().await;
    next.prompted("wait").await.says("at last").await;
    next.prompted_now("wait").ends(Outcome::Completed);
    next.until_told(&thread, "at last").await;
}

#[tokio::test]
async fn f_37_a_clock_that_jumps_ends_no_turn_and_forgets_no_message() {
    let world = World::new().await;
    let thread = world.ts();
    world.deliver(people::mention("U1", &thread, "hello")).await;
    let session = world.prompted("hello").await;
    for hours in [1, -1, 24, -24, -240, 24 * 365] {
        world.hand.set_wall_clock(hours * HOUR_MS);
        world.settle().await;
        let again = world.deliver(people::mention("U1", &thread, "hello")).await;
        assert_eq!(again, Receipt::Duplicate, "{hours} h");
    }
    assert_eq!(world.agents.count("cancel"), 0, "no time-out fired");
    session.says("here").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "here").await;
    world.hand.set_wall_clock(-HOUR_MS);
    world.reply("U1", &thread, "again").await;
    world.prompted("again").await;
    world.hand.advance(INACTIVITY);
    world.until("the time-out of a turn, which counts real time", || world.agents.count("cancel") == 1).await;
}
