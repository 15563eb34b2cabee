/**
 * The conversation: turns of messages of parts, made from the folded state and from nothing else. The fold shares what
 * did not change, so one comparison of references says which nodes to touch. agents/pages/conversation.py makes the same.
 */
import { Keyed, h, setText } from "./dom.js";
import { Approval } from "./approval.js";
import { Markdown } from "./markdown.js";
import { runDuration } from "./measures.js";
import { Tool } from "./tool.js";

/** Parts that are in the page at first. Older ones are cut off in steps, so that the beginning does not keep moving. */
export const SHOWN_PARTS = 400;
const STEP_PARTS = 200;
const FINAL_WORDS = { failed: "The run failed.", cancelled: "Stopped." };
const SPEAKERS = { user: "You", assistant: "Agent", system: "System" };

export class Conversation {
  /** `context`: {filesUrl, api} */
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

/** By run, in the order in which the runs first spoke: a queued prompt would else stand in the middle of an answer. */
export function group(state, shownParts) {
  const total = state.messages.reduce((sum, message) => sum + message.parts.length, 0);
  const leftOut = Math.ceil(Math.max(0, total - shownParts) / STEP_PARTS) * STEP_PARTS;
  const runs = new Map(state.runs.map((run) => [run.id, run]));
  const turns = new Map();
  for (const message of state.messages) {
    if (!turns.has(message.run_id)) turns.set(message.run_id, []);
    turns.get(message.run_id).push(message);
  }
  const shown = [];
  let skip = leftOut;
  for (const [id, messages] of turns) {
    const kept = [];
    for (const message of messages) {
      const dropped = Math.min(skip, message.parts.length);
      skip -= dropped;
      if (dropped < message.parts.length || !message.parts.length) kept.push({ message, from: dropped });
    }
    if (!kept.length) continue;
    const approvals = state.approvals.filter((approval) => approval.run_id === id);
    shown.push({ key: String(id), messages: kept, approvals, run: runs.get(id) ?? null, queued: state.queue.includes(id) });
  }
  return { turns: shown, leftOut };
}

/** The turn as it was, if nothing in it is another object than before. */
function sameTurn(old, turn) {
  const same =
    old &&
    old.run === turn.run &&
    old.queued === turn.queued &&
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
    const approvals = h("div");
    this.ending = h("div");
    this.api = context.api;
    this.node.append(messages, approvals, this.ending);
    this.known = new Map();
    this.messages = new Keyed(messages, (entry) => entry.message.id, (entry) => new Message(entry, context));
    this.approvals = new Keyed(approvals, (item) => item.key, ({ approval }) => new Approval(approval, context));
    this.asked = [];
    this.update(turn);
  }

  update(turn) {
    const entries = turn.messages.map((entry) => {
      const old = this.known.get(entry.message.id);
      return old && old.message === entry.message && old.from === entry.from ? old : entry;
    });
    this.known = new Map(entries.map((entry) => [entry.message.id, entry]));
    this.messages.update(entries);
    // By place, not by id: nothing stops a program from asking twice under the same name.
    this.asked = turn.approvals.map((approval, at) =>
      this.asked[at]?.approval === approval ? this.asked[at] : { key: `${at} ${approval.question}`, approval },
    );
    this.approvals.update(this.asked);
    this.ending.replaceChildren(...ending(turn, this.api));
  }
}

function ending({ key, run, queued }, api) {
  if (queued) {
    const withdraw = async (event) => {
      event.target.disabled = true;
      await api.post(`/api/runs/${key}/cancel`).catch(() => (event.target.disabled = false));
    };
    const button = h("button", { type: "button", class: "quiet", onclick: withdraw }, "Withdraw");
    return [h("p", { class: "turn-note" }, "Waiting in the queue.", button)];
  }
  if (!run) return [];
  const word = FINAL_WORDS[run.status];
  if (run.error) {
    const hint = h("p", { class: "hint" }, h("code", {}, run.error.code), run.error.retryable ? " · trying again may help" : null);
    const message = h("span", { dir: "auto" }, run.error.message);
    return [h("div", { class: "run-error" }, h("p", {}, h("strong", {}, word ?? "Something went wrong."), " ", message), hint)];
  }
  if (run.status === "running") return [h("p", { class: "turn-note working" }, "Working…")];
  if (word) return [h("p", { class: "turn-note" }, word)];
  const passed = runDuration(run);
  return run.status === "completed" && passed ? [h("p", { class: "turn-note" }, `Done in ${passed}`)] : [];
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

  update({ message, from }) {
    this.node.className = `message ${message.role}`;
    setText(this.speaker, SPEAKERS[message.role] ?? message.role);
    const items = [];
    for (let at = from; at < message.parts.length; at++) {
      const part = message.parts[at];
      // A whole message after its deltas moves parts about, and may change the role: then the key changes too.
      const key = `${at} ${part.type} ${message.role} ${part.call_id ?? ""}`;
      const old = this.known[at];
      items.push(old?.part === part && old.key === key ? old : { key, part, role: message.role });
    }
    this.known = [];
    items.forEach((item, i) => (this.known[from + i] = item));
    this.parts.update(items);
  }
}

function partView({ part, role }, context) {
  if (part.type === "tool-call") return new Tool(part);
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
