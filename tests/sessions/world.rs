//! The session room on a manual clock, between a store of its own, a Slack that only notes, and agents that do as they are told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::clock::{Clock, Hand};
use hitchline::domain::access::{Gate, Rules};
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::Inbound;
use hitchline::domain::outgoing::ApprovalCard;
use hitchline::domain::ports::{Deliver, Receipt};
use hitchline::domain::session::SessionRecord;
use hitchline::inbox::Inbox;
use hitchline::outbox::Outbox;
use hitchline::scope::Scope;
use hitchline::session::config::{OnInterrupt, WhenBusy};
use hitchline::session::policy::{BackendPolicy, Policy};
use hitchline::session::{FilePolicy, Manager, Parts};
use hitchline::store::Store;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::agent::{Act, Agents, Manners, Prompted, Shared, locked};
use super::people;
use super::puppet::Puppet;
use super::slack::{FakeSlack, Plain};
use super::tickets::Tickets;

pub(crate) const CREATE: Duration = Duration::from_secs(30);
pub(crate) const TURN: Duration = Duration::from_hours(1);
pub(crate) const INACTIVITY: Duration = Duration::from_mins(10);
pub(crate) const APPROVAL: Duration = Duration::from_mins(7);
pub(crate) const QUEUE_LIMIT: usize = 60;

