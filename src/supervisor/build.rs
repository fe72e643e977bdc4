//! From settings to a running daemon, part by part.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::admin::{Listeners, Probes, Readiness};
use crate::backend::{self, Backends};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::domain::access::Gate;
use crate::domain::ports::{Render, SlackWrite};
use crate::http_client;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::scope::{OnCrash, Scope};
use crate::secret::SecretString;
use crate::session::policy::{BackendPolicy, Policy, Route};
use crate::session::{Manager, Parts};
use crate::settings::Settings;
use crate::simulator::{self, Simulator};
use crate::slack::{Api, ApiErrorKind, AuthTest, LinkStatus, SocketParts, Surface, Tally, sockets};
use crate::store::{Store, StoreError};
use crate::telemetry::Counters;

use super::fresh_state::FreshState;
use super::link;
use super::shutdown::Pace;
use super::signals::Signals;
use super::{Options, Reason, RunError, notify};

/// The delays between attempts to reach Slack for the first time.
const FIRST_CONTACT: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_secs(1), std::time::Duration::from_mins(1));

/// How often what is old is removed from the store.
const PURGE_EVERY: std::time::Duration = std::time::Duration::from_hours(1);

/// How often the counters are tidied up.
const TIDY_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// What a daemon stands on and, once it is built, what stands on that. Fields are let go in the order in which [`Foundation::stop`]
/// names them.
pub(super) struct Foundation {
    settings: Settings,
    environment: Arc<BTreeMap<String, String>>,
    clock: Clock,
    scope: Scope,
    simulator: Option<Simulator>,
    store: Store,
    fresh_state: Option<FreshState>,
    readiness: watch::Sender<Readiness>,
    close_listeners: CancellationToken,
    close_sockets: CancellationToken,
    sockets: Vec<(watch::Receiver<LinkStatus>, JoinHandle<()>)>,
    /// Names this run, once agents may start.
    run_id: Option<String>,
    outbox: Option<Outbox>,
    /// The probes see it too.
    manager: watch::Sender<Option<Manager>>,
    http: http_client::Owner,
}

impl Foundation {
    /// Lays everything that does not need Slack: client, store, listeners, simulator.
    pub(super) async fn lay(options: Options) -> Result<Self, RunError> {
        let Options { mut settings, simulator, environment, clock, announce } = options;
        let http = http_client::Owner::build(&settings.http_client, simulator.is_some())?;
        let mut fresh_state = None;
        if simulator.is_some_and(|simulator| simulator.fresh_state) {
            let fresh = FreshState::below(&settings.store.dir, clock.wall_ms()).await;
            fresh.dir().clone_into(&mut settings.store.dir);
            fresh_state = Some(fresh);
        }
        let store = Store::open(&settings.store.dir, clock.wall_ms())?;
        // Before anything is started: what can't be opened is for a person to solve.
        let listeners = Listeners::open(&settings.store.dir, &settings.http).await?;
        let simulator = match simulator {
            Some(options) => Some(start_simulator(options.listen, &mut settings, announce).await?),
            None => None,
        };
        let (readiness, watched) = watch::channel(Readiness::default());
        let scope = Scope::new();
        let close_listeners = CancellationToken::new();
        let counters = Counters::start()?;
        let (manager, pool) = watch::channel(None);
        let probes = Probes { readiness: watched, store: store.clone(), manager: pool, counters: counters.clone() };
        if let Some(address) = listeners.address() {
            announce(&format!("http: http://{address}"));
        }
        listeners.serve(probes, &scope, &close_listeners);
        scope.spawn("store", OnCrash::Stop, watch_store(store.clone(), close_listeners.clone()));
        let purge = close_listeners.clone().run_until_cancelled_owned(purge(store.clone(), clock.clone()));
        scope.spawn("purge", OnCrash::Log, purge.map(drop));
        scope.spawn("counters", OnCrash::Log, tidy(counters, clock.clone(), close_listeners.clone()));
        Ok(Self {
            settings,
            environment: Arc::new(environment),
            clock,
            scope,
            simulator,
            store,
            fresh_state,
            readiness,
            close_listeners,
            close_sockets: CancellationToken::new(),
            sockets: Vec::new(),
            run_id: None,
            outbox: None,
            manager,
            http,
        })
    }

