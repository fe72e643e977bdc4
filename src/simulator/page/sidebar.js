// The left column: workspace, the bot's connections, channels, direct messages, and who one writes as.

import { byId, el, setText } from "./dom.js";
import { neighbour } from "./rows.js";
import { channelName, fragmentOf, visibleChannels } from "./state.js";

/** Shows what of the state belongs into the left column. */
export class Sidebar {
  #shown = null;

  /** `onPerson(id)` is called when another person is chosen. */
  constructor(onPerson) {
    byId("person").addEventListener("change", (event) => onPerson(event.target.value));
    byId("places").addEventListener("keydown", moveWithArrows);
  }

  update(state) {
    const parts = [state.team, state.bot, state.channels, state.users, state.person, state.place, state.unread, state.connections, state.live];
    if (this.#shown && parts.every((part, index) => part === this.#shown[index])) return;
    this.#shown = parts;
    setText(byId("workspace"), state.team.name);
    showBot(state);
    showPlaces(state);
    showPeople(state);
  }
}

function showBot({ bot, connections, live }) {
  const node = byId("bot-state");
  node.dataset.connected = String(live && connections > 0);
  if (!live) setText(node, `${bot.name}: not known`);
  else if (connections === 0) setText(node, `${bot.name}: bot not connected`);
  else setText(node, `${bot.name}: connected${connections > 1 ? ` (${connections} sockets)` : ""}`);
}

function showPlaces(state) {
  const focused = document.activeElement?.closest?.("#places a")?.hash;
  const all = visibleChannels(state);
  const dms = all.filter((channel) => channel.kind === "im");
  byId("channels").replaceChildren(...all.filter((channel) => channel.kind !== "im").map((channel) => placeItem(state, channel)));
  byId("dms").replaceChildren(...dms.map((channel) => placeItem(state, channel)));
  byId("dms").hidden = dms.length === 0;
  byId("no-dms").hidden = dms.length > 0;
  if (focused) links().find((link) => link.hash === focused)?.focus();
}

function placeItem(state, channel) {
  const isCurrent = channel.id === state.place.channel;
  const count = state.unread[channel.id] ?? 0;
  const sign = channel.kind === "im" ? "" : el("span", { class: "sign", "aria-hidden": "true" }, "#");
  return el("li", {}, el("a", {
    href: fragmentOf(channel.id),
    class: count > 0 ? "place is-unread" : "place",
    "aria-current": isCurrent && "page",
    // One of them at a time can be reached with Tab; the arrow keys lead to the others.
    tabindex: isCurrent ? "0" : "-1",
  }, sign, el("span", { class: "place-name" }, channelName(state, channel)),
  channel.is_private && el("span", { class: "private" }, "private"),
  count > 0 && el("span", { class: "badge" }, String(count), el("span", { class: "visually-hidden" }, " unread"))));
}

function showPeople({ users, person, team }) {
  const people = Object.values(users).filter((user) => !user.is_bot);
  const label = (user) => (user.team_id === team.id ? user.name : `${user.name} (from another workspace)`);
  byId("person").replaceChildren(...people.map((user) => el("option", { value: user.id, selected: user.id === person }, label(user))));
}

function links() {
  return [...document.querySelectorAll("#places a")];
}

function moveWithArrows(event) {
  const all = links();
  const target = neighbour(all, all.indexOf(event.target), event.key);
  if (!target) return;
  event.preventDefault();
  target.focus();
}