/// Everything that a test touches.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) manager: Manager,
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
    pub(crate) slack: Arc<FakeSlack>,
    pub(crate) agents: Arc<Agents>,
    /// The backend `other`.
    pub(crate) others: Arc<Agents>,
    /// The ways in that agents have.
    pub(crate) tickets: Arc<Tickets>,
    scope: Scope,
    policy: Policy,
    rules: Rules,
    dir: TempDir,
    written: AtomicU32,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_policy| {}).await
    }

    /// One with other rules than usual.
    pub(crate) async fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = policy();
        change(&mut policy);
        Self::in_dir(tempfile::tempdir().unwrap(), policy, rules()).await
    }

    /// One in which people may prompt in every channel.
    pub(crate) async fn open_everywhere() -> Self {
        let rules = Rules { channels: vec!["*".to_owned()], ..rules() };
        Self::in_dir(tempfile::tempdir().unwrap(), policy(), rules).await
    }

    /// One whose sessions answer with what they are told.
    pub(crate) async fn echoing() -> Self {
        let world = Self::new().await;
        world.agents.echo.store(true, Ordering::Relaxed);
        world
    }

    async fn in_dir(dir: TempDir, policy: Policy, rules: Rules) -> Self {
        Self::beside(FakeSlack::default(), Agents::default(), dir, policy, rules).await
    }

    async fn beside(slack: FakeSlack, agents: Agents, dir: TempDir, mut policy: Policy, rules: Rules) -> Self {
        policy.files.dir = dir.path().join("files");
        let (clock, hand) = Clock::manual(1_000_000);
        let store = Store::open(dir.path()).unwrap();
        let (slack, scope) = (Arc::new(slack), Scope::new());
        let (agents, others) = (Arc::new(agents), Arc::new(Agents::default()));
        let tickets = Arc::new(Tickets::default());
        let backend = |name: &str, agents: &Arc<Agents>| (name.to_owned(), Arc::new(Shared(agents.clone())) as _);
        let outbox = Outbox::new(store.clone(), slack.clone(), clock.clone(), scope.clone());
        outbox.recover(true).await.unwrap();
        let manager = Manager::new(Parts {
            policy: policy.clone(),
            gate: Gate::new(rules.clone(), people::HOME.into()),
            store: store.clone(),
            outbox: outbox.clone(),
            slack: slack.clone(),
            history: slack.clone(),
            files: slack.clone(),
            render: Arc::new(Plain),
            backends: BTreeMap::from([backend("puppet", &agents), backend("other", &others)]),
            toolbox: Some(tickets.clone()),
            clock: clock.clone(),
            scope: scope.clone(),
        });
        manager.recover().await.unwrap();
        let inbox = Inbox::new(store.clone(), Arc::new(manager.clone()), clock.clone(), QUEUE_LIMIT);
        let written = AtomicU32::new(0);
        Self {
            store,
            inbox,
            outbox,
            manager,
            clock,
            hand,
            slack,
            agents,
            others,
            tickets,
            scope,
            policy,
            rules,
            dir,
            written,
        }
    }

    /// A new process on what this one has on disk now, as if the power had been cut.
    pub(crate) async fn after_power_cut(&self) -> Self {
        self.after_power_cut_with_slack(FakeSlack::default()).await
    }

    /// The same in the same workspace: all that stood there still does.
    pub(crate) async fn after_power_cut_in(&self, slack: &FakeSlack) -> Self {
        let same = FakeSlack::default();
        same.remember(slack);
        self.after_power_cut_with_slack(same).await
    }

    /// The same with agents that behave so from the start.
    pub(crate) async fn after_power_cut_with(&self, change: impl FnOnce(&mut Manners)) -> Self {
        let agents = Agents::default();
        change(&mut locked(&agents.manners));
        self.after_power_cut_beside(FakeSlack::default(), agents).await
    }

    /// The same beside another Slack.
    pub(crate) async fn after_power_cut_with_slack(&self, slack: FakeSlack) -> Self {
        self.after_power_cut_beside(slack, Agents::default()).await
    }

    async fn after_power_cut_beside(&self, slack: FakeSlack, agents: Agents) -> Self {
        // Nothing else is being written while this goes through.
        self.store.probe().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        for file in ["hitchline.db", "hitchline.db-wal"] {
            copy(self.dir.path(), dir.path(), file);
        }
        let next = Self::beside(slack, agents, dir, self.policy.clone(), self.rules.clone()).await;
        next.written.store(self.written.load(Ordering::Relaxed), Ordering::Relaxed);
        next
    }

    /// The database, for a look or a mishap.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("hitchline.db")).unwrap()
    }

    /// Begins to stop: nothing new is taken on, and what runs is interrupted.
    pub(crate) async fn stop(&self) {
        self.scope.finish().cancel();
        let now = self.clock.now();
        self.within(self.manager.drain(now, now)).await;
    }

    /// How many mappings are active, as they are on disk.
    pub(crate) fn mappings(&self) -> u32 {
        let store = rusqlite::Connection::open(self.dir.path().join("hitchline.db")).unwrap();
        store.query_row("SELECT count(*) FROM session WHERE status = 'active'", [], |row| row.get(0)).unwrap()
    }

    pub(crate) async fn deliver(&self, inbound: Inbound) -> Receipt {
        self.inbox.deliver(inbound).await.unwrap()
    }

    /// A time stamp that no message has yet.
    pub(crate) fn ts(&self) -> Ts {
        Ts::from(format!("1000.{:06}", self.written.fetch_add(1, Ordering::Relaxed)))
    }

    /// `user` mentions us at the top level; returns the thread that it opens.
    pub(crate) async fn mention(&self, user: &str, text: &str) -> Ts {
        let ts = self.ts();
        self.deliver(people::mention(user, &ts, text)).await;
        ts
    }

    /// `user` writes in a thread, without a mention.
    pub(crate) async fn reply(&self, user: &str, thread: &Ts, text: &str) -> Receipt {
        self.deliver(people::reply(user, thread, &self.ts(), text)).await
    }

    /// Waits for the session that is prompted with `text`.
    pub(crate) async fn prompted(&self, text: &str) -> Arc<Puppet> {
        let mut found = None;
        self.until(&format!("a prompt {text:?}"), || {
            let mut prompts = locked(&self.agents.prompts);
            let prompt = prompts.iter_mut().find(|prompt| prompt.text == text && !prompt.seen);
            found = prompt.map(|prompt| {
                prompt.seen = true;
                prompt.session.clone()
            });
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// The session that was prompted with `text` before.
    pub(crate) fn prompted_now(&self, text: &str) -> Arc<Puppet> {
        let prompts = locked(&self.agents.prompts);
        prompts.iter().find(|prompt| prompt.text == text).expect("it was prompted").session.clone()
    }

    /// Lets every start wait for a permit.
    pub(crate) fn hold_starts(&self) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        locked(&self.agents.manners).start = Act::Wait(permits.clone());
        permits
    }

    /// Lets no session be brought back.
    pub(crate) fn hold_restores(&self) {
        locked(&self.agents.manners).restore = Act::Hang;
    }

    /// Answers `count` prompts with what they say.
    pub(crate) async fn answer_everything(&self, count: usize) {
        let mut answered = 0;
        self.agents.echo.store(true, Ordering::Relaxed);
        self.until(&format!("{count} answers"), || {
            let unseen: Vec<Prompted> = {
                let mut prompts = locked(&self.agents.prompts);
                let unseen: Vec<Prompted> = prompts.iter().filter(|prompt| !prompt.seen).cloned().collect();
                prompts.iter_mut().for_each(|prompt| prompt.seen = true);
                unseen
            };
            for prompt in unseen {
                answered += 1;
                prompt.session.answers_if_it_can(&prompt.text);
            }
            answered >= count
        })
        .await;
    }

    /// Waits until a thread shows exactly these texts.
    pub(crate) async fn until_thread_is(&self, thread: &Ts, texts: &[&str]) {
        self.until(&format!("{thread} to be {texts:?}"), || self.slack.texts(thread) == texts).await;
    }

    /// Waits until some text in a thread contains `part`.
    pub(crate) async fn until_told(&self, thread: &Ts, part: &str) {
        let told = || self.slack.texts(thread).iter().any(|text| text.contains(part));
        self.until(&format!("{thread} to tell {part:?}"), told).await;
    }

    /// Waits until somebody is told something that contains `part`, alone.
    pub(crate) async fn until_whispered(&self, user: &str, part: &str) {
        let told = || locked(&self.slack.whispers).iter().any(|(to, text)| to.as_str() == user && text.contains(part));
        self.until(&format!("{part:?} for {user} alone"), told).await;
    }

    /// Waits until what was sent to an address contains `part`.
    pub(crate) async fn until_answered(&self, reply: &str, part: &str) {
        let told = || locked(&self.slack.responses).iter().any(|(to, text)| to == reply && text.contains(part));
        self.until(&format!("{part:?} to {reply}"), told).await;
    }

    /// The session of a thread.
    pub(crate) async fn session_in(&self, thread: &Ts) -> Option<SessionRecord> {
        self.store.session_in(&people::key(thread)).await.unwrap()
    }

    /// A thread of `user` whose session has answered and rests.
    pub(crate) async fn settled_thread(&self, user: &str, text: &str) -> (Ts, SessionRecord) {
        let thread = self.mention(user, text).await;
        self.prompted(text).await.ends(Outcome::Completed);
        self.rest().await;
        let record = self.session_in(&thread).await.expect("it has a session");
        (thread, record)
    }

    /// Waits for the newest approval of a thread, and the message that shows it.
    pub(crate) async fn card(&self, thread: &Ts) -> (Ts, ApprovalCard) {
        self.until("an approval", || !self.slack.cards(thread).is_empty()).await;
        self.slack.cards(thread).pop().unwrap()
    }

    /// Turns the clock second by second, by `time` at the most, until a condition holds.
    pub(crate) async fn until_after(&self, time: Duration, mut reached: impl FnMut() -> bool) {
        for _ in 0..=time.as_secs() {
            self.settle().await;
            if reached() {
                return;
            }
            self.hand.advance(Duration::from_secs(1));
        }
        panic!("not within {time:?}; {:?}\n{:#?}", self.manager, self.slack);
    }

    /// Waits until nothing is in hand and nothing is owed.
    pub(crate) async fn rest(&self) {
        self.until("rest", || self.manager.stats().busy == 0).await;
        self.rest_of_outbox().await;
    }

    /// Waits until nothing is owed.
    pub(crate) async fn rest_of_outbox(&self) {
        self.until("an empty outbox", || format!("{:?}", self.outbox).contains("lanes: 0")).await;
    }

    /// Waits for a condition, for ten real seconds at the most.
    pub(crate) async fn until(&self, what: &str, mut reached: impl FnMut() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while !reached() {
                // The writer is a thread of its own: a round trip through it lets everything else go on.
                self.store.probe().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "waited in vain for {what}; {:?}\n{:#?}", self.manager, self.slack);
    }

    /// Waits for something of which the clock is no part, for ten real seconds at the most.
    pub(crate) async fn within<F: Future>(&self, future: F) -> F::Output {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("it comes to an end")
    }

    /// A second goes by, and everything that waited for it is done.
    pub(crate) async fn time_passes(&self) {
        self.settle().await;
        self.hand.advance(Duration::from_secs(1));
        self.settle().await;
    }

    /// Lets everything that can go on without the clock do so.
    pub(crate) async fn settle(&self) {
        for _ in 0..20 {
            // Once through each of the store's threads, however slow they are.
            self.store.probe().await.unwrap();
            self.store.active_sessions().await.unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path, file: &str) {
    std::fs::copy(from.join(file), to.join(file)).unwrap();
}

fn rules() -> Rules {
    let text = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Rules {
        users: text(&["U1", "U2"]),
        channels: text(&[people::CHANNEL]),
        admins: text(&["UADMIN"]),
        bots: Vec::new(),
        external: false,
    }
}

fn policy() -> Policy {
    let settings = BackendPolicy { working_dir: "/".into(), create_timeout: CREATE };
    Policy {
        backend: "puppet".into(),
        auto_session: true,
        require_mention: true,
        max_per_user: None,
        idle_expiry: None,
        on_interrupt: OnInterrupt::Ask,
        when_busy: WhenBusy::Queue,
        history_on_loss: true,
        show_usage: true,
        inactivity_timeout: INACTIVITY,
        turn_timeout: TURN,
        approval_timeout: APPROVAL,
        files: FilePolicy { dir: "/".into(), largest: 1_000 },
        command: "/hitch".into(),
        backends: BTreeMap::from([("puppet".to_owned(), settings.clone()), ("other".to_owned(), settings)]),
        routes: BTreeMap::new(),
        roots: Vec::new(),
        home: "/".into(),
    }
}
