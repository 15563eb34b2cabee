/** The output of one call in its card: the end of it, in colours, and the way to the rest. */
import { showAll } from "./call.js";
import { h, setText } from "./dom.js";
import { size } from "./measures.js";
import { notShown, omitted } from "./omitted.js";
import { nodes, tail } from "./terminal.js";

/** Characters that a reader gets who wants all. */
export const MOST_OUTPUT = 2_000_000;

export class ToolOutput {
  /** `load()`: gets what the page does not have; a promise. */
  constructor(load) {
    this.load = load;
    this.node = h("div", { class: "tool-output" });
    this.terminal = h("pre", { class: "terminal", tabindex: "0" });
    this.label = h("p", { class: "tool-label" }, "Output");
    this.cutWords = h("span");
    this.all = showAll(0, () => {
      this.kept = MOST_OUTPUT;
      this.update(this.text, this.missingBytes);
    });
    this.cut = h("p", { class: "hint" }, this.cutWords, " ", this.all);
    this.missing = null;
  }

  /** `missing`: bytes of it that the page does not have. */
  update(output, missing) {
    [this.text, this.missingBytes] = [output, missing];
    if (!output && !missing) return this.node.replaceChildren();
    if (!this.label.parentNode) this.node.append(this.label);
    this.#showMissing(missing);
    if (!output) return this.terminal.remove();
    const { cut, text } = tail(output, this.kept);
    const atEnd = this.terminal.scrollHeight - this.terminal.scrollTop - this.terminal.clientHeight < 40;
    this.terminal.replaceChildren(...nodes(text));
    if (!this.terminal.parentNode) this.node.append(this.terminal);
    this.#showCut(cut, output.length);
    if (atEnd) this.terminal.scrollTop = this.terminal.scrollHeight;
  }

  #showMissing(bytes) {
    const words = notShown(bytes, "the output");
    if (!bytes) {
      this.missing?.remove();
      this.missing = null;
    } else if (this.missing) setText(this.missing.firstChild, words);
    else this.label.after((this.missing = omitted(bytes, "the output", this.load)));
  }

  #showCut(cut, length) {
    if (!cut) return this.cut.remove();
    if (!this.cut.parentNode) this.terminal.before(this.cut);
    setText(this.cutWords, `${cut.toLocaleString("en")} earlier characters are in the log.`);
    if (this.kept) this.all.remove();
    else setText(this.all, `Show all ${size(length)}`);
  }
}
