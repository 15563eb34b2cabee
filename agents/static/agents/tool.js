/** A tool call as a card: what was asked, what came out while it ran, what it answered. */
import { h, setAttribute, setText } from "./dom.js";
import { duration } from "./measures.js";
import { nodes, tail } from "./terminal.js";

const KEPT_TEXT = 20_000;
const STATE_WORDS = { running: "running", completed: "done", failed: "failed", interrupted: "interrupted" };

export class Tool {
  constructor(call) {
    this.node = h("details", { class: "part tool" });
    // A card opens and closes by the call's state until the reader takes it over.
    this.byReader = false;
    this.#make(call);
  }

  update({ part }) {
    if (sameCall(this.shown, part)) this.#show(part);
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
      h("span", { class: "tool-gist" }, h("bdi", {}, call.title || firstText(call.arguments))),
      this.state,
    );
    const body = h("div", { class: "tool-body" }, argumentList(call.arguments), this.output, this.result);
    this.node.replaceChildren(summary, body);
    this.#show(call);
  }

  #show(call) {
    const old = this.shown;
    this.shown = call;
    setAttribute(this.node, "data-state", call.state);
    setText(this.state, call.state === "completed" && call.duration_ms !== null ? duration(call.duration_ms) : STATE_WORDS[call.state]);
    if (!this.byReader) this.node.open = call.state !== "completed";
    if (old?.output !== call.output) this.#showOutput(call.output);
    if (old?.result !== call.result || old?.is_error !== call.is_error) this.#showResult(call);
  }

  #showOutput(output) {
    if (!output) return this.output.replaceChildren();
    const { cut, text } = tail(output);
    if (!this.terminal) {
      this.terminal = h("pre", { class: "terminal", tabindex: "0" });
      this.cut = h("p", { class: "hint" });
    }
    const atEnd = this.terminal.scrollHeight - this.terminal.scrollTop - this.terminal.clientHeight < 40;
    this.terminal.replaceChildren(...nodes(text));
    setText(this.cut, `${cut} earlier characters are in the log.`);
    if (!this.terminal.parentNode) this.output.replaceChildren(h("h4", {}, "Output"), this.terminal);
    if (cut && !this.cut.parentNode) this.terminal.before(this.cut);
    if (atEnd) this.terminal.scrollTop = this.terminal.scrollHeight;
  }

  #showResult(call) {
    const text = readable(call.result);
    if (text === null) return this.result.replaceChildren();
    this.result.replaceChildren(
      h("h4", {}, call.is_error ? "Error" : "Result"),
      h("pre", { class: "result", tabindex: "0" }, text),
    );
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

function argumentList(given) {
  const names = Object.keys(given);
  if (!names.length) return null;
  return h("dl", { class: "arguments" }, ...names.map((name) => {
    const value = given[name];
    const text = clip(typeof value === "string" ? value : JSON.stringify(value, null, 2));
    const long = text.includes("\n") || text.length > 80;
    return h("div", { class: long && "long" }, h("dt", {}, name), h("dd", {}, h(long ? "pre" : "code", {}, text)));
  }));
}

function readable(result) {
  if (result === null || result === "") return null;
  return clip(typeof result === "string" ? result : JSON.stringify(result, null, 2));
}

function clip(text) {
  return text.length <= KEPT_TEXT ? text : `${text.slice(0, KEPT_TEXT).toWellFormed()}\n… ${text.length - KEPT_TEXT} more characters`;
}
