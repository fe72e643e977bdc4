// Rich text, the form in which Slack keeps formatted text, as elements.

import { el } from "./dom.js";
import { emoji } from "./emoji.js";
import { safeHref } from "./mrkdwn.js";
import { inlineNodes } from "./tree.js";

/** Elements for the parts of a `rich_text` block. */
export function richTextElements(elements, look) {
  return elements.map((part) => PARTS[part.type]?.(part, look) ?? null).filter(Boolean);
}

const PARTS = {
  rich_text_section: ({ elements = [] }, look) => el("p", { class: "plain" }, leaves(elements, look)),
  rich_text_quote: ({ elements = [] }, look) => el("blockquote", {}, el("p", { class: "plain" }, leaves(elements, look))),
  rich_text_preformatted: ({ elements = [], language }) =>
    el("pre", { "data-language": language }, el("code", {}, elements.map((leaf) => leaf.text ?? leaf.url ?? "").join(""))),
  rich_text_list: ({ style, elements = [] }, look) =>
    el(style === "ordered" ? "ol" : "ul", {}, elements.map((item) => el("li", {}, leaves(item.elements ?? [], look)))),
};

const WRAPS = [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]];

function leaves(elements, look) {
  return elements.flatMap((leaf) => {
    const inner = LEAVES[leaf.type]?.(leaf, look) ?? [leaf.text ?? ""];
    return WRAPS.reduce((nodes, [style, tag]) => (leaf.style?.[style] ? [el(tag, {}, nodes)] : nodes), inner);
  });
}

const LEAVES = {
  link: ({ url = "", text }, look) => {
    const href = safeHref(url);
    const label = { kind: "text", text: text || url };
    return inlineNodes([href ? { kind: "link", href, inline: [label] } : label], look);
  },
  user: ({ user_id: id }, look) => inlineNodes([{ kind: "user", id }], look),
  channel: ({ channel_id: id }, look) => inlineNodes([{ kind: "channel", id }], look),
  broadcast: ({ range }, look) => inlineNodes([{ kind: "special", label: range }], look),
  emoji: ({ name }) => [emoji(name)],
};
