// Uses the web chat as its operator does, in headless Chromium, with the echo agent behind it.
//
//   node web_chat.mjs http://127.0.0.1:PORT/chat FILE-WITH-THE-TOKEN FOLDER-FOR-SCREENSHOTS
//
// Ends with status 1 and one sentence on standard error at the first thing that is wrong.

import { mkdir, readFile } from "node:fs/promises";
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

const [base, tokenFile, folder] = process.argv.slice(2);
const token = (await readFile(tokenFile, "utf8")).trim();
await mkdir(folder, { recursive: true });

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
try {
  const page = await openPage();
  await logIn(page);
  await writeAndWatch(page);
  await approve(page);
  await stop(page);
  await look(page);
  await endAndResume(page);
  await withTheKeyboard(page);
  console.log("The web chat works: login, streaming, approval, stop, end, sessions, keyboard, accessibility.");
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Wrong ? error.message : `The test itself failed: ${error.stack}`);
} finally {
  await browser.close();
}

// --- Steps ---

async function logIn(page) {
  await holds("the page asks for the token", page.getByLabel("Operator token").waitFor());
  await checkAccessibility(page, "when it asks for the token");
  await page.getByLabel("Operator token").fill("not the token");
  await page.keyboard.press("Enter");
  await holds("a wrong token is refused in words", page.getByRole("alert").filter({ hasText: "not the token" }).waitFor());
  await page.getByLabel("Operator token").fill(token);
  await page.keyboard.press("Enter");
  await focusIs(page, "#text", "after the login one can write at once");
  await page.reload();
  await holds("the token is asked for once", page.getByText("No session", { exact: true }).waitFor());
  const kept = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }));
  wrongUnless(!kept.includes(token), "The token can be read by scripts.");
}

async function writeAndWatch(page) {
  await page.evaluate(() => {
    window.seenLengths = [];
    new MutationObserver(() => {
      const length = document.querySelector(".message.growing .body")?.textContent.length;
      if (length !== undefined && length !== window.seenLengths.at(-1)) window.seenLengths.push(length);
    }).observe(document.querySelector("#messages"), { childList: true, subtree: true, characterData: true });
  });
  await write(page, "!stream 60");
  await holds("a first message starts a session", page.getByRole("heading", { name: "!stream 60" }).waitFor());
  await answered(page, 1, "the answer becomes final");
  const lengths = await page.evaluate(() => window.seenLengths);
  const isRising = lengths.every((length, index) => index === 0 || length > lengths[index - 1]);
  wrongUnless(lengths.length > 1 && isRising, `The answer did not grow in view: ${JSON.stringify(lengths)}.`);
  wrongUnless(await page.locator(".message.agent").count() === 1, "The answer stands there more than once.");
  await write(page, "!markdown");
  await answered(page, 2, "a formatted answer comes");
  await holds("code is shown as code", page.locator(".message.agent pre code").first().waitFor());
}

async function approve(page) {
  await write(page, "!ask");
  const card = page.locator(".message.agent", { hasText: "Say what you choose" });
  await holds("the agent asks with buttons", card.getByRole("button", { name: "Allow once" }).waitFor());
  await page.screenshot({ path: `${folder}/web-chat-approval.png` });
  await card.getByRole("button", { name: "Allow once" }).click();
  await holds("the decision stands there", card.getByText("Decided: Allow once").waitFor());
  await holds("the agent hears of it", page.locator("#messages").getByText("You chose: Allow once").waitFor());
  wrongUnless(await card.getByRole("button").count() === 0, "A decided question still has buttons.");
}

async function stop(page) {
  await write(page, "!sleep 600");
  await holds("the agent is seen to work", page.locator("#status", { hasText: "is thinking" }).waitFor());
  await page.getByRole("button", { name: "Stop" }).click();
  await holds("Stop stops the turn", page.locator(".message.agent", { hasText: "Stopped." }).waitFor());
  await holds("nothing is left to stop", page.getByRole("button", { name: "Stop" }).waitFor({ state: "hidden" }));
}

