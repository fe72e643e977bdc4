//! Processes of agents that have lost their parents: they become our children, so that none escapes unseen, and none stays as a corpse.

use std::collections::HashSet;
use std::time::Duration;

use super::proc::{self, Stat};
use crate::clock::Clock;

/// How often we look for dead orphans. One that is found twice is no child of ours by birth: those are reaped at once.
const EVERY: Duration = Duration::from_secs(10);

/// Makes us the parent of every descendant that loses its own. Without it an init would have to be there, which containers often lack.
#[cfg(target_os = "linux")]
pub(super) fn adopt() {
    // Any number but none means "on".
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "Processes that agents leave behind can't be adopted; their marks are still looked for");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn adopt() {}

/// Reaps, for as long as it runs, orphans that died by themselves.
pub(super) async fn reap(clock: Clock) {
    let mut seen = HashSet::new();
    loop {
        clock.sleep(EVERY).await;
        let dead = tokio::task::spawn_blocking(dead_children).await.unwrap_or_default();
        dead.intersection(&seen).for_each(|(id, _started)| reap_one(*id));
        seen = dead;
    }
}

/// Our children that are dead and not reaped, each with the time of its start: a number can be given away again.
fn dead_children() -> HashSet<(i32, u64)> {
    let own = i32::try_from(std::process::id()).ok();
    let dead = |(id, stat): (i32, Stat)| {
        let ours = Some(stat.parent) == own && stat.is_dead;
        ours.then_some((id, stat.started))
    };
    proc::all().filter_map(dead).collect()
}

fn reap_one(id: i32) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    if waitpid(Pid::from_raw(id), WaitOptions::NOHANG).is_ok() {
        tracing::debug!(process.id = id, "A process that an agent left behind had died; it is reaped");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_child_that_nobody_reaps_is_reaped_at_the_second_look() {
        let mut child = Command::new("true").spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        while !Stat::of(id).unwrap().is_dead {
            std::thread::yield_now();
        }
        let (clock, hand) = Clock::manual(0);
        let mut reaping = Box::pin(reap(clock));
        while Stat::of(id).is_some() {
            assert!(futures_util::poll!(reaping.as_mut()).is_pending());
            hand.advance(EVERY);
            tokio::task::yield_now().await;
        }
        assert!(child.wait().is_err(), "nothing is left to be waited for");
    }
}
