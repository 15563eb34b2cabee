/** A tool call as a card: what was asked, what came out while it ran, what it answered. */
import { KEPT_TEXT, clip, diffs, draw, plainly, readable, sections, showAll, writtenPath } from "./call.js";
import { h, setAttribute, setText } from "./dom.js";
import { workspaceFile } from "./links.js";
import { duration } from "./measures.js";
import { omitted } from "./omitted.js";
import { picture } from "./pictures.js";
import { textWeight } from "./client/weight.js";
import { MOST_OUTPUT, ToolOutput } from "./tool-output.js";
import { nameOf } from "./tree.js";

const STATE_WORDS = {
  waiting: "waiting for you", running: "running", completed: "done", failed: "failed", denied: "denied", interrupted: "interrupted",
};
/** Nothing in them needs a look. What waits stands in the question as well. */
const CLOSED = new Set(["completed", "waiting", "denied"]);
const HAVE_RESULTS = new Set(["completed", "failed"]);

export class Tool {
  /** `context`: as of Conversation */
  constructor(item, context) {
    this.runId = item.run_id;
    this.context = context;
    this.card = h("details", { class: "tool", ontoggle: () => this.#fill() });
    this.node = h("div", { class: "part call" }, this.card);
    // A card opens and closes by the call's state until the reader takes it over.
    this.byReader = false;
    this.update(item);
  }

  get isTouched() {
    return this.byReader;
  }

  /** `isAsked`: it waits for an approval. */
  update({ part, isAsked, isDenied }) {
    [this.isAsked, this.isDenied] = [isAsked, isDenied];
    if (this.shown && sameCall(this.shown, part)) this.#show(part);
    else this.#make(part);
  }

  #make(call) {
    this.state = h("span", { class: "tool-state" });
    this.gist = h("span", { class: "tool-gist" }, h("bdi", {}, plainly(call.title || firstText(call.arguments ?? {}))));
    this.path = writtenPath(call.arguments);
    this.output = new ToolOutput(() => this.#load());
    this.result = h("div", { class: "tool-result" });
    this.shown = null;
    /** The call as it was fetched, where the state does not have all of it. */
    this.fetched = null;
    this.given = undefined;
    const summary = h(
      "summary",
      { onclick: () => (this.byReader = true) },
      h("span", { class: "tool-mark", "aria-hidden": "true" }),
      h("span", { class: "tool-name" }, call.name),
      this.gist,
      this.state,
    );
    this.about = h("div", { class: "tool-about" });
    this.card.replaceChildren(summary, h("div", { class: "tool-body" }, this.about, this.output.node, this.result));
    this.isFilled = false;
    this.#show(call);
  }

  /** A closed card has nothing in it until it is opened. */
  #fill() {
    if (this.isFilled || !this.card.open) return;
    this.isFilled = true;
    this.#showArguments(this.shown);
    this.#showOutput(this.shown);
    this.#showResult(this.shown);
  }

  #show(call) {
    const old = this.shown;
    this.shown = call;
    // The state may leave out at once what it has shown until now.
    if (old?.output && call.output === null) this.context.outputs.join(this.runId, call.call_id, old.output, textWeight(old.output));
    const state = this.#stateOf(call);
    setAttribute(this.card, "data-state", state);
    setText(this.state, state === "completed" && call.duration_ms !== null ? duration(call.duration_ms) : STATE_WORDS[state]);
    if (!this.byReader) this.card.open = !CLOSED.has(state);
    if (this.path && state === "completed") this.#showFile();
    if (!this.isFilled) return this.#fill();
    if (old?.output !== call.output || call.output === null) this.#showOutput(call);
    if (!old || ["result", "is_error", "state"].some((name) => old[name] !== call[name])) this.#showResult(call);
  }