    /// Builds what needs Slack. However long that takes: a network that is away is no reason to give up.
    pub(super) async fn build(&mut self) -> Result<(), RunError> {
        let bot_token = token(self.settings.slack.bot_token.as_ref(), "slack.bot_token")?;
        let app_token = token(self.settings.slack.app_token.as_ref(), "slack.app_token")?;
        let base = Url::parse(&self.settings.slack.api_url)
            .map_err(|error| RunError::Settings(format!("slack.api_url: {error}")))?;
        let stop = self.scope.stop().clone();
        let api = Api::new(self.http.lend(), &self.settings.slack, base.clone(), bot_token, self.clock.clone(), stop);
        let api = Arc::new(api);
        let me = self.first_contact(&api).await?;
        let surface = Arc::new(Surface::new(api, &me));
        let outbox = Outbox::new(self.store.clone(), surface.clone(), self.clock.clone(), self.scope.clone());
        let report = report_refusal(outbox.refused(), self.readiness.clone());
        self.scope.spawn(
            "refusal",
            OnCrash::Log,
            self.close_listeners.clone().run_until_cancelled_owned(report).map(drop),
        );
        outbox.recover().await?;
        let run_id = self.begin_run().await?;
        self.run_id = Some(run_id.clone());
        let manager = Manager::new(self.manager_parts(&me, &outbox, surface.clone(), surface, run_id));
        manager.recover().await?;
        let queue_limit = self.settings.sessions.queue_limit as usize;
        let inbox = Inbox::new(self.store.clone(), Arc::new(manager.clone()), self.clock.clone(), queue_limit);
        self.outbox = Some(outbox);
        self.manager.send_replace(Some(manager));
        self.open_sockets(&me, &base, &app_token, &Arc::new(inbox));
        Ok(())
    }

    /// Makes sure that nothing is left of earlier runs, and begins this one. The store's lock says that none of them is alive.
    async fn begin_run(&self) -> Result<String, RunError> {
        end_earlier_runs(&self.store).await?;
        let run_id = uuid::Uuid::new_v4().simple().to_string();
        self.store.begin_run(run_id.clone(), self.clock.wall_ms()).await?;
        Ok(run_id)
    }

    /// Asks Slack who we are, until it answers.
    async fn first_contact(&self, api: &Api) -> Result<AuthTest, RunError> {
        let mut backoff = Backoff::new(FIRST_CONTACT.0, FIRST_CONTACT.1);
        let mut chance = fastrand::Rng::new();
        loop {
            let error = match api.auth_test().await {
                Ok(me) => return Ok(me),
                Err(error) => error,
            };
            if error.kind == ApiErrorKind::Auth {
                return Err(RunError::TokenRefused { key: "slack.bot_token", code: error.code });
            }
            let delay = backoff.next(&mut chance);
            tracing::warn!(%error, delay_ms = delay.as_millis(), "Slack does not answer yet; trying again");
            self.clock.sleep(delay).await;
        }
    }

    fn manager_parts(
        &self,
        me: &AuthTest,
        outbox: &Outbox,
        slack: Arc<dyn SlackWrite>,
        render: Arc<dyn Render>,
        run_id: String,
    ) -> Parts {
        Parts {
            policy: policy(&self.settings, &self.environment),
            gate: Gate::new(self.settings.access.rules(), me.team.clone()),
            store: self.store.clone(),
            outbox: outbox.clone(),
            slack,
            render,
            backends: self.backends(run_id),
            clock: self.clock.clone(),
            scope: self.scope.clone(),
        }
    }

