// The web chat's page. The API tells everything that is shown here, and its `html` is safe to be put into a page as it is.

const byId = (id) => document.getElementById(id);
const RETRY_MS = 2_000;
/** How near to the end of the messages somebody reads who is to see the newest one. */
const NEAR_PX = 80;

/** What is older has been read before. */
const NEWS_MS = 10_000;

let source = null;
let session = { session_connected: false };
let retry = null;
/** Every message that is shown, by its id. */
const rows = new Map();

// --- The API ---

/** A request that was not done. */
class Refused extends Error {
  constructor(status, answer) {
    super(answer.error ?? `The answer was ${status}.`);
    this.status = status;
    this.disconnected = answer.session_connected === false;
  }
}

async function call(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const response = await fetch(`/api/chat${path}`, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** Does what somebody asked for, and says so when it does not work. Returns whether it worked. */
async function attempt(work) {
  byId("error").textContent = "";
  try {
    await work();
    return true;
  } catch (error) {
    if (error.status === 401) showLogin();
    if (error.disconnected) connection({ session_connected: false });
    byId("error").textContent = error instanceof Refused ? sentence(error.message) : "Hitchline does not answer. Try again.";
    return false;
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

// --- Logging in ---

async function enter() {
  try {
    await call("GET", "/session");
  } catch (error) {
    if (error.status === 401) return showLogin(error);
  }
  byId("login").hidden = true;
  byId("chat").hidden = false;
  listen();
  listSessions();
  byId("text").focus();
}

function showLogin() {
  source?.close();
  clearTimeout(retry);
  byId("chat").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token");
  try {
    await call("POST", "/login", { token: token.value.trim() });
    byId("login-error").textContent = "";
    token.value = "";
    await enter();
  } catch (error) {
    byId("login-error").textContent = error instanceof Refused ? sentence(error.message) : "Hitchline does not answer.";
    token.select();
  }
});

byId("log-out").addEventListener("click", () => attempt(async () => {
  await call("POST", "/logout");
  clear();
  showLogin();
}));

// --- What happens ---

function listen() {
  source?.close();
  clearTimeout(retry);
  source = new EventSource("/api/chat/events");
  const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  source.addEventListener("open", () => {
    linkState(true);
    forgetWhatRuns();
  });
  source.addEventListener("error", () => {
    linkState(false);
    // A broken connection is taken up again by the browser; a refusal is for us to look at.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(enter, RETRY_MS);
  });
  on("session", connection);
  on("message", (message) => keepInView(() => {
    show(message);
    if (message.author === "agent" && Date.now() - message.created_ms < NEWS_MS) announce(message);
    listSoon();
  }));
  on("revised", (message) => keepInView(() => show(message)));
  on("withdrawn", ({ id }) => drop(id));
  on("growing", (message) => keepInView(() => grow(message)));
  on("gone", ({ id }) => { if (rows.get(id)?.classList.contains("growing")) drop(id); busy(); });
  on("status", ({ text }) => { byId("status").textContent = text && `The agent ${text}`; busy(); });
  on("waiting", ({ ids }) => waiting(ids));
}

/** What ran when the last stream ended may be over; a new one tells what runs now. */
function forgetWhatRuns() {
  for (const [id, row] of rows) if (row.classList.contains("growing")) drop(id);
  byId("status").textContent = "";
  waiting([]);
  busy();
}

function waiting(ids) {
  for (const [id, row] of rows) row.querySelector(".waiting").hidden = !ids.includes(id);
}

function linkState(live) {
  byId("link-state").textContent = live ? "connected" : "connecting…";
  byId("link-state").classList.toggle("live", live);
}

/** A session is connected, another one, or none. */
function connection(now) {
  const ended = session.session_connected && !now.session_connected;
  if (now.session_connected && now.session_id !== session.session_id) clear();
  session = now.session_connected ? now : { ...session, session_connected: false };
  const connected = session.session_connected;
  byId("title").textContent = connected ? name(session) : session.session_id ? "This session has ended" : "No session";
  byId("where").textContent = connected ? `${session.agent} in ${session.working_dir}` : "Write a message to start a new one";
  byId("end").hidden = !connected;
  byId("text").placeholder = connected ? `Message ${session.agent}` : "Write to start a new session";
  if (ended) {
    byId("status").textContent = "";
    byId("announcer").textContent = "This session has ended.";
  }
  emptiness();
  busy();
  listSoon();
}

function clear() {
  rows.clear();
  byId("messages").replaceChildren();
  byId("status").textContent = "";
  session = { session_connected: false };
}

function emptiness() {
  const hint = session.session_connected ? "The session is ready. What you write goes to the agent." : "Nothing has been said yet.";
  byId("empty").textContent = rows.size ? "" : hint;
}

function busy() {
  const works = byId("status").textContent !== "" || document.querySelector(".message.growing") !== null;
  byId("stop").hidden = !works || !session.session_connected;
}

// --- Messages ---

/** Makes an element with properties and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function row(id, author, at) {
  let found = rows.get(id);
  if (!found) {
    const time = element("time", { className: "quiet", textContent: new Date(at).toLocaleTimeString([], { timeStyle: "short" }) });
    const waiting = element("span", { className: "waiting quiet", textContent: "waits for its turn", hidden: true });
    const who = element("p", { className: "who" }, element("b", { textContent: author === "web" ? "You" : "Agent" }), time, waiting);
    found = element("li", { className: `message ${author}` }, who, element("div", { className: "body" }));
    rows.set(id, found);
    byId("messages").append(found);
    emptiness();
  }
  return found;
}

function drop(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  emptiness();
}

function grow({ id, html }) {
  if (rows.has(id) && !rows.get(id).classList.contains("growing")) return;
  const growing = row(id, "agent", Date.now());
  growing.classList.add("growing");
  growing.ariaBusy = "true";
  growing.querySelector(".body").innerHTML = html;
  busy();
}

function show(message) {
  const shown = row(message.id, message.author, message.created_ms);
  shown.classList.remove("growing");
  shown.classList.toggle("notice", message.notice);
  shown.ariaBusy = null;
  // What has been said stands in the order of the transcript, below it what still grows.
  const growing = byId("messages").querySelector(".growing");
  if (growing && growing.compareDocumentPosition(shown) & Node.DOCUMENT_POSITION_FOLLOWING) growing.before(shown);
  shown.querySelector(".body").replaceChildren(...content(message));
  busy();
}

function content(message) {
  if (message.kind === "approval") return approval(message);
  if (message.author === "web") return [message.markdown];
  const said = [...element("template", { innerHTML: message.html }).content.childNodes];
  return message.kind === "list" ? [...said, list(message)] : said;
}

/** How a request for a decision begins. */
function asks({ question }) {
  return question ? "The agent asks: " : "The agent asks for permission: ";
}

function approval({ id, title, question, detail, state, decided, buttons }) {
  const expired = question ? "Nobody answered in time." : "Nobody decided in time: the answer was no.";
  const outcome = {
    open: "", expired, withdrawn: "Nobody needs to decide this any more.", decided: decided && `Decided: ${decided.label}`,
  }[state];
  const shown = [element("p", {}, asks({ question }), element("strong", { className: "exact", textContent: title }))];
  if (detail) shown.push(element("pre", { className: "exact", tabIndex: 0 }, element("code", { textContent: detail })));
  if (outcome) shown.push(element("p", { className: "quiet", textContent: outcome }));
  if (buttons.length) shown.push(presses(id, buttons));
  return shown;
}

function list({ id, rows: lines }) {
  const line = ({ html, button }) => {
    const text = element("div", { innerHTML: html });
    return element("li", {}, text, ...(button ? [presses(id, [button])] : []));
  };
  return element("ul", { className: "rows" }, ...lines.map(line));
}

function presses(id, buttons) {
  const group = element("div", { className: "presses" });
  for (const { label, danger, press } of buttons) {
    const button = element("button", { type: "button", className: danger ? "button danger" : "button primary", textContent: label });
    button.addEventListener("click", async () => {
      const all = group.querySelectorAll("button");
      all.forEach((other) => { other.disabled = true; });
      if (!await attempt(() => call("POST", "/press", { message_id: id, press }))) all.forEach((other) => { other.disabled = false; });
    });
    group.append(button);
  }
  return group;
}

function announce(message) {
  const text = message.kind === "approval" ? asks(message) + message.title : `Agent: ${message.markdown}`;
  byId("announcer").replaceChildren(element("p", { textContent: text.slice(0, 500) }));
}

/** Changes what is shown; whoever reads at its end goes on doing so. */
function keepInView(change) {
  const scroll = byId("scroll");
  const near = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_PX;
  change();
  if (near) scroll.scrollTop = scroll.scrollHeight;
}

// --- Writing ---

// What was not taken for certain: sent again as it is, it counts once.
let unsent = { text: "", id: "" };
const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

byId("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const box = byId("text");
  const text = box.value;
  if (!text.trim()) return;
  box.value = "";
  const id = text === unsent.text ? unsent.id : newId();
  const sent = await attempt(async () => {
    if (!session.session_connected) await start(text);
    await call("POST", "/messages", { text, id });
  });
  unsent = sent ? { text: "", id: "" } : { text, id };
  if (!sent && !box.value) box.value = text;
  byId("scroll").scrollTop = byId("scroll").scrollHeight;
});

byId("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});

byId("stop").addEventListener("click", () => attempt(() => call("POST", "/stop")));

// --- Sessions ---

const name = ({ description, session_id: id }) => description || `Session ${id.slice(0, 8)}`;

async function start(description = "") {
  connection(await call("POST", "/session", { agent: byId("agent").value.trim(), dir: byId("dir").value.trim(), description }));
}

byId("new").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await start();
    openMenu(false);
    byId("text").focus();
  });
});

