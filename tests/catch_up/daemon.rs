//! A daemon in a thread of its own, with a runtime of its own, so that it can be killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;

use hitchline::clock::Clock;
use hitchline::settings::Settings;
use hitchline::simulator::{APP_TOKEN, BOT_TOKEN};
use hitchline::slack::config::Pacing;
use hitchline::store::Store;
use hitchline::supervisor::{self, Options, RunError};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

pub(crate) struct Daemon {
    kill: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// One that works in `dir`, as soon as the one before has let go of that.
    pub(crate) fn start(api_url: String, dir: &Path, clock: Clock, require_mention: bool) -> Self {
        let mut settings = settings(api_url, dir);
        settings.sessions.require_mention = require_mention;
        let kill = CancellationToken::new();
        let killed = kill.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let ended = killed.run_until_cancelled(run(&settings, &clock)).await;
                assert!(ended.is_none(), "it ended by itself: {ended:?}");
            });
        });
        Self { kill, thread: Some(thread) }
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.kill.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill.cancel();
        // What went wrong there is told there.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

async fn run(settings: &Settings, clock: &Clock) -> Result<supervisor::Ended, RunError> {
    // The writer of a daemon that was killed comes to its end by itself.
    while Store::ensure_free(&settings.store.dir).is_err() {
        tokio::task::yield_now().await;
    }
    let (settings, clock) = (settings.clone(), clock.clone());
    let environment = BTreeMap::new();
    let options = Options { settings, simulator: None, fresh_store: false, environment, clock, announce: |_line| {} };
    supervisor::run(options).await
}

fn settings(api_url: String, dir: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.slack.api_url = api_url;
    settings.slack.bot_token = Some(BOT_TOKEN.into());
    settings.slack.app_token = Some(APP_TOKEN.into());
    settings.slack.pacing = Pacing::Off;
    settings.access.users = vec!["*".to_owned()];
    settings.access.channels = vec!["*".to_owned()];
    settings.sessions.max_per_user = 0;
    dir.clone_into(&mut settings.store.dir);
    settings.http.listen = None;
    settings
}
