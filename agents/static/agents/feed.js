/**
 * The user's feed of agents that changed: one connection for all tabs of the browser, which has six for a site over
 * HTTP/1.1. A shared worker holds it, so it outlives the tab that asked first. docs/pages.md says why a worker.
 */

const URL_OF_FEED = "/api/feed";
const RETRY_MS = 15_000;
/** The server sends something every 20 s. */
const SILENCE_MS = 50_000;
const TICK_MS = 10_000;

/** The connection itself. The server sends what happens from now on, so after every `onOpen` a reader has to look. */
export class FeedConnection {
  /** Handlers: `onOpen()`, `onChange(agentId)`, `onClosed()`, which comes at most once for each `onOpen`. */
  constructor({ onOpen, onChange, onClosed }) {
    Object.assign(this, { onOpen, onChange, onClosed });
    this.source = null;
    this.isOpen = false;
    addEventListener("online", () => this.source && this.open());
  }

  open() {
    this.close();
    const source = new EventSource(URL_OF_FEED);
    this.source = source;
    const hear = () => (this.heardAt = performance.now());
    hear();
    source.addEventListener("keep-alive", hear);
    source.addEventListener("stream-open", () => {
      hear();
      this.isOpen = true;
      this.onOpen();
    });
    source.onmessage = ({ data }) => {
      hear();
      this.onChange(JSON.parse(data).agent_id);
    };
    // The reader is logged out. EventSource would ask again at once, and for ever.
    source.addEventListener("stream-error", () => this.#retryLater());
    source.onerror = () => {
      this.#lost();
      if (source.readyState === EventSource.CLOSED) this.#retryLater();
    };
    this.ticking = setInterval(() => performance.now() - this.heardAt > SILENCE_MS && this.open(), TICK_MS);
  }

  close() {
    clearTimeout(this.retry);
    clearInterval(this.ticking);
    this.source?.close();
    this.source = null;
    this.#lost();
  }

  #retryLater() {
    this.close();
    this.retry = setTimeout(() => this.open(), RETRY_MS);
  }

  #lost() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.onClosed();
  }
}

/** A page's part in it, from `join` to `leave`. The same handlers. */
export class Feed {
  constructor(handlers) {
    this.handlers = handlers;
    this.isJoined = false;
    this.port = null;
    // Neither a port nor a connection goes into the back/forward cache with its page.
    addEventListener("pagehide", () => this.#detach());
    addEventListener("pageshow", ({ persisted }) => persisted && this.isJoined && this.#attach());
  }

  join() {
    if (this.isJoined) return;
    this.isJoined = true;
    this.#attach();
  }

  leave() {
    this.isJoined = false;
    this.#detach();
  }

  #attach() {
    this.#detach();
    if (!globalThis.SharedWorker) return this.#attachAlone();
    const worker = new SharedWorker(new URL("feed-worker.js", import.meta.url), { type: "module", name: "feed" });
    // Its script could not be fetched.
    worker.onerror = () => (this.retry = setTimeout(() => this.isJoined && this.#attach(), RETRY_MS));
    this.port = worker.port;
    this.port.onmessage = ({ data: [name, ...values] }) => this.isJoined && this.handlers[name](...values);
  }

  #detach() {
    clearTimeout(this.retry);
    this.port?.postMessage("leave");
    this.port?.close();
    this.port = null;
    this.alone?.close();
  }

  /** Without shared workers each page has a connection while it is seen, and hidden ones have none. */
  #attachAlone() {
    if (!this.alone) {
      this.alone = new FeedConnection(this.handlers);
      document.addEventListener("visibilitychange", () => this.isJoined && this.#attach());
    }
    if (!document.hidden) this.alone.open();
  }
}
