/** The agent's latest runs, newest first; what can be done about those that ended. All of them are on a page of their own. */
import { canContinue } from "./conversation.js";
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { runDuration } from "./measures.js";
import { localTime } from "./times.js";

/** As agents/pages/side.py: more would make the page of an old agent slow. */
const RUNS_SHOWN = 20;
const FINAL = new Set(["completed", "failed", "cancelled"]);

export class Runs {
  constructor({ list, count, timeline, api }) {
    Object.assign(this, { count, timeline });
    this.shown = this.shownSide = null;
    this.known = new Map();
    this.rows = new Keyed(list, (item) => item.run.id, (item) => new Row(item, api));
  }

  /** `side`: as Side has it. */
  render(state, side) {
    if (state.runs === this.shown && side === this.shownSide) return;
    this.shown = state.runs;
    this.shownSide = side;
    const first = Math.max(0, state.runs.length - RUNS_SHOWN);
    const items = state.runs.slice(first).map((run, at) => {
      const old = this.known.get(run.id);
      const spent = Object.hasOwn(side.spent, run.id) ? side.spent[run.id] : "";
      const goesOn = canContinue(run, state);
      const same = old?.run === run && old.spent === spent && old.goesOn === goesOn;
      return same ? old : { run, spent, goesOn, number: first + at + 1 };
    });
    this.known = new Map(items.map((item) => [item.run.id, item]));
    this.rows.update(items.toReversed());
    setText(this.count, String(state.runs.length));
    this.timeline.hidden = !items.length;
    if (items.length) setAttribute(this.timeline, "href", `${pageOf(items.at(-1).run)}#timeline`);
  }
}

function pageOf(run) {
  return `/runs/${encodeURIComponent(run.id)}/`;
}

class Row {
  constructor(item, api) {
    this.status = h("span", { class: "status" });
    this.time = h("span", { class: "run-time" });
    this.about = h("span", { class: "run-about" });
    const link = h("a", { href: pageOf(item.run) }, `Run ${item.number}`);
    this.again = action(item, "retry", "retry", "Try again", `Try again: run ${item.number}`, api);
    this.resume = action(item, "continue", "resume", "Continue", `Continue run ${item.number}`, api);
    this.node = h(
      "li",
      {},
      h("span", { class: "run-line" }, link, " ", this.status, " ", this.time),
      h("span", { class: "run-line" }, this.about, this.again, this.resume),
    );
    this.update(item);
  }

  update({ run, spent, goesOn }) {
    setAttribute(this.status, "data-status", run.status);
    setText(this.status, run.status);
    setText(this.time, runDuration(run));
    setText(this.about, [run.started_at && localTime(run.started_at), spent].filter(Boolean).join(" · "));
    this.again.hidden = !FINAL.has(run.status) || run.finished_at === null;
    this.resume.hidden = !goesOn;
    setAttribute(this.node, "title", run.started_at ? `Started ${run.started_at}` : "Not started");
  }
}

/** A button of the form that works without us; with us the page stays. What fails, the form says. */
function action({ run }, page, call, word, label, api) {
  const act = async (event) => {
    event.preventDefault();
    button.disabled = true;
    await api.post(`/api/runs/${encodeURIComponent(run.id)}/${call}`).catch(() => {
      button.disabled = false;
      button.form.action = button.formAction;
      button.form.submit();
    });
    button.disabled = false;
  };
  const button = h("button", { class: "quiet", form: "run-actions", formaction: `${pageOf(run)}${page}/`, "aria-label": label, onclick: act }, word);
  return button;
}
