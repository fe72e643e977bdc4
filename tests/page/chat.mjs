// Uses the simulator's page as a person does, in headless Chromium, with the bot that is connected to it.
//
//   node chat.mjs http://127.0.0.1:PORT FOLDER-FOR-SCREENSHOTS
//
// Ends with status 1 and one sentence on standard error at the first thing that is wrong.

import { mkdir } from "node:fs/promises";
import axe from "axe-core";
import { chromium } from "playwright-core";

const DEADLINE_MS = 20_000;
const ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 360, height: 740 };

/** What is wrong, in a sentence. */
class Wrong extends Error {}

const [base, folder] = process.argv.slice(2);
if (!base || !folder) fail("Usage: node chat.mjs BASE-URL SCREENSHOT-FOLDER");
await mkdir(folder, { recursive: true });

const browser = await launch();
try {
  const page = await openPage();
  await streamWithTheMouse(page);
  await answerWithTheKeyboard(page);
  await approve(page);
  await editAndDelete(page);
  await attachAFile(page);
  await pressWhatIsForOneAlone(page);
  await growTheBox(page);
  await newChannel(page);
  await look(page);
  console.log("The page works: streaming, keyboard, approval, editing, files, private messages, channels, accessibility.");
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Wrong ? error.message : `The test itself failed: ${error.stack}`);
} finally {
  await browser.close();
}

// --- Steps ---

async function streamWithTheMouse(page) {
  await page.getByRole("link", { name: "general" }).click();
  await holds("#general opens when it is clicked", page.getByRole("heading", { level: 2, name: "#general" }).waitFor());
  await watchGrowth(page);
  await composer(page, "channel").click();
  await page.keyboard.type("@hitchline !stream 60");
  await page.locator("#channel-composer").getByRole("button", { name: "Send", exact: true }).click();
  await holds("the message appears in the channel", channelRow(page, "!stream 60").waitFor());
  await holds("the message's thread opens", page.getByRole("complementary", { name: "Thread" }).waitFor());
  await finalAnswer(page, 1, "an answer to `!stream 60` becomes final");
  const lengths = await page.evaluate(() => window.seenLengths);
  wrongUnless(lengths.length > 1, `The streamed answer did not grow in view: its lengths were ${JSON.stringify(lengths)}.`);
  wrongUnless(isRising(lengths), `The streamed answer shrank: its lengths were ${JSON.stringify(lengths)}.`);
  await holds("the streamed answer gets its final form", botRows(page).last().locator(".body .block").first().waitFor());
  const said = await botRows(page).last().locator(".body").textContent();
  const times = said.split("1 2 3 4 5 ").length - 1;
  wrongUnless(times === 1, `The streamed answer stands ${times} times in its message.`);
}

async function attachAFile(page) {
  const box = page.locator("#channel-composer");
  const chooser = page.waitForEvent("filechooser");
  await box.getByRole("button", { name: "Attach" }).click();
  await (await chooser).setFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("in a file") });
  await holds("the box says that a file is attached", box.getByRole("button", { name: "1 attached" }).waitFor());
  await composer(page, "channel").click();
  await page.keyboard.type("with a file");
  await press(page, "Enter");
  await holds("the file's name stands at its message", channelRow(page, "with a file").getByText("notes.txt").waitFor());
  await holds("the box is empty again", box.getByRole("button", { name: "Attach" }).waitFor());
}

async function answerWithTheKeyboard(page) {
  await page.locator("#close-thread").click();
  await page.reload();
  await holds("the channel is there after a reload", channelRow(page, "!stream 60").waitFor());
  await press(page, "Tab");
  await focusIs(page, "#skip", "the first Tab reaches the skip link");
  await press(page, "Enter");
  await focusIs(page, "#messages .row", "the skip link leads to the messages");
  await press(page, "Home");
  await press(page, "End");
  await focusIs(page, "#messages .row:last-child", "End leads to the newest message");
  await press(page, "Enter");
  await focusIs(page, "#thread-composer textarea", "Enter opens the message's thread and goes to its box");
  await holds("the thread shows the first answer", botRows(page).first().waitFor());
  const before = await botRows(page).count();
  await page.keyboard.type("by keyboard");
  await press(page, "Shift+Enter");
  await page.keyboard.type("in two lines");
  await press(page, "Enter");
  await finalAnswer(page, before + 1, "a reply typed in the thread is answered");
  await holds("the answer is announced to screen readers", page.locator("#announcer p", { hasText: "hitchline" }).last().waitFor({ state: "attached" }));
  await press(page, "Escape");
  await focusIs(page, "#messages .row", "Escape closes the thread and returns to its message");
}

