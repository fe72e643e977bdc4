// Block Kit, as far as bots that talk use it, as elements. What is not known is named instead of left out.

import { el } from "./dom.js";
import { parseMarkdown } from "./markdown.js";
import { parseMrkdwn, safeHref } from "./mrkdwn.js";
import { richTextElements } from "./rich_text.js";
import { blockElements } from "./tree.js";

/** Elements for a message's blocks. `press(element, block, control)` is called for a pressed button or a chosen option. */
export function blockKitElements(blocks, look, press) {
  return blocks.map((block) => (BLOCKS[block.type] ?? unknown)(block, look, press));
}

const BLOCKS = {
  section: (block, look, press) =>
    el("div", { class: "block section" },
      el("div", { class: "section-text" },
        block.text && textElements(block.text, look),
        block.fields && el("div", { class: "fields" }, block.fields.map((field) => el("div", {}, textElements(field, look))))),
      block.accessory && element(block.accessory, block, look, press)),
  header: ({ text }) => el("p", { class: "block heading heading-1" }, el("strong", {}, text?.text ?? "")),
  context: ({ elements = [] }, look) =>
    el("div", { class: "block context" }, elements.map((one) => (one.type === "image" ? image(one) : el("div", {}, textElements(one, look))))),
  divider: () => el("hr", { class: "block" }),
  markdown: ({ text = "" }, look) => el("div", { class: "block" }, blockElements(parseMarkdown(text), look)),
  rich_text: ({ elements = [] }, look) => el("div", { class: "block" }, richTextElements(elements, look)),
  image: (block) => el("div", { class: "block" }, image(block)),
  actions,
  context_actions: actions,
  task_card: (block, look) => taskCard(block, look),
  plan: ({ title, tasks = [] }, look) =>
    el("div", { class: "block plan" }, title && el("p", { class: "plan-title" }, el("strong", {}, title)), tasks.map((task) => taskCard(task, look))),
};

function actions(block, look, press) {
  const elements = (block.elements ?? []).flatMap((one) =>
    one.type === "feedback_buttons" ? [one.positive_button, one.negative_button].map((button) => ({ ...one, ...button, type: "button" })) : [one]);
  return el("div", { class: "block actions" }, elements.map((one) => element(one, block, look, press)));
}

function element(one, block, look, press) {
  if (one.type === "button" || one.type === "icon_button") return button(one, block, press);
  if (one.type === "image") return image(one);
  if (one.options) return menu(one, block, press);
  return unknown(one);
}

// Menus, radio buttons and overflows alike: one choice out of a list, sent as soon as it is made.
function menu(one, block, press) {
  const title = one.placeholder?.text ?? "Choose";
  const choose = (event) => press({ ...one, value: event.currentTarget.value }, block, event.currentTarget);
  return el("select", {
    class: "button",
    "aria-label": one.accessibility_label ?? title,
    data: { focus: `${block.block_id}/${one.action_id}` },
    on: { change: choose },
  }, el("option", { value: "", disabled: true, selected: true }, title),
  one.options.map(({ text, value }) => el("option", { value }, text?.text ?? value)));
}

function button(one, block, press) {
  const style = one.style === "primary" || one.style === "danger" ? one.style : "";
  return el("button", {
    type: "button",
    class: `button ${style}`.trim(),
    "aria-label": one.accessibility_label,
    data: { focus: `${block.block_id}/${one.action_id}` },
    on: { click: (event) => press(one, block, event.currentTarget) },
  }, one.text?.text ?? one.action_id ?? "Button");
}

// Images are links: the page loads nothing from elsewhere.
function image({ image_url: address, alt_text: alt, title }) {
  const text = alt || title?.text || "image";
  const href = safeHref(address ?? "");
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, `Image: ${text}`) : el("span", {}, `Image: ${text}`);
}

const TASK_STATES = { pending: "Pending", in_progress: "In progress", complete: "Done", error: "Failed" };

function taskCard({ title, status = "pending", details, output, sources = [] }, look) {
  const state = status in TASK_STATES ? status : "pending";
  return el("div", { class: "block task-card", data: { state } },
    el("p", { class: "task-title" }, el("span", { class: "task-state" }, TASK_STATES[state]), " ", title ?? "Task"),
    [details, output].filter(Boolean).map((part) => el("div", { class: "task-text" }, looseText(part, look))),
    sources.length > 0 && el("ul", { class: "sources" }, sources.map((source) => el("li", {}, sourceLink(source)))));
}

function sourceLink({ url, text }) {
  const href = safeHref(url ?? "");
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, text || href) : text || url || "";
}

// A task's details are Markdown in a stream's chunk and rich text in a block.
function looseText(part, look) {
  return typeof part === "string" ? blockElements(parseMarkdown(part), look) : richTextElements(part.elements ?? [], look);
}

function textElements({ type, text = "" }, look) {
  return type === "mrkdwn" ? blockElements(parseMrkdwn(text), look) : el("p", { class: "plain" }, text);
}

function unknown({ type }) {
  return el("p", { class: "block quiet" }, `This page does not show “${type}”.`);
}
