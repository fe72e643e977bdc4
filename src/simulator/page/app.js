// The page's entry: holds the state, carries out what the person does, and draws after every change.

import { Announcer, announcement } from "./announce.js";
import * as api from "./api.js";
import { Composer } from "./composer.js";
import { ask, fromBlockKit } from "./dialog.js";
import { byId, setText } from "./dom.js";
import { Live } from "./live.js";
import { asTyped } from "./mrkdwn.js";
import { notice } from "./notices.js";
import { ChannelPane, ThreadPane } from "./panes.js";
import { Rows } from "./rows.js";
import { Sidebar } from "./sidebar.js";
import * as model from "./state.js";

/** From here on a thread stands beside its channel; the same width is in style.css. */
const WIDE = matchMedia("(min-width: 64rem)");

let state = model.initial();
let drawing = false;
const announcer = new Announcer(byId("announcer"));
const sidebar = new Sidebar(switchPerson);
const actions = { press, edit: startEditing, remove };
const channelRows = new Rows(byId("messages"), (ts) => openThread(ts));
const threadRows = new Rows(byId("replies"), () => threadComposer.focus());
const channelComposer = new Composer(byId("channel-composer"), { send: sendToChannel, edit, lastOwn: () => lastOwn(model.topLevel(state)) });
const threadComposer = new Composer(byId("thread-composer"), { send: sendToThread, edit, lastOwn: () => lastOwn(model.inThread(state)) });
const channelPane = new ChannelPane(channelRows, channelComposer, actions);
const threadPane = new ThreadPane(threadRows, threadComposer, actions);
const live = new Live({ onOpen: resync, onEvent: hear, onLost: () => update({ ...state, live: false }) });

wire();
live.open();

// --- Changing and drawing ---

