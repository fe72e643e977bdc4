import assert from "node:assert/strict";
import { test } from "node:test";
import { announcement } from "../../src/simulator/page/announce.js";
import * as model from "../../src/simulator/page/state.js";

const WORLD = {
  team: { id: "T1", name: "Simulator" },
  bot: { user_id: "UB", bot_id: "BB", name: "hitchline" },
  users: [
    { id: "UB", name: "hitchline", team_id: "T1", is_bot: true },
    { id: "UA", name: "alice", team_id: "T1", is_bot: false },
    { id: "UO", name: "bob", team_id: "T1", is_bot: false },
  ],
  channels: [
    { id: "C1", name: "general", kind: "channel" },
    { id: "C2", name: "random", kind: "channel" },
    { id: "DA", name: "UA", kind: "im", user: "UA" },
    { id: "DO", name: "UO", kind: "im", user: "UO" },
  ],
  connections: 0,
  commands: ["/hitch"],
};
const ROOT = "1000.000001";

function start() {
  return model.at(model.withWorld(model.initial(), WORLD), "C1");
}

function message(ts, fields = {}) {
  return { channel: "C1", ts, user: "UB", text: "hi", streaming: false, reactions: [], ...fields };
}

function heard(state, ...events) {
  return events.reduce((before, event) => model.withEvent(before, event), state);
}

const news = (ts, fields) => ({ type: "message", message: message(ts, fields) });
const change = (ts, fields) => ({ type: "message_changed", message: message(ts, fields) });
const stamps = (messages) => messages.map(({ ts }) => ts);

test("the first person who is no bot writes, and stays when the world is read again", () => {
  assert.equal(start().person, "UA");
  assert.equal(model.withWorld(model.as(start(), "UO"), WORLD).person, "UO");
});

test("messages stand in order, replies in their thread alone", () => {
  const state = heard(start(), news("1002.000000"), news(ROOT), news("1001.000000", { thread_ts: ROOT }));
  assert.deepEqual(stamps(model.topLevel(state)), [ROOT, "1002.000000"]);
  assert.deepEqual(stamps(model.inThread(model.at(state, "C1", ROOT))), [ROOT, "1001.000000"]);
});

test("a root that names itself as its thread is top level", () => {
  assert.deepEqual(stamps(model.topLevel(heard(start(), news(ROOT, { thread_ts: ROOT })))), [ROOT]);
});

test("an event that comes twice changes nothing but once", () => {
  const once = heard(start(), news("1.0", { channel: "C2" }));
  assert.deepEqual(heard(once, news("1.0", { channel: "C2" })).unread, { C2: 1 });
});

test("unread messages are counted elsewhere, from others, and until the channel is read", () => {
  const state = heard(start(), news("1.0"), news("2.0", { channel: "C2" }), news("3.0", { channel: "C2", user: "UA" }));
  assert.deepEqual(state.unread, { C2: 1 });
  assert.deepEqual(model.at(state, "C2").unread, {});
});

test("messages for one person are hidden from others and do not count for them", () => {
  const state = heard(start(), { type: "ephemeral", message: message("1.0", { ephemeral_to: "UO", channel: "C2" }) });
  assert.deepEqual(state.unread, {});
  assert.deepEqual(model.topLevel(model.at(state, "C2")), []);
  assert.equal(model.topLevel(model.as(model.at(state, "C2"), "UO")).length, 1);
});

test("unchanged messages stay the same objects", () => {
  const before = heard(start(), news("1.0"), news("2.0"));
  const after = heard(before, change("2.0", { text: "new" }));
  assert.equal(after.messages.C1["1.0"], before.messages.C1["1.0"]);
  assert.notEqual(after.messages.C1["2.0"], before.messages.C1["2.0"]);
});

test("an update of what was a stream replaces its Markdown", () => {
  const stream = news("1.0", { streaming: true, markdown: true });
  const state = heard(start(), stream, change("1.0", { text: "**x**", streaming: false }));
  assert.equal(model.topLevel(state)[0].markdown, undefined);
});

test("a deleted message leaves its place", () => {
  const state = heard(start(), news("1.0", { streaming: true }), { type: "message_deleted", channel: "C1", ts: "1.0" });
  const [left] = model.topLevel(state);
  assert.deepEqual([left.deleted, left.streaming], [true, false]);
  assert.equal(heard(state, { type: "message_deleted", channel: "C9", ts: "1.0" }), state);
});

