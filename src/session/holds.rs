//! What holds turns back in the whole daemon: too little room on the disk, or crashes of the runs before.
//!
//! Messages are stored all the same and wait in their lines. A line that may not go on keeps its place and waits here.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::manager::Manager;
use crate::domain::ports::Line;
use crate::store::{Room, Store};

/// How far turns, and commands that wait in lines, are held back because runs before this one have crashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hold {
    /// Not at all.
    #[default]
    Nothing,
    /// One conversation may go on at a time, until a turn has come to its end.
    OneAtATime,
    /// None may go on.
    Everything,
}

/// All that holds turns back.
pub(super) struct Holds {
    hold: watch::Sender<Hold>,
    room: watch::Receiver<Room>,
    /// Held by the one conversation that goes on.
    trial: Arc<Semaphore>,
    /// Cancelled when we begin to stop: lines go on then, to their end.
    stopping: CancellationToken,
}

impl Holds {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            hold: watch::Sender::new(Hold::Nothing),
            room: store.room(),
            trial: Arc::new(Semaphore::new(1)),
            stopping: CancellationToken::new(),
        }
    }

    /// Whether what is stored for a line now has to wait, whoever else waits.
    pub(super) fn holds(&self, line: Line) -> bool {
        let no_room = line == Line::Turn && !self.room.borrow().has_room_for_turns();
        no_room || *self.hold.borrow() != Hold::Nothing
    }

    /// Waits until a line may go on with its next message, or we begin to stop. What is returned is kept until that is handled.
    pub(super) async fn pass(&self, line: Line) -> Option<OwnedSemaphorePermit> {
        self.stopping.run_until_cancelled(self.passed(line)).await.flatten()
    }

    async fn passed(&self, line: Line) -> Option<OwnedSemaphorePermit> {
        let mut room = self.room.clone();
        let mut hold = self.hold.subscribe();
        loop {
            if line == Line::Turn {
                // The store is gone only when nothing can be written any more.
                let _gone = room.wait_for(|room| room.has_room_for_turns()).await;
            }
            let now = *hold.borrow_and_update();
            let permit = match now {
                Hold::Nothing => return None,
                Hold::OneAtATime => Some(self.trial.clone().acquire_owned()),
                Hold::Everything => None,
            };
            let permit = async {
                match permit {
                    Some(permit) => permit.await.ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _changed = hold.changed() => {}
                permit = permit => return permit,
            }
        }
    }

    /// A turn has come to its end: whatever made earlier runs crash, it was not this.
    pub(super) fn turn_ended(&self) {
        self.hold.send_if_modified(|hold| {
            let was_trial = *hold == Hold::OneAtATime;
            if was_trial {
                *hold = Hold::Nothing;
            }
            was_trial
        });
    }

    /// Lets every line look whether it stops.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }
}

impl Manager {
    /// Holds turns back, or lets them go on.
    pub fn hold(&self, hold: Hold) {
        self.0.holds.hold.send_replace(hold);
    }

    /// How far turns are held back because of crashes.
    pub fn held(&self) -> watch::Receiver<Hold> {
        self.0.holds.hold.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn holds() -> (Holds, Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (Holds::new(&store), store, dir)
    }

    fn passes(holds: &Holds, line: Line) -> bool {
        holds.pass(line).now_or_never().is_some()
    }

    #[tokio::test]
    async fn what_holds_back_which_line() {
        let (holds, store, _dir) = holds();
        for (hold, room, turn, command) in [
            (Hold::Nothing, Room::Ample, true, true),
            (Hold::Nothing, Room::Scarce(1), false, true),
            (Hold::Nothing, Room::Kept(1), false, true),
            (Hold::Everything, Room::Ample, false, false),
            (Hold::OneAtATime, Room::Ample, true, true),
            (Hold::OneAtATime, Room::Scarce(1), false, true),
        ] {
            holds.hold.send_replace(hold);
            store.pretend(room);
            assert_eq!(passes(&holds, Line::Turn), turn, "{hold:?} {room:?}");
            assert_eq!(passes(&holds, Line::Command), command, "{hold:?} {room:?}");
            assert_eq!(holds.holds(Line::Turn), hold != Hold::Nothing || room != Room::Ample, "{hold:?} {room:?}");
        }
    }

    #[tokio::test]
    async fn one_conversation_is_tried_and_its_turns_end_lets_the_others_go_on() {
        let (holds, _store, _dir) = holds();
        holds.hold.send_replace(Hold::OneAtATime);
        let first = holds.pass(Line::Turn).await;
        assert!(first.is_some());
        let mut second = std::pin::pin!(holds.pass(Line::Turn));
        assert!(second.as_mut().now_or_never().is_none(), "one at a time");
        drop(first);
        let second = second.await;
        assert!(second.is_some(), "the next is tried when the first was no turn");
        let mut third = std::pin::pin!(holds.pass(Line::Turn));
        assert!(third.as_mut().now_or_never().is_none());
        holds.turn_ended();
        assert!(third.await.is_none() && !holds.holds(Line::Turn), "nothing is held any more");
    }

    #[tokio::test]
    async fn a_turn_that_ends_while_everything_is_held_proves_nothing() {
        let (holds, _store, _dir) = holds();
        holds.hold.send_replace(Hold::Everything);
        holds.turn_ended();
        assert!(!passes(&holds, Line::Turn));
        holds.stop();
        assert!(passes(&holds, Line::Turn), "a line that is held stops with the rest");
    }
}
