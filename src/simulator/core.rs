//! The state all requests share, and the one way from a change to those who must hear of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::connections::Order;
use super::envelopes::{Envelopes, Named, Travel};
use super::faults::{Fault, Faults, Place};
use super::feed::Feed;
use super::files::Files;
use super::ids::{OTHER_TEAM, TEAM, Ts, slack_id};
use super::message::{Message, StreamState};
use super::personality::Holding;
use super::response_url::ResponseUrls;
use super::shapes::{self, Event};
use super::tickets::Tickets;
use super::world::{Channel, World};
use crate::clock::Clock;

/// How often open streams and status lines are looked at for their end.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Everything a request handler needs. Locks are taken in the order of the fields and never held across an await.
#[derive(Debug)]
pub(super) struct Core {
    world: Mutex<World>,
    pub(super) envelopes: Envelopes,
    pub(super) feed: Feed,
    faults: Mutex<Faults>,
    /// Whether any fault is armed: spares the hot paths the lock.
    faulty: AtomicBool,
    pub(super) calls: Mutex<Calls>,
    pub(super) tickets: Mutex<Tickets>,
    pub(super) response_urls: Mutex<ResponseUrls>,
    pub(super) files: Mutex<Files>,
    pub(super) clock: Clock,
    pub(super) address: SocketAddr,
    pub(super) timing: Timing,
    pub(super) own_events: bool,
    pub(super) personality: Holding,
    pub(super) stop: CancellationToken,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) stream_lifetime: Duration,
    pub(super) ping_every: Duration,
    pub(super) answer_within: Duration,
}

/// What happened to a message.
#[derive(Debug)]
pub(super) enum Change {
    New,
    /// Holds the message object as it was.
    Edited(Value),
    /// The same.
    Deleted(Value),
}

/// Which of the twin events of a new message stay away.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Suppress {
    pub(super) message: bool,
    pub(super) app_mention: bool,
}

impl Core {
    /// A fresh world behind `address`.
    pub(super) fn new(config: &super::Config, address: SocketAddr) -> Arc<Self> {
        let timing = Timing {
            stream_lifetime: config.stream_lifetime,
            ping_every: config.ping_every,
            answer_within: config.answer_within,
        };
        let personality = Holding::new(config.personality);
        Arc::new(Self {
            world: Mutex::new(World::seeded()),
            envelopes: Envelopes::new(config.clock.clone(), config.redelivery.clone(), personality.clone()),
            feed: Feed::new(),
            faults: Mutex::default(),
            faulty: AtomicBool::new(false),
            calls: Mutex::default(),
            tickets: Mutex::default(),
            response_urls: Mutex::default(),
            files: Mutex::default(),
            clock: config.clock.clone(),
            address,
            timing,
            own_events: config.own_events,
            personality,
            stop: CancellationToken::new(),
        })
    }

    /// The world; changes to messages go through [`Core::announce`] before it is let go.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The next free `ts`.
    pub(super) fn tick(&self, world: &mut World) -> Ts {
        world.tick(self.clock.wall_ms())
    }

    /// How long ago a message was posted, by the wall clock.
    pub(super) fn age(&self, ts: Ts) -> Duration {
        let now = u64::try_from(self.clock.wall_ms()).unwrap_or(0);
        Duration::from_millis(now.saturating_sub(ts.millis()))
    }

    /// Tells everybody of a change: the page, those who wait, and the app. Called under the lock of the world, so that all
    /// hear of changes in the order in which they happened.
    pub(super) fn announce(&self, world: &mut World, channel: &str, ts: Ts, change: Change, suppress: Suppress) {
        let at = self.tick(world);
        let Some(message) = world.message(channel, ts) else { return };
        self.show(message, &change);
        if matches!(change, Change::New | Change::Deleted(_)) && message.ephemeral_to.is_none() {
            self.show_root(world, message);
        }
        let phantom = matches!(change, Change::New) && !message.is_bot();
        let events = self.events_of(world, message, change, suppress, at);
        world.tell_waiters(channel, ts);
        for event in events {
            self.emit(&event, channel, at);
            if phantom && event.inner["type"] == "message" {
                self.deliver_phantom(&event, at);
            }
        }
    }

