/**
 * A run's page while the run goes on: asks the server for the part that changes, and takes over the sections that did.
 * What a reader opened, focused or scrolled to in the others stays. Without this the page is right when it is loaded.
 */
import { localTimes } from "./times.js";

const FINAL = new Set(["completed", "failed", "cancelled"]);
const EVERY_MS = 3000;
/** A long run takes the server a while to tell: it is asked for a fifth of the time at most. */
const REST_FACTOR = 5;
const EVERY_AFTER_FAILURE_MS = 10_000;

class RunPage {
  constructor(live) {
    this.live = live;
    this.shown = sections(live);
  }

  start() {
    if (this.#isOver()) return;
    this.#later(EVERY_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.#refresh());
  }

  #isOver() {
    return FINAL.has(this.#status());
  }

  #status() {
    return this.live.querySelector("#run-head").dataset.status;
  }

  #later(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#refresh(), ms);
  }

  async #refresh() {
    if (document.hidden || this.#isOver()) return;
    const before = this.#status();
    const asked = performance.now();
    const fragment = await load(this.live.dataset.live);
    if (fragment === null) {
      this.#later(EVERY_AFTER_FAILURE_MS);
      return;
    }
    const took = performance.now() - asked;
    this.#take(fragment);
    if (this.#status() !== before) this.#announce();
    if (this.#isOver()) await this.#end();
    else this.#later(Math.max(EVERY_MS, REST_FACTOR * took));
  }

  /** Replace the sections that are different, add the new ones. */
  #take(fragment) {
    const fresh = sections(fragment);
    let place = null;
    for (const [id, text] of fresh) {
      const node = document.getElementById(id);
      if (text !== this.shown.get(id)) {
        const made = fragment.querySelector(`#${id}`);
        localTimes(made);
        if (node) replace(node, made);
        else if (place) place.after(made);
        else this.live.prepend(made);
      }
      place = document.getElementById(id);
    }
    this.shown = fresh;
  }

  #announce() {
    const words = `Run ${this.live.dataset.number}: ${this.#status()}`;
    document.getElementById("run-announce").textContent = words;
    document.title = document.title.replace(/^Run \d+: \w+/, words);
  }

  /** What it changed is known now. */
  async #end() {
    const page = await load(location.pathname);
    const made = page?.querySelector("#run-changes");
    if (made) document.getElementById("run-changes").replaceWith(made);
  }
}

/** Section id → its HTML as the server sent it, but for the forms' tokens, which are never the same. */
function sections(root) {
  const found = new Map();
  for (const node of root.querySelectorAll("section[id]")) {
    found.set(node.id, node.outerHTML.replace(/(name="csrfmiddlewaretoken" value=")[^"]*/g, "$1"));
  }
  return found;
}

function replace(node, made) {
  const focused = node.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = new Map([...node.querySelectorAll("[tabindex]")].map((part, at) => [at, part.scrollTop]));
  node.replaceWith(made);
  [...made.querySelectorAll("[tabindex]")].forEach((part, at) => (part.scrollTop = scrolled.get(at) ?? 0));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** A page of ours as a document; null if it can't be had now. */
async function load(url) {
  try {
    const response = await fetch(url, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!response.ok) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}

const live = document.getElementById("run-live");
const page = live && new RunPage(live);
localTimes(document);
page?.start();