test("the bot works while it has a status or a stream in the open thread", () => {
  const status = (text) => ({ type: "status", channel: "C1", thread_ts: ROOT, status: text });
  const open = model.at(heard(start(), news(ROOT)), "C1", ROOT);
  assert.equal(model.isWorking(open), false);
  assert.equal(model.isWorking(heard(open, status("is thinking…"))), true);
  assert.equal(model.status(heard(open, status("is thinking…"))), "is thinking…");
  assert.equal(model.isWorking(heard(open, status("is thinking…"), status(""))), false);
  assert.equal(model.isWorking(heard(open, news("2000.0", { thread_ts: ROOT, streaming: true }))), true);
  assert.equal(model.isWorking(model.at(heard(open, status("x")), "C1", "999.0")), false);
});

test("connections come and go", () => {
  assert.equal(heard(start(), { type: "connection", connections: 2 }).connections, 2);
});

test("people see their own direct messages", () => {
  assert.deepEqual(model.visibleChannels(start()).map(({ id }) => id), ["C1", "C2", "DA"]);
  assert.equal(model.names(start()).DA, "hitchline");
});

test("channels appear and change without a reload, private ones for their members alone", () => {
  const told = (fields) => ({ type: "channel", channel: { id: "G1", name: "fix-7", kind: "channel", is_private: true, members: ["UB"], ...fields } });
  const ids = (state) => model.visibleChannels(state).map(({ id }) => id);
  const made = heard(start(), told({}));
  assert.deepEqual(ids(made), ["C1", "C2", "DA"]);
  const invited = heard(made, told({ members: ["UB", "UA"] }));
  assert.deepEqual(ids(invited), ["C1", "C2", "DA", "G1"]);
  assert.deepEqual(ids(model.as(invited, "UO")), ["C1", "C2", "DO"]);
  assert.deepEqual(ids(heard(invited, told({ members: ["UB", "UA"], is_archived: true }))), ["C1", "C2", "DA"]);
  const user = { id: "UN", name: "new", team_id: "T1", is_bot: false };
  assert.equal(model.names(heard(start(), { type: "user", user })).UN, "new");
});

test("a fragment names a place that the person can see, or none", () => {
  assert.deepEqual(model.placeOf(start(), "#C2"), { channel: "C2", thread: null });
  assert.deepEqual(model.placeOf(start(), model.fragmentOf("C1", ROOT)), { channel: "C1", thread: ROOT });
  assert.deepEqual(model.placeOf(start(), "#C1/nonsense"), { channel: "C1", thread: null });
  for (const bad of ["", "#C9", "#DO", "#messages"]) assert.equal(model.placeOf(start(), bad), null);
});

test("only one's own messages can be changed", () => {
  const mine = (fields) => model.isMine(start(), message("1.0", fields));
  assert.deepEqual([mine({ user: "UA" }), mine({}), mine({ user: "UA", deleted: true })], [true, false, false]);
});

test("a streamed answer is announced once, when it is whole", () => {
  const events = [news("1.0", { streaming: true, text: "" }), change("1.0", { streaming: true, text: "a" }), change("1.0", { text: "a b" })];
  let state = start();
  const said = [];
  for (const event of events) {
    const next = model.withEvent(state, event);
    said.push(announcement(state, event, next)?.text ?? null);
    state = next;
  }
  assert.deepEqual(said, [null, null, "hitchline: a b"]);
});

test("announcements name the thread and spare one's own words, other channels and other people's secrets", () => {
  const state = model.at(start(), "C1", ROOT);
  const said = (event) => announcement(state, event, model.withEvent(state, event))?.text ?? null;
  assert.equal(said(news("1.0", { thread_ts: ROOT })), "hitchline in this thread: hi");
  assert.equal(said(news("1.0", { thread_ts: "5.0" })), "hitchline in another thread: hi");
  assert.equal(said(news("1.0", { ephemeral_to: "UA" })), "hitchline, only visible to you: hi");
  assert.equal(said(news("1.0", { ephemeral_to: "UO" })), null);
  assert.equal(said(news("1.0", { user: "UA" })), null);
  assert.equal(said(news("1.0", { channel: "C2" })), null);
});

test("a change that alters no words is not announced", () => {
  const state = heard(start(), news("1.0"));
  const event = change("1.0", { reply_count: 1 });
  assert.equal(announcement(state, event, model.withEvent(state, event)), null);
});
