/**
 * The list of agents, kept fresh: whenever the per-user feed says that one changed, the list is fetched again as the
 * server renders it, and the rows that differ are replaced. Without the feed it is fetched now and then.
 */
import { localTimes } from "./times.js";

const POLL_MS = 15_000;
const SETTLE_MS = 400;

const list = document.getElementById("agents");
let timer = null;
let feedIsOpen = false;
let fetching = false;
let again = false;

/** A burst of changes costs one request. */
function changed() {
  timer ??= setTimeout(() => {
    timer = null;
    refresh();
  }, SETTLE_MS);
}

async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const response = await fetch(location.href, { cache: "no-store", redirect: "error" });
    if (response.ok) show(await response.text());
  } catch {
    // Not reachable just now: the next change or poll asks again.
  } finally {
    fetching = false;
    if (again) {
      again = false;
      changed();
    }
  }
}

/** The server's own rows: the same template, so nothing is drawn twice in two languages. */
function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("agents");
  if (!fresh) return;
  localTimes(fresh);
  const rows = list.querySelector(".agents");
  const freshRows = fresh.querySelector(".agents");
  if (!rows || !freshRows) {
    list.replaceChildren(...fresh.childNodes);
    return;
  }
  const known = new Map(Array.from(rows.children, (row) => [row.dataset.key, row]));
  const kept = Array.from(freshRows.children, (row) => {
    const old = known.get(row.dataset.key);
    return old?.isEqualNode(row) ? old : document.importNode(row, true);
  });
  // Whoever has the focus on a row keeps it there.
  const focused = document.activeElement?.closest?.(".agents > li")?.dataset.key;
  rows.replaceChildren(...kept);
  if (focused) rows.querySelector(`[data-key="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
}

function listen() {
  const feed = new EventSource(list.dataset.feed);
  feed.onopen = () => {
    feedIsOpen = true;
    changed(); // whatever happened while nobody listened
  };
  feed.onmessage = changed;
  feed.onerror = () => {
    feedIsOpen = false;
    if (feed.readyState === EventSource.CLOSED) setTimeout(listen, POLL_MS);
  };
  addEventListener("pagehide", () => feed.close(), { once: true });
}

localTimes(list);
listen();
setInterval(() => !feedIsOpen && !document.hidden && refresh(), POLL_MS);
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  feedIsOpen = false;
  listen();
});
