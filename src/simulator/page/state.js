// What the page knows, and how it changes. Pure: every function returns a new state, or the same one when nothing changed, and
// messages that did not change stay the same objects, so that views can compare by identity.

/** The state before anything has been heard. `connections` is null until the server has said. */
export function initial() {
  return {
    team: { id: "", name: "Simulator" },
    bot: { user_id: "", bot_id: "", name: "bot" },
    users: {},
    channels: [],
    commands: [],
    connections: null,
    person: null,
    place: { channel: null, thread: null },
    messages: {},
    loaded: {},
    statuses: {},
    unread: {},
    live: false,
  };
}

/** Takes over the answer of `/sim/state`. */
export function withWorld(state, world) {
  const users = Object.fromEntries(world.users.map((user) => [user.id, user]));
  const person = state.person in users ? state.person : world.users.find((user) => !user.is_bot)?.id ?? null;
  const { team, bot, channels, commands, connections } = world;
  return { ...state, team, bot, channels, commands, connections, users, person };
}

/** Takes over an answer of `/sim/messages`: of a channel, or of one of its threads. */
export function withMessages(state, channel, thread, messages) {
  const known = { ...state.messages[channel] };
  for (const message of messages) known[message.ts] = message;
  return {
    ...state,
    messages: { ...state.messages, [channel]: known },
    loaded: { ...state.loaded, [placeKey(channel, thread)]: true },
  };
}

/** Goes to a channel, and to one of its threads unless `thread` is null. */
export function at(state, channel, thread = null) {
  const { [channel]: _read, ...unread } = state.unread;
  return { ...state, place: { channel, thread }, unread };
}

/** Writes as somebody else from now on. */
export function as(state, person) {
  return { ...state, person };
}

/** Takes over one event of `/sim/events`. Events may come twice and may be older than what is known; the last one wins. */
export function withEvent(state, event) {
  switch (event.type) {
    case "message":
    case "ephemeral":
      return withNew(state, event.message);
    case "message_changed":
    case "reaction":
      return withMessage(state, event.message);
    case "message_deleted":
      return withDeleted(state, event.channel, event.ts);
    case "status":
      return withStatus(state, event);
    case "connection":
      return { ...state, connections: event.connections };
    case "channel":
      return withChannel(state, event.channel);
    case "user":
      return { ...state, users: { ...state.users, [event.user.id]: event.user } };
    default:
      return state;
  }
}

/** Names by id, of people and channels alike, as the mentions in a text need them. */
export function names(state) {
  const users = Object.values(state.users).map((user) => [user.id, user.name]);
  const channels = state.channels.map((channel) => [channel.id, channelName(state, channel)]);
  return Object.fromEntries([...users, ...channels]);
}

/** The channels the person can see: not other people's direct messages, nor private channels without them, nor archived ones. */
export function visibleChannels(state) {
  return state.channels.filter((channel) => {
    if (channel.kind === "im") return channel.user === state.person;
    return !channel.is_archived && (!channel.is_private || channel.members.includes(state.person));
  });
}

/** What a channel is called: a direct message conversation after the bot. */
export function channelName(state, channel) {
  return channel.kind === "im" ? state.bot.name : channel.name;
}

/** The channel's top level messages that the person can see, oldest first. */
export function topLevel(state) {
  const { channel } = state.place;
  return visible(state, (message) => !isReply(message), channel);
}

/** The open thread's root and replies that the person can see, oldest first. */
export function inThread(state) {
  const { channel, thread } = state.place;
  return visible(state, (message) => message.ts === thread || message.thread_ts === thread, channel);
}

/** The status line of the open thread, "" when there is none. */
export function status(state) {
  return state.statuses[placeKey(state.place.channel, state.place.thread)] ?? "";
}

/** Whether the bot is at work in the open thread, so that Stop makes sense. */
export function isWorking(state) {
  return status(state) !== "" || inThread(state).some((message) => message.streaming);
}

/** Whether the message is shown in a thread alone. */
export function isReply(message) {
  return Boolean(message.thread_ts) && message.thread_ts !== message.ts;
}

/** Whether the person wrote it and may change it. */
export function isMine(state, message) {
  return message.user === state.person && !message.deleted && !message.ephemeral_to;
}

/** Whether an address bar's fragment names a place that the person can see. */
export function placeOf(state, fragment) {
  const [channel, thread] = fragment.replace(/^#/, "").split("/");
  if (!visibleChannels(state).some((one) => one.id === channel)) return null;
  return { channel, thread: /^\d+\.\d+$/.test(thread ?? "") ? thread : null };
}

/** The fragment that names a place. */
export function fragmentOf(channel, thread) {
  return "#" + placeKey(channel, thread);
}

function placeKey(channel, thread) {
  return thread ? `${channel}/${thread}` : channel;
}

function visible(state, belongs, channel) {
  return Object.values(state.messages[channel] ?? {})
    .filter((message) => belongs(message) && (!message.ephemeral_to || message.ephemeral_to === state.person))
    .sort((a, b) => (a.ts < b.ts ? -1 : 1));
}

function withNew(state, message) {
  const isNews = !state.messages[message.channel]?.[message.ts];
  return withMessage(isNews ? counted(state, message) : state, message);
}

// Somewhere else and from somebody else: the channel gets a count.
function counted(state, { channel, user, ephemeral_to }) {
  const hidden = ephemeral_to && ephemeral_to !== state.person;
  if (channel === state.place.channel || user === state.person || hidden) return state;
  return { ...state, unread: { ...state.unread, [channel]: (state.unread[channel] ?? 0) + 1 } };
}

function withMessage(state, message) {
  const known = state.messages[message.channel] ?? {};
  return { ...state, messages: { ...state.messages, [message.channel]: { ...known, [message.ts]: message } } };
}

function withDeleted(state, channel, ts) {
  const message = state.messages[channel]?.[ts];
  if (!message || message.deleted) return state;
  return withMessage(state, { ...message, deleted: true, streaming: false });
}

function withChannel(state, channel) {
  const isKnown = state.channels.some(({ id }) => id === channel.id);
  const channels = isKnown ? state.channels.map((one) => (one.id === channel.id ? channel : one)) : [...state.channels, channel];
  return { ...state, channels };
}

function withStatus(state, { channel, thread_ts, status: text }) {
  const { [placeKey(channel, thread_ts)]: _before, ...others } = state.statuses;
  return { ...state, statuses: text ? { ...others, [placeKey(channel, thread_ts)]: text } : others };
}
