/** Short words about what was done, with a button that undoes it where it can be. They go by themselves, but not while they are used. */
import { h } from "./dom.js";

const SHOWN_MS = 10_000;

export class Toasts {
  constructor(parent) {
    // There before the first words are: screen readers read what changes in a region that they know.
    this.node = h("div", { class: "toasts", role: "status" });
    parent.append(this.node);
  }

  /** `action`: {label, act}, where act's promise may fail. */
  say(words, action = null) {
    const toast = h("div", { class: "toast" }, h("span", { dir: "auto" }, words));
    const close = () => toast.remove();
    if (action) toast.append(h("button", { type: "button", class: "small", onclick: () => this.#act(toast, action) }, action.label));
    toast.append(h("button", { type: "button", class: "quiet small", "aria-label": "Dismiss", onclick: close }, "×"));
    this.node.replaceChildren(toast);
    let timer = setTimeout(close, SHOWN_MS);
    for (const type of ["pointerenter", "focusin"]) toast.addEventListener(type, () => clearTimeout(timer));
    for (const type of ["pointerleave", "focusout"]) toast.addEventListener(type, () => (timer = setTimeout(close, SHOWN_MS)));
  }

  async #act(toast, { act }) {
    toast.remove();
    try {
      await act();
    } catch (error) {
      this.say(error.message);
    }
  }
}
