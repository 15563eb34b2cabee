/** Questions of a program to a person, and what was answered. */
import { KEPT_ASKED, draw, sections } from "./call.js";
import { Keyed, h, setText } from "./dom.js";
import { omitted } from "./omitted.js";
import { localTime } from "./times.js";
import { sameList } from "./turns.js";

const SHOWN_OPEN = 20;
/** Of one run: the latest. All of them are in the log. */
const SHOWN_ANSWERED = 50;
const YES = /^(approve|allow|accept|always|proceed|yes)\b/i;
const NO = /^(deny|reject|refuse|cancel|don.t|no)\b/i;
/** Why a question can't be approved yet. */
const UNREAD = "Show all of it before you approve it.";
const UNKNOWN = "What it would do is not known yet, so it can’t be approved.";
const KINDS = { yes: "primary", no: "stop", "": null };

/** Those of one run: {open: [{key, approval, call}], closed}. `calls`: of the run, among them those that are asked about. */
export function questionsOf(approvals, run, calls) {
  if (!approvals.length) return { open: [], closed: [] };
  const waiting = approvals.filter((approval) => isWaiting(approval, run));
  const open = waiting.slice(0, SHOWN_OPEN).map((approval, at) => {
    // Not by id alone: nothing stops a program from asking twice under the same name.
    const before = waiting.slice(0, at).filter((one) => one.approval_id === approval.approval_id).length;
    return { key: `${before} ${approval.approval_id} ${approval.question}`, approval, call: calls.findLast(({ call_id }) => call_id === approval.call_id) ?? null };
  });
  return { open, closed: approvals.filter((approval) => !isWaiting(approval, run)) };
}

export function isDenied({ decision }) {
  return decision !== null && NO.test(decision);
}

export function isWaiting({ decision }, run) {
  return decision === null && run?.finished_at === null;
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
 * of the question and of the call's arguments are shown it can only be denied: nobody should approve what is not shown.
 */
class Card {
  constructor(item, context) {
    Object.assign(this, { api: context.api, context, isSending: false, options: [], buttons: [] });
    this.problem = h("p", { class: "field-error", role: "alert" });
    this.reason = h("input", { name: "reason", maxlength: "2000" });
    this.question = h("p", { class: "approval-question", dir: "auto" });
    this.cut = h("div");
    this.about = h("div", { class: "approval-about" });
    this.tool = h("p", { class: "hint" });
    this.locked = h("p", { class: "hint" });
    this.row = h("div", { class: "row" });
    this.node = h(
      "div",
      { class: "approval", role: "group", tabindex: "0", "aria-label": "Approval needed", onkeydown: (event) => this.#key(event) },
      this.question,
      this.cut,
      this.tool,
      this.about,
      this.locked,
      h("div", { class: "approval-answer" }, h("label", {}, "Reason (optional) ", this.reason), this.row),
      this.problem,
    );
    this.update(item);
  }

  update(item) {
    this.item = item;
    this.#ask(item.approval);
    this.#showCall(item);
  }

  /** The state has a preview where there are many long questions; the log has them whole. */
  #ask(approval) {
    const { question, options, omitted_bytes } = approval;
    this.isAsked = !omitted_bytes;
    setText(this.question, omitted_bytes ? `${question}…` : question);
    this.cut.replaceChildren(...(omitted_bytes ? [omitted(omitted_bytes, "the question", () => this.#loadQuestion(approval))] : []));
    if (sameList(options, this.options)) return;
    this.options = options;
    this.buttons = options.map((decision) => this.#button(approval, decision));
    this.row.replaceChildren(...this.buttons);
  }

  async #loadQuestion(approval) {
    const { agentUrl, api } = this.context;
    const { events } = await api.get(`${agentUrl}/events?type=approval-request&run=${approval.run_id}&after=0-0&limit=1000`);
    const asked = events.findLast(({ data }) => data.approval_id === approval.approval_id)?.data;
    if (!asked) throw new Error("The question is not in the log any more.");
    if (this.item.approval !== approval) return;
    this.#ask({ ...approval, ...asked, omitted_bytes: 0 });
    this.#lock();
  }

  #showCall(item) {
    const { approval, call } = item;
    this.isKnown = Boolean(call) || approval.call_id === null;
    this.isRead = approval.call_id === null;
    if (call) {
      this.tool.replaceChildren("The agent wants to use ", h("code", {}, call.name), ":");
      if (call.arguments !== null) this.#showArguments(call.arguments);
      else this.about.replaceChildren(omitted(call.omitted_bytes.arguments, "the arguments", () => this.#loadArguments(item), { isEager: true }));
    }
    this.#lock();
  }

  async #loadArguments(item) {
    const { run_id, call_id } = item.approval;
    const { arguments: given } = await this.context.calls.get(run_id, call_id);
    if (this.item === item) this.#showArguments(given);
  }

  #showArguments(given) {
    draw(this.about, (kept) => sections(given, kept), KEPT_ASKED, JSON.stringify(given).length, (isWhole) => {
      this.isRead = isWhole;
      this.#lock();
    });
  }

  get #isWhole() {
    return this.isAsked && this.isRead;
  }

  #lock() {
    for (const button of this.buttons) button.disabled = this.isSending || !(this.#isWhole || button.dataset.kind === "no");
    setText(this.locked, this.#isWhole ? "" : this.isKnown ? UNREAD : UNKNOWN);
    this.locked.hidden = this.#isWhole;
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
