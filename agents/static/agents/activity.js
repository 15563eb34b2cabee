/**
 * What the active run is doing before its program speaks: pulling its image, being taken over by another worker. The log
 * says so in the reasons of its `status` events, the state does not hold them.
 */
import { setText } from "./dom.js";

export class Activity {
  constructor({ note, agentUrl, api }) {
    Object.assign(this, { note, agentUrl, api });
    this.run = null;
    this.seq = 0;
    this.reason = "";
  }

  /** Every `status` event. Those of prompts that are only queued are about nothing that is done. */
  hear({ run_id, seq, data }) {
    if (seq < this.seq || data.status === "queued") return;
    [this.run, this.seq, this.reason] = [run_id, seq, data.reason ?? ""];
  }

  /** A run that was active before the page was there is asked about once. */
  async render({ active_run }) {
    if (active_run !== null && active_run !== this.run) {
      this.run = active_run;
      this.reason = "";
      const path = `${this.agentUrl}/events?type=status&run=${active_run}&after=0-0&limit=1000`;
      const { events } = await this.api.get(path).catch(() => ({ events: [] }));
      const last = events.findLast(({ type }) => type === "status");
      if (last && this.run === active_run) this.hear(last);
    }
    const words = active_run === this.run ? said(this.reason) : "";
    this.note.hidden = !words;
    setText(this.note, words);
  }
}

function said(reason) {
  if (reason.startsWith("pulling ")) return `P${reason.slice(1)}`;
  return reason.includes("taken over") ? "Taken over by another worker: nothing was lost." : "";
}
