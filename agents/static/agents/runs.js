/** The agent's latest runs, newest first; what can be done about those that ended. All of them are on a page of their own. */
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { runDuration } from "./measures.js";
import { localTime } from "./times.js";
import { canContinue, isHandedOver } from "./turns.js";

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
    if (state.runs === this.shown && state.queue === this.shownQueue && side === this.shownSide) return;
    [this.shown, this.shownQueue, this.shownSide] = [state.runs, state.queue, side];
    const items = numbered(state, side.numbers).slice(-RUNS_SHOWN).map(({ run, number }) => {
      const old = this.known.get(run.id);
      const spent = Object.hasOwn(side.spent, run.id) ? side.spent[run.id] : "";
      const goesOn = canContinue(run, state);
      const same = old?.run === run && old.spent === spent && old.goesOn === goesOn && old.number === number;
      return same ? old : { run, spent, goesOn, number };
    });
    this.known = new Map(items.map((item) => [item.run.id, item]));
    this.rows.update(items.toReversed());
    setText(this.count, String(state.runs_total));
    this.timeline.hidden = !items.length;
    if (items.length) setAttribute(this.timeline, "href", `${pageOf(items.at(-1).run)}#timeline`);
  }
}

/**
 * Those that have begun, with their numbers: [{run, number}]. `numbers`: by id. One that has just begun is not among them, and is
 * the last unless the queue was put into another order. A steering prompt is no run for a reader: it has never begun.
 */
function numbered({ runs, queue, runs_total }, numbers) {
  const before = runs_total - queue.length - runs.length;
  const all = runs.map((run, at) => ({ run, number: Object.hasOwn(numbers, run.id) ? numbers[run.id] : before + at + 1 }));
  return all.filter(({ run }) => !isHandedOver(run));
}

function pageOf(run) {
  return `/runs/${encodeURIComponent(run.id)}/`;
}

class Row {
  constructor(item, api) {
    this.status = h("span", { class: "status" });
    this.time = h("span", { class: "run-time" });
    this.about = h("span", { class: "run-about" });
    this.link = h("a", { href: pageOf(item.run) });
    this.again = action(item, "retry", "retry", "Try again", api);
    this.resume = action(item, "continue", "resume", "Continue", api);
    this.node = h(
      "li",
      {},
      h("span", { class: "run-line" }, this.link, " ", this.status, " ", this.time),
      h("span", { class: "run-line" }, this.about, this.again, this.resume),
    );
    this.update(item);
  }

  update({ run, number, spent, goesOn }) {
    setText(this.link, `Run ${number}`);
    setAttribute(this.again, "aria-label", `Try again: run ${number}`);
    setAttribute(this.resume, "aria-label", `Continue run ${number}`);
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
function action({ run }, page, call, word, api) {
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
  const button = h("button", { class: "quiet", form: "run-actions", formaction: `${pageOf(run)}${page}/`, onclick: act }, word);
  return button;
}
