//! From settings to a running daemon, part by part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::admin::{self, Listeners, Operator, Probes, Readiness};
use crate::backend::{self, Backends};
use crate::backoff::Backoff;
use crate::chat::{self, Chat, Surfaces};
use crate::clock::Clock;
use crate::domain::access::Gate;
use crate::http_client;
use crate::inbox::{CatchUp, CatchUpParts, Inbox, Refusals};
use crate::mcp::Mcp;
use crate::outbox::Outbox;
use crate::scope::{OnCrash, Scope};
use crate::secret::SecretString;
use crate::session::{Hold, Manager, Parts};
use crate::settings::Settings;
use crate::simulator::{self, Simulator};
use crate::slack::{Api, ApiErrorKind, AuthTest, LinkStatus, SocketParts, Surface, Tally};
use crate::store::{self, OpenError, Repair, Store, StoreError};
use crate::telemetry::Counters;

use super::fresh_state::FreshState;
use super::gaps;
use super::housekeeping::Housekeeping;
use super::link;
use super::policy;
use super::runs;
use super::safe_mode;
use super::signals::Signals;
use super::storage::{Storage, keep_link};
use super::tools;
use super::{Options, Reason, RunError, SimulatorOptions, notify, operator_token};

/// The delays between attempts to reach Slack for the first time.
const FIRST_CONTACT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What a daemon stands on and, once it is built, what stands on that. Fields are let go in the order in which [`Foundation::stop`]
/// names them.
pub(super) struct Foundation {
    pub(super) settings: Settings,
    environment: Arc<BTreeMap<String, String>>,
    pub(super) clock: Clock,
    pub(super) scope: Scope,
    pub(super) simulator: Option<Simulator>,
    pub(super) store: Store,
    pub(super) fresh_state: Option<FreshState>,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) close_listeners: CancellationToken,
    pub(super) close_sockets: CancellationToken,
    pub(super) sockets: Vec<(watch::Receiver<LinkStatus>, JoinHandle<()>)>,
    /// Names this run, once agents may start.
    pub(super) run_id: Option<String>,
    /// There once it knows what an earlier run may have sent.
    pub(super) outbox: Option<Outbox>,
    /// Whether nothing was on its way to Slack when we stopped.
    pub(super) at_rest: bool,
    pub(super) chat: Chat,
    /// Where there is a listener.
    pub(super) mcp: Option<Mcp>,
    /// The probes see it too.
    pub(super) manager: watch::Sender<Option<Manager>>,
    pub(super) http: http_client::Owner,
}

