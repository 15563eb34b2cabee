/** Questions of a program to a person, and what was answered. The same as agents/pages/approvals.py. */
import { KEPT_ASKED, draw, sections } from "./call.js";
import { Keyed, h, setText } from "./dom.js";
import { localTime } from "./times.js";

const SHOWN_OPEN = 20;
const SHOWN_ANSWERED = 50;
const YES = /^(approve|allow|accept|always|proceed|yes)\b/i;
const NO = /^(deny|reject|refuse|cancel|don.t|no)\b/i;
/** Why a question can't be approved yet. The same as in templates/agents/_approvals.html. */
const UNREAD = "Show all of it before you approve it.";
const UNKNOWN = "What it would do is not known yet, so it can’t be approved.";
const KINDS = { yes: "primary", no: "stop", "": null };

/** Those of one run: {open: [{key, approval, call}], closed}. `messages`: of the run, where the calls are. */
export function questionsOf(approvals, run, messages) {
  if (!approvals.length) return { open: [], closed: [] };
  const waiting = approvals.filter((approval) => isWaiting(approval, run));
  const open = waiting.slice(0, SHOWN_OPEN).map((approval) => {
    // By place, not by id: nothing stops a program from asking twice under the same name.
    const key = `${approvals.indexOf(approval)} ${approval.question}`;
    return { key, approval, call: callOf(approval, messages) };
  });
  return { open, closed: approvals.filter((approval) => !isWaiting(approval, run)) };
}

export function isWaiting({ decision }, run) {
  return decision === null && run?.finished_at === null;
}

function callOf({ call_id }, messages) {
  if (call_id === null) return null;
  for (const { parts } of messages.toReversed()) {
    const call = parts.findLast((part) => part.type === "tool-call" && part.call_id === call_id);
    if (call) return call;
  }
  return null;
}

export class Approvals {
  constructor(context) {
    this.context = context;
    this.summary = h("summary");
    this.list = h("ul");
    this.answered = h("details", { class: "answered", hidden: true, ontoggle: () => this.#showTimes() }, this.summary, this.list);
    this.open = h("div");
    this.node = h("div", {}, this.answered, this.open);
    this.cards = new Keyed(this.open, (item) => item.key, (item) => new Card(item, context));
    this.known = new Map();
    this.shown = [];
  }

  update({ open, closed }) {
    const items = open.map((item) => {
      const old = this.known.get(item.key);
      return old?.approval === item.approval && old.call?.arguments === item.call?.arguments ? old : item;
    });
    this.known = new Map(items.map((item) => [item.key, item]));
    this.cards.update(items);
    if (closed.length === this.shown.length && closed.every((one, at) => one === this.shown[at])) return;
    this.shown = closed;
    this.answered.hidden = !closed.length;
    const one = `Question answered: ${closed[0]?.decision || "by nobody"}`;
    setText(this.summary, closed.length === 1 ? one : `${closed.length} questions answered`);
    this.list.replaceChildren(...closed.slice(-SHOWN_ANSWERED).map(answerItem));
    this.#showTimes();
  }

  /** When it was is in the log and not in the state: asked for when somebody looks. */
  async #showTimes() {
    if (!this.answered.open || !this.shown.length) return;
    const { agentUrl, api } = this.context;
    const path = `${agentUrl}/events?type=approval-response&run=${this.shown[0].run_id}&after=0-0&limit=1000`;
    const { events } = await api.get(path).catch(() => ({ events: [] }));
    for (const [at, row] of [...this.list.children].entries()) {
      const { approval_id } = this.shown.slice(-SHOWN_ANSWERED)[at];
      const event = events.find(({ data }) => data.approval_id === approval_id);
      if (event && !row.querySelector("time")) {
        row.append(" ", h("time", { datetime: event.timestamp, title: event.timestamp }, localTime(event.timestamp)));
      }
    }
  }
}

function answerItem({ question, decision, by, reason }) {
  const row = h("li", {}, h("bdi", {}, question), " ");
  if (decision === null) row.append(h("span", { class: "hint" }, "not answered"));
  else row.append(h("strong", {}, decision), `, by ${by}`, ...(reason ? [": ", h("bdi", {}, reason)] : []));
  return row;
}

/**
 * One that waits. A and D answer it while the card or one of its buttons has the focus, which it never takes itself. Until all
 * of the call's arguments are shown it can only be denied: nobody should approve what is not shown.
 */
class Card {
  constructor(item, context) {
    this.api = context.api;
    this.isWhole = item.approval.call_id === null;
    this.isSending = false;
    this.problem = h("p", { class: "field-error", role: "alert" });
    this.reason = h("input", { name: "reason", maxlength: "2000" });
    this.about = h("div", { class: "approval-about" });
    this.tool = h("p", { class: "hint" });
    this.locked = h("p", { class: "hint" });
    const { approval } = item;
    this.buttons = approval.options.map((decision) => this.#button(approval, decision));
    this.node = h(
      "div",
      { class: "approval", role: "group", tabindex: "0", "aria-label": "Approval needed", onkeydown: (event) => this.#key(event) },
      h("p", { class: "approval-question", dir: "auto" }, approval.question),
      this.tool,
      this.about,
      this.locked,
      h("div", { class: "approval-answer" }, h("label", {}, "Reason (optional) ", this.reason), h("div", { class: "row" }, ...this.buttons)),
      this.problem,
    );
    this.update(item);
  }

  update({ call }) {
    this.isKnown = Boolean(call);
    if (!call) return this.#lock();
    this.tool.replaceChildren("The agent wants to use ", h("code", {}, call.name), ":");
    const chars = JSON.stringify(call.arguments).length;
    draw(this.about, (kept) => sections(call.arguments, kept), KEPT_ASKED, chars, (isWhole) => {
      this.isWhole = isWhole;
      this.#lock();
    });
  }

  #lock() {
    for (const button of this.buttons) button.disabled = this.isSending || !(this.isWhole || button.dataset.kind === "no");
    setText(this.locked, this.isWhole ? "" : this.isKnown ? UNREAD : UNKNOWN);
    this.locked.hidden = this.isWhole;
  }

  #button(approval, decision) {
    const kind = YES.test(decision) ? "yes" : NO.test(decision) ? "no" : "";
    const keys = { yes: "a", no: "d" }[kind];
    const label = decision.charAt(0).toUpperCase() + decision.slice(1).replace(/[_-]/g, " ");
    const onclick = () => this.#decide(approval, decision);
    return h("button", { type: "button", class: KINDS[kind], "data-kind": kind, "aria-keyshortcuts": keys, onclick }, label);
  }

  #key(event) {
    const kind = { a: "yes", d: "no" }[event.key.toLowerCase()];
    if (!kind || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target === this.reason) return;
    const button = this.buttons.find((one) => one.dataset.kind === kind);
    if (!button) return;
    event.preventDefault();
    button.click();
  }

  async #decide(approval, decision) {
    this.isSending = true;
    for (const button of this.buttons) button.disabled = true;
    setText(this.problem, "");
    try {
      const path = `/api/runs/${approval.run_id}/approvals/${encodeURIComponent(approval.approval_id)}`;
      const reason = this.reason.value.trim();
      await this.api.post(path, reason ? { decision, reason } : { decision });
      // The answer shows when its event arrives: the page says what the log says.
    } catch (error) {
      setText(this.problem, error.message);
      this.isSending = false;
      this.#lock();
    }
  }
}
