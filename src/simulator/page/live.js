// Live updates: one server-sent event stream that is opened again for ever, from where it broke off.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5000;

/**
 * Follows `/sim/events`. `onOpen(isAnother)` is called whenever it is connected, and told whether that may be another server than
 * before; it returns a promise, for reading again what was missed, and events are held back until it is kept, so that an old answer
 * never overwrites a newer event. `onEvent(event)` is called in order, `onLost()` once per break.
 */
export class Live {
  #handlers;
  #held = null;
  #seq = null;
  #isAnother = false;
  #retryMs = FIRST_RETRY_MS;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  open() {
    const source = new EventSource(this.#seq === null ? "/sim/events" : `/sim/events?since=${this.#seq}`);
    source.onopen = () => this.#opened();
    source.onmessage = ({ data }) => this.#heard(JSON.parse(data));
    source.onerror = () => this.#lost(source);
  }

  async #opened() {
    this.#retryMs = FIRST_RETRY_MS;
    this.#held = [];
    const held = this.#held;
    const isAnother = this.#isAnother;
    this.#isAnother = false;
    try {
      await this.#handlers.onOpen(isAnother);
    } finally {
      if (this.#held === held) this.#held = null;
      for (const event of held) this.#handlers.onEvent(event);
    }
  }

  #heard(event) {
    this.#seq = event.seq;
    if (this.#held) this.#held.push(event);
    else this.#handlers.onEvent(event);
  }

  #lost(source) {
    source.close();
    this.#handlers.onLost();
    setTimeout(() => this.#reopen(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  // A server that was away may be another one, which counts from one again: then everything is heard anew, which does no harm.
  async #reopen() {
    const alive = await fetch("/sim/state").then((response) => response.ok, () => false);
    if (alive) return this.open();
    this.#seq = 0;
    this.#isAnother = true;
    setTimeout(() => this.#reopen(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }
}