    /// Tells the page.
    fn show(&self, message: &Message, change: &Change) {
        match (change, &message.ephemeral_to) {
            (Change::New, Some(_)) => self.feed.message("ephemeral", message.shown(false)),
            (Change::New, None) => self.feed.message("message", message.shown(false)),
            (Change::Edited(_), _) => self.feed.message("message_changed", message.shown(false)),
            (Change::Deleted(_), _) => {
                self.feed.push("message_deleted", json!({"channel": message.channel, "ts": message.ts}));
            }
        }
    }

    /// Tells the page of the message whose reply has come or gone: it shows how many there are.
    fn show_root(&self, world: &World, reply: &Message) {
        let root = reply.thread_ts.filter(|root| *root != reply.ts);
        if let Some(root) = root.and_then(|root| world.message(&reply.channel, root)) {
            self.feed.message("message_changed", root.shown(false));
        }
    }

    fn events_of(&self, world: &World, message: &Message, change: Change, suppress: Suppress, at: Ts) -> Vec<Event> {
        let Some(channel) = world.channel(&message.channel) else { return Vec::new() };
        if message.ephemeral_to.is_some() || (message.is_bot() && !self.own_events) {
            return Vec::new();
        }
        let mut events = Vec::new();
        let heard = channel.has_member(super::ids::BOT_USER);
        match change {
            Change::New => {
                if heard && !suppress.message {
                    let root_author = message.thread_ts.and_then(|root| channel.message(root));
                    events.push(shapes::message_posted(message, channel, root_author.map(|root| root.user.as_str())));
                }
                if !message.is_bot() && !suppress.app_mention && !channel.is_im() && mentions_bot(&message.text) {
                    events.push(shapes::app_mention(message, message.ts));
                }
            }
            Change::Edited(previous) if heard => {
                let mention_added = !message.is_bot()
                    && !channel.is_im()
                    && mentions_bot(&message.text)
                    && !previous["text"].as_str().is_some_and(mentions_bot);
                events.push(shapes::message_changed(message, previous, channel, at));
                if mention_added {
                    events.push(shapes::app_mention(message, at));
                }
            }
            Change::Deleted(previous) if heard => {
                events.push(shapes::message_deleted(message, previous, channel, at));
            }
            Change::Edited(_) | Change::Deleted(_) => {}
        }
        events
    }

    /// Sends an event to the app, unless a fault meddles with it. Returns the envelope's id if one was sent at once.
    pub(super) fn emit(&self, event: &Event, channel: &str, at: Ts) -> Option<String> {
        let kind = event.inner["type"].as_str().unwrap_or_default();
        let travel = match self.strike(&[Place::Event], kind, Some(channel)) {
            Some(Fault::DropEvent) => return None,
            Some(Fault::DelayEvent { ms }) => Travel::After(Duration::from_millis(ms)),
            Some(Fault::DuplicateEvent) => Travel::Twice,
            Some(Fault::EventEverywhere) => Travel::Everywhere,
            _ => Travel::Once,
        };
        let first = self.deliver(event, at, TEAM, travel);
        if self.personality.now().connect_twins {
            self.deliver(event, at, OTHER_TEAM, travel);
        }
        first
    }

    fn deliver(&self, event: &Event, at: Ts, team: &str, travel: Travel) -> Option<String> {
        let event_id = slack_id("Ev");
        let payload = shapes::event_callback(&event_id, event, at, team);
        self.envelopes.event(Named::new(&event_id, &event.inner), payload.into(), travel)
    }

    /// A person's message as a second event under another `ts`, where such come.
    fn deliver_phantom(&self, event: &Event, at: Ts) {
        let after = self.personality.now().duplicate_ts_twin_ms;
        let Some(ms) = after.filter(|_| event.inner.get("client_msg_id").is_some()) else { return };
        let ts = Ts(at.0.saturating_add(ms.saturating_mul(1_000)));
        let mut inner = event.inner.clone();
        inner["ts"] = json!(ts);
        inner["event_ts"] = json!(ts);
        let phantom = Event { inner, shared: event.shared };
        self.deliver(&phantom, ts, TEAM, Travel::After(Duration::from_millis(ms)));
    }

