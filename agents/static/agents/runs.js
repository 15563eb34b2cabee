/** The agent's runs, newest first. */
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { runDuration } from "./measures.js";
import { localTime } from "./times.js";

export class Runs {
  constructor({ list, count }) {
    this.count = count;
    this.shown = null;
    this.known = new Map();
    this.rows = new Keyed(list, (item) => item.run.id, (item) => new Row(item));
  }

  render(state) {
    if (state.runs === this.shown) return;
    this.shown = state.runs;
    const items = state.runs.map((run, at) => {
      const old = this.known.get(run.id);
      return old?.run === run ? old : { run, number: at + 1 };
    });
    this.known = new Map(items.map((item) => [item.run.id, item]));
    this.rows.update(items.toReversed());
    setText(this.count, String(items.length));
  }
}

class Row {
  constructor(item) {
    this.status = h("span", { class: "status" });
    this.time = h("span", { class: "run-time" });
    const number = h("span", { class: "run-number" }, String(item.number));
    const changes = h("a", { href: `/runs/${encodeURIComponent(item.run.id)}/changes/` }, "changes");
    this.node = h("li", {}, number, " ", this.status, " ", this.time, " ", changes);
    this.update(item);
  }

  update({ run }) {
    setAttribute(this.status, "data-status", run.status);
    setText(this.status, run.status);
    setText(this.time, runDuration(run));
    setAttribute(this.node, "title", run.started_at ? `Started ${localTime(run.started_at)}` : "Not started");
  }
}
