/** A tool call as a card: what was asked, what came out while it ran, what it answered. */
import { KEPT_TEXT, clip, diffs, draw, plainly, readable, sections, showAll } from "./call.js";
import { h, setAttribute, setText } from "./dom.js";
import { duration, size } from "./measures.js";
import { nodes, tail } from "./terminal.js";

/** Characters of an output that a reader gets who wants all. */
const MOST_OUTPUT = 2_000_000;
const STATE_WORDS = { waiting: "waiting for you", running: "running", completed: "done", failed: "failed", interrupted: "interrupted" };

export class Tool {
  constructor(item) {
    this.node = h("details", { class: "part tool" });
    // A card opens and closes by the call's state until the reader takes it over.
    this.byReader = false;
    this.update(item);
  }

  /** `isAsked`: it waits for an approval. */
  update({ part, isAsked }) {
    this.isAsked = isAsked;
    if (this.shown && sameCall(this.shown, part)) this.#show(part);
    else this.#make(part);
  }

  #make(call) {
    this.state = h("span", { class: "tool-state" });
    this.output = h("div", { class: "tool-output" });
    this.result = h("div", { class: "tool-result" });
    this.terminal = null;
    this.shown = null;
    const summary = h(
      "summary",
      { onclick: () => (this.byReader = true) },
      h("span", { class: "tool-mark", "aria-hidden": "true" }),
      h("span", { class: "tool-name" }, call.name),
      h("span", { class: "tool-gist" }, h("bdi", {}, plainly(call.title || firstText(call.arguments)))),
      this.state,
    );
    const about = h("div", { class: "tool-about" });
    draw(about, (kept) => sections(call.arguments, kept), KEPT_TEXT, JSON.stringify(call.arguments).length);
    const body = h("div", { class: "tool-body" }, about, this.output, this.result);
    this.node.replaceChildren(summary, body);
    this.#show(call);
  }

  #show(call) {
    const old = this.shown;
    this.shown = call;
    const state = call.state === "running" && this.isAsked ? "waiting" : call.state;
    setAttribute(this.node, "data-state", state);
    setText(this.state, state === "completed" && call.duration_ms !== null ? duration(call.duration_ms) : STATE_WORDS[state]);
    // What waits stands in the question as well.
    if (!this.byReader) this.node.open = state !== "completed" && state !== "waiting";
    if (old?.output !== call.output) this.#showOutput(call.output);
    if (old?.result !== call.result || old?.is_error !== call.is_error) this.#showResult(call);
  }

  #showOutput(output) {
    if (!output) return this.output.replaceChildren();
    const { cut, text } = tail(output, this.kept);
    if (!this.terminal) {
      this.terminal = h("pre", { class: "terminal", tabindex: "0" });
      this.cutWords = h("span");
      this.all = showAll(output.length, () => {
        this.kept = MOST_OUTPUT;
        this.#showOutput(this.whole);
      });
      this.cut = h("p", { class: "hint" }, this.cutWords, " ", this.all);
    }
    this.whole = output;
    const atEnd = this.terminal.scrollHeight - this.terminal.scrollTop - this.terminal.clientHeight < 40;
    this.terminal.replaceChildren(...nodes(text));
    if (!this.terminal.parentNode) this.output.replaceChildren(h("p", { class: "tool-label" }, "Output"), this.terminal);
    this.#showCut(cut, output.length);
    if (atEnd) this.terminal.scrollTop = this.terminal.scrollHeight;
  }

  #showCut(cut, length) {
    if (!cut) return this.cut.remove();
    if (!this.cut.parentNode) this.terminal.before(this.cut);
    setText(this.cutWords, `${cut.toLocaleString("en")} earlier characters are in the log.`);
    if (this.kept) this.all.remove();
    else setText(this.all, `Show all ${size(length)}`);
  }

  #showResult(call, kept = KEPT_TEXT) {
    const { is_error, result } = call;
    const changes = diffs(result, 0).length;
    const said = changes ? result.text : result;
    if ((said ?? "") === "" && !changes) return this.result.replaceChildren();
    const parts = [h("p", { class: "tool-label" }, is_error ? "Error" : "Result")];
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
  return old.arguments === call.arguments || JSON.stringify(old.arguments) === JSON.stringify(call.arguments);
}

/** What a closed card says about a call without a title. */
function firstText(given) {
  const first = Object.values(given).find((value) => typeof value === "string" && value.trim()) ?? "";
  return Array.from(first.trim().split("\n", 1)[0].slice(0, 200)).slice(0, 100).join("");
}
