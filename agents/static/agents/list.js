/**
 * The list of agents, kept fresh: whenever the per-user feed says that one changed, the list is fetched again as the
 * server renders it (with the same search and filters), and the rows that differ are replaced. Without the feed it is
 * fetched now and then.
 */
import { Feed } from "./feed.js";
import { duration } from "./measures.js";
import { localTimes } from "./times.js";

const POLL_MS = 15_000;
const SETTLE_MS = 400;
const TICK_MS = 1000;

const list = document.getElementById("agents");
let timer = null;
let feedIsOpen = false;
let fetching = false;
let again = false;
let isStale = false;

/** A burst of changes costs one request, and a hidden list asks when it is seen. */
function changed() {
  isStale = document.hidden;
  if (isStale) return;
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
  present(fresh);
  const rows = list.querySelector(".agents");
  const freshRows = fresh.querySelector(".agents");
  if (!rows || !freshRows) {
    list.replaceChildren(...fresh.childNodes);
    ready();
    return;
  }
  const known = new Map(Array.from(rows.children, (row) => [row.dataset.key, row]));
  const kept = Array.from(freshRows.children, (row) => renewed(known.get(row.dataset.key), row));
  // Whoever has the focus on a row keeps it there.
  const focused = document.activeElement?.closest?.(".agents > li")?.dataset.key;
  const onBox = document.activeElement?.matches?.("[name=agent]");
  rows.replaceChildren(...kept);
  list.querySelector(".pages")?.remove();
  const pages = fresh.querySelector(".pages");
  if (pages) list.append(pages);
  if (focused) rows.querySelector(`[data-key="${CSS.escape(focused)}"] ${onBox ? "input" : "a"}`)?.focus({ preventScroll: true });
  count();
}

/** The row that stands already, if it says the same; a tick stays where somebody put it. */
function renewed(old, row) {
  if (old?.isEqualNode(row)) return old;
  const node = document.importNode(row, true);
  const box = node.querySelector("[name=agent]");
  if (box && old) box.checked = old.querySelector("[name=agent]")?.checked ?? false;
  return node;
}

/** Times of the reader, and how long what goes on has gone on. */
function present(root) {
  localTimes(root);
  tick(root);
}

function tick(root) {
  for (const node of root.querySelectorAll("time[data-since]")) {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(node.dateTime)) / 1000));
    node.textContent = seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
    node.previousSibling.textContent = " · in progress for ";
  }
}

/* Several at once --------------------------------------------------------------------------------------------------- */

function boxes() {
  return Array.from(list.querySelectorAll("[name=agent]"));
}

function count() {
  const all = list.querySelector("#all input");
  if (!all) return;
  const ticked = boxes().filter((box) => box.checked).length;
  all.checked = ticked > 0 && ticked === boxes().length;
  all.indeterminate = ticked > 0 && !all.checked;
  for (const button of list.querySelectorAll(".bulk button")) button.disabled = ticked === 0;
  list.querySelector("#selected").textContent = ticked ? `${ticked} selected` : "";
}

function ready() {
  const all = list.querySelector("#all");
  if (all) all.hidden = false;
  count();
}

list.addEventListener("change", (event) => {
  if (event.target.closest("#all")) for (const box of boxes()) box.checked = event.target.checked;
  count();
});

/* The feed ---------------------------------------------------------------------------------------------------------- */

const feed = new Feed({
  onOpen() {
    feedIsOpen = true;
    changed(); // whatever happened while nobody listened
  },
  onChange: changed,
  onClosed() {
    feedIsOpen = false;
  },
});

present(list);
ready();
feed.join();
setInterval(() => !feedIsOpen && !document.hidden && refresh(), POLL_MS);
setInterval(() => !document.hidden && tick(list), TICK_MS);
document.addEventListener("visibilitychange", () => isStale && changed());
addEventListener("pageshow", (event) => {
  if (event.persisted) count(); // the browser may have brought ticks back
});
