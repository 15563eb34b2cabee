/** The prompts that wait for their turn, in the order in which they will be executed, which the reader can change. */
import { Keyed, h, setText } from "./dom.js";

export class Queue {
  constructor({ list, error, api }) {
    Object.assign(this, { list, error, api });
    this.known = new Map();
    this.rows = new Keyed(list, ({ key }) => key, (item) => new Row(item, this));
  }

  render({ queue }) {
    const keyAt = (at) => queue[at]?.run_id ?? null;
    const rows = queue.map((entry, at) => {
      const row = { key: entry.run_id, entry, above: keyAt(at - 1), below: keyAt(at + 1), behind: keyAt(at + 2) };
      const old = this.known.get(row.key);
      return old && Object.keys(row).every((name) => old[name] === row[name]) ? old : row;
    });
    this.known = new Map(rows.map((row) => [row.key, row]));
    this.rows.update(rows);
    this.list.hidden = !rows.length;
  }

  /** Does something that may fail, which it says then. */
  async try(button, act) {
    button.disabled = true;
    try {
      await act();
      this.error("");
    } catch (problem) {
      this.error(problem.message);
    }
    button.disabled = false;
  }
}

class Row {
  constructor(item, queue) {
    const { api } = queue;
    const button = (words, label, act) => {
      const node = h("button", { type: "button", class: "quiet", "aria-label": label, title: label }, words);
      node.addEventListener("click", () => queue.try(node, act));
      return node;
    };
    const post = (path, body) => api.post(`/api/runs/${item.key}/${path}`, body);
    this.text = h("bdi", { class: "queue-text" });
    this.more = button("Show all", "Show the whole prompt", async () => this.#showAll(await api.get(`/api/runs/${item.key}`)));
    this.up = button("↑", "Move up", () => post("move", { before: this.item.above }));
    this.down = button("↓", "Move down", () => post("move", { before: this.item.behind }));
    const withdraw = button("Withdraw", null, () => post("cancel", {}));
    this.node = h("li", { "data-key": item.key, id: `run-${item.key}` }, this.text, this.more, this.up, this.down, withdraw);
    this.update(item);
  }

  /** In a long queue the state has the beginnings of long prompts only; their runs have them whole. */
  update(item) {
    this.item = item;
    const { prompt, omitted_bytes } = item.entry;
    this.more.hidden = !omitted_bytes || this.isWhole;
    if (!this.isWhole) this.#show(omitted_bytes ? `${prompt}…` : (prompt ?? ""));
    this.up.hidden = item.above === null;
    this.down.hidden = item.below === null;
  }

  #showAll({ input }) {
    this.isWhole = true;
    this.more.hidden = true;
    this.text.classList.add("whole");
    this.#show(input);
  }

  #show(text) {
    setText(this.text, text);
    this.text.title = text.slice(0, 2000);
  }
}
