// Making elements. Text always becomes text nodes; nothing here parses HTML.

/**
 * An element. `props` are attributes, but `class`, `on` (listeners by event) and `data` (data attributes) have their own meaning;
 * an attribute that is null, undefined or false is left out, one that is true stands without a value.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets an element's text if it differs: a live region repeats what is set again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}
