/**
 * The conversation on the page: a list of turns of messages of units (turns.js), as far as they are mounted (windowing.js). The
 * fold shares what did not change, so one comparison of references says which nodes to touch.
 */
import { Approvals, isDenied, isWaiting, questionsOf } from "./approval.js";
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { Markdown } from "./markdown.js";
import { budget, runDuration } from "./measures.js";
import { omitted } from "./omitted.js";
import { picture } from "./pictures.js";
import { Plan } from "./plan.js";
import { Tool } from "./tool.js";
import { group, sameList, sameStretch, sameTurn } from "./turns.js";

const FINAL_WORDS = { failed: "The run failed.", cancelled: "Stopped." };
const AGAIN_WORDS = { resume: "Continue", retry: "Try again" };
const SPEAKERS = { user: "You", assistant: "Agent", system: "System" };
const STEERING = "Steering prompt";
const CLEARED = { key: "cleared" };
const NO_PICTURES = [];

/** Views that were unmounted with what the reader opened in them. */
const TOUCHED_KEPT = 100;

export class Conversation {
  /** `context`: {agentUrl, filesUrl, viewerUrl, api, advice: what to do by code of error, calls: WholeCalls, outputs: LiveOutputs} */
  constructor(root, context) {
    this.known = new Map();
    const inside = { ...context, touched: new Touched() };
    root.setAttribute("role", "list");
    const make = (item) => (item === CLEARED ? new Divider() : new Turn(item, inside));
    this.items = new Keyed(root, ({ key }) => key, make, (view) => view.leave?.());
  }

  /**
   * `shown`: {units, from, to}, those that are mounted of all. `pictures`: {runId, paths} that stand at the end of one turn. Returns
   * whether there are any turns.
   */
  render(state, shown, pictures) {
    const withPictures = (turn) => ({ ...turn, pictures: turn.key === pictures.runId ? pictures.paths : NO_PICTURES });
    const turns = group(state, shown.units, shown).map(withPictures).map((turn) => sameTurn(this.known.get(turn.key), turn));
    this.known = new Map(turns.map((turn) => [turn.key, turn]));
    this.items.update(withDivider(turns, state, shown));
    return turns.length > 0;
  }
}

/** `cleared`: the last ordinal before the conversation began anew. Of what is older nothing is shown at first. */
function withDivider(turns, { cleared }, { units, to }) {
  if (!turns.some(({ n }) => n <= cleared)) return turns;
  const at = turns.findIndex(({ n }) => n > cleared);
  if (at !== -1) return turns.toSpliced(at, 0, CLEARED);
  return units[to]?.n <= cleared ? turns : [...turns, CLEARED];
}

/** What the reader opened stays open when it is unmounted and mounted again. */
class Touched {
  constructor() {
    this.views = new Map();
  }

  keep(key, view) {
    if (!view.isTouched) return;
    this.views.set(key, view);
    if (this.views.size > TOUCHED_KEPT) this.views.delete(this.views.keys().next().value);
  }

  take(key) {
    const view = this.views.get(key);
    this.views.delete(key);
    return view;
  }
}

class Divider {
  constructor() {
    this.node = h("p", { class: "cleared", role: "listitem", "data-key": "cleared" }, "The conversation begins anew here");
  }
}

class Turn {
  constructor(turn, context) {
    this.node = h("div", { class: "turn", role: "listitem", "data-key": turn.key, id: `run-${turn.key}` });
    const messages = h("div");
    this.plan = null;
    this.approvals = new Approvals(context);
    this.ending = h("div");
    this.pictures = h("div", { class: "pictures" });
    this.shownPictures = NO_PICTURES;
    this.context = context;
    this.node.append(messages, this.pictures, this.approvals.node, this.ending);
    this.known = new Map();
    this.keys = new Map();
    this.messages = new Keyed(messages, ({ key }) => key, (item) => new Message(item, context), (view) => view.leave());
    this.update(turn);
  }

  update(turn) {
    const asked = turn.approvals.filter((one) => isWaiting(one, turn.run)).map(({ call_id }) => call_id);
    const denied = turn.approvals.filter(isDenied).map(({ call_id }) => call_id);
    const items = turn.stretches.map((stretch) => {
      const key = this.#keyOf(stretch);
      const old = this.known.get(key);
      const same = old && sameStretch(old.stretch, stretch) && sameList(old.asked, asked) && sameList(old.denied, denied);
      return same ? old : { key, stretch, asked, denied };
    });
    this.known = new Map(items.map((item) => [item.key, item]));
    this.keys = new Map(items.flatMap(({ key, stretch }) => stretch.drawn.map(({ n }) => [n, key])));
    this.messages.update(items);
    setAttribute(this.node, "aria-posinset", String(turn.place));
    setAttribute(this.node, "aria-setsize", String(turn.total));
    for (const node of [this.pictures, this.approvals.node, this.ending]) node.hidden = !turn.isEnd;
    this.#showPictures(turn.pictures);
    this.#showPlan(turn);
    this.approvals.update(questionsOf(turn.approvals, turn.run, turn.calls));
    if (this.ended === turn.run && this.again === turn.again && this.isOld === turn.isOld) return; // a button keeps the focus
    [this.ended, this.again, this.isOld] = [turn.run, turn.again, turn.isOld];
    this.ending.replaceChildren(...ending(turn, this.context));
  }

  leave() {
    this.messages.leave();
  }

