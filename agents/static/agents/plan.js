/** The plan of a run as a checklist. */
import { h, setText } from "./dom.js";

const SHOWN_ENTRIES = 100;
const MARKS = { pending: "☐", in_progress: "▸", completed: "☑" };
const WORDS = { pending: "to do", in_progress: "at it", completed: "done" };

/** The plan of that run: null where there is none, and the same object while nothing changes. */
export function planOf(plan, run) {
  return plan && run && plan.run_id === run.id && plan.entries.length ? plan : null;
}

export class Plan {
  constructor() {
    this.summary = h("summary", { onclick: () => (this.byReader = true) });
    this.list = h("ol");
    this.node = h("details", { class: "plan" }, this.summary, this.list);
    this.byReader = false;
  }

  update(plan, isOpen) {
    if (!this.byReader) this.node.open = isOpen;
    if (plan === this.shown) return;
    this.shown = plan;
    const { entries, omitted_entries = 0 } = plan;
    const done = entries.filter(({ status }) => status === "completed").length;
    setText(this.summary, `Plan: ${done} of ${omitted_entries ? "the first " : ""}${entries.length} done`);
    this.list.replaceChildren(...entries.slice(0, SHOWN_ENTRIES).map(item));
    this.more?.remove();
    this.more = null;
    const left = Math.max(0, entries.length - SHOWN_ENTRIES) + omitted_entries;
    if (left) this.node.append((this.more = h("p", { class: "hint" }, `… and ${left} more`)));
  }
}

function item({ content, status, priority }) {
  const words = h("span", {}, h("span", { class: "sr-only" }, `${WORDS[status]}: `), h("bdi", {}, content));
  if (priority === "high") words.append(" ", h("span", { class: "hint" }, "(first)"));
  return h("li", { "data-status": status }, h("span", { class: "plan-mark", "aria-hidden": "true" }, MARKS[status]), words);
}
