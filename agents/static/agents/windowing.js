/**
 * Which units of the conversation are mounted: those on the screen and a margin around them. In place of the others stand two
 * elements as high as they were, or as they are likely to be, so that the reader's place and the scroll bar stay.
 *
 * Mounting goes in small steps, so that no task is long however much there is.
 */
import { h } from "./dom.js";

/** A step mounts so many characters, or so many units. */
const STEP_CHARS = 6_000;
const STEP_UNITS = 24;
/** So much is mounted within one drawing, when much comes at once. */
const MOST_CHARS = 60_000;
const MOST_UNITS = 120;
/** So far from the screen, in heights of the window, units are mounted, and beyond `FAR` unmounted. */
const NEAR = 0.75;
const FAR = 1.5;
/** How long one task may mount. */
const BUDGET_MS = 12;
/** Guesses for what was never mounted. */
const CHARS_PER_PX = 3;
const LEAST_PX = 48;
const MOST_PX = 1_000;

export class Windowing {
  /** `root`: the conversation. `state()`: the present one. `draw()`: draws the conversation. */
  constructor({ root, past, follow, state, draw }) {
    Object.assign(this, { root, past, follow, state, draw });
    this.above = spacer("Earlier messages, not loaded while you are far from them");
    this.below = spacer("Later messages, not loaded while you are far from them");
    root.before(this.above);
    root.after(this.below);
    /** Ordinals of the first and the last unit that are mounted. `last` is Infinity at the end of the conversation. */
    this.first = null;
    this.last = Infinity;
    this.units = [];
    this.heights = new Map();
    this.isWhole = false;
    this.focused = null;
    addEventListener("scroll", () => this.look(), { passive: true });
    addEventListener("resize", () => this.look());
    addEventListener("beforeprint", () => this.#mountAll(true));
    addEventListener("afterprint", () => this.#mountAll(false));
    // The browser would go back to a place in pixels, in a page that is not there yet.
    history.scrollRestoration = "manual";
    this.placeKey = `agentsite-place ${location.pathname}`;
    addEventListener("pagehide", () => sessionStorage.setItem(this.placeKey, JSON.stringify(this.#place())));
  }

  /** Where a reader who was not at the end left the page: {n, top}, as reveal takes them, or null. */
  get lastPlace() {
    return this.follow.following ? null : JSON.parse(sessionStorage.getItem(this.placeKey));
  }

  #place() {
    const node = this.#mounted().find((one) => one.getBoundingClientRect().bottom > 0);
    return node ? { n: Number(node.dataset.n), top: topOf(node) } : null;
  }

  /** Before each drawing: {units, from, to}, all that is here and which of them to mount. */
  range() {
    const { follow, past } = this;
    const units = past.units(this.state().messages);
    const isNew = this.units !== units;
    this.units = units;
    if (this.isWhole) return this.#shown(0, units.length);
    if (follow.following && this.last !== Infinity) [this.first, this.last] = [null, Infinity];
    let to = this.last === Infinity ? units.length : indexAfter(units, this.last);
    let from = this.first === null ? to : indexAfter(units, this.first - 1);
    if (from >= to) [from, to] = [stepBack(units, units.length), units.length];
    if (isNew && isMuch(units, from, to)) {
      if (follow.following) from = stepBack(units, to);
      else to = Math.max(stepOn(units, from), indexAfter(units, this.shown?.end ?? 0)); // what the reader sees stays
    }
    return this.#shown(from, to);
  }

  #shown(from, to) {
    const { units } = this;
    this.first = units[from]?.n ?? null;
    this.last = to === units.length ? Infinity : units[to - 1].n;
    const isMoved = this.shown?.from !== from || this.shown.to !== to || this.shown.total !== units.length;
    this.shown = { units, from, to, total: units.length, end: units[to - 1]?.n ?? 0 };
    if (isMoved) this.#pad();
    return this.shown;
  }

  /** After each drawing, and when the reader scrolls. */
  look() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.settle();
    });
  }

  /** Mounts and unmounts until it is right, or the time for one task is over. */
  settle() {
    const until = performance.now() + BUDGET_MS;
    while (this.#step()) if (performance.now() > until) return this.look();
  }

  /** Draws, and leaves what the reader sees where it is. */
  keepPlace(draw) {
    const seen = this.#mounted().filter((node) => node.getBoundingClientRect().bottom > 0);
    const places = seen.map((node) => [node, topOf(node)]);
    const below = document.documentElement.scrollHeight - scrollY;
    draw();
    if (this.follow.following) return this.follow.settle();
    const [node, top] = places.find(([one]) => one.isConnected) ?? [];
    const pushed = places.length ? 0 : document.documentElement.scrollHeight - below - scrollY;
    const moved = node ? topOf(node) - top : pushed;
    if (moved) scrollTo({ top: scrollY + moved, behavior: "instant" });
  }

  /** Shows the unit with that ordinal, which is here, `top` pixels below the window's edge or in its middle. Returns its node. */
  reveal(n, top = null) {
    const at = Math.max(0, indexAfter(this.units, n) - 1);
    this.follow.leave();
    this.#measure();
    this.#move(stepBack(this.units, at), stepOn(this.units, at));
    const node = this.root.querySelector(`[data-n="${this.units[at].n}"]`);
    if (top === null) node?.scrollIntoView({ block: "center", behavior: "instant" });
    else scrollTo({ top: scrollY + topOf(node) - top, behavior: "instant" });
    this.look();
    return node;
  }

  #step() {
    if (this.isWhole || this.past.isFilling || !this.shown?.total) return false;
    const { units, from, to } = this.shown;
    const { top, bottom } = this.root.getBoundingClientRect();
    const near = NEAR * innerHeight;
    if (from > 0 && top > innerHeight + near) return this.#jump();
    if (to < units.length && bottom < -near) return this.#jump();
    if (from > 0 && top > -near) return this.#set(stepBack(units, from), to);
    if (to < units.length && bottom < innerHeight + near) return this.#set(from, stepOn(units, to));
    return this.#trim();
  }