    fn backends(&self, run_id: String) -> Backends {
        let parts = backend::BackendParts {
            clock: self.clock.clone(),
            scope: self.scope.clone(),
            environment: self.environment.clone(),
            run_id,
        };
        let build =
            |(name, config): (&String, &backend::config::Config)| (name.clone(), backend::build(name, config, &parts));
        self.settings.backends.iter().map(build).collect()
    }

    fn open_sockets(&mut self, me: &AuthTest, base: &Url, app_token: &SecretString, inbox: &Arc<Inbox>) {
        let tally = Tally::default();
        for _ in 0..self.settings.slack.sockets {
            let (status, seen) = watch::channel(LinkStatus::default());
            let parts = SocketParts {
                http: self.http.lend(),
                api_url: base.clone(),
                app_token: app_token.clone(),
                identity: me.identity(),
                deliver: inbox.clone(),
                tally: tally.clone(),
                clock: self.clock.clone(),
                seed: fastrand::u64(..),
            };
            let task = sockets::run(parts, status, self.close_sockets.clone());
            self.sockets.push((seen, self.scope.spawn("socket", OnCrash::Stop, task)));
        }
    }

    /// Watches the daemon until there is a reason to stop.
    pub(super) async fn watch(&mut self, signals: &mut Signals, announce: fn(&str)) -> Result<Reason, RunError> {
        let mut links: Vec<_> = self.sockets.iter().map(|(seen, _)| seen.clone()).collect();
        let mut greeted = false;
        let mut trouble: Option<String> = None;
        loop {
            let view = link::view(&links);
            if let (false, Some(code)) = (greeted, view.refused) {
                return Err(RunError::TokenRefused { key: "slack.app_token", code });
            }
            if view.sockets > 0 && !greeted {
                greeted = true;
                notify::ready();
                announce("ready");
            }
            link::news(trouble.as_deref(), view.trouble.as_deref()).iter().for_each(link::tell);
            trouble.clone_from(&view.trouble);
            self.readiness.send_if_modified(|readiness| link::update(readiness, view.sockets, view.trouble));
            tokio::select! {
                biased;
                signal = signals.next() => return Ok(Reason::Signal(signal)),
                () = self.scope.finish().cancelled() => return Ok(Reason::Crash),
                () = link::changed(&mut links) => {}
            }
        }
    }

    /// Ends every process of every agent at once, wherever it is.
    pub(super) fn abort(&self) {
        self.run_id.iter().for_each(|run_id| backend::kill_leftovers(run_id));
    }

    /// Stops in order. Each stage is safe to be left in the middle and begun again.
    pub(super) async fn stop(&mut self, pace: &Pace) {
        self.readiness.send_modify(|readiness| readiness.draining = true);
        self.scope.finish().cancel();
        let manager = self.manager.borrow().clone();
        if let Some(manager) = &manager {
            manager.drain(pace.turns, pace.cancelled).await;
        }
        self.close_sockets.cancel();
        // One that has ended leaves the list before the next is waited for: begun again, none is waited for twice.
        while let Some((_, socket)) = self.sockets.last_mut() {
            let _crashed_or_late = self.clock.timeout_at(pace.outbox, socket).await;
            self.sockets.pop();
        }
        tracing::info!("sockets closed");
        if let Some(outbox) = &self.outbox {
            let owed = outbox.flush(pace.outbox).await;
            tracing::info!(conversations_left = owed, "outbox flushed");
        }
        // From here on no call to Slack begins; those on their way may come back while sessions are released.
        self.scope.stop().cancel();
        if let Some(manager) = manager {
            let failed = manager.release(pace.sessions).await;
            tracing::info!(failed, "sessions released");
        }
        self.close_listeners.cancel();
        if self.clock.timeout_at(pace.end, self.scope.wait()).await.is_err() {
            tracing::warn!(tasks = self.scope.running(), "Some tasks did not end in time and are dropped");
        }
        self.manager.send_replace(None);
        self.outbox = None;
        self.store.close().await;
        self.fresh_state = None;
        tracing::info!("store closed");
        if let Some(simulator) = self.simulator.take() {
            simulator.stop().await;
            tracing::info!("simulator stopped");
        }
        self.http.release();
    }
}