    /// The next armed fault for this place, counted down.
    pub(super) fn strike(&self, places: &[Place], method: &str, channel: Option<&str>) -> Option<Fault> {
        if !self.faulty.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.faults).strike(places, method, channel, fastrand::f64)
    }

    /// Takes a fault: what strikes at once does, the rest is armed. Returns its number.
    pub(super) fn order_fault(&self, order: super::faults::Order) -> u64 {
        let struck = match order.fault.place() {
            Place::Sockets => self.strike_sockets(&order.fault),
            Place::Streams => {
                self.end_streams(StreamState::Expired, |_| true);
                true
            }
            Place::Call | Place::Event | Place::Opening => false,
        };
        let mut faults = lock(&self.faults);
        if struck {
            return faults.number();
        }
        self.faulty.store(true, Ordering::Release);
        faults.arm(order)
    }

    /// Nothing goes wrong any more.
    pub(super) fn clear_faults(&self) {
        lock(&self.faults).clear();
        self.faulty.store(false, Ordering::Release);
    }

    fn strike_sockets(&self, fault: &Fault) -> bool {
        socket_order(fault).is_some_and(|order| self.envelopes.with_connections(|all| all.order_all(&order)) > 0)
    }

    /// Ends the open streams that `which` chooses by the time of their end.
    fn end_streams(&self, state: StreamState, which: impl Fn(std::time::Instant) -> bool) {
        let mut world = self.world();
        for (due, channel, ts) in world.streams() {
            if which(due) {
                self.end_stream(&mut world, &channel, ts, state);
            }
        }
    }

    /// Ends one stream and says so. Returns whether it was open.
    pub(super) fn end_stream(&self, world: &mut World, channel: &str, ts: Ts, state: StreamState) -> bool {
        let previous = world.message(channel, ts).map(Message::slack);
        let ended = world.end_stream(channel, ts, state);
        if let Some(previous) = previous.filter(|_| ended) {
            self.announce(world, channel, ts, Change::Edited(previous), Suppress::default());
        }
        ended
    }

    /// Sets the status line of a thread and shows it when it changed.
    pub(super) fn set_status(&self, world: &mut World, channel: &str, thread: Ts, text: &str) {
        if world.set_status(channel, thread, text, self.clock.now()) {
            self.feed.push("status", json!({"channel": channel, "thread_ts": thread, "status": text}));
        }
    }

    /// Ends what ends by itself, for ever: streams and status lines.
    pub(super) async fn keep_house(&self) {
        loop {
            self.clock.sleep(HOUSEKEEPING).await;
            let now = self.clock.now();
            if self.world().is_idle() {
                continue;
            }
            self.end_streams(StreamState::Expired, |due| due <= now);
            for (channel, thread) in self.world().expired_statuses(now) {
                self.feed.push("status", json!({"channel": channel, "thread_ts": thread, "status": ""}));
            }
        }
    }

    /// Tells the page of a channel that is new or has changed.
    pub(super) fn show_channel(&self, channel: &Channel) {
        self.feed.push("channel", json!({"channel": channel.shown()}));
    }

    /// Tells the page how many sockets are open.
    pub(super) fn announce_connections(&self) {
        let live = self.envelopes.with_connections(|all| all.live());
        self.feed.push("connection", json!({"connections": live}));
    }
}

/// What a fault makes a socket do.
pub(super) fn socket_order(fault: &Fault) -> Option<Order> {
    let disconnect = |reason, close_ms| Order::Disconnect { reason, close_after: Duration::from_millis(close_ms) };
    match fault {
        Fault::Refresh { close_ms } => Some(disconnect("refresh_requested", *close_ms)),
        Fault::Warning { close_ms } => Some(disconnect("warning", *close_ms)),
        Fault::TooMany => Some(disconnect("too_many_websockets", 0)),
        Fault::LinkDisabled => Some(disconnect("link_disabled", 0)),
        Fault::Cut => Some(Order::Cut),
        Fault::Silence => Some(Order::Silence),
        Fault::NoPing => Some(Order::NoPing),
        Fault::Garbage { text } => Some(Order::Text(text.clone())),
        _ => None,
    }
}

fn mentions_bot(text: &str) -> bool {
    text.contains("<@U0BOT>") || text.contains("<@U0BOT|")
}

/// Takes a lock, also one whose holder panicked: every change here is complete before anything can panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
