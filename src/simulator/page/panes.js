// The channel's pane and the thread's: what of the state they show.

import { byId, setText } from "./dom.js";
import { EndKeeper } from "./end_keeper.js";
import { messageRows, placeName } from "./message.js";
import { inThread, isWorking, status, topLevel } from "./state.js";

/** The channel's messages and composer. */
export class ChannelPane {
  #rows;
  #composer;
  #actions;
  #end = new EndKeeper(byId("channel-scroll"));
  #shown = null;

  constructor(rows, composer, actions) {
    this.#rows = rows;
    this.#composer = composer;
    this.#actions = actions;
  }

  update(state) {
    const { channel } = state.place;
    const name = placeName(state, channel);
    const messages = topLevel(state);
    setText(byId("channel-title"), name);
    document.title = `${name} – ${state.team.name}`;
    this.#composer.setPlace(channel, `Message ${name} as ${writer(state)}`);
    this.#rows.update(messageRows(state, messages, "channel", this.#actions));
    byId("channel-empty").hidden = messages.length > 0;
    setText(byId("channel-empty"), emptyText(state, name));
    if (channel === this.#shown) this.#end.keep();
    else this.#end.toEnd();
    this.#shown = channel;
  }
}

/** The open thread's messages, status line and composer; hidden when none is open. */
export class ThreadPane {
  #rows;
  #composer;
  #actions;
  #end = new EndKeeper(byId("thread-scroll"));
  #shown = null;

  constructor(rows, composer, actions) {
    this.#rows = rows;
    this.#composer = composer;
    this.#actions = actions;
  }

  update(state) {
    const { channel, thread } = state.place;
    byId("layout").dataset.thread = thread ? "open" : "closed";
    byId("thread-pane").hidden = !thread;
    if (thread) this.#show(state, channel, thread);
    this.#shown = thread;
  }

  #show(state, channel, thread) {
    setText(byId("thread-place"), placeName(state, channel));
    this.#composer.setPlace(`${channel}/${thread}`, `Reply in this thread as ${writer(state)}`);
    this.#rows.update(messageRows(state, inThread(state), "thread", this.#actions));
    const text = status(state);
    setText(byId("status-line"), text && `${state.bot.name} ${text}`);
    byId("stop").hidden = !isWorking(state);
    if (thread === this.#shown) this.#end.keep();
    else this.#end.toEnd();
  }
}

function writer(state) {
  return state.users[state.person]?.name ?? "";
}

function emptyText({ loaded, place, bot }, name) {
  if (!loaded[place.channel]) return "Loading…";
  return name.startsWith("#") ? `Nothing here yet. Write @${bot.name} and a question to begin.` : `Nothing here yet. Write ${bot.name} a question to begin.`;
}
