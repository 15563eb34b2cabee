/** What somebody wants to hear of without looking: that a run has ended, or that it asks something. Nothing else. */
import { setText } from "./dom.js";

const NEWS = { waiting: "Approval needed", completed: "Run completed", failed: "Run failed", cancelled: "Run stopped" };
const KEPT = "agentsite-notify";

export class News {
  /** `region` is read out by screen readers; `button` asks for notifications of the browser, which a hidden page sends. */
  constructor({ region, button, agentId }) {
    Object.assign(this, { region, button, agentId });
    this.status = null;
    if (!("Notification" in window) || Notification.permission === "denied") return;
    button.hidden = false;
    button.addEventListener("click", () => this.#toggle());
    this.#show();
  }

  /** After every change of the state. The first one is no news. */
  render({ status, title }) {
    const isNew = this.status !== null && status !== this.status;
    this.status = status;
    if (!isNew) return;
    setText(this.region, NEWS[status] ?? "");
    if (NEWS[status] && document.hidden && this.#isOn) this.#notify(NEWS[status], title);
  }

  get #isOn() {
    return localStorage.getItem(KEPT) === "on" && Notification.permission === "granted";
  }

  #notify(words, title) {
    try {
      const notification = new Notification(words, { body: title, tag: this.agentId });
      notification.onclick = () => window.focus();
    } catch {
      // Android's Chrome wants a service worker for this.
    }
  }

  async #toggle() {
    const on = !this.#isOn && (await Notification.requestPermission()) === "granted";
    localStorage.setItem(KEPT, on ? "on" : "off");
    this.#show();
  }

  #show() {
    this.button.setAttribute("aria-pressed", String(this.#isOn));
  }
}
