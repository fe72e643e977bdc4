// Keeps a scrolling list at its end for whoever has read to the end.

/** How near to its end a list counts as read to the end, in pixels. */
const NEAR_PX = 80;

/** Watches a scrolling element; also while it grows, shrinks, or is hidden and shown again. */
export class EndKeeper {
  #scroller;
  #atEnd = true;

  constructor(scroller) {
    this.#scroller = scroller;
    scroller.addEventListener("scroll", () => this.#note());
    new ResizeObserver(() => this.keep()).observe(scroller);
  }

  /** Goes to the end, and stays there from now on. */
  toEnd() {
    this.#atEnd = true;
    this.keep();
  }

  /** To be called after the content changed. */
  keep() {
    if (this.#atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #note() {
    const { clientHeight, scrollHeight, scrollTop } = this.#scroller;
    if (clientHeight > 0) this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }
}
