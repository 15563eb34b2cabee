/** The prompt box and the stop button. Without JavaScript the same forms post to the page's own addresses. */
import { randomKey } from "./api.js";
import { setText } from "./dom.js";

export class Prompt {
  constructor({ form, input, send, hint, error, strategy, stopForm, stopButton, agentUrl, api, onSent }) {
    Object.assign(this, { form, input, send, hint, error, strategy, stopForm, stopButton, agentUrl, api, onSent });
    this.activeRun = null;
    this.stopping = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter === stopButton) this.#stop();
      else this.#submit();
    });
    stopForm.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#stop();
    });
    input.addEventListener("keydown", (event) => {
      // Enter while an input method composes a word belongs to that word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      // One that is held down was meant for a button that has just left the focus here.
      if (!event.repeat) this.#submit();
    });
    input.addEventListener("input", () => this.#grow());
    const draft = `agentsite-draft ${location.pathname}`;
    input.value ||= sessionStorage.getItem(draft) ?? "";
    addEventListener("pagehide", () => sessionStorage.setItem(draft, input.value));
    this.#grow();
  }

  render(state) {
    this.activeRun = state.active_run;
    if (this.stopping !== null && this.stopping !== state.active_run) this.stopping = null;
    this.stopButton.hidden = state.active_run === null;
    this.stopButton.disabled = this.stopping !== null;
    this.stopButton.textContent = this.stopping === null ? "Stop" : "Stopping…";
    this.strategy.hidden = state.active_run === null && !state.queue.length;
    setText(this.hint, state.queue.length ? `${state.queue.length} in the queue` : "");
  }

  async #submit() {
    const text = this.input.value;
    if (!text.trim() || this.send.disabled) return;
    this.send.disabled = true;
    const strategy = this.strategy.hidden ? "enqueue" : this.strategy.value;
    const body = strategy === "enqueue" ? { input: text } : { input: text, strategy };
    const wanted = JSON.stringify(body);
    // The same key for the same prompt until it is through: a lost answer and a second click start one run.
    if (this.tried !== wanted) [this.tried, this.key] = [wanted, randomKey()];
    try {
      await this.api.post(`${this.agentUrl}/runs`, body, { "Idempotency-Key": this.key });
      this.tried = null;
      this.strategy.value = "enqueue"; // an interruption is meant once
      // Typed on while it was sent? Then that stays.
      if (this.input.value === text) this.input.value = "";
      this.#grow();
      this.say("");
      this.onSent();
    } catch (error) {
      this.say(error.message);
    } finally {
      this.send.disabled = false;
      this.input.focus();
    }
  }

  async #stop() {
    const run = this.activeRun;
    if (run === null) return;
    this.stopping = run;
    this.stopButton.disabled = true;
    this.stopButton.textContent = "Stopping…";
    try {
      await this.api.post(`/api/runs/${run}/cancel`);
      this.say("");
    } catch (error) {
      this.stopping = null;
      this.stopButton.disabled = false;
      this.stopButton.textContent = "Stop";
      this.say(error.message);
    }
  }

  say(message) {
    this.error.hidden = !message;
    this.error.textContent = message;
  }

  #grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, innerHeight * 0.4)}px`;
  }
}
