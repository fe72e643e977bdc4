// What a screen reader is told about: what somebody else wrote, once it is whole. Pure but for the `Announcer` at the end.

import { spoken } from "./mrkdwn.js";
import { isReply, names } from "./state.js";

/** How long to wait before reading a new message aloud, in milliseconds: a placeholder may be replaced at once. */
const NEW_MS = 300;
/** How long an edited message must stand still before it is read. */
const EDITED_MS = 1500;

/** What to say about an event, `{key, text, wait}`, or null. `before` and `after` are the states around it. */
export function announcement(before, event, after) {
  const { message } = event;
  if (!message || event.type === "reaction" || !concerns(after, message)) return null;
  const known = before.messages[message.channel]?.[message.ts];
  const said = { key: message.ts, text: sentence(after, message) };
  if (!known) return { ...said, wait: NEW_MS };
  if (known.streaming) return { ...said, wait: 0 };
  const edited = known.text !== message.text || JSON.stringify(known.blocks) !== JSON.stringify(message.blocks);
  return edited ? { ...said, wait: EDITED_MS } : null;
}

function concerns(state, message) {
  const mine = message.user === state.person && !message.ephemeral_to;
  const hidden = message.ephemeral_to && message.ephemeral_to !== state.person;
  return message.channel === state.place.channel && !message.streaming && !mine && !hidden;
}

function sentence(state, message) {
  const author = names(state)[message.user] ?? "Somebody";
  const where = isReply(message) ? (message.thread_ts === state.place.thread ? " in this thread" : " in another thread") : "";
  const whom = message.ephemeral_to ? ", only visible to you" : "";
  return `${author}${where}${whom}: ${spoken(message.text, names(state))}`;
}

/** Puts announcements into a live region, the last one per message, and takes old ones out again. */
export class Announcer {
  #region;
  #waiting = new Map();

  constructor(region) {
    this.#region = region;
  }

  say({ key, text, wait }) {
    clearTimeout(this.#waiting.get(key));
    this.#waiting.set(key, setTimeout(() => this.#put(key, text), wait));
  }

  #put(key, text) {
    this.#waiting.delete(key);
    const line = document.createElement("p");
    line.textContent = text;
    this.#region.append(line);
    while (this.#region.childElementCount > 20) this.#region.firstElementChild.remove();
  }
}
