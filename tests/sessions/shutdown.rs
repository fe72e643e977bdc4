//! Coming to rest: draining, releasing, twice, side by side, and with sessions that don't cooperate.

use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use hitchline::backend::Outcome;
use hitchline::backend::error::BackendError;
use hitchline::domain::agent::OptionKind;
use hitchline::domain::outgoing::ApprovalState;
use hitchline::domain::ports::Line;

use super::agent::{Act, locked};
use super::logs;
use super::people;
use super::puppet::Puppet;
use super::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A world with so many idle live sessions.
async fn with_sessions(count: usize) -> (World, Vec<Arc<Puppet>>) {
    let world = World::new().await;
    let mut sessions = Vec::new();
    for n in 0..count {
        world.mention("U1", &format!("hello {n}")).await;
        let session = world.prompted(&format!("hello {n}")).await;
        session.ends(Outcome::Completed);
        sessions.push(session);
    }
    world.rest().await;
    assert_eq!(world.manager.stats().active, count);
    (world, sessions)
}

fn released(world: &World, session: &Puppet) -> bool {
    locked(&world.agents.calls).contains(&format!("release {}", session.name()))
}

// holds: P-3, P-5
#[tokio::test]
async fn one_session_that_does_not_go_does_not_stop_the_others() {
    let failing = || Act::Fail(BackendError::Transient("stuck".into()));
    for act in [failing(), Act::Hang, Act::Panic] {
        let (world, sessions) = with_sessions(5).await;
        sessions[1].set(|manners| manners.release = act.clone());
        let deadline = world.clock.now() + SECOND;
        let release = world.manager.release(deadline);
        tokio::pin!(release);
        let early = futures_util::poll!(release.as_mut());
        assert!(sessions.iter().all(|session| released(&world, session)), "all are asked side by side; {act:?}");
        assert_eq!(early.is_ready(), !matches!(act, Act::Hang));
        world.hand.advance(SECOND);
        if early.is_pending() {
            assert_eq!(release.await, 1, "{act:?}");
        }
        assert_eq!(world.agents.count("shutdown"), 1, "{act:?}");
        assert_eq!(world.mappings(), 5, "what is released is not ended");
    }
}

// holds: P-3, P-5, P-7
#[tokio::test]
async fn of_a_hundred_sessions_each_that_fails_to_go_is_one_line_in_the_log() {
    let (world, sessions) = with_sessions(100).await;
    for (n, session) in sessions.iter().take(15).enumerate() {
        let act = if n < 10 { Act::Hang } else { Act::Fail(BackendError::Transient("stuck".into())) };
        session.set(|manners| manners.release = act.clone());
    }
    logs::collect();
    let deadline = world.clock.now() + SECOND;
    let (failed, ()) = world.within(async { tokio::join!(world.manager.release(deadline), world.time_passes()) }).await;
    assert_eq!(failed, 15);
    let lines = (logs::with("did not end in time").len(), logs::with("did not end properly").len());
    assert_eq!(lines, (10, 5));
    assert_eq!((world.manager.stats().total, world.mappings()), (0, 100));
}

// holds: P-7
#[tokio::test]
async fn draining_says_how_far_it_is_and_the_numbers_tell() {
    let (world, _sessions) = with_sessions(2).await;
    world.mention("U1", "works").await;
    world.prompted("works").await;
    logs::collect();
    let (grace, deadline) = (world.clock.now() + 4 * SECOND, world.clock.now() + 8 * SECOND);
    let drained = async {
        world.settle().await;
        let stats = world.manager.stats();
        assert_eq!((stats.total, stats.active, stats.draining, stats.busy, stats.closed), (3, 0, 3, 1, true));
        for second in 1..4 {
            world.time_passes().await;
            world.until("a word each second", || logs::with("turns still run").len() == second).await;
        }
        world.time_passes().await;
    };
    world.within(async { tokio::join!(world.manager.drain(grace, deadline), drained) }).await;
    assert_eq!(logs::with("turns still run").len(), 3, "each second");
}

// holds: P-3
#[tokio::test]
async fn a_backend_that_does_not_stop_is_left_at_the_deadline() {
    for act in [Act::Hang, Act::Panic] {
        let (world, _sessions) = with_sessions(1).await;
        locked(&world.agents.manners).shutdown = act;
        let deadline = world.clock.now() + SECOND;
        world.within(async { tokio::join!(world.manager.release(deadline), world.time_passes()) }).await;
    }
}

