//! What exists in the simulated workspace: people, channels, messages, status lines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ids::{BOT, BOT_NAME, BOT_USER, OTHER_TEAM, TEAM, Ts, slack_id};
use super::message::{Message, StreamState};
use super::wait::Waiters;

/// How many messages of one channel are remembered; beyond that the oldest are forgotten.
const MAX_MESSAGES: usize = 50_000;
/// A status line clears by itself after this long.
const STATUS_LIFETIME: Duration = Duration::from_mins(2);

/// The workspace.
#[derive(Debug)]
pub(super) struct World {
    pub(super) users: Vec<User>,
    pub(super) channels: Vec<Channel>,
    by_id: HashMap<String, usize>,
    /// Open streams by the time they end by themselves.
    pub(super) open_streams: BTreeSet<(Instant, String, Ts)>,
    statuses: HashMap<(String, Ts), Status>,
    pub(super) sessions: HashMap<(String, Option<Ts>), Value>,
    pub(super) waiters: Waiters,
    last_ts: Ts,
}

/// A person or the bot.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) team: String,
    pub(super) is_bot: bool,
}

/// A channel or a direct message conversation.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) members: Vec<String>,
    pub(super) topic: String,
    pub(super) is_private: bool,
    pub(super) is_archived: bool,
    pub(super) created: Ts,
    messages: BTreeMap<Ts, Message>,
    /// The bot's messages by the `client_msg_id` they were posted with.
    by_client_id: HashMap<String, Ts>,
}

/// What sort of conversation a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    /// Between the bot and this person.
    Im {
        user: String,
    },
}

#[derive(Debug)]
struct Status {
    text: String,
    until: Instant,
}

impl World {
    /// The workspace every simulator starts with.
    pub(super) fn seeded() -> Self {
        let mut world = Self {
            users: Vec::new(),
            channels: Vec::new(),
            by_id: HashMap::new(),
            open_streams: BTreeSet::new(),
            statuses: HashMap::new(),
            sessions: HashMap::new(),
            waiters: Waiters::default(),
            last_ts: Ts(0),
        };
        world.users.push(User { id: BOT_USER.into(), name: BOT_NAME.into(), team: TEAM.into(), is_bot: true });
        for (id, name, team) in [("U0ALICE", "alice", TEAM), ("U0BOB", "bob", TEAM), ("U0CAROL", "carol", OTHER_TEAM)] {
            world.users.push(User { id: id.into(), name: name.into(), team: team.into(), is_bot: false });
        }
        let everybody: Vec<_> = world.users.iter().map(|user| user.id.clone()).collect();
        world.add_channel(Channel::new("C0GENERAL", "general", Kind::Channel, everybody.clone()));
        world.add_channel(Channel::new("C0RANDOM", "random", Kind::Channel, everybody));
        for (id, user) in [("D0ALICE", "U0ALICE"), ("D0BOB", "U0BOB")] {
            world.add_channel(Channel::im(id, user));
        }
        world
    }

    /// The next free `ts`, at `wall_ms` or just after the one before.
    pub(super) fn tick(&mut self, wall_ms: i64) -> Ts {
        let now = u64::try_from(wall_ms).unwrap_or(0) * 1_000;
        self.last_ts = Ts(now.max(self.last_ts.0 + 1));
        self.last_ts
    }

    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The team someone belongs to; ours when nothing is known of them.
    pub(super) fn team_of(&self, user: &str) -> &str {
        self.user(user).map_or(TEAM, |user| user.team.as_str())
    }

    pub(super) fn add_user(&mut self, name: &str, team: &str) -> String {
        let id = slack_id("U");
        self.users.push(User { id: id.clone(), name: name.to_owned(), team: team.to_owned(), is_bot: false });
        id
    }

    pub(super) fn add_channel(&mut self, channel: Channel) {
        self.by_id.insert(channel.id.clone(), self.channels.len());
        self.channels.push(channel);
    }

    pub(super) fn channel(&self, id: &str) -> Option<&Channel> {
        self.channels.get(*self.by_id.get(id)?)
    }

