// The box to write in: one in the channel, one in the thread. It keeps a draft per place and can edit an earlier message.

import { el } from "./dom.js";

/** A composer in a `<form>`. */
export class Composer {
  #handlers;
  #input = el("textarea", { rows: "1", "aria-describedby": null });
  #label = el("label", { class: "visually-hidden" });
  #banner = el("p", { class: "editing", hidden: true }, "Editing a message. Escape cancels.");
  #files = el("input", { type: "file", multiple: true, hidden: true });
  #attach = el("button", { type: "button", class: "button" }, "Attach");
  #send = el("button", { type: "submit", class: "button primary" }, "Send");
  #cancel = el("button", { type: "button", class: "button", hidden: true }, "Cancel");
  #drafts = new Map();
  #place = null;
  #editing = null;

  /**
   * `handlers` are `send(text, files)` and `edit(message, text)`, which return a promise of whether it was taken; `lastOwn()`, the message
   * that Arrow up in an empty box edits as `{message, text}` or null.
   */
  constructor(form, handlers) {
    this.#handlers = handlers;
    const id = `${form.id}-text`;
    this.#input.id = id;
    this.#label.htmlFor = id;
    const hint = el("p", { class: "quiet hint", id: `${id}-hint` }, "Enter sends, Shift + Enter starts a new line");
    this.#input.setAttribute("aria-describedby", hint.id);
    form.append(this.#banner, this.#label, this.#input, el("div", { class: "composer-foot" }, hint, this.#files, this.#attach, this.#cancel, this.#send));
    form.addEventListener("submit", (event) => this.#submit(event));
    this.#input.addEventListener("input", () => this.#fit());
    addEventListener("resize", () => this.#fit());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#cancel.addEventListener("click", () => this.#stopEditing());
    this.#attach.addEventListener("click", () => this.#files.click());
    this.#files.addEventListener("change", () => this.#countFiles());
  }

  /** Writes to another place from now on; what was begun for the place before is kept for it. */
  setPlace(place, label) {
    this.#label.textContent = label;
    this.#input.placeholder = label;
    if (place === this.#place) return;
    if (this.#editing) this.#stopEditing();
    if (this.#place !== null) this.#drafts.set(this.#place, this.#input.value);
    this.#place = place;
    this.#fill(this.#drafts.get(place) ?? "");
  }

  focus() {
    this.#input.focus();
  }

  /** Edits an earlier message, whose text as typed is `text`. */
  startEditing(message, text) {
    if (!this.#editing) this.#drafts.set(this.#place, this.#input.value);
    this.#editing = message;
    this.#fill(text);
    this.#showEditing();
    this.focus();
  }

  #stopEditing() {
    this.#editing = null;
    this.#fill(this.#drafts.get(this.#place) ?? "");
    this.#showEditing();
    this.focus();
  }

  #showEditing() {
    const editing = this.#editing !== null;
    this.#banner.hidden = !editing;
    this.#cancel.hidden = !editing;
    this.#attach.hidden = editing;
    this.#send.textContent = editing ? "Save" : "Send";
  }

  #countFiles() {
    const { length } = this.#files.files;
    this.#attach.textContent = length === 0 ? "Attach" : `${length} attached`;
  }

  #fill(text) {
    this.#input.value = text;
    this.#fit();
  }

  // As high as its text, also where that is wrapped; style.css says how high at most.
  #fit() {
    const { style } = this.#input;
    style.height = "auto";
    const { scrollHeight, offsetHeight, clientHeight } = this.#input;
    // What is not shown has no height yet.
    if (scrollHeight > 0) style.height = `${scrollHeight + offsetHeight - clientHeight}px`;
  }

  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#submit(event);
    } else if (event.key === "Escape" && this.#editing) {
      event.stopPropagation();
      this.#stopEditing();
    } else if (event.key === "ArrowUp" && this.#input.value === "" && !this.#editing) {
      const own = this.#handlers.lastOwn();
      if (!own) return;
      event.preventDefault();
      this.startEditing(own.message, own.text);
    }
  }

  async #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    const [place, editing] = [this.#place, this.#editing];
    const files = editing ? [] : [...this.#files.files];
    if (text === "" && files.length === 0) return;
    if (editing) this.#stopEditing();
    else this.#fill("");
    const taken = await (editing ? this.#handlers.edit(editing, text) : this.#handlers.send(text, files));
    if (taken && !editing) this.#files.value = "";
    this.#countFiles();
    if (taken) return;
    if (this.#place !== place) this.#drafts.set(place, text);
    else if (editing) this.startEditing(editing, text);
    else if (this.#input.value === "") this.#fill(text);
  }
}