// holds: P-4
#[tokio::test]
async fn draining_and_releasing_twice_is_fine() {
    let (world, sessions) = with_sessions(3).await;
    let (grace, deadline) = (world.clock.now() + SECOND, world.clock.now() + 2 * SECOND);
    let both = async { tokio::join!(world.manager.drain(grace, deadline), world.manager.drain(grace, deadline)) };
    world.within(both).await;
    let both = async { tokio::join!(world.manager.release(deadline), world.manager.release(deadline)) };
    assert_eq!(world.within(both).await, (0, 0));
    assert_eq!(world.within(world.manager.release(deadline)).await, 0);
    assert!(sessions.iter().all(|session| released(&world, session)));
    assert_eq!((world.manager.stats().total, world.manager.stats().closed), (0, true));
}

// holds: P-1, P-4
#[tokio::test]
async fn a_release_that_is_left_half_way_can_be_begun_again() {
    let (world, sessions) = with_sessions(3).await;
    sessions[0].set(|manners| manners.release = Act::Hang);
    let deadline = world.clock.now() + SECOND;
    {
        let first = world.manager.release(deadline);
        tokio::pin!(first);
        assert!(poll!(first.as_mut()).is_pending());
        // A later call waits for it.
        let second = world.manager.release(deadline);
        tokio::pin!(second);
        assert!(poll!(second.as_mut()).is_pending());
    }
    sessions[0].set(|manners| manners.release = Act::Obey);
    assert_eq!(world.within(world.manager.release(deadline)).await, 0);
    assert!(!sessions[0].is_running(), "it was asked again");
}

// holds: P-2
#[tokio::test]
async fn turns_may_finish_and_what_is_left_is_told() {
    let world = World::new().await;
    let (quick, slow) = (world.mention("U1", "quick").await, world.mention("U1", "slow").await);
    let (finishing, _staying) = (world.prompted("quick").await, world.prompted("slow").await);
    let asking = world.mention("U1", "asking").await;
    world.prompted("asking").await.asks("a", &[OptionKind::AllowOnce]).await;
    world.card(&asking).await;
    let now = world.clock.now();
    let drain = world.manager.drain(now + 5 * SECOND, now + 7 * SECOND);
    tokio::pin!(drain);
    assert!(poll!(drain.as_mut()).is_pending());
    world.reply("U1", &quick, "too late").await;
    finishing.says("in time").await;
    finishing.ends(Outcome::Completed);
    world.until_thread_is(&quick, &["in time"]).await;
    assert!(poll!(drain.as_mut()).is_pending());
    world.hand.advance(5 * SECOND);
    world.within(drain).await;
    world.until_told(&slow, "restarting").await;
    world.until_told(&asking, "restarting").await;
    assert_eq!(world.slack.cards(&asking)[0].1.state, ApprovalState::Withdrawn);
    assert_eq!(world.agents.count("prompt"), 3, "no turn starts any more");
    assert_eq!(
        world.store.queued(Line::Turn, 0, 9).await.unwrap().len(),
        1,
        "what came meanwhile waits for the next start"
    );
}

// holds: P-2
#[tokio::test]
async fn a_turn_whose_session_still_starts_is_told_too() {
    let world = World::new().await;
    locked(&world.agents.manners).start = Act::Hang;
    let thread = world.mention("U1", "hello").await;
    world.until("a start", || world.agents.count("start") == 1).await;
    let now = world.clock.now();
    let drain = world.manager.drain(now, now + SECOND);
    world.within(drain).await;
    world.until_told(&thread, "restarting").await;
}

// holds: P-8
#[tokio::test]
async fn a_turn_that_was_committed_while_draining_began_is_run() {
    let world = World::new().await;
    let ts = world.ts();
    let delivery = world.deliver(people::mention("U1", &ts, "just in time"));
    tokio::pin!(delivery);
    // It is claimed, and its commit is on its way.
    assert!(poll!(delivery.as_mut()).is_pending());
    let now = world.clock.now();
    let drain = world.manager.drain(now + SECOND, now + SECOND);
    tokio::pin!(drain);
    assert!(poll!(drain.as_mut()).is_pending());
    delivery.await;
    let session = world.prompted("just in time").await;
    session.says("done").await;
    session.ends(Outcome::Completed);
    world.within(drain).await;
    world.until_thread_is(&ts, &["done"]).await;
}
