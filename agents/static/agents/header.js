/**
 * What always stands on top, and in the tab: title, status, how long it has run, what it has used, and whether the page is
 * connected. Times are told by the server's clock, as the log's are.
 */
import { setAttribute, setText } from "./dom.js";
import { elapsed, usage } from "./measures.js";

const CONNECTIONS = { live: "Live", reconnecting: "Reconnecting…", offline: "Offline", "logged-out": "Logged out", deleted: "Deleted" };
const MARKS = { queued: "… ", running: "● ", waiting: "? Waiting: ", completed: "✓ ", failed: "✕ ", cancelled: "■ " };
const COLOURS = { running: "#2f6bff", waiting: "#e08700", completed: "#1f9d55", failed: "#d6342a" };
const TICK_MS = 1000;

export class Header {
  /** `onNow`: the reader does not want to wait for the next attempt. */
  constructor({ title, status, elapsed, usage, connection, now, fallbackTitle, onNow }) {
    Object.assign(this, { title, status, elapsed, usage, connection, now, fallbackTitle });
    this.icon = document.querySelector("link[rel=icon]");
    this.plainIcon = this.icon?.href;
    this.startedAt = null;
    this.clockOffset = 0;
    now.addEventListener("click", onNow);
    setInterval(() => document.hidden || this.#tick(), TICK_MS);
  }

  /** The server's clock is at least here. */
  hear(timestamp) {
    this.clockOffset = Math.max(this.clockOffset, Date.parse(timestamp) - Date.now());
  }

  render(state) {
    this.renderTab(state);
    setAttribute(this.status, "data-status", state.status);
    setText(this.status, state.status);
    setText(this.usage, usage(state.usage));
    const run = state.runs.findLast(({ id }) => id === state.active_run);
    this.startedAt = run?.started_at ? Date.parse(run.started_at) : null;
    this.#tick();
  }

  /** What a hidden page shows: its tab. */
  renderTab(state) {
    const title = state.title || this.fallbackTitle;
    setText(this.title, title);
    const full = `${MARKS[state.status] ?? ""}${title} – Agentsite`;
    if (document.title !== full) document.title = full;
    if (this.icon) setAttribute(this.icon, "href", icon(COLOURS[state.status]) ?? this.plainIcon);
  }

  showConnection(name, retryAt) {
    this.connection.hidden = false;
    setAttribute(this.connection, "data-connection", name);
    [this.connectionName, this.retryAt] = [name, retryAt];
    this.now.hidden = retryAt === null;
    this.#tick();
  }

  #tick() {
    setText(this.elapsed, this.startedAt === null ? "" : elapsed(Date.now() + this.clockOffset - this.startedAt));
    if (!this.connectionName) return;
    const left = this.retryAt === null ? 0 : Math.ceil((this.retryAt - Date.now()) / 1000);
    const waits = this.connectionName === "reconnecting" && left > 0;
    setText(this.connection, waits ? `Reconnecting in ${left} s` : CONNECTIONS[this.connectionName]);
  }
}

function icon(colour) {
  if (!colour) return null;
  const lines = '<path d="M2 4.5h12M2 8h8M2 11.5h10" fill="none" stroke="#2456d6" stroke-width="1.75" stroke-linecap="round"/>';
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${lines}<circle cx="11.5" cy="11.5" r="4.5" fill="${colour}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
