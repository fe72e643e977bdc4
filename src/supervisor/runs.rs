//! The daemon's own runs, of which none may leave a process behind.

use crate::backend;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// Makes sure that nothing is left of earlier runs, and begins this one. The store's lock says that none of them is alive.
pub(super) async fn begin(store: &Store, clock: &Clock) -> Result<String, StoreError> {
    end_earlier(store).await?;
    let run_id = uuid::Uuid::new_v4().simple().to_string();
    store.begin_run(run_id.clone(), clock.wall_ms()).await?;
    Ok(run_id)
}

/// Ends every process that is left of earlier runs.
pub(super) async fn end_earlier(store: &Store) -> Result<(), StoreError> {
    for earlier in store.open_runs().await? {
        let run_id = earlier.clone();
        // A crash of it leaves the run open for the next start.
        if tokio::task::spawn_blocking(move || backend::kill_leftovers(&run_id)).await.is_ok() {
            store.close_run(earlier).await?;
        }
    }
    Ok(())
}
