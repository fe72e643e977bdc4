// Standard Markdown, as in a `markdown` block or a streamed text, as the tree that `mrkdwn.js` describes, with
//   {kind: "heading", level, inline}  {kind: "rule"}  {kind: "table", head: [inline], rows: [[inline]]}
//   {kind: "code", text, language?}  {kind: "list", ordered, start, items: [{blocks, checked?}]}
// Pure. It is a reading aid for what agents write, not a full CommonMark: half a document, as a stream shows it, must look sensible.

import { safeHref, unescape } from "./mrkdwn.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)(?:[-*+]|(\d{1,9})[.)])(?: +|$)/;
const TABLE_LINE = /^ {0,3}\|?( *:?-+:? *\|)+ *:?-* *:? *$/;

/** Parses a whole Markdown text. */
export function parseMarkdown(text) {
  return parseBlocks(text.split("\n"));
}

function parseBlocks(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const { block, end } = READERS.map((read) => read(lines, at)).find(Boolean);
    blocks.push(block);
    at = end;
  }
  return blocks;
}

const READERS = [fence, heading, rule, quote, table, list, paragraph];

function fence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  const close = new RegExp(`^ {0,3}${open[1][0]}{${open[1].length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) end += 1;
  const text = lines.slice(at + 1, end).join("\n");
  return { block: { kind: "code", text, language: open[2] || undefined }, end: end + 1 };
}

function heading(lines, at) {
  const match = HEADING.exec(lines[at]);
  return match && { block: { kind: "heading", level: match[1].length, inline: inlineOf(match[2]) }, end: at + 1 };
}

function rule(lines, at) {
  return RULE.test(lines[at]) ? { block: { kind: "rule" }, end: at + 1 } : null;
}

function quote(lines, at) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  if (end === at) return null;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return { block: { kind: "quote", blocks: parseBlocks(inner) }, end };
}

function table(lines, at) {
  if (!lines[at].includes("|") || !TABLE_LINE.test(lines[at + 1] ?? "")) return null;
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end += 1;
  const rows = lines.slice(at + 2, end).map(cells);
  return { block: { kind: "table", head: cells(lines[at]), rows }, end };
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => inlineOf(cell.trim().replaceAll("\\|", "|")));
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const ordered = first[2] !== undefined;
  const items = [];
  let end = at;
  while (end < lines.length) {
    const match = ITEM.exec(lines[end]);
    if (!match || match[1].length > first[1].length + 1 || (match[2] !== undefined) !== ordered) break;
    const read = item(lines, end, match);
    items.push(read.item);
    end = read.end;
  }
  return { block: { kind: "list", ordered, start: ordered ? Number(first[2]) : 1, items }, end };
}

// An item reaches to the next line that is not indented under it; a blank line stays only if the item goes on after it.
function item(lines, at, match) {
  const under = (line) => line.startsWith(" ".repeat(match[1].length + 2));
  const inner = [lines[at].slice(match[0].length)];
  let end = at + 1;
  while (end < lines.length) {
    const blank = lines[end].trim() === "";
    if (blank ? !under(lines[end + 1] ?? "") : !under(lines[end])) break;
    inner.push(lines[end].slice(Math.min(match[0].length, lines[end].search(/\S|$/))));
    end += 1;
  }
  while (end < lines.length && lines[end].trim() === "" && ITEM.test(lines[end + 1] ?? "")) end += 1;
  const task = /^\[([ xX])\] +/.exec(inner[0]);
  if (task) inner[0] = inner[0].slice(task[0].length);
  return { item: { blocks: parseBlocks(inner), checked: task ? task[1] !== " " : undefined }, end };
}

// What ends a paragraph; a table needs its second line too, so it wants a blank line before it.
const STARTS = [/^\s*$/, FENCE, HEADING, RULE, /^ {0,3}>/, /^ *(?:[-*+]|1[.)]) +\S/];

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !STARTS.some((start) => start.test(lines[end]))) end += 1;
  const text = lines.slice(at, end).map((line) => line.trim()).join("\n");
  return { block: { kind: "paragraph", inline: inlineOf(text) }, end };
}

// A run without any character that could begin something else.
const PLAIN = /(?:(?!https?:)[^\\`![<*_~\n])+/yi;

