import assert from "node:assert/strict";
import { test } from "node:test";
import { asTyped, parseMrkdwn, safeHref, spoken } from "../../src/simulator/page/mrkdwn.js";

const NAMES = { U1: "alice", U0BOT: "hitchline", C1: "general" };

/** A tree as a short text, so that a table can be read. */
function short(blocks) {
  const inline = (parts) => parts.map((part) => ({
    text: () => part.text,
    break: () => "⏎",
    code: () => `code(${part.text})`,
    link: () => `link(${part.href} ${inline(part.inline)})`,
    user: () => `user(${part.id})`,
    channel: () => `channel(${part.id})`,
    special: () => `special(${part.label})`,
  }[part.kind]?.() ?? `${part.kind}(${inline(part.inline)})`)).join("");
  return blocks.map((block) => ({
    paragraph: () => inline(block.inline),
    quote: () => `quote[${short(block.blocks)}]`,
    code: () => `pre[${block.text}]`,
    list: () => `list[${block.items.map((item) => short(item.blocks)).join("|")}]`,
  }[block.kind]())).join(" / ");
}

const TABLE = [
  ["plain", "plain"],
  ["*b* _i_ ~s~ `c`", "bold(b) italic(i) strike(s) code(c)"],
  ["*b _bi_*", "bold(b italic(bi))"],
  ["2*3*4 and snake_case_name", "2*3*4 and snake_case_name"],
  ["* not bold *", "* not bold *"],
  ["*over\nlines*", "*over⏎lines*"],
  ["*\u200bnot\u200b*", "*\u200bnot\u200b*"],
  ["*unclosed", "*unclosed"],
  ["**", "**"],
  ["*b*.", "bold(b)."],
  ["*`a*b`*", "bold(code(a*b))"],
  ["`*c*`", "code(*c*)"],
  ["`a\nb`", "`a⏎b`"],
  ["a &lt;b&gt; &amp;amp;", "a <b> &amp;"],
  ["<https://x.example/a_b_c?d=1&amp;e=2|label>", "link(https://x.example/a_b_c?d=1&e=2 label)"],
  ["<https://x.example>", "link(https://x.example https://x.example)"],
  ["<mailto:a@b.example>", "link(mailto:a@b.example a@b.example)"],
  ["<javascript:alert(1)|click>", "<javascript:alert(1)|click>"],
  ["<data:text/html,x>", "<data:text/html,x>"],
  ["<@U1> in <#C1|general> <!here>", "user(U1) in channel(C1) special(here)"],
  ["<!date^1392734382^{date}|then>", "special(then)"],
  ["*<@U1>*", "bold(user(U1))"],
  ["a\n&gt; q1\n&gt; q2\nb", "a / quote[q1⏎q2] / b"],
  ["• one\n• *two*", "list[one|bold(two)]"],
  ["• a\n  • b\n    • c\n  • d\n• e", "list[a / list[b / list[c]|d]|e]"],
  ["  • a\n• b", "list[a|b]"],
  ["x ```\n*code* &lt;b&gt;\n``` y", "x  / pre[*code* <b>] /  y"],
  ["```never closed", "```never closed"],
  ["", ""],
];

for (const [text, wanted] of TABLE) {
  test(`mrkdwn: ${JSON.stringify(text)}`, () => assert.equal(short(parseMrkdwn(text)), wanted));
}

test("no text is lost, whatever the markers", () => {
  const letters = ["a", "*", "_", "~", "`", " ", "\u200b", "<", ">", "|"];
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 2000; round += 1) {
    const text = Array.from({ length: 12 }, () => letters[random(letters.length)]).join("");
    const count = (value) => [...value].filter((char) => char === "a").length;
    assert.equal(count(short(parseMrkdwn(text)).replace(/italic|strike|channel|special|pre/g, "")), count(text), text);
  }
});

test("a long line of openers takes no long time", () => {
  const started = performance.now();
  parseMrkdwn("*a ".repeat(3000));
  assert.ok(performance.now() - started < 2000);
});

test("a message is edited as it was typed", () => {
  assert.equal(asTyped("<@U0BOT> 1 &lt; 2 &amp;&amp; <#C1|x> <https://x.example|https://x.example>", NAMES), "@hitchline 1 < 2 && #general https://x.example");
  assert.equal(asTyped("<@U9|zoe> <!here>", NAMES), "@zoe @here");
});

test("what is read aloud is one line without markers, and short", () => {
  assert.equal(spoken("*Hello* <@U1>\n`x`", NAMES), "Hello @alice x");
  assert.equal(spoken("word ".repeat(200), NAMES, 20), "word word word word…");
});

test("links lead to the web and to mail alone", () => {
  for (const good of ["https://x.example", "HTTP://x.example/a", "mailto:a@b.example"]) assert.equal(safeHref(good), good);
  for (const bad of ["javascript:alert(1)", " https://x", "file:///etc", "//x", "https://a b", "data:,x", ""]) assert.equal(safeHref(bad), null);
});
