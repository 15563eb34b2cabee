/**
 * What the panels say that is not in the log's state: which files the latest run changed, what runs used. Asked for again
 * a moment after files or runs have changed. agents/pages/side.py makes it.
 */
const DELAY_MS = 700;
const NOTHING = { marks: {}, run: null, spent: {} };

export class Side {
  /** `first`: what the page brought along; without it nothing is asked for. */
  constructor({ url, first, api, onChange }) {
    Object.assign(this, { url, api, onChange });
    this.data = first ?? NOTHING;
    this.asks = Boolean(first);
    this.seen = null;
    this.timer = null;
  }

  /** Called with each state that is drawn. */
  look(state) {
    if (!this.asks || document.hidden) return;
    const seen = [state.files, state.runs];
    const known = this.seen;
    this.seen = seen;
    if (known === null || (known[0] === seen[0] && known[1] === seen[1])) return;
    this.timer ??= setTimeout(() => this.#ask(), DELAY_MS);
  }

  async #ask() {
    const data = await this.api.get(this.url).catch(() => null);
    this.timer = null;
    if (data === null || JSON.stringify(data) === JSON.stringify(this.data)) return;
    this.data = data;
    this.onChange();
  }
}
