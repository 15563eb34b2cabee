/** The prompts that wait for their turn, in the order in which they will be executed, which the reader can change. */
import { queued } from "./conversation.js";
import { Keyed, h, setText } from "./dom.js";

export class Queue {
  constructor({ list, error, api }) {
    Object.assign(this, { list, error, api });
    this.known = new Map();
    this.rows = new Keyed(list, ({ key }) => key, (item) => new Row(item, this));
  }

  render(state) {
    const items = state.queue.length ? queued(state) : [];
    const rows = items.map(({ key, text }, at) => {
      const [above, below] = [items[at - 1]?.key ?? null, items[at + 1]?.key ?? null];
      const row = { key, text, above, below, behind: items[at + 2]?.key ?? null };
      const old = this.known.get(key);
      return old && Object.keys(row).every((name) => old[name] === row[name]) ? old : row;
    });
    this.known = new Map(rows.map((row) => [row.key, row]));
    this.rows.update(rows);
    this.list.hidden = !items.length;
  }

  async send(path, body, button) {
    button.disabled = true;
    try {
      await this.api.post(path, body);
      this.error("");
    } catch (problem) {
      this.error(problem.message);
    }
    button.disabled = false;
  }
}

class Row {
  constructor(item, queue) {
    const button = (words, label, path, body) => {
      const node = h("button", { type: "button", class: "quiet", "aria-label": label, title: label }, words);
      node.addEventListener("click", () => queue.send(`/api/runs/${item.key}/${path}`, body(), node));
      return node;
    };
    this.text = h("bdi", { class: "queue-text" });
    this.up = button("↑", "Move up", "move", () => ({ before: this.item.above }));
    this.down = button("↓", "Move down", "move", () => ({ before: this.item.behind }));
    const withdraw = button("Withdraw", null, "cancel", () => ({}));
    this.node = h("li", { "data-key": item.key, id: `run-${item.key}` }, this.text, this.up, this.down, withdraw);
    this.update(item);
  }

  update(item) {
    this.item = item;
    setText(this.text, item.text);
    this.text.title = item.text.slice(0, 2000);
    this.up.hidden = item.above === null;
    this.down.hidden = item.below === null;
  }
}
