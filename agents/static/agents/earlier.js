/** The way to earlier messages: a button above the conversation, which is also used when the reader scrolls to it. */
import { h, setText } from "./dom.js";

/** So far above the window the button may be when it is used by itself. */
const NEAR_PX = 300;

export class Earlier {
  /** `place`: an element above the conversation. `state()`: the present one. `draw()`: draws the page, and nothing moves. */
  constructor({ place, past, follow, state, draw }) {
    Object.assign(this, { place, past, follow, state, draw });
    this.isLoading = false;
    this.button = h("button", { type: "button", onclick: () => this.#load() });
    this.problem = h("span", { class: "field-error", role: "alert" });
    place.replaceChildren(this.button, " ", this.problem);
    addEventListener("scroll", () => this.#look(), { passive: true });
  }

  render(state) {
    this.place.hidden = this.past.next(state) === null;
    const failed = this.problem.textContent !== "";
    setText(this.button, this.isLoading ? "Loading…" : failed ? "Try again" : "Earlier messages");
  }

  /** Only for a reader who scrolls up: a page that is short has the button in view without being asked for more. */
  #look() {
    if (this.isLoading || this.place.hidden || this.follow.following || this.problem.textContent) return;
    if (this.place.getBoundingClientRect().bottom > -NEAR_PX) this.#load();
  }

  async #load() {
    if (this.isLoading) return;
    this.isLoading = true;
    setText(this.problem, "");
    this.render(this.state());
    try {
      await this.past.more(this.state);
    } catch (error) {
      setText(this.problem, error.message);
    }
    this.isLoading = false;
    this.draw();
    requestAnimationFrame(() => this.#look()); // the page that came may have been a short one
  }
}
