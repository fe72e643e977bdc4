//! Processes that send what is owed, one after the other on the same store, until nothing is.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hitchline::clock::{Clock, Hand};
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::outgoing::{Op, Owed};
use hitchline::outbox::Outbox;
use hitchline::scope::Scope;
use hitchline::store::Store;

use crate::workspace::{Cut, Line, Workspace};

/// How much time goes by at once.
const TICK: Duration = Duration::from_millis(250);

pub(crate) fn conversation(thread: usize) -> ConversationKey {
    ConversationKey { team: "T1".into(), channel: "C1".into(), thread: format!("1.{thread:06}").as_str().into() }
}

pub(crate) fn owed(conversation: &ConversationKey, op: Op) -> Owed {
    let id = hitchline::domain::ids::OwedId::new();
    Owed { id, conversation: conversation.clone(), turn: None, answers: None, op }
}

/// One process, from its start to its end in order or to the cut, with a runtime of its own: whatever it had in memory is gone then.
/// Returns the wall time of its end.
pub(crate) fn run(dir: &Path, workspace: &Arc<Workspace>, start_ms: i64, new: &[Owed], cut: Option<Cut>) -> i64 {
    workspace.begin(cut);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(dir).unwrap();
        let (clock, hand) = Clock::manual(start_ms);
        let line = Line { workspace: workspace.clone(), clock: clock.clone() };
        let outbox = Outbox::new(store.clone(), Arc::new(line), clock.clone(), Scope::new());
        outbox.recover(true).await.unwrap();
        for rows in new.chunk_by(|a, b| a.conversation == b.conversation) {
            store.owe(rows.to_vec(), None, start_ms).await.unwrap();
            drop(outbox.send(rows.to_vec()));
        }
        let ended = tokio::time::timeout(Duration::from_mins(2), until_over(&outbox, &store, &hand, workspace)).await;
        assert!(ended.is_ok(), "it came to no end: {outbox:?}");
        store.close().await;
        clock.wall_ms()
    })
}

/// Turns the clock until nothing is owed or the process is dead.
async fn until_over(outbox: &Outbox, store: &Store, hand: &Hand, workspace: &Workspace) {
    while !*workspace.dead.borrow() && store.last_owed().await.unwrap().is_some() {
        // Once through the writer, so that what can go on without the clock does so.
        store.probe().await.unwrap();
        hand.advance(TICK);
    }
    drop(outbox.clone());
}