async function approve(page) {
  await composer(page, "channel").click();
  await page.keyboard.type("@hitchline !ask");
  await press(page, "Enter");
  await holds("the thread of the question opens", page.locator("#replies .row", { hasText: "!ask" }).waitFor());
  const allow = page.locator("#replies").getByRole("button", { name: /^(allow|approve|yes)/i }).first();
  await holds("an approval message with a button to allow appears", allow.waitFor());
  await page.screenshot({ path: `${folder}/approval.png` });
  await allow.click();
  await holds("the buttons go once one of them was pressed", allow.waitFor({ state: "detached" }));
  const decision = botRows(page).filter({ hasText: /allow|approv/i }).last();
  await holds("the decision is written in the thread", decision.waitFor());
  const focused = await page.evaluate(() => document.activeElement !== document.body);
  wrongUnless(focused, "The focus was lost when the pressed button went.");
}

async function editAndDelete(page) {
  await composer(page, "channel").click();
  await page.keyboard.type("a message with a tpyo");
  await press(page, "Enter");
  await holds("a message without a mention appears", channelRow(page, "tpyo").waitFor());
  await press(page, "ArrowUp");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("a message without a typo");
  await press(page, "Enter");
  const row = channelRow(page, "without a typo");
  await holds("an edited message says so", row.getByText("(edited)").waitFor());
  await row.hover();
  await row.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await holds("a deleted message says so or goes", row.waitFor({ state: "detached" }));
}

async function pressWhatIsForOneAlone(page) {
  const marked = await channelRow(page, "!stream 60").getAttribute("data-key");
  await api("reactions.add", { channel: "C0GENERAL", timestamp: marked, name: "hourglass_flowing_sand" });
  await holds("a reaction is shown as an emoji", channelRow(page, "!stream 60").getByRole("img", { name: "hourglass flowing sand" }).waitFor());
  const row = (name) => ({
    type: "section", text: { type: "mrkdwn", text: `*${name}*\n~/code/site · 2 min ago` },
    accessory: { type: "button", action_id: `connect.${name}`, value: name, text: { type: "plain_text", text: "Connect" } },
  });
  const list = { channel: "C0GENERAL", user: "U0ALICE", text: "Your sessions", blocks: [row("first"), row("second")] };
  await api("chat.postEphemeral", list);
  const whispered = channelRow(page, "Only visible to you");
  await holds("a list for one person alone appears for them", whispered.waitFor());
  const pressed = page.waitForResponse((response) => response.url().endsWith("/sim/click"));
  await whispered.getByRole("button", { name: "Connect" }).nth(1).focus();
  await press(page, "Enter");
  const click = await (await pressed).json();
  wrongUnless(click.acked, "The bot did not acknowledge a button in a message for one person alone.");
  await page.screenshot({ path: `${folder}/ephemeral.png` });
  await page.getByLabel("You write as").selectOption({ label: "bob" });
  await holds("others don't see it", whispered.waitFor({ state: "detached" }));
  await page.getByLabel("You write as").selectOption({ label: "alice" });
  await holds("it is there again for its own reader", whispered.waitFor());
}

async function growTheBox(page) {
  const box = composer(page, "channel");
  const height = async () => (await box.boundingBox()).height;
  const before = await height();
  await box.fill("long ".repeat(100));
  const grown = await height();
  wrongUnless(grown > before + 20, `The box did not grow with its text: ${before} pixels, then ${grown}.`);
  await box.fill("line\n".repeat(60));
  const most = await height();
  wrongUnless(most > grown && most < 300, `The box grew to ${most} pixels.`);
  await box.fill("");
  const after = await height();
  wrongUnless(after === before, `The emptied box is ${after} pixels high and was ${before}.`);
}

async function newChannel(page) {
  const { channel } = await api("conversations.create", { name: "fix-7", is_private: true });
  await api("conversations.invite", { channel: channel.id, users: "U0ALICE" });
  const link = page.getByRole("link", { name: "fix-7" });
  await holds("a channel that the bot makes appears without a reload", link.waitFor());
  await page.getByLabel("You write as").selectOption({ label: "bob" });
  await holds("who is not in a private channel does not see it", link.waitFor({ state: "detached" }));
  await page.getByLabel("You write as").selectOption({ label: "alice" });
}