// The first pattern that matches at a place wins; each makes one node of its match.
const INLINE = [
  { pattern: /\\([!-/:-@[-`{-~])/y, make: ([, char]) => text(char) },
  { pattern: /(`+)(?!`)([^\n]*?[^`\n])\1(?!`)/y, make: ([, , code]) => ({ kind: "code", text: code.replace(/^ (.*) $/, "$1") }) },
  { pattern: /!?\[((?:\\.|[^\]\\\n])*)\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))+)>?(?:\s+"[^"\n]*")?\s*\)/y, make: ([, label, href]) => link(href, label) },
  { pattern: /<@([UWB]\w+)(?:\|([^<>\n]*))?>/y, make: ([, id, label]) => ({ kind: "user", id, label }) },
  { pattern: /<#([CGD]\w+)(?:\|([^<>\n]*))?>/y, make: ([, id, label]) => ({ kind: "channel", id, label }) },
  { pattern: /<((?:https?:\/\/|mailto:)[^\s<>|]+)(?:\|([^<>\n]*))?>/yi, make: ([, href, label]) => link(href, label || href) },
  { pattern: /https?:\/\/[^\s<>()]*[^\s<>().,;:!?'"*_~]/yi, make: ([href]) => ({ kind: "link", href, inline: [text(href)] }) },
  { pattern: /\*\*\*(?=[^\s*])([^\n]*?[^\s*])\*\*\*/y, make: ([, inner]) => ({ kind: "bold", inline: [styled("italic", inner)] }) },
  { pattern: /\*\*(?=[^\s*])([^]*?[^\s])\*\*/y, make: ([, inner]) => styled("bold", inner) },
  { pattern: /__(?=[^\s_])([^]*?[^\s_])__(?![\p{L}\p{N}_])/yu, make: ([, inner]) => styled("bold", inner), border: "_" },
  { pattern: /~~(?=\S)([^\n]*?\S)~~/y, make: ([, inner]) => styled("strike", inner) },
  { pattern: /\*(?=[^\s*])((?:\*\*[^*]+\*\*|[^*\n])*?[^\s*])\*(?!\*)/y, make: ([, inner]) => styled("italic", inner) },
  { pattern: /_(?=[^\s_])([^\n]*?[^\s_])_(?![\p{L}\p{N}_])/yu, make: ([, inner]) => styled("italic", inner), border: "_" },
  { pattern: /\n/y, make: () => ({ kind: "break" }) },
];

function inlineOf(source) {
  const out = [];
  let at = 0;
  while (at < source.length) {
    const found = match(source, at);
    if (found) {
      out.push(found.node);
      at = found.end;
      continue;
    }
    const run = plainRun(source, at);
    if (out.at(-1)?.open) out.at(-1).text += run;
    else out.push({ kind: "text", text: run, open: true });
    at += run.length;
  }
  return out.map((node) => (node.open ? text(unescape(node.text)) : node));
}

function plainRun(source, at) {
  PLAIN.lastIndex = at;
  return PLAIN.exec(source)?.[0] ?? source[at];
}

function match(source, at) {
  for (const { pattern, make, border } of INLINE) {
    // An underscore inside a word, as in `snake_case`, is a letter.
    if (border === source[at] && /[\p{L}\p{N}_]/u.test(source[at - 1] ?? "")) continue;
    pattern.lastIndex = at;
    const result = pattern.exec(source);
    if (result) return { node: make(result), end: at + result[0].length };
  }
  return null;
}

function text(value) {
  return { kind: "text", text: value };
}

function styled(kind, inner) {
  return { kind, inline: inlineOf(inner) };
}

// An address that no link may lead to is shown as what was written.
function link(address, label) {
  const href = safeHref(unescape(address));
  const inline = inlineOf(label || address).map((node) => (node.kind === "link" ? text(address) : node));
  return href ? { kind: "link", href, inline } : { kind: "text", text: `${label} (${address})` };
}
