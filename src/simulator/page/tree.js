// A tree of `mrkdwn.js` or `markdown.js` as elements.

import { el } from "./dom.js";
import { withEmoji } from "./emoji.js";

/** Elements for a list of blocks. `names` maps ids to names; `own` is the id whose mentions stand out. */
export function blockElements(blocks, look) {
  return blocks.map((block) => BLOCKS[block.kind](block, look));
}

/** Nodes for a list of inline parts. */
export function inlineNodes(parts, look) {
  return parts.map((part) => INLINE[part.kind](part, look));
}

const BLOCKS = {
  paragraph: ({ inline }, look) => el("p", {}, inlineNodes(inline, look)),
  // A message's headings must not pass for headings of the page.
  heading: ({ level, inline }, look) =>
    el("p", { class: `heading heading-${Math.min(level, 4)}` }, el("strong", {}, inlineNodes(inline, look))),
  rule: () => el("hr"),
  quote: ({ blocks }, look) => el("blockquote", {}, blockElements(blocks, look)),
  code: ({ text, language }) => el("pre", { "data-language": language }, el("code", {}, text)),
  list: ({ ordered, start, items }, look) =>
    el(ordered ? "ol" : "ul", { start: ordered && start > 1 && String(start) }, items.map((item) => listItem(item, look))),
  table: ({ head, rows }, look) =>
    el("div", { class: "table", role: "region", "aria-label": "Table", tabindex: "0" }, el("table", {},
      el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, inlineNodes(cell, look))))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, inlineNodes(cell, look)))))))),
};

function listItem({ blocks, checked }, look) {
  const task = checked !== undefined;
  const [first, ...rest] = blocks;
  // The first paragraph stands beside the bullet, not under it.
  const lead = first?.kind === "paragraph" ? inlineNodes(first.inline, look) : blockElements(first ? [first] : [], look);
  const box = task && el("span", { class: checked ? "task is-done" : "task", role: "img", "aria-label": checked ? "Done:" : "To do:" });
  return el("li", { class: task && "has-task" }, box, lead, blockElements(rest, look));
}

const INLINE = {
  text: ({ text }) => withEmoji(text),
  break: () => el("br"),
  code: ({ text }) => el("code", {}, text),
  bold: ({ inline }, look) => el("strong", {}, inlineNodes(inline, look)),
  italic: ({ inline }, look) => el("em", {}, inlineNodes(inline, look)),
  strike: ({ inline }, look) => el("s", {}, inlineNodes(inline, look)),
  link: ({ href, inline }, look) => el("a", { href, target: "_blank", rel: "noopener noreferrer" }, inlineNodes(inline, look)),
  user: ({ id, label }, { names, own }) => el("span", { class: id === own ? "mention is-own" : "mention" }, "@" + (names[id] ?? label ?? id)),
  channel: ({ id, label }, { names }) => el("span", { class: "mention" }, "#" + (names[id] ?? label ?? id)),
  special: ({ label }) => el("span", { class: "mention is-own" }, "@" + label),
};
