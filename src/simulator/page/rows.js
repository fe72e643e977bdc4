// A list of messages in the document: rows are kept by key, rebuilt only when they changed, and arrow keys move through them.

import { el } from "./dom.js";

/**
 * Keeps `<ol>` in step with a list of rows. A row is `{key, class, marks, build}`: `marks` are compared by identity and tell whether
 * it changed, `build(li)` makes its content. A row without `message` (a day's divider) takes no focus.
 */
export class Rows {
  #list;
  #shown = new Map();
  #active = null;

  /** `onEnter(message)` is called when Enter is pressed on a row itself. */
  constructor(list, onEnter) {
    this.#list = list;
    list.addEventListener("keydown", (event) => this.#key(event, onEnter));
    list.addEventListener("focusin", (event) => this.#activate(event.target.closest(".row")));
  }

  update(rows) {
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, { node }] of this.#shown) if (!keys.has(key)) this.#drop(key, node);
    let previous = null;
    for (const row of rows) {
      const node = this.#refresh(row);
      const next = previous ? previous.nextSibling : this.#list.firstChild;
      if (next !== node) this.#list.insertBefore(node, next);
      previous = node;
    }
    // Who comes from outside lands on the newest message.
    if (!this.#active?.isConnected || !this.#list.contains(document.activeElement)) this.#activate(this.#focusable().at(-1));
  }

  /** Moves the focus to a row, to the active one without a key. Returns whether there is one. */
  focus(key) {
    const node = key === undefined ? this.#active : this.#shown.get(key)?.node;
    node?.focus();
    return Boolean(node);
  }

  #drop(key, node) {
    this.#shown.delete(key);
    node.remove();
  }

  #refresh(row) {
    const shown = this.#shown.get(row.key) ?? { node: el("li", { class: row.class, data: { key: row.key } }), marks: null };
    const { node } = shown;
    if (!same(shown.marks, row.marks)) {
      keepingFocus(node, () => node.replaceChildren(...row.build(node)));
      node.className = row.class;
      if (row.message) this.#setTabbable(node, node === this.#active);
      this.#shown.set(row.key, { node, marks: row.marks });
    }
    return node;
  }

  #focusable() {
    return [...this.#list.querySelectorAll(":scope > .row")];
  }

  // One row at a time can be reached with Tab, and its tools with it.
  #activate(row) {
    if (!row || row === this.#active) return;
    if (this.#active) this.#setTabbable(this.#active, false);
    this.#active = row;
    this.#setTabbable(row, true);
  }

  #setTabbable(row, tabbable) {
    const value = tabbable ? 0 : -1;
    row.tabIndex = value;
    for (const tool of row.querySelectorAll("[data-tool]")) tool.tabIndex = value;
  }

  #key(event, onEnter) {
    const row = event.target.closest(".row");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" && event.target === row) {
      event.preventDefault();
      onEnter(row.dataset.key);
      return;
    }
    const rows = this.#focusable();
    const target = neighbour(rows, rows.indexOf(row), event.key);
    if (!target) return;
    event.preventDefault();
    target.focus();
  }
}

/** The element that an arrow key, Home or End leads to from `at`, or undefined. */
export function neighbour(elements, at, key) {
  const index = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: elements.length - 1 }[key];
  return index === undefined ? undefined : elements[Math.max(0, index)];
}

// A rebuilt row gives the focus back to the same control, or to itself when that is gone.
function keepingFocus(row, rebuild) {
  const focused = row.contains(document.activeElement) && document.activeElement !== row ? document.activeElement : null;
  const name = focused?.dataset.focus;
  rebuild();
  if (!focused) return;
  const again = name && [...row.querySelectorAll("[data-focus]")].find((control) => control.dataset.focus === name);
  (again || row).focus();
}

function same(before, after) {
  return before !== null && before.length === after.length && before.every((mark, index) => mark === after[index]);
}