/// Crashes when nothing can be written any more.
async fn watch_store(store: Store, close: CancellationToken) {
    close.run_until_cancelled(store.ended()).await;
}

/// Keeps the store small.
async fn purge(store: Store, clock: Clock) {
    loop {
        clock.sleep(PURGE_EVERY).await;
        if let Err(error) = store.purge(clock.wall_ms()).await {
            tracing::warn!(%error, "What is old could not be removed from the store; trying again in an hour");
        }
    }
}

/// Ends every process that is left of earlier runs.
pub(super) async fn end_earlier_runs(store: &Store) -> Result<(), StoreError> {
    for earlier in store.open_runs().await? {
        let run_id = earlier.clone();
        // A crash of it leaves the run open for the next start.
        if tokio::task::spawn_blocking(move || backend::kill_leftovers(&run_id)).await.is_ok() {
            store.close_run(earlier).await?;
        }
    }
    Ok(())
}

/// Keeps the counters small, whether or not somebody reads them.
async fn tidy(counters: Counters, clock: Clock, close: CancellationToken) {
    while close.run_until_cancelled(clock.sleep(TIDY_EVERY)).await.is_some() {
        counters.tidy();
    }
}

/// Tells the probes while Slack refuses the bot's token.
async fn report_refusal(mut refused: watch::Receiver<Option<String>>, readiness: watch::Sender<Readiness>) {
    while refused.changed().await.is_ok() {
        let code = refused.borrow_and_update().clone();
        let reason = code.map(|code| format!("slack.bot_token: Slack refuses it ({code}), so nothing is sent"));
        readiness.send_modify(|readiness| readiness.refused = reason);
    }
}

async fn start_simulator(
    listen: std::net::SocketAddr,
    settings: &mut Settings,
    announce: fn(&str),
) -> Result<Simulator, RunError> {
    let simulator = simulator::start(simulator::Config { listen, ..simulator::Config::default() }).await?;
    settings.slack.api_url = format!("{}/api/", simulator.base_url());
    settings.slack.bot_token = Some(simulator::BOT_TOKEN.into());
    settings.slack.app_token = Some(simulator::APP_TOKEN.into());
    announce(&format!("simulator: {}", simulator.base_url()));
    Ok(simulator)
}

fn token(token: Option<&SecretString>, key: &str) -> Result<SecretString, RunError> {
    token
        .cloned()
        .ok_or_else(|| RunError::Settings(format!("{key}: there is no token; see `hitchline config default`")))
}

/// The rules of the session room, from the configuration.
fn policy(settings: &Settings, environment: &BTreeMap<String, String>) -> Policy {
    let sessions = &settings.sessions;
    let home = environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let backend = |(name, config): (&String, &backend::config::Config)| {
        let settings = BackendPolicy {
            working_dir: config.working_dir().map_or_else(|| home.clone(), Into::into),
            create_timeout: config.create_timeout().unwrap_or(sessions.create_timeout),
        };
        (name.clone(), settings)
    };
    let route = |route: &crate::session::config::Route| {
        let choice = Route { backend: route.backend.clone(), working_dir: route.working_dir.clone() };
        (route.channel.as_str().into(), choice)
    };
    Policy {
        backend: sessions.backend.clone(),
        auto_session: sessions.auto_session,
        require_mention: sessions.require_mention,
        inactivity_timeout: sessions.inactivity_timeout,
        turn_timeout: sessions.turn_timeout,
        approval_timeout: sessions.approval_timeout,
        command: settings.slack.command.clone(),
        backends: settings.backends.iter().map(backend).collect(),
        routes: settings.routes.iter().map(route).collect(),
        roots: settings.access.roots.clone(),
        home,
    }
}
