// Slack's own markup, "mrkdwn", as a tree. Pure: no document, so `node --test` can run it.
//
// A tree is a list of blocks:
//   {kind: "paragraph", inline}  {kind: "quote", blocks}  {kind: "code", text}  {kind: "list", ordered: false, items: [{blocks}]}
// and `inline` is a list of:
//   {kind: "text", text}  {kind: "break"}  {kind: "code", text}  {kind: "bold" | "italic" | "strike", inline}
//   {kind: "link", href, inline}  {kind: "user", id, label?}  {kind: "channel", id, label?}  {kind: "special", label}
// `tree.js` turns it into elements; `markdown.js` makes the same tree of Markdown.

const STYLES = { "*": "bold", _: "italic", "~": "strike" };
const WORD = /[\p{L}\p{N}]/u;
// A zero-width space right inside a marker is how writers switch the marker off.
const INNER_BORDER = /[\s\u200b]/u;

/** Parses a whole message text. */
export function parseMrkdwn(text) {
  return text.split("```").flatMap((part, index, parts) => {
    const closed = index < parts.length - 1;
    if (index % 2 === 1 && closed) return [{ kind: "code", text: unescape(part.replace(/^\n|\n$/g, "")) }];
    // An unclosed fence is ordinary text.
    return parseLines(index % 2 === 1 ? "```" + part : trimBreaks(part, index > 0, closed));
  });
}

/** Parses one run of text without any blocks in it, as in a button's neighbour or a table's cell. */
export function parseInline(text) {
  const out = [];
  let plain = "";
  let at = 0;
  const push = (node) => {
    if (plain) out.push({ kind: "text", text: unescape(plain) });
    plain = "";
    if (node) out.push(node);
  };
  while (at < text.length) {
    const found = token(text, at) ?? codeSpan(text, at) ?? styled(text, at) ?? lineBreak(text, at);
    if (found) {
      push(found.node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  push();
  return out;
}

/** Undoes the three escapes, once each, in an order that never decodes twice. */
export function unescape(text) {
  return text.replace(/&(lt|gt|amp);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&" })[name]);
}

/** What a person would type to get this text: mentions by name, nothing escaped. `names` maps ids to names. */
export function asTyped(text, names) {
  return unescape(text.replace(/<([^<>\n]+)>/g, (_, inside) => {
    const { target, label } = halves(inside);
    if (/^[@#]/.test(target)) return target[0] + (names[target.slice(1)] ?? label ?? target.slice(1));
    if (target.startsWith("!")) return "@" + specialLabel(target, label);
    return target;
  }));
}

/** Text to be read aloud: as typed, in one line, without markers, at most `limit` characters. */
export function spoken(text, names, limit = 300) {
  const line = asTyped(text, names).replace(/[`*~_]+/g, "").replace(/\s+/g, " ").trim();
  return line.length > limit ? line.slice(0, limit).trimEnd() + "…" : line;
}

/** The address if a link may lead there, else null: no script, no file, no data. */
export function safeHref(address) {
  return /^(https?:\/\/|mailto:)[^\s]+$/i.test(address) ? address : null;
}

// Breaks beside a fence belong to the fence.
function trimBreaks(part, afterFence, beforeFence) {
  let text = part;
  if (afterFence) text = text.replace(/^\n/, "");
  if (beforeFence) text = text.replace(/\n$/, "");
  return text;
}

const LINE_KINDS = [
  // `>` arrives escaped from a server, bare from an app that forgot to.
  { kind: "quote", mark: /^(?:&gt;|>) ?/ },
  // A list's lines are read with their indentation.
  { kind: "list", mark: /^(?=\s*•)/ },
  { kind: "paragraph", mark: /^/ },
];

// Neighbouring lines of the same kind are one block.
function parseLines(text) {
  const groups = [];
  for (const line of text.split("\n")) {
    const { kind, mark } = LINE_KINDS.find((one) => one.mark.test(line));
    if (groups.at(-1)?.kind !== kind) groups.push({ kind, lines: [] });
    groups.at(-1).lines.push(line.replace(mark, ""));
  }
  return groups.map(blockOf).filter(Boolean);
}

function blockOf({ kind, lines }) {
  if (kind === "quote") return { kind, blocks: [paragraph(lines.join("\n"))] };
  if (kind === "list") return listOf(lines);
  const text = lines.join("\n").replace(/^\n+|\n+$/g, "");
  return text === "" ? null : paragraph(text);
}

function paragraph(text) {
  return { kind: "paragraph", inline: parseInline(text) };
}

// Lines that are indented further than the first one make lists below their item.
function listOf(lines) {
  const indent = (line) => line.search(/\S/);
  const groups = [];
  for (const line of lines) {
    if (groups.length > 0 && indent(line) > indent(lines[0])) groups.at(-1).push(line);
    else groups.push([line]);
  }
  const items = groups.map(([own, ...below]) => {
    const lead = paragraph(own.replace(/^\s*• */, ""));
    return { blocks: below.length > 0 ? [lead, listOf(below)] : [lead] };
  });
  return { kind: "list", ordered: false, items };
}

function lineBreak(text, at) {
  return text[at] === "\n" ? { node: { kind: "break" }, end: at + 1 } : null;
}

function codeSpan(text, at) {
  if (text[at] !== "`") return null;
  const close = text.indexOf("`", at + 1);
  const inside = text.slice(at + 1, close);
  if (close <= at + 1 || inside.includes("\n")) return null;
  return { node: { kind: "code", text: unescape(inside) }, end: close + 1 };
}

function token(text, at) {
  const match = text[at] === "<" && /^<([^<>\n]+)>/.exec(text.slice(at, at + 4000));
  if (!match) return null;
  const node = tokenNode(match[1]);
  return node && { node, end: at + match[0].length };
}

function tokenNode(inside) {
  const { target, label } = halves(inside);
  if (/^@[UWB]\w+$/.test(target)) return { kind: "user", id: target.slice(1), label };
  if (/^#[CGD]\w+$/.test(target)) return { kind: "channel", id: target.slice(1), label };
  if (target.startsWith("!")) return { kind: "special", label: specialLabel(target, label) };
  const href = safeHref(unescape(target));
  return href && { kind: "link", href, inline: [{ kind: "text", text: label ? unescape(label) : href.replace(/^mailto:/, "") }] };
}

function halves(inside) {
  const bar = inside.indexOf("|");
  return bar < 0 ? { target: inside } : { target: inside.slice(0, bar), label: inside.slice(bar + 1) };
}

function specialLabel(target, label) {
  if (label) return unescape(label).replace(/^@/, "");
  return target.slice(1).split("^")[0];
}

// Bold, italic and strike count only at the borders of words, and never across a line.
function styled(text, at) {
  const kind = STYLES[text[at]];
  if (!kind || WORD.test(text[at - 1] ?? "") || !opens(text, at)) return null;
  const close = closing(text, at);
  if (close < 0) return null;
  return { node: { kind, inline: parseInline(text.slice(at + 1, close)) }, end: close + 1 };
}

function opens(text, at) {
  const next = text[at + 1];
  return next !== undefined && next !== text[at] && !INNER_BORDER.test(next);
}

function closing(text, open) {
  let at = open + 1;
  while (at < text.length && text[at] !== "\n") {
    const skipped = token(text, at) ?? codeSpan(text, at);
    if (skipped) {
      at = skipped.end;
      continue;
    }
    const ends = text[at] === text[open] && at > open + 1;
    if (ends && !INNER_BORDER.test(text[at - 1]) && !WORD.test(text[at + 1] ?? "")) return at;
    at += 1;
  }
  return -1;
}