byId("end").addEventListener("click", () => byId("ending").showModal());
byId("ending").addEventListener("close", () => {
  if (byId("ending").returnValue === "end") attempt(async () => connection(await call("POST", "/end")));
  byId("ending").returnValue = "";
});

let soon = null;
/** Lists the sessions a little later, once for all that happens until then. */
function listSoon() {
  clearTimeout(soon);
  soon = setTimeout(listSessions, 200);
}

async function listSessions() {
  const { sessions } = await call("GET", "/sessions").catch(() => ({}));
  if (!sessions) return;
  const focused = document.activeElement?.dataset?.session;
  byId("sessions").replaceChildren(...sessions.map(sessionItem));
  byId("no-sessions").hidden = sessions.length > 0;
  if (focused) byId("sessions").querySelector(`[data-session="${focused}"]`)?.focus();
}

function sessionItem(listed) {
  const used = new Date(listed.last_active_ms);
  const isToday = used.toDateString() === new Date().toDateString();
  const time = isToday ? used.toLocaleTimeString([], { timeStyle: "short" }) : used.toLocaleDateString([], { dateStyle: "short" });
  const about = element("span", { className: "quiet", textContent: `${listed.agent} · ${listed.doing} · ${time}` });
  const button = element("button", { type: "button", className: "session" }, element("strong", { textContent: name(listed) }), about);
  button.dataset.session = listed.session_id;
  if (listed.connected) button.ariaCurrent = "true";
  button.addEventListener("click", () => attempt(async () => {
    connection(await call("POST", `/sessions/${listed.session_id}/resume`));
    openMenu(false);
    byId("text").focus();
  }));
  return element("li", {}, button);
}

function openMenu(open) {
  byId("chat").dataset.menu = open ? "open" : "";
  byId("menu").ariaExpanded = String(open);
}
byId("menu").addEventListener("click", () => openMenu(byId("chat").dataset.menu !== "open"));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") openMenu(false); });
byId("scroll").addEventListener("click", () => openMenu(false));

connection(session);
enter();