impl Foundation {
    /// Lays everything that does not need Slack: client, store, listeners, simulator. Whoever gives it up must let the process end: the
    /// store may be opened all the same.
    pub(super) async fn lay(options: Options) -> Result<Self, RunError> {
        let Options { mut settings, simulator, fresh_store, environment, clock, announce } = options;
        let http = http_client::Owner::build(&settings.http_client, simulator.is_some())?;
        // Whoever works there has the address, too, and is what a person should hear of.
        Store::ensure_free(&settings.store.dir)?;
        // Before anything is made or started: what can't be opened is for a person to solve.
        let http_listener = admin::Http::open(&settings.http).await?;
        let fresh_state = match &simulator {
            Some(simulator) if simulator.fresh_state => Some(fresh_state(&mut settings).await),
            _ => None,
        };
        let repair = Repair { fresh: fresh_store, now_ms: clock.wall_ms() };
        let store = open_store(&settings.store, repair).await?;
        let listeners = Listeners::open(&settings.store.dir, http_listener)?;
        if let (Some(address), Some(_)) = (listeners.address(), &simulator) {
            operator_token::provide(&mut settings, address)?;
        }
        let simulator = start_simulator(simulator, &mut settings, announce).await?;
        let (readiness, watched) = watch::channel(Readiness::default());
        let scope = Scope::new();
        let close_listeners = CancellationToken::new();
        let counters = Counters::start()?;
        let (manager, pool) = watch::channel(None);
        let probes = Probes { readiness: watched, store: store.clone(), manager: pool, counters: counters.clone() };
        if let Some(address) = listeners.address() {
            announce(&format!("http: http://{address}"));
        }
        let token = settings.http.token.clone();
        let (chat_scope, close) = (scope.clone(), close_listeners.clone());
        let chat =
            Chat::new(chat::Parts { token, store: store.clone(), clock: clock.clone(), scope: chat_scope, close });
        let mcp = tools::endpoint(listeners.address(), &settings, &clock, &close_listeners);
        let routes = mcp.iter().fold(chat.routes(), |routes, mcp| routes.merge(mcp.routes()));
        let operator = Operator { token: settings.http.token.clone(), routes };
        listeners.serve(probes, operator, &clock, &scope, &close_listeners);
        let housekeeping = Housekeeping { scope: &scope, close: &close_listeners, clock: &clock };
        housekeeping.store(&store, settings.store.min_free);
        housekeeping.files(policy::files_dir(&settings));
        housekeeping.counters(counters);
        housekeeping.orphans();
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
            at_rest: false,
            chat,
            mcp,
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
        let me = self.first_contact(&api, &base).await?;
        let reader = Arc::new(Surface::new(api.clone(), &me));
        let surface = Arc::new(self.chat.beside(Surface::new(api, &me)));
        let outbox = Outbox::new(self.store.clone(), surface.clone(), self.clock.clone(), self.scope.clone());
        self.housekeeping().refusals(outbox.refused(), self.readiness.clone());
        // Before anything is sent. A run that ends earlier leaves nothing behind, and says nothing about the one before it.
        let start = safe_mode::begin(&self.store, &self.clock, self.settings.sessions.safe_mode_after).await?;
        outbox.recover(!start.after_clean_end).await?;
        self.outbox = Some(outbox.clone());
        let run_id = runs::begin(&self.store, &self.settings.backends, &self.clock).await?;
        self.run_id = Some(run_id.clone());
        let manager = Manager::new(self.manager_parts(&me, &outbox, &surface, run_id));
        self.hold_turns(&manager, start.hold);
        self.manager.send_replace(Some(manager.clone()));
        // Before any agent is started.
        self.mcp.iter().for_each(|mcp| mcp.open(tools::desk(&manager, &surface)));
        manager.recover().await?;
        let queue_limit = self.settings.sessions.queue_limit as usize;
        let intake = Arc::new(manager.clone());
        let inbox = Inbox::new(self.store.clone(), intake, self.clock.clone(), queue_limit);
        self.chat.open(manager.clone(), Arc::new(inbox.clone())).await?;
        let refusals = inbox.refusals();
        let catch_up = CatchUp::begin(CatchUpParts {
            inbox,
            store: self.store.clone(),
            read: reader.clone(),
            answers: reader,
            belated: Arc::new(manager),
            clock: self.clock.clone(),
            queue_limit,
        })
        .await?;
        let wake = self.open_sockets(&me, &base, &app_token, &catch_up, refusals);
        self.watch_gaps(catch_up, wake);
        Ok(())
    }

    /// Reads back what is missed, and watches whether anything is.
    fn watch_gaps(&self, catch_up: CatchUp, wake: watch::Sender<()>) {
        let watch = gaps::Watch {
            catch_up: catch_up.clone(),
            links: self.sockets.iter().map(|(seen, _)| seen.clone()).collect(),
            wake,
            readiness: self.readiness.clone(),
            clock: self.clock.clone(),
        };
        self.scope.spawn("gaps", OnCrash::Stop, watch.run(self.close_sockets.clone()));
        let finish = self.scope.finish().clone();
        self.scope.keep("catch-up", &self.clock, self.scope.finish(), move || catch_up.clone().run(finish.clone()));
    }

