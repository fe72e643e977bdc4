// One message as the content of a row.

import { blockKitElements } from "./blocks.js";
import { el } from "./dom.js";
import { emoji } from "./emoji.js";
import { parseMarkdown } from "./markdown.js";
import { parseMrkdwn } from "./mrkdwn.js";
import { channelName, fragmentOf, isMine, isReply, names } from "./state.js";
import { clock, dateOf, day } from "./time.js";
import { blockElements } from "./tree.js";

/** Messages of one person this close together share a heading, in milliseconds. */
const TOGETHER_MS = 5 * 60_000;

/**
 * The rows of a pane: its messages, with a divider before each day. `pane` is "channel" or "thread"; `actions` has `press`, `edit` and
 * `remove`, which are called with the message first.
 */
export function messageRows(state, messages, pane, actions) {
  const context = { state, pane, actions, look: { names: names(state), own: state.person } };
  return messages.flatMap((message, index) => {
    const before = messages[index - 1];
    const startsDay = !before || day(before.ts) !== day(message.ts);
    const isContinued = !startsDay && continues(before, message);
    const row = {
      key: message.ts,
      message,
      class: isContinued ? "row is-continued" : "row",
      marks: [message, isContinued, state.users, state.channels, state.person],
      build: (li) => rowContent(li, message, context),
    };
    return startsDay ? [dayRow(message.ts), row] : [row];
  });
}

function dayRow(ts) {
  const text = day(ts);
  return { key: `day ${dateOf(ts).toDateString()}`, class: "day", marks: [text], build: () => [el("h3", {}, text)] };
}

function continues(before, message) {
  const near = dateOf(message.ts) - dateOf(before.ts) < TOGETHER_MS;
  return near && before.user === message.user && !before.ephemeral_to && !message.ephemeral_to && !before.reply_count;
}

function rowContent(li, message, context) {
  const id = (part) => `${context.pane}-${message.ts}-${part}`;
  li.setAttribute("aria-labelledby", ["author", "time", "body"].map(id).join(" "));
  li.dataset.streaming = String(Boolean(message.streaming));
  li.dataset.author = message.user;
  const author = context.look.names[message.user] ?? message.user;
  return [
    el("span", { class: `avatar ${message.bot_id ? "is-bot" : `hue-${hue(message.user)}`}`, "aria-hidden": "true" }, author.slice(0, 1).toUpperCase()),
    el("div", { class: "content" },
      el("div", { class: "byline" },
        el("span", { class: "author", id: id("author") }, author),
        message.bot_id && el("span", { class: "tag" }, "App"),
        el("time", { id: id("time"), datetime: dateOf(message.ts).toISOString() }, clock(message.ts)),
        message.ephemeral_to && el("span", { class: "quiet" }, "Only visible to you")),
      el("div", { class: "body", id: id("body") }, bodyNodes(message, context)),
      files(message),
      message.streaming && el("p", { class: "quiet growing" }, "Writing…"),
      reactions(message, context),
      threadLink(message, context)),
    tools(message, context),
  ].filter(Boolean);
}

function bodyNodes(message, { look, actions }) {
  if (message.deleted) return [el("p", { class: "quiet" }, "This message was deleted.")];
  const edited = message.edited && el("span", { class: "quiet edited" }, "(edited)");
  return [textNodes(message, look), blockNodes(message, look, actions), edited].flat().filter(Boolean);
}

// Where there are blocks, `text` is what notifications show; a stream's text stands beside its cards.
function textNodes({ text, blocks, markdown }, look) {
  if (blocks?.length && !markdown) return [];
  if (blocks?.some((block) => block.type === "markdown")) return [];
  return blockElements((markdown ? parseMarkdown : parseMrkdwn)(text ?? ""), look);
}

function blockNodes(message, look, actions) {
  return blockKitElements(message.blocks ?? [], look, (...pressed) => actions.press(message, ...pressed));
}

function files({ files: list = [], deleted }) {
  if (deleted || list.length === 0) return null;
  return el("ul", { class: "files", "aria-label": "Files" }, list.map((file) => el("li", {}, fileNode(file))));
}

// A file that hangs here can be had; of others only the name is known.
function fileNode({ id, name, title, url_private: url }) {
  const text = name ?? title ?? id ?? "file";
  return id && url ? el("a", { href: `/sim/files/${encodeURIComponent(id)}`, download: text }, text) : text;
}

function reactions({ reactions: list = [], deleted }, { look }) {
  if (deleted || list.length === 0) return null;
  return el("ul", { class: "reactions", "aria-label": "Reactions" }, list.map(({ name, users }) => {
    const who = users.map((user) => look.names[user] ?? user).join(", ");
    const sign = el("span", { role: "img", "aria-label": name.replaceAll("_", " ") }, emoji(name));
    return el("li", { title: `:${name}: ${who}` }, sign, el("span", { class: "count" }, String(users.length)));
  }));
}

function threadLink(message, { pane }) {
  const count = message.reply_count ?? 0;
  if (pane !== "channel" || count === 0) return null;
  const href = fragmentOf(message.channel, message.ts);
  return el("a", { class: "thread-link", href, data: { tool: "thread", focus: "thread" } }, count === 1 ? "1 reply" : `${count} replies`);
}

function tools(message, { state, pane, actions }) {
  if (message.deleted) return null;
  const button = (name, text, act) =>
    el("button", { type: "button", class: "plain-button", data: { tool: name, focus: name }, on: { click: act } }, text);
  const reply = pane === "channel" && !isReply(message) && !message.ephemeral_to && !message.reply_count;
  const mine = isMine(state, message);
  const list = [
    reply && el("a", { class: "plain-button", href: fragmentOf(message.channel, message.ts), data: { tool: "reply", focus: "reply" } }, "Reply in thread"),
    mine && button("edit", "Edit", () => actions.edit(message)),
    mine && button("delete", "Delete", () => actions.remove(message)),
  ].filter(Boolean);
  return list.length > 0 ? el("div", { class: "tools" }, list) : null;
}

function hue(id) {
  return [...id].reduce((sum, char) => sum + char.charCodeAt(0), 0) % 6;
}

/** What a place is called where it is written out: "#general", or the bot's name for a direct message. */
export function placeName(state, id) {
  const channel = state.channels.find((one) => one.id === id);
  if (!channel) return "";
  return channel.kind === "im" ? channelName(state, channel) : `#${channelName(state, channel)}`;
}
