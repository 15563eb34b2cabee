/**
 * What has left the state of the conversation, as far as this page holds it: pages that left while it was open, and earlier ones
 * that were fetched. They are a chain: `earlier` of each is where the page before it can be had.
 */
import { inOrder } from "./client/conversation.js";
import { NO_UNITS, addUnits } from "./turns.js";

/** Pages kept for a reader who is at the end and can't see them; about 64 KiB each. */
const PAGES_KEPT = 4;

export class Past {
  constructor({ agentUrl, api }) {
    Object.assign(this, { agentUrl, api });
    /** {before, messages, earlier}, the oldest first. */
    this.pages = [];
    this.isFilling = false;
    /** Did a reader at the end, whose page is short, ask for what was before? Then it stays, too. */
    this.isAsked = false;
  }

  /** One that has left the state just now. Also a hidden tab, which draws nothing, must not hold ever more of them. */
  keep(page, isAtEnd) {
    if (isAtEnd) this.isAsked = false;
    this.pages = [...this.pages, page].slice(isAtEnd ? -PAGES_KEPT : 0);
  }

  /** Before each drawing: the oldest pages go when the reader is at the end. */
  settle(isAtEnd) {
    if (!isAtEnd) this.isAsked = false;
    else if (!this.isAsked && !this.isFilling && this.pages.length > PAGES_KEPT) this.pages = this.pages.slice(-PAGES_KEPT);
  }

  /** Units (turns.js) of pages and state together, in the order of `n`. Those of the pages are made once. */
  units(messages) {
    if (this.known?.pages !== this.pages) {
      const entries = inOrder(this.pages.flatMap((page) => page.messages));
      this.known = { pages: this.pages, made: addUnits(NO_UNITS, entries) };
    }
    if (this.known.messages !== messages) {
      this.known.messages = messages;
      this.known.units = addUnits(this.known.made, messages).units;
    }
    return this.known.units;
  }

  /** The cursor of the page before all that is here, or null. */
  next(state) {
    return (this.pages.length ? this.pages[0].earlier : state.earlier)?.before ?? null;
  }

  /** Fetches the page before all that is here. */
  async more(stateNow) {
    this.isAsked = true;
    await this.#fetch(stateNow);
  }

  /** After a reset, or when the page was away: gets the pages between the new state and what the reader has on screen, from `first`. */
  async rejoin(stateNow, isAtEnd, first) {
    const known = this.pages;
    if (known.at(-1)?.before === stateNow().earlier?.before) return;
    this.pages = [];
    if (isAtEnd || this.isFilling) return;
    this.isFilling = true;
    try {
      while (this.next(stateNow()) !== null && this.#oldest(stateNow()) > first) await this.#fetch(stateNow, known);
    } catch {
      // The button above them can still get them.
    } finally {
      this.isFilling = false;
    }
  }

  async #fetch(stateNow, known = []) {
    const before = this.next(stateNow());
    if (before === null) return;
    const page =
      known.find((one) => one.before === before) ?? (await this.api.get(`${this.agentUrl}/messages?before=${encodeURIComponent(before)}`));
    if (this.next(stateNow()) !== before) return; // a reset meanwhile
    this.pages = [{ ...page, before }, ...this.pages];
  }

  #oldest(state) {
    const here = this.pages.length ? this.pages[0].messages : state.messages;
    return Math.min(...here.flatMap(({ parts }) => parts.map(({ n }) => n)));
  }
}
