/**
 * The conversation: turns of messages of parts, made from the folded state and from nothing else. The fold shares what
 * did not change, so one comparison of references says which nodes to touch. agents/pages/conversation.py makes the same.
 */
import { Approvals, isWaiting, questionsOf } from "./approval.js";
import { Keyed, h, setText } from "./dom.js";
import { Markdown } from "./markdown.js";
import { budget, runDuration } from "./measures.js";
import { Plan, planOf } from "./plan.js";
import { Tool } from "./tool.js";

/** Parts that are in the page at first. Older ones are cut off in steps, so that the beginning does not keep moving. */
export const SHOWN_PARTS = 400;
const STEP_PARTS = 200;
const FINAL_WORDS = { failed: "The run failed.", cancelled: "Stopped." };
const AGAIN_WORDS = { resume: "Continue", retry: "Try again" };
const SPEAKERS = { user: "You", assistant: "Agent", system: "System" };

export class Conversation {
  /** `context`: {agentUrl, filesUrl, api, advice: what to do by code of error} */
  constructor(root, context) {
    this.shownParts = SHOWN_PARTS;
    this.known = new Map();
    this.turns = new Keyed(root, (turn) => turn.key, (turn) => new Turn(turn, context));
  }

  /** Returns how many parts are left out at the beginning. */
  render(state) {
    const { turns, leftOut } = group(state, this.shownParts);
    const shared = turns.map((turn) => sameTurn(this.known.get(turn.key), turn));
    this.known = new Map(shared.map((turn) => [turn.key, turn]));
    this.turns.update(shared);
    return leftOut;
  }
}

/** By run, in the order in which the runs were at work: a queued prompt would else stand in the middle of an answer. */
export function group(state, shownParts) {
  const total = state.messages.reduce((sum, message) => sum + message.parts.length, 0);
  const leftOut = Math.ceil(Math.max(0, total - shownParts) / STEP_PARTS) * STEP_PARTS;
  const runs = new Map(state.runs.map((run) => [run.id, run]));
  const turns = new Map();
  const spoken = new Set();
  for (const message of state.messages) {
    const id = hostOf(runs.get(message.run_id), state) ?? message.run_id;
    if (!turns.has(id)) turns.set(id, []);
    turns.get(id).push(message);
    if (message.role !== "user") spoken.add(id);
  }
  const heard = spoken.values();
  const shown = [];
  let skip = leftOut;
  for (const turn of turns.keys()) {
    const id = spoken.has(turn) ? heard.next().value : turn;
    const messages = turns.get(id);
    const kept = [];
    for (const message of messages) {
      const dropped = Math.min(skip, message.parts.length);
      skip -= dropped;
      if (dropped < message.parts.length || !message.parts.length) kept.push({ message, from: dropped });
    }
    if (!kept.length || state.queue.includes(id)) continue;
    const run = runs.get(id) ?? null;
    const approvals = state.approvals.filter((approval) => approval.run_id === id);
    const again = againOf(run, state);
    shown.push({ key: String(id), messages: kept, all: messages, approvals, run, plan: planOf(state.plan, run), again });
  }
  return { turns: shown, leftOut };
}

/** The run that was at work when this one was handed to it. */
function hostOf(run, { runs }) {
  if (run?.status !== "completed" || run.started_at !== null) return null;
  const at = run.finished_at;
  return runs.find(({ started_at, finished_at }) => started_at && started_at <= at && (finished_at === null || finished_at >= at))?.id;
}

/** Prompts that wait for their turn: [{key, text}]. */
export function queued(state) {
  return state.queue.map((id) => {
    const messages = state.messages.filter((message) => message.run_id === id);
    const text = messages.flatMap(({ parts }) => parts).find(({ type }) => type === "text")?.text ?? "";
    return { key: id, text };
  });
}

/** Only behind the last run, and while nothing else is to be done: else it is not clear what comes first. */
function againOf(run, state) {
  if (!run || run !== state.runs.at(-1) || state.active_run !== null || state.queue.length) return "";
  if (run.finished_at === null || !FINAL_WORDS[run.status]) return "";
  return canContinue(run, state) ? "resume retry" : "retry";
}

/** Whether there is something to go on from: it is the latest run, it did not complete, and its program has said something. */
export function canContinue(run, state) {
  if (run !== state.runs.at(-1) || run.finished_at === null || !FINAL_WORDS[run.status]) return false;
  return state.messages.some(({ run_id, role }) => run_id === run.id && role !== "user");
}

/** The turn as it was, if nothing in it is another object than before. */
function sameTurn(old, turn) {
  const same =
    old &&
    old.run === turn.run &&
    old.plan === turn.plan &&
    old.again === turn.again &&
    sameList(old.approvals, turn.approvals, (a, b) => a === b) &&
    sameList(old.messages, turn.messages, (a, b) => a.message === b.message && a.from === b.from);
  return same ? old : turn;
}

function sameList(a, b, same) {
  return a.length === b.length && a.every((item, at) => same(item, b[at]));
}

class Turn {
  constructor(turn, context) {
    this.node = h("section", { class: "turn", "data-key": turn.key, id: `run-${turn.key}` });
    const messages = h("div");
    this.plan = null;
    this.approvals = new Approvals(context);
    this.ending = h("div");
    this.context = context;
    this.node.append(messages, this.approvals.node, this.ending);
    this.known = new Map();
    this.messages = new Keyed(messages, (entry) => entry.message.id, (entry) => new Message(entry, context));
    this.update(turn);
  }

