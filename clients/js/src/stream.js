/**
 * One agent's log, followed for as long as the page lives: gap-free, in order, each event once. A page that is seen has the
 * event stream. A hidden one has no connection, since a browser opens six to a site over HTTP/1.1, for all its tabs: it asks
 * for what is new when the feed says that its agent changed (`catchUp`), and has the stream again when it is seen.
 *
 * EventSource reconnects by itself and resends the last id. What it can't do is done here: it gives up on any answer but
 * 200, says nothing of the status, shows no heartbeats, and does not notice a connection that died while the machine
 * slept. Whenever in doubt the stream is opened anew from the last applied cursor, which costs one request and loses
 * nothing.
 */
import { parse } from "./exact.js";

const BACKOFF_MS = 1000;
const BACKOFF_MAX_MS = 30_000;
const CONNECT_MS = 20_000;
/** How long a planned new connection may take before the page says so. */
const UNNOTICED_MS = 1500;
/** The server says something every 15 s, but EventSource does not tell of comments: only events count. */
const PATIENCE_MS = 300_000;
const TICK_MS = 5000;
/** A tick this late means that the machine slept or the page was frozen. */
const SLEPT_MS = 20_000;

export class AgentStream {
  /**
   * `agentUrl`: in the API. `cursor`, `seq`: of the state the page has; without them it gets a snapshot first. Handlers:
   * `onEvent(event)`, `onSnapshot(state)`, `onConnection(name, retryAt)` with live, reconnecting, offline, logged-out,
   * deleted or closed, and when it tries again (Date.now(), null where only the browser knows). `patienceMs()`: how long
   * silence is believed.
   */
  constructor({ agentUrl, cursor = null, seq = 0, onEvent, onSnapshot, onConnection = () => {}, patienceMs = () => PATIENCE_MS }) {
    Object.assign(this, { agentUrl, cursor, seq, onEvent, onSnapshot, onConnection, patienceMs });
    this.source = null;
    this.failures = 0;
    this.awaitsSnapshot = false;
    this.gapAfter = null;
    this.ended = false;
    this.heardAt = performance.now();
  }

  start() {
    this.#watch();
    this.reopen();
  }

  /** For good: the agent is deleted, the reader logged out, or the caller wants no more of it. */
  end(name = "closed") {
    this.ended = true;
    this.#close();
    clearTimeout(this.retry);
    clearInterval(this.ticking);
    this.#say(name);
  }

  /** Opens anew from the last applied cursor; nothing is lost by it. */
  reopen() {
    clearTimeout(this.retry);
    if (!this.ended && !document.hidden) this.#open();
  }

  /** For a hidden page that hears of a change: applies what is new of the stored log. */
  catchUp() {
    this.heardAt = performance.now();
    return import("./catch-up.js").then((module) => module.catchUp(this), () => null);
  }

  #open() {
    this.#close();
    const url = `${this.agentUrl}/stream`;
    const source = new EventSource(this.cursor ? `${url}?after=${encodeURIComponent(this.cursor)}` : url);
    this.source = source;
    this.heardAt = performance.now();
    this.opening = setTimeout(() => this.#say("reconnecting"), UNNOTICED_MS);
    source.onopen = () => {
      clearTimeout(this.opening);
      this.heardAt = performance.now();
      this.#say("live");
    };
    source.onmessage = (message) => this.source === source && this.#receive(message);
    source.onerror = () => this.source === source && this.#failed(source);
  }

  #close() {
    clearTimeout(this.opening);
    this.source?.close();
    this.source = null;
  }

  #receive(message) {
    this.heardAt = performance.now();
    this.failures = 0;
    const frame = parse(message.data);
    if (frame.type === "reset") {
      this.awaitsSnapshot = true;
    } else if (frame.type === "snapshot") {
      this.replace(frame.state, frame.seq, message.lastEventId);
    } else if (!this.awaitsSnapshot) {
      this.apply(frame, message.lastEventId);
    }
  }

  replace(state, seq, cursor) {
    this.awaitsSnapshot = false;
    this.gapAfter = null;
    this.#advance(seq, cursor);
    this.onSnapshot(state);
  }

  apply(event, id) {
    if (event.seq <= this.seq) return;
    if (event.seq !== this.seq + 1) {
      this.#gap();
      return;
    }
    this.onEvent(event);
    this.#advance(event.seq, id);
  }

  #advance(seq, cursor) {
    this.seq = seq;
    this.cursor = cursor;
  }

  /** The server promises that there are none. If one comes twice at the same place, only a snapshot can help. */
  #gap() {
    if (this.gapAfter === this.seq) this.cursor = null;
    this.gapAfter = this.seq;
    this.#close();
    this.#retryLater();
  }

  #failed(source) {
    this.#say(navigator.onLine ? "reconnecting" : "offline");
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself, with its last id
    this.#close();
    this.#ask();
  }

  /** The stream was refused: find out whether it is worth trying again. */
  async #ask() {
    const status = await statusOf(this.agentUrl).catch(() => 0);
    if (this.ended || this.source) return;
    if (!this.judge(status)) this.#retryLater();
  }

  /** Whether the agent's status says that there is nothing to follow any more. */
  judge(status) {
    if (status === 401) this.end("logged-out");
    else if (status === 404) this.end("deleted");
    return this.ended;
  }

  #retryLater() {
    const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.#say(navigator.onLine ? "reconnecting" : "offline", Date.now() + wait);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.reopen(), wait);
  }

  #say(name, retryAt = null) {
    if (name === this.connection && retryAt === this.retryAt) return;
    [this.connection, this.retryAt] = [name, retryAt];
    this.onConnection(name, retryAt);
  }

  // Doubts ------------------------------------------------------------------------------------------------------------

  #watch() {
    addEventListener("online", () => this.reopen());
    addEventListener("offline", () => this.reopen());
    // A page with an open connection is not kept in the back/forward cache.
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.reopen());
    document.addEventListener("resume", () => this.reopen());
    document.addEventListener("visibilitychange", () => this.#turned());
    let last = { at: Date.now(), hidden: document.hidden };
    this.ticking = setInterval(() => {
      const now = { at: Date.now(), hidden: document.hidden };
      // Browsers slow down the timers of hidden pages by themselves.
      if (now.at - last.at > SLEPT_MS && !now.hidden && !last.hidden) this.reopen();
      last = now;
      this.#doubt();
    }, TICK_MS);
  }

  /** Hidden or shown. It lets go at once: to come back costs one request, and many tabs may be opened within a second. */
  #turned() {
    this.#close();
    this.reopen();
  }

  #doubt() {
    if (this.ended || (!this.source && !document.hidden)) return;
    const silence = performance.now() - this.heardAt;
    const connecting = this.source?.readyState === EventSource.CONNECTING;
    if (silence <= (connecting ? CONNECT_MS : this.patienceMs())) return;
    if (document.hidden) this.catchUp(); // the feed may lose a word, and not every browser has it for hidden pages
    else this.reopen();
  }
}

/** The HTTP status of the agent, which tells why its stream was refused: EventSource does not say. */
async function statusOf(agentUrl) {
  const response = await fetch(agentUrl, { headers: { Accept: "application/json" }, cache: "no-store" });
  await response.body?.cancel();
  return response.status;
}