async function look(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${folder}/${colorScheme}.png` });
    await checkAccessibility(page, `wide, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(NARROW);
  await page.screenshot({ path: `${folder}/narrow-thread.png` });
  await checkAccessibility(page, "narrow, thread");
  await page.locator("#close-thread").click();
  await holds("the channel comes back when the thread closes", composer(page, "channel").waitFor());
  await page.screenshot({ path: `${folder}/narrow-channel.png` });
  await noSideways(page);
  await page.locator("#menu").click();
  await holds("the drawer with the channels opens", page.getByRole("link", { name: "random" }).waitFor());
  await page.screenshot({ path: `${folder}/narrow-menu.png` });
  await checkAccessibility(page, "narrow, channels");
}

/** Calls a method of the Web API as the bot. */
async function api(method, args) {
  const headers = { authorization: "Bearer xoxb-simulator", "content-type": "application/json" };
  const answer = await (await fetch(`${base}/api/${method}`, { method: "POST", headers, body: JSON.stringify(args) })).json();
  wrongUnless(answer.ok, `${method} failed: ${answer.error}.`);
  return answer;
}

// --- Parts of the page ---

function composer(page, pane) {
  return page.locator(`#${pane}-composer textarea`);
}

function channelRow(page, text) {
  return page.locator("#messages .row", { hasText: text }).last();
}

/** What the bot has written in the open thread. */
function botRows(page) {
  return page.locator("#replies .row[data-author]", { has: page.locator(".tag") });
}

async function finalAnswer(page, count, sentence) {
  const answer = botRows(page).nth(count - 1);
  await holds(sentence, answer.waitFor());
  await holds(sentence, page.waitForFunction(
    () => document.querySelector("#replies .row:last-child")?.matches('[data-streaming="false"]:has(.tag)'),
    null, { timeout: DEADLINE_MS },
  ));
}

/** Notes each length that a message in a thread has while it streams, and its last one. */
async function watchGrowth(page) {
  await page.evaluate(() => {
    window.seenLengths = [];
    let streamed = null;
    const note = () => {
      streamed = document.querySelector('#replies .row[data-streaming="true"]') ?? streamed;
      const length = streamed?.querySelector(".body").textContent.length;
      if (length !== undefined && length !== window.seenLengths.at(-1)) window.seenLengths.push(length);
    };
    const options = { childList: true, subtree: true, attributes: true, characterData: true };
    new MutationObserver(note).observe(document.querySelector("#replies"), options);
  });
}

function isRising(lengths) {
  return lengths.every((length, index) => index === 0 || length > lengths[index - 1]);
}

// --- Checks ---

async function checkAccessibility(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const list = grave.map(({ id, help, nodes }) => `${id} (${help}) at ${nodes[0].target.join(" ")}: ${nodes[0].failureSummary}`);
  wrongUnless(grave.length === 0, `Accessibility, ${where}: ${list.join("; ")}`);
}

async function noSideways(page) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  wrongUnless(overflow <= 0, `At ${NARROW.width} pixels the page is ${overflow} pixels too wide.`);
}

async function focusIs(page, selector, sentence) {
  const matches = page.waitForFunction((wanted) => document.activeElement?.matches(wanted), selector, { timeout: DEADLINE_MS });
  await holds(sentence, matches, () => page.evaluate(() => `the focus is on ${document.activeElement?.outerHTML.slice(0, 120)}`));
}

async function press(page, key) {
  await page.keyboard.press(key);
}

/** Fails with the sentence, which says what should hold, when waiting for it fails. */
async function holds(sentence, waiting, detail) {
  try {
    await waiting;
  } catch (error) {
    const more = await (detail?.() ?? error.message.split("\n")[0]);
    throw new Wrong(`It does not hold that ${sentence} (${more}).`);
  }
}

function wrongUnless(condition, sentence) {
  if (!condition) throw new Wrong(sentence);
}

// --- The browser ---

async function launch() {
  try {
    return await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
  } catch (error) {
    return fail(`Chromium does not start: ${error.message.split("\n")[0]}`);
  }
}

async function openPage() {
  const page = await browser.newPage({ viewport: WIDE, colorScheme: "light", reducedMotion: "reduce" });
  page.setDefaultTimeout(DEADLINE_MS);
  const complain = (sentence) => {
    process.exitCode = 1;
    console.error(sentence);
  };
  page.on("pageerror", (error) => complain(`The page threw an error: ${error.message}`));
  page.on("console", (line) => line.type() === "error" && complain(`The page's console says: ${line.text()}`));
  const elsewhere = (request) => new URL(request.url()).origin !== new URL(base).origin && /^https?:/.test(request.url());
  page.on("request", (request) => elsewhere(request) && complain(`The page asked another server: ${request.url()}`));
  await holds("the page answers", page.goto(base));
  await holds("the bot is connected", page.locator('#bot-state[data-connected="true"]').waitFor());
  return page;
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
