/** What is too large for the state: how much of it is not shown, and how the page gets it. */
import { h, setText } from "./dom.js";
import { size } from "./measures.js";

/**
 * "20 KB of the output not shown – Load". `load()`: a promise; it replaces or removes this node itself. `isEager`: it is loaded
 * without being asked for.
 */
export function omitted(bytes, what, load, { isEager = false } = {}) {
  const problem = h("span", { class: "field-error", role: "alert" });
  const button = h("button", { type: "button", class: "show-all", onclick: () => get() }, "Load");
  const get = async () => {
    button.disabled = true;
    setText(button, "Loading…");
    setText(problem, "");
    try {
      await load();
      setText(button, "Load");
    } catch (error) {
      setText(problem, error.message);
      setText(button, "Try again");
      button.hidden = error.status === 410; // it is not stored any more
    }
    button.disabled = false;
  };
  if (isEager) get();
  return h("p", { class: "hint omitted" }, h("span", {}, notShown(bytes, what)), " – ", button, " ", problem);
}

export function notShown(bytes, what) {
  return `${size(bytes)} of ${what} not shown`;
}

/** Whole arguments, outputs and results of calls. What was fetched of a call that has ended is not fetched again. */
export class WholeCalls {
  constructor({ agentUrl, api }) {
    Object.assign(this, { agentUrl, api });
    this.known = new Map();
  }

  /** {arguments, output, result, is_error, duration_ms, state} */
  async get(runId, callId) {
    const path = `${this.agentUrl}/runs/${encodeURIComponent(runId)}/calls/${encodeURIComponent(callId)}`;
    if (this.known.has(path)) return this.known.get(path);
    const call = await this.api.get(path);
    if (call.state !== "running") this.known.set(path, call);
    return call;
  }
}
