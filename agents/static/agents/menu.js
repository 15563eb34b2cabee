/** A button with a menu, as the ARIA practices have it: arrow keys go through it, Escape and a click elsewhere close it. */
import { h } from "./dom.js";

export class Menu {
  /** `items`: [{label, act}] or [{label, href, download}]; `isDangerous` ones stand apart. */
  constructor(place, label, items) {
    this.list = h("div", { class: "menu", role: "menu", hidden: true, "aria-label": label }, ...items.map((item) => this.#item(item)));
    this.button = h(
      "button",
      { type: "button", class: "small", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => this.#open(this.list.hidden) },
      h("span", { class: "word" }, label),
    );
    place.append(this.button, this.list);
    place.hidden = false;
    place.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("pointerdown", ({ target }) => place.contains(target) || this.#open(false));
    place.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !place.contains(relatedTarget) && this.#open(false));
  }

  #item({ label, act, href, download, isDangerous }) {
    const attributes = { role: "menuitem", tabindex: "-1", class: isDangerous && "danger" };
    const choose = () => {
      this.#open(false);
      this.button.focus();
      act?.();
    };
    if (href) return h("a", { ...attributes, href, download, onclick: choose }, label);
    return h("button", { ...attributes, type: "button", onclick: choose }, label);
  }

  #open(isOpen) {
    if (this.list.hidden === !isOpen) return;
    this.list.hidden = !isOpen;
    this.button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.list.firstChild.focus();
  }

  #key(event) {
    const items = [...this.list.children];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at === -1 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" && !this.list.hidden) {
      this.#open(false);
      this.button.focus();
    } else if (to !== undefined) {
      event.preventDefault();
      this.#open(true);
      items.at(to % items.length).focus();
    }
  }
}