    fn housekeeping(&self) -> Housekeeping<'_> {
        Housekeeping { scope: &self.scope, close: &self.close_listeners, clock: &self.clock }
    }

    /// Holds turns back when the runs before this one have crashed again and again.
    fn hold_turns(&self, manager: &Manager, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        safe_mode::tell(pause);
        manager.hold(Hold::Everything);
        self.housekeeping().safe_mode(safe_mode::keep(manager.clone(), self.store.clone(), self.clock.clone(), pause));
    }

    /// Asks Slack who we are, until it answers.
    async fn first_contact(&self, api: &Api, base: &Url) -> Result<AuthTest, RunError> {
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
            let delay_ms = delay.as_millis();
            if is_no_web_api(&error.code) {
                let (server, path) = (base.origin().ascii_serialization(), base.path());
                tracing::warn!(delay_ms, "slack.api_url: {server}{path} is no Slack Web API ({error}); trying again");
            } else {
                tracing::warn!(%error, delay_ms, "Slack does not answer yet; trying again");
            }
            self.clock.sleep(delay).await;
        }
    }

    fn manager_parts(&self, me: &AuthTest, outbox: &Outbox, surface: &Arc<Surfaces<Surface>>, run_id: String) -> Parts {
        Parts {
            policy: policy::from(&self.settings, &self.environment),
            gate: Gate::new(self.settings.access.rules(), me.team.clone()),
            store: self.store.clone(),
            outbox: outbox.clone(),
            slack: surface.clone(),
            history: surface.clone(),
            files: surface.clone(),
            render: surface.clone(),
            backends: self.backends(run_id),
            toolbox: self.mcp.as_ref().map(Mcp::toolbox),
            clock: self.clock.clone(),
            scope: self.scope.clone(),
        }
    }

    fn backends(&self, run_id: String) -> Backends {
        let parts = backend::BackendParts {
            clock: self.clock.clone(),
            scope: self.scope.clone(),
            http: self.http.lend(),
            environment: self.environment.clone(),
            run_id,
            state_dir: self.settings.store.dir.clone(),
        };
        let build =
            |(name, config): (&String, &backend::config::Config)| (name.clone(), backend::build(name, config, &parts));
        self.settings.backends.iter().map(build).collect()
    }

    fn open_sockets(
        &mut self,
        me: &AuthTest,
        base: &Url,
        app_token: &SecretString,
        catch_up: &CatchUp,
        refusals: Refusals,
    ) -> watch::Sender<()> {
        let tally = Tally::default();
        let (wake, woken) = watch::channel(());
        let open = watch::Sender::new(Storage::is_open_at_start(&self.store));
        for _ in 0..self.settings.slack.sockets {
            let (status, seen) = watch::channel(LinkStatus::default());
            let parts = SocketParts {
                http: self.http.lend(),
                api_url: base.clone(),
                app_token: app_token.clone(),
                identity: me.identity(),
                deliver: Arc::new(catch_up.clone()),
                tally: tally.clone(),
                woken: woken.clone(),
                clock: self.clock.clone(),
                seed: fastrand::u64(..),
            };
            let task = keep_link(parts, status, self.close_sockets.clone(), open.subscribe());
            self.sockets.push((seen, self.scope.spawn("socket", OnCrash::Stop, task)));
        }
        let storage = Storage {
            store: self.store.clone(),
            refusals,
            readiness: self.readiness.clone(),
            open,
            clock: self.clock.clone(),
        };
        self.housekeeping().storage(storage);
        wake
    }

    /// Cancelled when a core task has crashed.
    pub(super) fn crashed(&self) -> CancellationToken {
        self.scope.finish().clone()
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
}

/// Whether an answer is that of another kind of server, or of another path of Slack's. One that is broken answers 5xx.
fn is_no_web_api(code: &str) -> bool {
    code.starts_with("404") || (code.starts_with(['2', '3', '4']) && code.ends_with(" without JSON"))
}

/// Opens the store, which takes long when it is large, without holding up who else runs here.
async fn open_store(config: &store::config::Config, repair: Repair) -> Result<Store, RunError> {
    let (dir, min_free) = (config.dir.clone(), config.min_free);
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open_or_restore(&dir, repair)?;
        store.keep_free(min_free);
        Ok::<_, OpenError>(store)
    })
    .await;
    Ok(opened.map_err(|crashed| StoreError::Failed(format!("the opening crashed: {crashed}")))??)
}

/// Makes the state one for this run alone.
async fn fresh_state(settings: &mut Settings) -> FreshState {
    let fresh = FreshState::below(&settings.store.dir).await;
    fresh.dir().clone_into(&mut settings.store.dir);
    // What is kept nowhere can't be taken up again.
    settings.backends.values_mut().for_each(backend::config::Config::end_all_at_shutdown);
    fresh
}

/// Starts the built-in Slack where it is wanted, and lets the settings name it.
async fn start_simulator(
    wanted: Option<SimulatorOptions>,
    settings: &mut Settings,
    announce: fn(&str),
) -> Result<Option<Simulator>, RunError> {
    let Some(SimulatorOptions { listen, .. }) = wanted else { return Ok(None) };
    let simulator = simulator::start(simulator::Config { listen, ..simulator::Config::default() }).await?;
    settings.slack.api_url = format!("{}/api/", simulator.base_url());
    settings.slack.bot_token = Some(simulator::BOT_TOKEN.into());
    settings.slack.app_token = Some(simulator::APP_TOKEN.into());
    announce(&format!("simulator: {}", simulator.base_url()));
    Ok(Some(simulator))
}

fn token(token: Option<&SecretString>, key: &str) -> Result<SecretString, RunError> {
    token
        .cloned()
        .ok_or_else(|| RunError::Settings(format!("{key}: there is no token; see `hitchline config default`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_no_slack_is_told_from_one_that_is_broken() {
        for code in ["404 Not Found without JSON", "404 Not Found", "200 OK without JSON", "302 Found without JSON"] {
            assert!(is_no_web_api(code), "{code}");
        }
        for code in ["503 Service Unavailable without JSON", "500 Internal Server Error", "fatal_error", "ratelimited"]
        {
            assert!(!is_no_web_api(code), "{code}");
        }
    }
}