  /** Unmounts what is far away. A selection stays whole while the reader makes it longer. */
  #trim() {
    const selection = getSelection();
    if (!selection.isCollapsed && this.root.contains(selection.anchorNode)) return false;
    const { from, to } = this.shown;
    const nodes = this.#mounted();
    const far = FAR * innerHeight;
    const firstKept = nodes.findIndex((node) => node.getBoundingClientRect().bottom > -far);
    const lastKept = nodes.findLastIndex((node) => topOf(node) < innerHeight + far);
    if (firstKept === -1 || lastKept < firstKept) return false;
    const isAtEnd = this.follow.following;
    const newTo = isAtEnd ? to : to - (nodes.length - 1 - lastKept);
    return this.#set(from + firstKept, newTo);
  }

  /** The reader has gone to what is not mounted: there it goes on, as far as heights are known. */
  #jump() {
    this.#measure();
    let place = topOf(this.above);
    const at = this.units.findIndex((unit, index) => {
      if (index === this.shown.from) place = this.root.getBoundingClientRect().top;
      place += this.#height(unit);
      return place > 0;
    });
    const start = at === -1 ? this.units.length - 1 : at;
    return this.#set(start, stepOn(this.units, start));
  }

  #set(from, to) {
    if (from === this.shown.from && to === this.shown.to) return false;
    this.#measure();
    this.keepPlace(() => this.#move(from, to));
    return true;
  }

  #move(from, to) {
    this.#keepFocus(from, to);
    const isWaiting = [this.above, this.below].includes(document.activeElement);
    this.first = this.units[from].n;
    this.last = to === this.units.length ? Infinity : this.units[to - 1].n;
    this.draw();
    if (isWaiting) this.#restoreFocus();
  }

  #mountAll(isWhole) {
    this.isWhole = isWhole;
    this.#measure();
    this.keepPlace(this.draw);
    this.look();
  }

  /** The focus waits in the spacer while its unit is away. */
  #keepFocus(from, to) {
    const node = document.activeElement?.closest("[data-n]");
    if (!node || !this.root.contains(node)) return;
    const n = Number(node.dataset.n);
    if (n >= this.units[from].n && n <= this.units[to - 1].n) return;
    this.focused = n;
    const spacer = n < this.units[from].n ? this.above : this.below;
    spacer.hidden = false;
    spacer.focus({ preventScroll: true });
  }

  #restoreFocus() {
    const node = this.root.querySelector(`[data-n="${this.focused}"]`);
    if (!node) return;
    (node.querySelector("a[href], button, summary, [tabindex]") ?? node).focus({ preventScroll: true });
  }

  #mounted() {
    return [...this.root.querySelectorAll("[data-n]")];
  }

  #measure() {
    const nodes = this.#mounted();
    const tops = [...nodes.map(topOf), this.root.getBoundingClientRect().bottom];
    for (const [at, { dataset }] of nodes.entries()) this.heights.set(Number(dataset.n), tops[at + 1] - tops[at]);
  }

  #height({ n, size }) {
    return this.heights.get(n) ?? Math.min(MOST_PX, LEAST_PX + size / CHARS_PER_PX);
  }

  #pad() {
    const { units, from, to } = this.shown;
    const sum = (part) => part.reduce((px, unit) => px + this.#height(unit), 0);
    this.above.style.height = `${sum(units.slice(0, from))}px`;
    this.below.style.height = `${sum(units.slice(to))}px`;
    this.above.hidden = from === 0;
    this.below.hidden = to === units.length;
  }
}

function spacer(label) {
  return h("div", { class: "far", role: "group", tabindex: "-1", "aria-label": label, hidden: true });
}

function topOf(node) {
  return node.getBoundingClientRect().top;
}

/** The index of the first unit whose ordinal is larger. */
function indexAfter(units, n) {
  let [low, high] = [0, units.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (units[middle].n <= n) low = middle + 1;
    else high = middle;
  }
  return low;
}

function stepBack(units, to) {
  let [from, chars] = [to, 0];
  while (from > 0 && to - from < STEP_UNITS && (chars === 0 || chars + units[from - 1].size < STEP_CHARS)) chars += units[--from].size;
  return from;
}

function stepOn(units, from) {
  let [to, chars] = [from, 0];
  while (to < units.length && to - from < STEP_UNITS && (chars === 0 || chars + units[to].size < STEP_CHARS)) chars += units[to++].size;
  return to;
}

function isMuch(units, from, to) {
  if (to - from > MOST_UNITS) return true;
  const chars = units.slice(from, to).reduce((sum, { size }) => sum + size, 0);
  return chars > MOST_CHARS && to - from > 1;
}