function update(next) {
  state = next;
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

function draw() {
  drawing = false;
  sidebar.update(state);
  setText(byId("lost"), state.live || state.connections === null ? "" : "The connection to the simulator is lost. Trying again…");
  if (!state.place.channel) return;
  threadPane.update(state);
  channelPane.update(state);
}

// --- What the server says ---

async function resync(isAnother) {
  const world = await tried(() => api.getWorld());
  if (!world) return;
  const base = isAnother ? { ...state, messages: {}, loaded: {}, statuses: {} } : { ...state, loaded: {} };
  const person = state.person ?? sessionStorage.getItem("person");
  update(model.withWorld({ ...base, person, live: true }, world));
  await route();
}

function hear(event) {
  const before = state;
  update(model.withEvent(state, event));
  const said = announcement(before, event, state);
  if (said) announcer.say(said);
  if (event.message && isUnknown(event.message)) refreshWorld();
}

function isUnknown({ channel, user }) {
  return !state.channels.some((one) => one.id === channel) || !(user in state.users);
}

async function refreshWorld() {
  const world = await tried(() => api.getWorld());
  if (world) update(model.withWorld(state, world));
}

// --- Going places: the address bar's fragment is the place ---

async function route() {
  const place = model.placeOf(state, location.hash) ?? { channel: model.visibleChannels(state)[0]?.id ?? null, thread: null };
  if (!place.channel) return;
  history.replaceState(null, "", model.fragmentOf(place.channel, place.thread));
  update(model.at(state, place.channel, place.thread));
  await load(place.channel, null);
  if (place.thread) await load(place.channel, place.thread);
}

async function load(channel, thread) {
  if (state.loaded[thread ? `${channel}/${thread}` : channel]) return;
  const messages = await tried(() => api.getMessages(channel, thread));
  if (messages) update(model.withMessages(state, channel, thread, messages));
}

/** Goes to a place; the focus follows into a thread that opens and back to its root when it closes, unless `keepFocus`. */
async function go(fragment, keepFocus = false) {
  const before = state.place;
  if (location.hash !== fragment) history.pushState(null, "", fragment);
  toggleMenu(false);
  await Promise.race([route(), nextFrame()]);
  await nextFrame();
  if (!keepFocus) moveFocus(before, state.place);
}

function moveFocus(before, now) {
  if (now.thread) threadComposer.focus();
  else if (before.thread && before.channel === now.channel) channelRows.focus(before.thread) || channelComposer.focus();
  else channelComposer.focus();
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}

function openThread(ts, keepFocus) {
  return go(model.fragmentOf(state.place.channel, ts), keepFocus);
}

function closeThread() {
  if (state.place.thread) go(model.fragmentOf(state.place.channel));
}

function switchPerson(person) {
  sessionStorage.setItem("person", person);
  const next = model.as(state, person);
  const stays = model.placeOf(next, location.hash);
  const dm = model.visibleChannels(next).find((channel) => channel.kind === "im");
  update(next);
  if (!stays) go(model.fragmentOf((dm ?? model.visibleChannels(next)[0]).id), true);
}

// --- What the person does ---

async function sendToChannel(text, files) {
  const [name] = /^\/\S+/.exec(text) ?? [];
  if (name) return sendCommand(name, text.slice(name.length).trim());
  const { channel } = state.place;
  const sent = await tried(() => send({ user: state.person, channel, text }, files));
  // The bot answers in the thread: it stands open before the answer begins.
  if (sent && WIDE.matches && expectsAnswer(text) && channel === state.place.channel) openThread(sent.ts, true);
  return Boolean(sent);
}

function expectsAnswer(text) {
  const isDm = state.channels.find((one) => one.id === state.place.channel)?.kind === "im";
  return isDm || text.includes(`@${state.bot.name}`);
}

async function send(message, files) {
  if (files.length === 0) return api.postMessage(message);
  return api.postMessage({ ...message, files: await api.addFiles(message.user, files) });
}

async function sendToThread(text, files) {
  if (state.commands.some((name) => text.split(/\s/)[0] === name)) {
    notice("Slash commands work in the channel's box, not in a thread.");
    return false;
  }
  const { channel, thread } = state.place;
  return Boolean(await tried(() => send({ user: state.person, channel, thread_ts: thread, text }, files)));
}

async function sendCommand(name, text) {
  if (!state.commands.includes(name)) {
    notice(`${name} is not a command here. There is: ${state.commands.join(", ") || "none"}.`);
    return false;
  }
  const answer = await tried(() => api.command({ user: state.person, channel: state.place.channel, command: name, text }));
  if (answer && !answer.acked) notice(`The bot did not acknowledge ${name} within three seconds.`);
  return Boolean(answer);
}

async function press(message, button, block, control) {
  if (button.url) window.open(button.url, "_blank", "noopener");
  if (button.confirm && !(await ask(fromBlockKit(button.confirm)))) return;
  control.setAttribute("aria-disabled", "true");
  const { channel, ts } = message;
  const clicked = { user: state.person, channel, ts, action_id: button.action_id, block_id: block.block_id, value: button.value };
  const answer = await tried(() => api.click(clicked));
  control.removeAttribute("aria-disabled");
  if (answer && !answer.acked) notice("The bot did not acknowledge the button within three seconds.");
}

function startEditing(message) {
  const composer = model.isReply(message) || message.ts === state.place.thread ? threadComposer : channelComposer;
  composer.startEditing(message, asTyped(message.text, model.names(state)));
}

async function edit({ channel, ts }, text) {
  return Boolean(await tried(() => api.edit({ user: state.person, channel, ts, text })));
}

async function remove({ channel, ts }) {
  const sure = await ask({ title: "Delete this message?", text: "It cannot be brought back.", confirm: "Delete", deny: "Keep", danger: true });
  if (sure) await tried(() => api.remove({ user: state.person, channel, ts }));
}

async function stop() {
  const { channel, thread } = state.place;
  await tried(() => api.stop({ user: state.person, channel, thread_ts: thread }));
}

function lastOwn(messages) {
  const message = messages.findLast((one) => model.isMine(state, one));
  return message ? { message, text: asTyped(message.text, model.names(state)) } : null;
}

/** The call's answer, or null once the person has been told what went wrong. */
async function tried(call) {
  try {
    return await call();
  } catch (error) {
    notice(error instanceof api.ApiError ? error.message : `Something went wrong in this page: ${error.message}`);
    return null;
  }
}

// --- Controls outside of the lists ---

function wire() {
  byId("close-thread").addEventListener("click", closeThread);
  byId("stop").addEventListener("click", stop);
  byId("menu").addEventListener("click", () => toggleMenu(byId("layout").dataset.menu !== "open"));
  byId("skip").addEventListener("click", skip);
  document.addEventListener("click", followLink);
  byId("channel-pane").addEventListener("pointerdown", (event) => event.target !== byId("menu") && toggleMenu(false));
  byId("thread-pane").addEventListener("keydown", (event) => event.key === "Escape" && closeThread());
  byId("sidebar").addEventListener("keydown", (event) => event.key === "Escape" && toggleMenu(false));
  addEventListener("popstate", route);
}

function skip(event) {
  event.preventDefault();
  if (!channelRows.focus()) channelComposer.focus();
}

// Links to places change no page, so that the focus can follow.
function followLink(event) {
  const link = event.target.closest?.("a[href^='#']");
  if (!link || link.id === "skip" || event.defaultPrevented) return;
  event.preventDefault();
  go(link.getAttribute("href"));
}

function toggleMenu(open) {
  const layout = byId("layout");
  const wasOpen = layout.dataset.menu === "open";
  layout.dataset.menu = open ? "open" : "closed";
  byId("menu").setAttribute("aria-expanded", String(open));
  if (open) document.querySelector("#places a[aria-current]")?.focus();
  else if (wasOpen) byId("menu").focus();
}
