//! A link under test, on a clock that the test turns.

use std::sync::Arc;
use std::time::Duration;

use hitchline::clock::{Clock, Hand};
use hitchline::domain::ports::Deliver;
use hitchline::http_client::{Config, Owner};
use hitchline::simulator::APP_TOKEN;
use hitchline::slack::events::Identity;
use hitchline::slack::{LinkState, LinkStatus, SocketParts, Tally, sockets};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::inbox::Inbox;
use crate::logs;

/// How long anything that must happen may take on the machine's own clock.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A time of day for clocks that stand still, in milliseconds.
const START_MS: i64 = 1_800_000_000_000;

/// Time for the link, and for whoever plays its server.
pub(crate) fn clock() -> (Clock, Hand) {
    Clock::manual(START_MS)
}

pub(crate) struct Subject {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) status: watch::Receiver<LinkStatus>,
    tally: Tally,
    close: CancellationToken,
    task: JoinSet<()>,
    http: Owner,
}

impl Subject {
    /// Starts a link to the Web API at `base`.
    pub(crate) fn start(base: &str, clock: Clock) -> Self {
        Self::counted(base, clock, Tally::default())
    }

    /// Starts a further link of the same process.
    pub(crate) fn beside(&self, base: &str, clock: Clock) -> Self {
        Self::counted(base, clock, self.tally.clone())
    }

    /// Starts a link that delivers into `deliver`.
    pub(crate) fn into(base: &str, clock: Clock, deliver: Arc<dyn Deliver>) -> Self {
        Self::built(base, clock, Tally::default(), Arc::new(Inbox::new()), deliver)
    }

    fn counted(base: &str, clock: Clock, tally: Tally) -> Self {
        let inbox = Arc::new(Inbox::new());
        Self::built(base, clock, tally, inbox.clone(), inbox)
    }

    fn built(base: &str, clock: Clock, tally: Tally, inbox: Arc<Inbox>, deliver: Arc<dyn Deliver>) -> Self {
        logs::collect();
        let http = Owner::build(&Config::default(), true).unwrap();
        let (status, seen) = watch::channel(LinkStatus::default());
        let close = CancellationToken::new();
        let parts = SocketParts {
            http: http.lend(),
            api_url: format!("{base}/api/").parse().unwrap(),
            app_token: APP_TOKEN.into(),
            identity: Identity { team: "T0SIM".into(), user: "U0BOT".into(), bot: Some("B0BOT".into()) },
            deliver,
            tally: tally.clone(),
            clock,
            seed: 7,
        };
        let mut task = JoinSet::new();
        task.spawn(sockets::run(parts, status, close.clone()));
        Self { inbox, status: seen, tally, close, task, http }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.status.borrow().state == LinkState::Live
    }

    /// Waits for a state while time stands still.
    pub(crate) async fn becomes(&mut self, wanted: impl Fn(&LinkState) -> bool) -> LinkStatus {
        let seen = self.status.wait_for(|status| wanted(&status.state));
        tokio::time::timeout(SOON, seen).await.expect("the link's state in time").unwrap().clone()
    }

    pub(crate) async fn becomes_live(&mut self) {
        self.becomes(|state| *state == LinkState::Live).await;
    }

    /// Waits until so many lines hold `text` while time stands still.
    pub(crate) async fn wait_for_log(&self, text: &str, lines: usize) {
        let logged = async {
            while logs::with(text).len() < lines {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, logged).await.expect("the line in time");
        assert_eq!(logs::with(text).len(), lines, "{:?}", logs::with(text));
    }

    /// Asks it to end; what is under way still comes to its end.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// Ends it: no task, no connection and no handle of the client is left.
    pub(crate) async fn end(mut self) {
        self.close();
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await.expect("it ends in time");
        ended.unwrap().expect("it ends without a crash");
        assert_eq!(self.tally.held(), 0, "no connection is left");
        assert_eq!(self.http.release(), 0, "the one client was given back by everybody");
    }
}
