/**
 * What has left the state of the conversation, as far as this page holds it: pages that left while it was open, and earlier ones
 * that were fetched. They are a chain: `earlier` of each is where the page before it can be had.
 */
import { inOrder } from "./client/conversation.js";
import { SHOWN_PARTS, windowStart } from "./turns.js";

/** Pages kept for a reader who is at the end and can't see them; about 64 KiB each. */
const PAGES_KEPT = 4;

export class Past {
  constructor({ agentUrl, api }) {
    Object.assign(this, { agentUrl, api });
    /** {before, messages, earlier}, the oldest first. */
    this.pages = [];
    /** The ordinal of the first part that is shown; null before anything is. */
    this.first = null;
    this.isFilling = false;
    /** Did a reader at the end, whose page is short, ask for what was before? Then it stays, too. */
    this.isAsked = false;
  }

  /** One that has left the state just now. Also a hidden tab, which draws nothing, must not hold ever more of them. */
  keep(page, isAtEnd) {
    if (isAtEnd) this.isAsked = false;
    this.pages = [...this.pages, page].slice(isAtEnd ? -PAGES_KEPT : 0);
  }

  /** Before each drawing. What a reader has on screen stays; for one who is at the end the oldest goes. */
  settle(state, isAtEnd) {
    if (!isAtEnd) this.isAsked = false;
    if (this.isFilling || this.isAsked || (!isAtEnd && this.first !== null)) return;
    this.first = windowStart(state.parts_total);
    const from = this.pages.findIndex(({ messages }) => ordinals(messages).some((n) => n >= this.first));
    const kept = from === -1 ? [] : this.pages.slice(Math.max(from, this.pages.length - PAGES_KEPT));
    if (kept.length < this.pages.length) this.pages = kept;
  }

  /** Pages and state together, in the order of `n`: a call that stays open is in the state, and what came after it may have left. */
  entries(messages) {
    if (!this.pages.length) return messages;
    if (this.merged?.pages !== this.pages || this.merged.messages !== messages) {
      const all = [...this.pages.flatMap((page) => page.messages), ...messages];
      this.merged = { pages: this.pages, messages, entries: inOrder(all) };
    }
    return this.merged.entries;
  }

  /** Whether there is something that is not shown. */
  hasMore(state) {
    const isHidden = ({ n }) => n < this.first;
    return this.#next(state) !== null || this.entries(state.messages).some(({ parts }) => parts.some(isHidden));
  }

  /** Shows more of what is here, or fetches a page. */
  async more(stateNow) {
    this.isAsked = true;
    const hidden = this.#hidden(stateNow());
    if (hidden.length) this.first = hidden.at(-SHOWN_PARTS) ?? hidden[0];
    else await this.#fetch(stateNow);
  }

  /** After a reset, or when the page was away: gets the pages between the new state and what the reader has on screen. */
  async rejoin(stateNow, isAtEnd) {
    const known = this.pages;
    if (known.at(-1)?.before === stateNow().earlier?.before) return;
    this.pages = [];
    if (isAtEnd || this.isFilling) return;
    const { first } = this;
    this.isFilling = true;
    try {
      while (this.#next(stateNow()) !== null && this.#oldest(stateNow()) > first) await this.#fetch(stateNow, known);
    } catch {
      // The button above them can still get them.
    } finally {
      [this.isFilling, this.first] = [false, first];
    }
  }

  async #fetch(stateNow, known = []) {
    const before = this.#next(stateNow());
    const page =
      known.find((one) => one.before === before) ?? (await this.api.get(`${this.agentUrl}/messages?before=${encodeURIComponent(before)}`));
    if (this.#next(stateNow()) !== before) return; // a reset meanwhile
    this.pages = [{ ...page, before }, ...this.pages];
    this.first = Math.min(this.first, ...ordinals(page.messages));
  }

  /** The cursor of the page before all that is here, or null. */
  #next(state) {
    return (this.pages.length ? this.pages[0].earlier : state.earlier)?.before ?? null;
  }

  #hidden(state) {
    return ordinals(this.entries(state.messages)).filter((n) => n < this.first);
  }

  #oldest(state) {
    const here = this.pages.length ? this.pages[0].messages : state.messages;
    return Math.min(...ordinals(here));
  }
}

function ordinals(messages) {
  return messages.flatMap(({ parts }) => parts.map(({ n }) => n));
}
