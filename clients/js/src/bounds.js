/** How large the state of a log may get, and what leaves it: the same rules as streaming/model/bounds.py, which says why. */
import { giveApproval, inOrder, isOpen, shrinkOpenCalls, takeOut } from "./conversation.js";
import { cut, size, weight } from "./weight.js";

const KIB = 1024;
const CONVERSATION_BYTES = 240 * KIB;
const PAGE_DOWN_TO_BYTES = 176 * KIB;
const QUEUE_BYTES = 64 * KIB;
const FILES_BYTES = 96 * KIB;
const APPROVALS_BYTES = 48 * KIB;
const PREVIEW_BYTES = 160;
const RUNS_BYTES = 32 * KIB;
const ERROR_BYTES = 2 * KIB;
const PLAN_BYTES = 16 * KIB;
const LEFT_BYTES = 8 * KIB;
const OPEN_CALLS = 64;

/** `state`, which came from `before` by `event`, within its limits; and the page that has left it, or null. */
export function bound(before, state, event) {
  let next = state;
  for (const [part, shorten] of SHORTEN) if (next[part] !== before[part]) next = shorten(next);
  const clears = event.type === "clear";
  if (next.messages === before.messages && !clears) return [next, null];
  let gone = [];
  if (event.type === "tool-call") [next, gone] = limitOpenCalls(next);
  if (next.conversation_bytes > CONVERSATION_BYTES) {
    let more;
    [next, more] = shortenConversation(next);
    gone = inOrder([...gone, ...more]);
  }
  if (clears) {
    let rest;
    [next, rest] = takeOut(next, () => true, () => false);
    gone = [...gone, ...rest];
  }
  if (next.left !== before.left) next = shortenLeft(next);
  return turnPage(next, gone, event);
}

/** Of a run, with its message cut. */
export function boundedError(error) {
  const [message, rest] = cut(error.message, ERROR_BYTES);
  return rest ? { ...error, message, omitted_bytes: size(rest) } : error;
}

function turnPage(state, gone, event) {
  if (!gone.length) return [state, null];
  const before = `${event.epoch}-${event.seq}`;
  return [{ ...state, earlier: { before } }, { before, messages: gone, earlier: state.earlier }];
}

function limitOpenCalls(state) {
  const open = state.messages.flatMap((entry) => entry.parts.filter(isOpen));
  if (open.length <= OPEN_CALLS) return [state, []];
  return takeOut(
    state,
    (part) => part === open[0],
    () => false,
  );
}

function shortenConversation(state) {
  const fits = (one) => one.conversation_bytes <= PAGE_DOWN_TO_BYTES;
  const [next, gone] = takeOut(state, (part) => !isOpen(part), fits);
  return [shrinkOpenCalls(next, fits), gone];
}

function shortenLeft(state) {
  let left = state.left;
  while (weight(left) > LEFT_BYTES) left = left.slice(1);
  return { ...state, left };
}

function shortenQueue(state) {
  const queue = [...state.queue];
  let over = weight(queue) - QUEUE_BYTES;
  for (let at = queue.length - 1; at >= 0 && over > 0; at--) {
    const entry = queue[at];
    if (entry.prompt === null || size(entry.prompt) <= PREVIEW_BYTES) continue;
    const [prompt, rest] = cut(entry.prompt, PREVIEW_BYTES);
    queue[at] = { ...entry, prompt, omitted_bytes: (entry.omitted_bytes ?? 0) + size(rest) };
    over -= weight(entry) - weight(queue[at]);
  }
  return { ...state, queue };
}

/** By the place of their change in the log, then by path: objects have an order of their own. */
function shortenFiles(state) {
  let over = weight(state.files) - FILES_BYTES;
  if (over <= 0) return state;
  const files = Object.assign(Object.create(null), state.files);
  const oldest = Object.keys(files).sort((a, b) => files[a].seq - files[b].seq || byCodePoint(a, b));
  for (const path of oldest) {
    if (over <= 0) break;
    over -= weight(path) + weight(files[path]) + 2;
    delete files[path];
  }
  return { ...state, files };
}

/** As Python compares strings; `<` would compare UTF-16. */
function byCodePoint(a, b) {
  const one = Array.from(a);
  const other = Array.from(b);
  for (let at = 0; at < one.length && at < other.length; at++) {
    const apart = one[at].codePointAt(0) - other[at].codePointAt(0);
    if (apart) return apart;
  }
  return one.length - other.length;
}

function shortenApprovals(state) {
  let over = weight(state.approvals) - APPROVALS_BYTES;
  if (over <= 0) return state;
  let next = state;
  const approvals = [];
  for (const one of state.approvals) {
    if (over > 0 && (one.decision !== null || one.run_id !== state.active_run)) {
      over -= weight(one) + 1;
      next = giveApproval(next, one);
    } else approvals.push(one);
  }
  approvals.forEach((one, at) => {
    if (over <= 0 || size(one.question) <= PREVIEW_BYTES) return;
    const [question, rest] = cut(one.question, PREVIEW_BYTES);
    approvals[at] = { ...one, question, omitted_bytes: (one.omitted_bytes ?? 0) + size(rest) };
    over -= weight(one) - weight(approvals[at]);
  });
  approvals.forEach((one, at) => {
    if (over <= 0 || !one.options.length) return;
    approvals[at] = { ...one, options: [], omitted_bytes: (one.omitted_bytes ?? 0) + weight(one.options) };
    over -= weight(one) - weight(approvals[at]);
  });
  return { ...next, approvals };
}

function shortenRuns(state) {
  let over = weight(state.runs) - RUNS_BYTES;
  if (over <= 0) return state;
  const runs = state.runs.filter((run) => {
    if (over <= 0 || run.id === state.active_run) return true;
    over -= weight(run) + 1;
    return false;
  });
  return { ...state, runs };
}

function shortenPlan(state) {
  const plan = state.plan;
  let room = PLAN_BYTES - weight({ ...plan, entries: [], omitted_entries: 0 });
  const end = plan.entries.findIndex((entry) => (room -= weight(entry) + 1) < 0);
  if (end === -1) return state;
  return { ...state, plan: { ...plan, entries: plan.entries.slice(0, end), omitted_entries: plan.entries.length - end } };
}

const SHORTEN = [
  ["queue", shortenQueue],
  ["files", shortenFiles],
  ["approvals", shortenApprovals],
  ["runs", shortenRuns],
  ["plan", shortenPlan],
];