  update(turn) {
    const asked = turn.approvals.filter((one) => isWaiting(one, turn.run)).map(({ call_id }) => call_id);
    const entries = turn.messages.map((entry) => {
      const old = this.known.get(entry.message.id);
      const same = old?.message === entry.message && old.from === entry.from && sameList(old.asked, asked, (a, b) => a === b);
      return same ? old : { ...entry, asked };
    });
    this.known = new Map(entries.map((entry) => [entry.message.id, entry]));
    this.messages.update(entries);
    this.#showPlan(turn);
    this.approvals.update(questionsOf(turn.approvals, turn.run, turn.all));
    if (this.ended === turn.run && this.again === turn.again) return; // else a button would lose the focus
    [this.ended, this.again] = [turn.run, turn.again];
    this.ending.replaceChildren(...ending(turn, this.context));
  }

  #showPlan({ plan, run }) {
    if (!plan) {
      this.plan?.node.remove();
      this.plan = null;
      return;
    }
    if (!this.plan) this.approvals.node.before((this.plan = new Plan()).node);
    this.plan.update(plan, run.finished_at === null);
  }
}

function ending({ run, again }, context) {
  if (!run) return [];
  const nodes = (run.budget ?? []).map((share) => h("p", { class: "turn-note budget" }, budget(share)));
  const word = finalWord(run);
  const passed = runDuration(run);
  const done = run.status === "completed";
  if (run.error) nodes.push(failure(run.error, word, context.advice, done));
  else if (run.status === "running") nodes.push(h("p", { class: "turn-note working" }, "Working…"));
  else if (word) nodes.push(h("p", { class: "turn-note" }, word));
  if (done && passed) nodes.push(h("p", { class: "turn-note" }, `Done in ${passed}`));
  if (again) nodes.push(buttons(run, again.split(" "), context));
  return nodes;
}

function finalWord({ status, started_at, error }) {
  if (status === "cancelled" && started_at === null) return "Withdrawn.";
  return status === "completed" && error ? "Reported an error." : FINAL_WORDS[status];
}

function failure({ code, message, retryable }, word, advice, done) {
  return h(
    "div",
    { class: "run-error" },
    h("p", {}, h("strong", {}, word ?? "Something went wrong."), " ", h("span", { dir: "auto" }, message)),
    Object.hasOwn(advice, code) ? h("p", {}, advice[code]) : null,
    h("p", { class: "hint" }, h("code", {}, code), retryable && !done ? " · trying again may help" : null),
  );
}

function buttons(run, again, { api }) {
  const problem = h("p", { class: "field-error", role: "alert" });
  const made = again.map((what) => h("button", { type: "button", onclick: () => send(what) }, AGAIN_WORDS[what]));
  const send = async (what) => {
    for (const button of made) button.disabled = true;
    try {
      await api.post(`/api/runs/${run.id}/${what}`);
    } catch (error) {
      setText(problem, error.message);
      for (const button of made) button.disabled = false;
    }
  };
  return h("div", { class: "row again" }, ...made, problem);
}

class Message {
  constructor(entry, context) {
    const { message } = entry;
    this.node = h("article", { class: `message ${message.role}` });
    const parts = h("div", { class: "parts" });
    this.speaker = h("h3", { class: "sr-only" });
    this.node.append(this.speaker, parts);
    this.known = [];
    this.parts = new Keyed(parts, (item) => item.key, (item) => partView(item, context));
    this.update(entry);
  }

  /** `asked`: ids of calls that wait for an approval. */
  update({ message, from, asked }) {
    this.node.className = `message ${message.role}`;
    setText(this.speaker, SPEAKERS[message.role] ?? message.role);
    const items = [];
    for (let at = from; at < message.parts.length; at++) {
      const part = message.parts[at];
      // A whole message after its deltas moves parts about, and may change the role: then the key changes too.
      const key = `${at} ${part.type} ${message.role} ${part.call_id ?? ""}`;
      const isAsked = asked.includes(part.call_id);
      const old = this.known[at];
      const same = old?.part === part && old.key === key && old.isAsked === isAsked;
      items.push(same ? old : { key, part, role: message.role, isAsked });
    }
    this.known = [];
    items.forEach((item, i) => (this.known[from + i] = item));
    this.parts.update(items);
  }
}

function partView(item, context) {
  const { part, role } = item;
  if (part.type === "tool-call") return new Tool(item);
  if (part.type === "thinking") return new Thinking(part);
  return role === "assistant" ? new Answer(part, context) : new Plain(part);
}

class Plain {
  constructor(part) {
    this.node = h("div", { class: "part plain", dir: "auto" }, part.text);
  }

  update({ part }) {
    setText(this.node, part.text);
  }
}

class Answer {
  constructor(part, context) {
    this.node = h("div", { class: "part markdown", dir: "auto" });
    this.markdown = new Markdown(this.node, context.filesUrl);
    this.markdown.update(part.text);
  }

  update({ part }) {
    this.markdown.update(part.text);
  }
}

class Thinking {
  constructor(part) {
    this.text = h("div", { class: "plain", dir: "auto" }, part.text);
    this.node = h("details", { class: "part thinking" }, h("summary", {}, "Thinking"), this.text);
  }

  update({ part }) {
    setText(this.text, part.text);
  }
}
