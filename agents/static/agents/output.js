/**
 * The program's own output: `log` events, which are in the log but not in the state. Fetched when the reader opens the
 * panel, page by page to the end, then appended live; events that come meanwhile wait, and `seq` sorts out the doubles.
 */
import { nodes, tail } from "./terminal.js";

const PAGE = 1000;
const PRINTED = "What the program printed that is not an event.";
/** Live events kept for a panel that is opened later: they may be too new for the stored log. */
const RECENT = 1000;

export class Output {
  constructor({ panel, text, note, agentUrl, api }) {
    Object.assign(this, { panel, text, note, agentUrl, api });
    this.seq = 0;
    this.turn = 0;
    this.content = "";
    this.state = "closed";
    this.waiting = [];
    panel.addEventListener("toggle", () => panel.open && this.state === "closed" && this.#load());
  }

  /** Every `log` event of the stream. */
  append(event) {
    if (this.state === "open") return this.#add([event]);
    this.waiting.push(event);
    if (this.waiting.length > RECENT) this.waiting.shift();
  }

  /** After a reset: what was shown may never have been in the log. */
  restart() {
    this.waiting = [];
    if (this.state === "closed") return;
    this.seq = 0;
    this.content = "";
    this.text.replaceChildren();
    this.#load();
  }

  async #load() {
    this.state = "loading";
    const turn = ++this.turn; // a reset meanwhile starts over, and this one stops
    this.note.textContent = "Loading…";
    try {
      let page = { next: "0-0", complete: false };
      while (!page.complete) {
        page = await this.api.get(`${this.agentUrl}/events?type=log&after=${page.next}&limit=${PAGE}`);
        if (turn !== this.turn) return;
        this.#add(page.events);
      }
      this.state = "open";
      this.#add(this.waiting.splice(0));
      this.note.textContent = this.content ? PRINTED : "Nothing was printed.";
    } catch (error) {
      if (turn !== this.turn) return;
      this.state = "closed";
      this.note.textContent = `${error.message} Close and open this to try again.`;
    }
  }

  #add(events) {
    for (const event of events) {
      if (event.seq <= this.seq) continue;
      this.seq = event.seq;
      const end = event.data.content.endsWith("\n") ? "" : "\n";
      // Only the end is kept, as it is only the end that is shown: a chatty program must not fill the page's memory.
      this.content = tail(this.content + event.data.content + end).text;
      if (this.state === "open") this.note.textContent = PRINTED;
    }
    if (!events.length) return;
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 40;
    this.text.replaceChildren(...nodes(this.content));
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
  }
}