async function look(page) {
  await checkAccessibility(page, "in light colours");
  await page.screenshot({ path: `${folder}/web-chat.png` });
  await page.emulateMedia({ colorScheme: "dark" });
  await checkAccessibility(page, "in dark colours");
  await page.screenshot({ path: `${folder}/web-chat-dark.png` });
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(NARROW);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  wrongUnless(overflow <= 0, `At ${NARROW.width} pixels the page is ${overflow} pixels too wide.`);
  await page.screenshot({ path: `${folder}/web-chat-narrow.png` });
  await page.getByRole("button", { name: "Sessions" }).click();
  await holds("the sessions open as a drawer", page.getByRole("button", { name: "New session" }).waitFor());
  await page.keyboard.press("Escape");
  await page.setViewportSize(WIDE);
}

async function endAndResume(page) {
  await page.getByRole("button", { name: "New session" }).click();
  await holds("a new session is empty", page.getByText("The session is ready").waitFor());
  await write(page, "in the second");
  await answered(page, 1, "the second session answers");
  await holds("both sessions are listed", page.locator("#sessions .session").nth(1).waitFor());
  await page.locator("#sessions .session", { hasText: "!stream 60" }).click();
  await holds("the first one comes back with what was said", page.locator("#messages").getByText("You chose: Allow once").waitFor());
  await page.getByRole("button", { name: "End session" }).click();
  await page.getByRole("button", { name: "End it" }).click();
  await holds("the page says that the session has ended", page.getByRole("heading", { name: "This session has ended" }).waitFor());
  await holds("an ended session is in no list", page.waitForFunction(() => document.querySelectorAll("#sessions .session").length === 1));
  await write(page, "afterwards");
  await holds("a message after the end starts a new session", page.getByRole("heading", { name: "afterwards" }).waitFor());
  await answered(page, 1, "the new session answers");
  // The session ends behind everybody's back, and the next message finds out.
  await write(page, "!vanish");
  await answered(page, 2, "the agent says its last words");
  await write(page, "are you there?");
  await holds("the page says that it has ended", page.getByRole("heading", { name: "This session has ended" }).waitFor());
  await holds("what was not taken can be sent again", page.waitForFunction(() => document.querySelector("#text").value === "are you there?"));
}

async function withTheKeyboard(page) {
  await page.reload();
  await holds("the page is there after a reload", page.locator("#sessions .session").first().waitFor());
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  await focusIs(page, "#text", "the skip link leads to the message box");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");
  await holds("Shift and Enter start a new line", page.locator(".message.web", { hasText: /one\s+two/ }).waitFor());
  await page.getByRole("button", { name: "Log out" }).click();
  await holds("whoever logs out is asked for the token again", page.getByLabel("Operator token").waitFor());
}

// --- The page ---

async function openPage() {
  const page = await browser.newPage({ viewport: WIDE, colorScheme: "light", reducedMotion: "reduce" });
  page.setDefaultTimeout(DEADLINE_MS);
  const complain = (sentence) => {
    process.exitCode = 1;
    console.error(sentence);
  };
  page.on("pageerror", (error) => complain(`The page threw an error: ${error.message}`));
  // A refusal, such as that of a wrong token, is in the console too.
  const expected = /status of (401|409)/;
  page.on("console", (line) => line.type() === "error" && !expected.test(line.text()) && complain(`The page's console says: ${line.text()}`));
  await holds("the page answers", page.goto(base));
  return page;
}

async function write(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** Waits until the agent has said so much, and all of it is final. */
async function answered(page, count, sentence) {
  await holds(sentence, page.waitForFunction(
    (wanted) => document.querySelectorAll(".message.agent:not(.growing)").length === wanted && !document.querySelector(".growing"),
    count, { timeout: DEADLINE_MS },
  ), () => page.locator("#messages").innerText());
}

async function checkAccessibility(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const list = grave.map(({ id, help, nodes }) => `${id} (${help}) at ${nodes[0].target.join(" ")}: ${nodes[0].failureSummary}`);
  wrongUnless(grave.length === 0, `Accessibility, ${where}: ${list.join("; ")}`);
}

async function focusIs(page, selector, sentence) {
  const matches = page.waitForFunction((wanted) => document.activeElement?.matches(wanted), selector, { timeout: DEADLINE_MS });
  await holds(sentence, matches, () => page.evaluate(() => `the focus is on ${document.activeElement?.outerHTML.slice(0, 120)}`));
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