    pub(super) fn channel_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.channels.get_mut(*self.by_id.get(id)?)
    }

    pub(super) fn channel_named(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.kind == Kind::Channel && channel.name == name)
    }

    /// The direct message conversation between the bot and `user`, made when there is none yet.
    pub(super) fn im_with(&mut self, user: &str) -> String {
        let with_user = |channel: &&Channel| matches!(&channel.kind, Kind::Im { user: other } if other == user);
        if let Some(channel) = self.channels.iter().find(with_user) {
            return channel.id.clone();
        }
        let channel = Channel::im(&slack_id("D"), user);
        let id = channel.id.clone();
        self.add_channel(channel);
        id
    }

    pub(super) fn message(&self, channel: &str, ts: Ts) -> Option<&Message> {
        self.channel(channel)?.message(ts)
    }

    pub(super) fn message_mut(&mut self, channel: &str, ts: Ts) -> Option<&mut Message> {
        self.channel_mut(channel)?.messages.get_mut(&ts)
    }

    /// Remembers a message and counts it in its thread.
    pub(super) fn add_message(&mut self, message: Message) {
        let Some(channel) = self.channel_mut(&message.channel) else { return };
        if let Some(root) = message.thread_ts.and_then(|root| channel.messages.get_mut(&root)) {
            let replies = if message.ephemeral_to.is_some() { &mut root.ephemeral_replies } else { &mut root.replies };
            replies.push(message.ts);
        }
        channel.add(message);
    }

    /// Shows a new or changed message to those who wait.
    pub(super) fn tell_waiters(&mut self, channel: &str, ts: Ts) {
        let message =
            self.by_id.get(channel).and_then(|index| self.channels.get(*index)).and_then(|place| place.message(ts));
        if let Some(message) = message {
            self.waiters.see(message);
        }
    }

    /// Sets the status line of a thread; an empty one clears it. Returns whether anything changed.
    pub(super) fn set_status(&mut self, channel: &str, thread: Ts, text: &str, now: Instant) -> bool {
        let key = (channel.to_owned(), thread);
        if text.is_empty() {
            return self.statuses.remove(&key).is_some();
        }
        let status = Status { text: text.to_owned(), until: now + STATUS_LIFETIME };
        self.statuses.insert(key, status).is_none_or(|before| before.text != text)
    }

    /// Takes out the status lines that have stood too long.
    pub(super) fn expired_statuses(&mut self, now: Instant) -> Vec<(String, Ts)> {
        let mut expired = Vec::new();
        self.statuses.retain(|key, status| {
            let stays = status.until > now;
            if !stays {
                expired.push(key.clone());
            }
            stays
        });
        expired
    }

    /// Whether anything hangs on the passing of time.
    pub(super) fn is_idle(&self) -> bool {
        self.statuses.is_empty() && self.open_streams.is_empty()
    }

    /// Ends a stream, whatever the reason. Returns whether it was open.
    pub(super) fn end_stream(&mut self, channel: &str, ts: Ts, state: StreamState) -> bool {
        let stream = self.message_mut(channel, ts).and_then(|message| message.stream.as_mut());
        let Some(stream) = stream.filter(|stream| stream.state == StreamState::Open) else { return false };
        stream.state = state;
        let ends = stream.ends;
        self.open_streams.remove(&(ends, channel.to_owned(), ts))
    }

    /// The streams that are open, those that end first in front.
    pub(super) fn streams(&self) -> Vec<(Instant, String, Ts)> {
        self.open_streams.iter().cloned().collect()
    }
}

impl User {
    /// The user object of the Web API.
    pub(super) fn slack(&self) -> Value {
        json!({
            "id": self.id, "team_id": self.team, "name": self.name, "real_name": self.name, "deleted": false,
            "tz": "Etc/UTC", "tz_offset": 0, "is_bot": self.is_bot, "is_app_user": false, "is_admin": false, "is_owner": false,
            "is_restricted": false, "is_ultra_restricted": false, "is_stranger": self.team != TEAM, "updated": 0,
            "profile": {
                "display_name": self.name, "real_name": self.name, "email": format!("{}@example.com", self.name), "team": self.team,
                "bot_id": self.is_bot.then_some(BOT),
            },
        })
    }

    /// The user as the control API shows it.
    pub(super) fn shown(&self) -> Value {
        json!({"id": self.id, "name": self.name, "team_id": self.team, "is_bot": self.is_bot})
    }
}