  /** Without permission it did not fail: it did nothing. */
  #stateOf({ state }) {
    if (state === "running" && this.isAsked) return "waiting";
    return state === "failed" && this.isDenied ? "denied" : state;
  }

  /** What was written leads to its viewer, and a picture is shown. */
  #showFile() {
    const { path } = this;
    this.path = null;
    const { viewerUrl } = this.context;
    const href = workspaceFile(path, viewerUrl);
    if (href === null) return;
    this.gist.replaceChildren(nameOf(path));
    this.gist.title = plainly(path);
    this.node.classList.add("has-file");
    this.card.after(h("a", { class: "tool-open", href, title: plainly(path), "aria-label": `Open ${plainly(path)}` }, "Open"));
    const shown = picture(path, this.context);
    if (shown) this.node.append(shown);
  }

  /** All that the state leaves out comes at once; what is shown already stays. */
  async #load() {
    const { call_id, output, omitted_bytes } = this.shown;
    this.fetched = await this.context.calls.get(this.runId, call_id);
    // One that goes on is fetched up to now, and goes on with what this page hears of it.
    const goesOn = this.fetched.state === "running" && output === null;
    if (goesOn) this.context.outputs.join(this.runId, call_id, this.fetched.output, omitted_bytes.output);
    this.#showArguments(this.shown);
    this.#showOutput(this.shown);
    this.#showResult(this.shown);
  }

  /** Once shown they stay: a call keeps its arguments, the state may lose them. */
  #showArguments(call) {
    const given = call.arguments ?? this.fetched?.arguments ?? null;
    if (given === this.given) return;
    this.given = given;
    if (given === null) this.about.replaceChildren(omitted(call.omitted_bytes.arguments, "the arguments", () => this.#load()));
    else draw(this.about, (kept) => sections(given, kept), KEPT_TEXT, JSON.stringify(given).length);
  }

  #showOutput({ call_id, output, omitted_bytes }) {
    if (output !== null) return this.output.update(output, 0);
    const { text, missing } = this.context.outputs.get(this.runId, call_id, omitted_bytes.output);
    if (this.fetched && this.fetched.state !== "running") this.output.update(this.fetched.output, 0);
    else this.output.update(text, missing);
  }

  #showResult(call, kept = KEPT_TEXT) {
    const { is_error, omitted_bytes } = call;
    const bytes = HAVE_RESULTS.has(call.state) && omitted_bytes?.result;
    const isFetched = bytes && this.fetched && this.fetched.state !== "running";
    const result = isFetched ? this.fetched.result : call.result;
    const label = h("p", { class: "tool-label" }, !is_error ? "Result" : this.isDenied ? "Answer" : "Error");
    if (bytes && !isFetched) return this.result.replaceChildren(label, omitted(bytes, is_error ? "the error" : "the result", () => this.#load()));
    const changes = diffs(result, 0).length;
    const said = changes ? result.text : result;
    if ((said ?? "") === "" && !changes) return this.result.replaceChildren();
    const parts = [label];
    if ((said ?? "") !== "") {
      const whole = readable(said);
      const { text, cut } = clip(whole, kept);
      parts.push(h("pre", { class: "result", tabindex: "0" }, text));
      if (cut) parts.push(h("p", { class: "hint" }, cut, " ", kept === KEPT_TEXT && showAll(whole.length, () => this.#showResult(call, MOST_OUTPUT))));
    }
    const changed = h("div");
    if (changes) draw(changed, (most) => diffs(result, most), KEPT_TEXT, JSON.stringify(result).length);
    this.result.replaceChildren(...parts, changed);
  }
}

/** What does not change while a call runs. After a reset the same call comes as another object. */
function sameCall(old, call) {
  if (old.name !== call.name || old.title !== call.title) return false;
  if (call.arguments === null) return true; // the key has its id
  return old.arguments === call.arguments || JSON.stringify(old.arguments) === JSON.stringify(call.arguments);
}

/** What a closed card says about a call without a title. */
function firstText(given) {
  const first = Object.values(given).find((value) => typeof value === "string" && value.trim()) ?? "";
  return Array.from(first.trim().split("\n", 1)[0].slice(0, 200)).slice(0, 100).join("");
}
