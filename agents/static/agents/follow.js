/** Keeps the end of the conversation in view while the reader is there, and leaves the page alone when they are not. */

const NEAR_PX = 80;
const KEPT = "agentsite-following";

export class Follow {
  /** `talk`: the column that ends with the prompt box. On a phone the files come below it. */
  constructor(talk, latestButton) {
    this.talk = talk;
    this.button = latestButton;
    this.key = `${KEPT} ${location.pathname}`;
    this.following = sessionStorage.getItem(this.key) !== "no";
    addEventListener("scroll", () => this.#moved(), { passive: true });
    addEventListener("resize", () => this.settle());
    addEventListener("pagehide", () => sessionStorage.setItem(this.key, this.following ? "yes" : "no"));
    // Images and fonts come later than the text around them.
    document.addEventListener("load", () => this.settle(), true);
    document.addEventListener("toggle", () => this.#moved(), true);
    latestButton.addEventListener("click", () => this.jump());
  }

  /** After every change of the page. */
  settle() {
    if (this.following) scrollTo({ top: this.#end(), behavior: "instant" });
    this.button.hidden = this.following || scrollY >= this.#end() - NEAR_PX;
  }

  jump() {
    this.following = true;
    this.settle();
  }

  /** The page goes elsewhere for the reader. */
  leave() {
    this.following = false;
  }

  #moved() {
    const past = scrollY - this.#end();
    this.following = Math.abs(past) < NEAR_PX;
    this.button.hidden = past > -NEAR_PX;
  }

  /** How far the page is scrolled when the last line stands right above the window's lower edge. */
  #end() {
    return Math.max(0, this.talk.getBoundingClientRect().bottom + scrollY - innerHeight);
  }
}
