/**
 * What the panels say that is not in the log's state: which files the latest run changed, what runs used. Asked for again
 * a moment after files or runs have changed, and until the answer knows of that change: it comes from what is stored.
 * agents/pages/side.py makes it.
 */
const DELAY_MS = 700;
const NOTHING = { seq: 0, marks: {}, run: null, spent: {}, numbers: {} };

export class Side {
  /** `first`: what the page brought along; without it nothing is asked for. */
  constructor({ url, first, api, onChange }) {
    Object.assign(this, { url, api, onChange });
    this.data = first ?? NOTHING;
    this.asks = Boolean(first);
    this.seen = null;
    this.wanted = 0;
    this.stale = false;
    this.timer = null;
  }

  /** Called with each state that is drawn, and the seq of its last event. */
  look(state, seq) {
    if (!this.asks || document.hidden) return;
    const seen = [state.files, state.runs];
    const known = this.seen;
    this.seen = seen;
    if (known !== null && (known[0] !== seen[0] || known[1] !== seen[1])) {
      this.stale = true;
      this.wanted = seq;
    }
    if (this.stale) this.#later();
  }

  #later() {
    this.timer ??= setTimeout(() => this.#ask(), DELAY_MS);
  }

  /** An answer that doesn't come is asked for with the next state that is drawn, which a stream that is back brings. */
  async #ask() {
    const answer = await this.api.get(this.url).catch(() => null);
    this.timer = null;
    if (answer === null) return;
    this.data = answer;
    this.stale = answer.seq < this.wanted;
    if (this.stale) this.#later();
    this.onChange();
  }
}