impl Channel {
    pub(super) fn new(id: &str, name: &str, kind: Kind, members: Vec<String>) -> Self {
        let (id, name) = (id.to_owned(), name.to_owned());
        let messages = BTreeMap::new();
        Self {
            id,
            name,
            kind,
            members,
            topic: String::new(),
            is_private: false,
            is_archived: false,
            created: Ts(0),
            messages,
            by_client_id: HashMap::new(),
        }
    }

    fn im(id: &str, user: &str) -> Self {
        let members = vec![BOT_USER.to_owned(), user.to_owned()];
        Self::new(id, user, Kind::Im { user: user.to_owned() }, members)
    }

    fn add(&mut self, message: Message) {
        if let Some(id) = message.client_msg_id.as_ref().filter(|_| message.is_bot()) {
            self.by_client_id.insert(id.clone(), message.ts);
        }
        self.messages.insert(message.ts, message);
        if self.messages.len() > MAX_MESSAGES
            && let Some((_, oldest)) = self.messages.pop_first()
            && let Some(id) = oldest.client_msg_id
        {
            self.by_client_id.remove(&id);
        }
    }

    /// The bot's message that was posted with this `client_msg_id`.
    pub(super) fn posted_as(&self, client_msg_id: &str) -> Option<&Message> {
        self.messages.get(self.by_client_id.get(client_msg_id)?)
    }

    pub(super) fn has_member(&self, user: &str) -> bool {
        self.members.iter().any(|member| member == user)
    }

    pub(super) fn is_im(&self) -> bool {
        matches!(self.kind, Kind::Im { .. })
    }

    /// The name of its kind in a message's `channel_type`.
    pub(super) fn slack_type(&self) -> &'static str {
        match self.kind {
            Kind::Im { .. } => "im",
            Kind::Channel if self.is_private => "group",
            Kind::Channel => "channel",
        }
    }

    pub(super) fn message(&self, ts: Ts) -> Option<&Message> {
        self.messages.get(&ts)
    }

    /// All messages, oldest first, ephemeral and deleted ones too.
    pub(super) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values()
    }

    /// The root and its replies, oldest first; nothing when there is no such root.
    pub(super) fn thread(&self, root: Ts) -> impl DoubleEndedIterator<Item = &Message> {
        let root = self.messages.get(&root);
        let replies = root.into_iter().flat_map(|root| &root.replies).filter_map(|ts| self.messages.get(ts));
        root.into_iter().chain(replies)
    }

    /// Messages only one person sees, in the thread of `root`.
    pub(super) fn ephemeral(&self, root: Ts) -> impl Iterator<Item = &Message> {
        let root = self.messages.get(&root);
        root.into_iter().flat_map(|root| &root.ephemeral_replies).filter_map(|ts| self.messages.get(ts))
    }

    /// The conversation object of the Web API.
    pub(super) fn slack(&self) -> Value {
        let mut object = json!({
            "id": self.id, "created": self.created.seconds(), "creator": BOT_USER, "is_archived": self.is_archived,
            "is_channel": !self.is_im() && !self.is_private, "is_group": self.is_private, "is_im": self.is_im(), "is_mpim": false,
            "is_private": self.is_private || self.is_im(), "is_member": self.has_member(BOT_USER),
            "is_ext_shared": false, "is_shared": false, "context_team_id": TEAM,
            "topic": {"value": self.topic, "creator": "", "last_set": 0}, "purpose": {"value": "", "creator": "", "last_set": 0},
        });
        match &self.kind {
            Kind::Im { user } => object["user"] = user.as_str().into(),
            Kind::Channel => {
                object["name"] = self.name.as_str().into();
                object["name_normalized"] = self.name.as_str().into();
            }
        }
        object
    }

    /// The channel as the control API shows it.
    pub(super) fn shown(&self) -> Value {
        match &self.kind {
            Kind::Channel => json!({
                "id": self.id, "name": self.name, "kind": "channel", "is_private": self.is_private,
                "is_archived": self.is_archived, "members": self.members,
            }),
            Kind::Im { user } => json!({"id": self.id, "name": self.name, "kind": "im", "user": user}),
        }
    }
}
