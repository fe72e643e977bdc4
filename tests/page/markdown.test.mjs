import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMarkdown } from "../../src/simulator/page/markdown.js";

function inline(parts) {
  return parts.map((part) => {
    if (part.kind === "text") return part.text;
    if (part.kind === "break") return "⏎";
    if (part.kind === "code") return `code(${part.text})`;
    if (part.kind === "user") return `user(${part.id})`;
    if (part.kind === "link") return `link(${part.href} ${inline(part.inline)})`;
    return `${part.kind}(${inline(part.inline)})`;
  }).join("");
}

function short(blocks) {
  return blocks.map((block) => ({
    paragraph: () => inline(block.inline),
    heading: () => `h${block.level}[${inline(block.inline)}]`,
    rule: () => "rule",
    quote: () => `quote[${short(block.blocks)}]`,
    code: () => `pre:${block.language ?? ""}[${block.text}]`,
    list: () => `${block.ordered ? `ol${block.start}` : "ul"}[${block.items.map(item).join("|")}]`,
    table: () => `table[${[block.head, ...block.rows].map((row) => row.map(inline).join(",")).join("|")}]`,
  }[block.kind]())).join(" / ");
}

function item({ blocks, checked }) {
  return (checked === undefined ? "" : checked ? "x:" : "o:") + short(blocks);
}

const TABLE = [
  ["# One\n### Three ###", "h1[One] / h3[Three]"],
  ["a\nb\n\nc", "a⏎b / c"],
  ["**b** *i* __b__ _i_ ~~s~~ `c`", "bold(b) italic(i) bold(b) italic(i) strike(s) code(c)"],
  ["***both***", "bold(italic(both))"],
  ["snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"],
  ["`` a`b ``", "code(a`b)"],
  ["\\*plain\\*", "*plain*"],
  ["[label](https://x.example/a_(b))", "link(https://x.example/a_(b) label)"],
  ["![alt](https://x.example/i.png)", "link(https://x.example/i.png alt)"],
  ["[bad](javascript:alert(1))", "bad (javascript:alert(1))"],
  ["see https://x.example/a.", "see link(https://x.example/a https://x.example/a)."],
  ["<https://x.example|x> <@U1>", "link(https://x.example x) user(U1)"],
  ["<b>no</b> &lt;i&gt; &amp;amp;", "<b>no</b> <i> &amp;"],
  ["- a\n- b\n  - c\n- d", "ul[a|b / ul[c]|d]"],
  ["1. a\n2. b", "ol1[a|b]"],
  ["3) a\n\n4) b", "ol3[a|b]"],
  ["- [x] done\n- [ ] open", "ul[x:done|o:open]"],
  ["- a\n\n  more\n\nafter", "ul[a / more] / after"],
  ["text\n- item", "text / ul[item]"],
  ["> q\n> > r", "quote[q / quote[r]]"],
  ["```rust\nfn x() {}\n# no heading\n```\nafter", "pre:rust[fn x() {}\n# no heading] / after"],
  ["````\n```\n````", "pre:[```]"],
  ["```\nstill open", "pre:[still open]"],
  ["| a | b |\n|---|:-:|\n| 1 | `x` \\| y |", "table[a,b|1,code(x) | y]"],
  ["---", "rule"],
  ["**open", "**open"],
  ["", ""],
];

for (const [text, wanted] of TABLE) {
  test(`markdown: ${JSON.stringify(text)}`, () => assert.equal(short(parseMarkdown(text)), wanted));
}

test("every beginning of a text can be read, as a stream shows it", () => {
  const text = TABLE.map(([source]) => source).join("\n\n");
  for (let end = 0; end <= text.length; end += 1) assert.ok(Array.isArray(parseMarkdown(text.slice(0, end))));
});

test("deep nesting and long lines take no long time", () => {
  const started = performance.now();
  parseMarkdown(Array.from({ length: 60 }, (_, depth) => `${"  ".repeat(depth)}- item`).join("\n"));
  parseMarkdown("> ".repeat(200) + "x");
  parseMarkdown("**a ".repeat(3000));
  parseMarkdown("[".repeat(6000));
  assert.ok(performance.now() - started < 3000);
});