  /** That of the node in which one of its parts stands already: an earlier page may add parts in front of it. */
  #keyOf({ drawn }) {
    const known = drawn.find(({ n }) => this.keys.has(n));
    return known ? this.keys.get(known.n) : drawn[0].n;
  }

  #showPictures(paths) {
    if (paths === this.shownPictures) return;
    this.shownPictures = paths;
    this.pictures.replaceChildren(...paths.map((path) => picture(path, this.context)).filter(Boolean));
  }

  #showPlan({ plan, run, isEnd }) {
    if (!plan || !isEnd) {
      this.plan?.node.remove();
      this.plan = null;
      return;
    }
    if (!this.plan) this.approvals.node.before((this.plan = new Plan()).node);
    this.plan.update(plan, run.finished_at === null);
  }
}

/** The state knows the latest runs only; an older one has a page that tells how it ended. */
function ending({ key, run, isOld, again }, context) {
  if (isOld && key !== "null") return [h("p", { class: "turn-note" }, h("a", { href: `/runs/${encodeURIComponent(key)}/` }, "How this run ended"))];
  if (!run) return [];
  const nodes = (run.budget ?? []).map((share) => h("p", { class: "turn-note budget" }, budget(share)));
  const word = finalWord(run);
  const passed = runDuration(run);
  const done = run.status === "completed";
  if (run.error) nodes.push(failure(run.error, word, context.advice, done, run.status === "cancelled"));
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

function failure({ code, message, omitted_bytes, retryable }, word, advice, done, isStopped) {
  return h(
    "div",
    { class: isStopped ? "run-error stopped" : "run-error" },
    h("p", {}, h("strong", {}, word ?? "Something went wrong."), " ", h("span", { dir: "auto" }, message, omitted_bytes && "…")),
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
  constructor(item, context) {
    const { stretch } = item;
    this.node = h("article", { id: stretch.isSteering && `run-${stretch.run_id}` });
    const parts = h("div", { class: "parts" });
    this.speaker = h("h3", { class: "sr-only" });
    this.node.append(this.speaker, stretch.isSteering ? h("p", { class: "hint steering" }, STEERING) : "", parts);
    this.known = new Map();
    const place = ({ run_id, key }) => `${run_id} ${key}`;
    const make = (item) => remade(context.touched.take(place(item)), item) ?? partView(item, context);
    this.parts = new Keyed(parts, ({ key }) => key, make, (view, item) => context.touched.keep(place(item), view));
    this.update(item);
  }

  leave() {
    this.parts.leave();
  }

  /** `asked`, `denied`: ids of calls that wait for an approval, and of those that did not get it. */
  update({ stretch: { role, run_id, drawn }, asked, denied }) {
    this.node.className = `message ${role}`;
    setText(this.speaker, SPEAKERS[role] ?? role);
    const items = drawn.map(({ n, type, parts }) => {
      const [part] = parts;
      // After a reset another part may have the same ordinal; the role may change with a whole message after its deltas.
      const key = `${n} ${type} ${role} ${part.call_id ?? ""}`;
      const isAsked = asked.includes(part.call_id);
      const old = this.known.get(key);
      const isDenied = denied.includes(part.call_id);
      const same = old && old.isAsked === isAsked && old.isDenied === isDenied && sameList(old.parts, parts);
      return same ? old : { key, part, parts, role, run_id, isAsked, isDenied };
    });
    this.known = new Map(items.map((item) => [item.key, item]));
    this.parts.update(items);
  }
}

function remade(view, item) {
  view?.update(item);
  return view;
}

function partView(item, context) {
  const view = newView(item, context);
  view.node.dataset.n = item.parts[0].n;
  return view;
}

function newView(item, context) {
  if (item.part.type === "tool-call") return new Tool(item, context);
  if (item.part.type === "thinking") return new Thinking(item);
  return item.role === "assistant" ? new Answer(item, context) : new Plain(item, context);
}

const textOf = ({ parts }) => (parts.length === 1 ? parts[0].text : parts.map(({ text }) => text).join(""));

class Plain {
  constructor(item, { api }) {
    const { part, run_id } = item;
    this.isCut = Boolean(part.omitted_bytes);
    this.text = h("div", { class: this.isCut ? "plain" : "part plain", dir: "auto" });
    this.node = this.isCut ? h("div", { class: "part" }, this.text) : this.text;
    if (this.isCut) {
      // A long prompt that waited in a long queue is whole in its run only.
      const load = async () => {
        const { input } = await api.get(`/api/runs/${run_id}`);
        this.isCut = false;
        setText(this.text, input);
        note.remove();
      };
      const note = omitted(part.omitted_bytes, "the prompt", load);
      this.node.append(note);
    }
    this.update(item);
  }

  update(item) {
    if (item.part.omitted_bytes) this.isCut && setText(this.text, `${textOf(item)}…`);
    else setText(this.text, textOf(item));
  }
}

class Answer {
  constructor(item, context) {
    this.node = h("div", { class: "part markdown", dir: "auto" });
    this.markdown = new Markdown(this.node, context.filesUrl);
    this.update(item);
  }

  get isTouched() {
    return this.markdown.isTouched;
  }

  update(item) {
    this.markdown.update(textOf(item));
  }
}

class Thinking {
  constructor(item) {
    this.text = h("div", { class: "plain", dir: "auto" });
    this.node = h("details", { class: "part thinking" }, h("summary", { onclick: () => (this.isTouched = true) }, "Thinking"), this.text);
    this.update(item);
  }

  update(item) {
    setText(this.text, textOf(item));
  }
}
