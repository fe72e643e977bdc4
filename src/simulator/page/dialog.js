// A question that must be answered before anything else.

import { byId } from "./dom.js";

/** Asks, and resolves to whether the person agreed. Escape means no. The focus returns to where it was. */
export function ask({ title, text, confirm, deny, danger = false }) {
  const dialog = byId("dialog");
  byId("dialog-title").textContent = title;
  byId("dialog-text").textContent = text;
  byId("dialog-deny").textContent = deny;
  byId("dialog-confirm").textContent = confirm;
  byId("dialog-confirm").className = danger ? "button danger" : "button primary";
  dialog.returnValue = "deny";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "confirm"), { once: true });
  });
}

/** The question that a Block Kit button asks for by its `confirm`. */
export function fromBlockKit({ title, text, confirm, deny, style }) {
  return {
    title: title?.text ?? "Are you sure?",
    text: text?.text ?? "",
    confirm: confirm?.text ?? "Yes",
    deny: deny?.text ?? "No",
    danger: style === "danger",
  };
}
