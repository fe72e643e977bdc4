// Short notes about what went wrong, in a corner, until they are dismissed.

import { byId, el } from "./dom.js";

const AT_MOST = 3;

/** Shows a note; the oldest goes when there are too many. */
export function notice(text) {
  const list = byId("notices");
  const note = el("div", { class: "notice" }, el("p", {}, text), el("button", { type: "button", class: "plain-button", on: { click: () => note.remove() } }, "Dismiss"));
  list.append(note);
  while (list.childElementCount > AT_MOST) list.firstElementChild.remove();
}
