//! The daemon's own runs, of which none may leave a process behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{self, config};
use crate::clock::Clock;
use crate::store::{SessionFilter, Store, StoreError};

/// Makes sure that nothing is left of earlier runs but what may outlive them, and begins this one. The store's lock says that none of
/// them is alive.
pub(super) async fn begin(
    store: &Store,
    backends: &BTreeMap<String, config::Config>,
    clock: &Clock,
) -> Result<String, StoreError> {
    let recorded = store.sessions(SessionFilter { limit: usize::MAX, ..SessionFilter::default() }).await?;
    end_earlier(store, &backend::outliving(backends, &recorded)).await?;
    let run_id = uuid::Uuid::new_v4().simple().to_string();
    store.begin_run(run_id.clone(), clock.wall_ms()).await?;
    Ok(run_id)
}

/// Ends every process that is left of earlier runs, except those of the agents with these marks. A run of which something is left stays
/// open, so that the next start looks again.
pub(super) async fn end_earlier(store: &Store, outliving: &BTreeSet<String>) -> Result<(), StoreError> {
    for earlier in store.open_runs().await? {
        let (run_id, outliving) = (earlier.clone(), outliving.clone());
        // A crash of it leaves the run open, too.
        let swept = tokio::task::spawn_blocking(move || backend::kill_leftovers(&run_id, &outliving)).await;
        if swept.is_ok_and(|swept| !swept.spared) {
            store.close_run(earlier).await?;
        }
    }
    Ok(())
}
