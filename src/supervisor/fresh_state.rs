//! A state directory for one run alone.
//!
//! What the built-in Slack knows ends with the process. A state that outlived it would hold sessions of threads that are gone, and
//! answers for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::runs;
use crate::store::{OpenError, Store};

/// The store's database, as documented with `store.dir`. Once it is there, its directory is locked for as long as its run lives.
const DATABASE: &str = "hitchline.db";

/// A directory that goes when this is dropped.
#[derive(Debug)]
pub(super) struct FreshState {
    dir: PathBuf,
}

impl FreshState {
    /// Chooses a directory below `parent`, where the store makes it, and takes away what killed runs have left there.
    pub(super) async fn below(parent: &Path) -> Self {
        sweep(parent).await;
        let dir = parent.join(uuid::Uuid::new_v4().simple().to_string());
        tracing::info!(
            dir = %dir.display(),
            "The state is for this run alone, because the simulator's channels end with it, too; name a store.dir to keep it"
        );
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for FreshState {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next run.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

/// Ends what killed runs have left running, and removes their directories.
async fn sweep(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    // A directory without one belongs to a run that is just starting.
    for dir in entries.map(|entry| entry.path()).filter(|dir| dir.join(DATABASE).exists()) {
        let store = match Store::open(&dir) {
            Ok(store) => store,
            Err(OpenError::Locked { .. }) => continue,
            Err(error) => {
                tracing::warn!(%error, "What a killed run has left is kept");
                continue;
            }
        };
        let ended = runs::end_earlier(&store, &BTreeSet::new()).await;
        store.close().await;
        match ended {
            Ok(()) => drop(FreshState { dir }),
            Err(error) => tracing::warn!(path = %dir.display(), %error, "What a killed run has left is kept"),
        }
    }
}
