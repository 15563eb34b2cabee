/**
 * The fold: state = apply(state, event). The same function as streaming/model/fold.py, line for line, so that a page which
 * folded the events itself holds what the server would have sent it. tests/golden proves both with the same logs.
 *
 * Pure: the state passed in is never changed, and unchanged parts are shared — the page renders by comparing references.
 */
import { bound, boundedError } from "./bounds.js";
import * as conversation from "./conversation.js";

export const FOLD = 2;
const TITLE_LENGTH = 80;
const FINAL = new Set(["completed", "failed", "cancelled"]);

export function initial() {
  return {
    fold: FOLD,
    status: "idle",
    title: "",
    active_run: null,
    queue: [],
    messages: [],
    parts_total: 0,
    conversation_bytes: 2,
    left: [],
    earlier: null,
    cleared: 0,
    files: {},
    files_total: 0,
    approvals: [],
    usage: { input_tokens: 0, output_tokens: 0, cost_usd: null },
    runs: [],
    runs_total: 0,
  };
}

/** The state after `event`. `state` itself is not changed; an event of an unknown type changes nothing. */
export function apply(state, event) {
  return step(state, event)[0];
}

/** The state after `event`, and the page of the conversation that has left it by that, or null. */
export function step(state, event) {
  const rule = RULES.get(event.type);
  return rule ? bound(state, rule(begin(state, event), event), event) : [state, null];
}

export function fold(events, state = initial()) {
  let folded = state;
  for (const event of events) folded = apply(folded, event);
  return folded;
}

// The queue ----------------------------------------------------------------------------------------------------------

/** A run leaves the queue with its first event that is not about waiting, and its prompt enters the conversation. */
function begin(state, event) {
  const queued = findQueued(state, event.run_id);
  if (!queued || isAboutWaiting(queued, event)) return state;
  const { run_id, message_id, prompt, omitted_bytes } = queued;
  const queue = state.queue.filter((one) => one !== queued);
  const next = putRun({ ...state, queue }, { ...newRun(run_id), status: "queued" });
  if (prompt === null) return next;
  const into = event.type === "status" ? (event.data.into ?? null) : null;
  return conversation.addPrompt(next, run_id, message_id, prompt, omitted_bytes ?? 0, into);
}

function isAboutWaiting(queued, event) {
  if (event.type === "status") return event.data.status === "queued";
  return event.type === "message" && (queued.message_id === null || event.data.message_id === queued.message_id);
}

function findQueued(state, runId) {
  return state.queue.find((one) => one.run_id === runId);
}

function enqueue(state, runId, changes) {
  const queued = findQueued(state, runId);
  if (!queued) {
    const entry = { run_id: runId, message_id: null, prompt: null, ...changes };
    return { ...state, queue: [...state.queue, entry], runs_total: state.runs_total + 1 };
  }
  const entry = { run_id: runId, message_id: queued.message_id, prompt: queued.prompt, ...changes };
  return { ...state, queue: state.queue.map((one) => (one === queued ? entry : one)) };
}

/** Within the queue only: one that has left it meanwhile does not come back. */
function move(state, runId, position) {
  const queued = findQueued(state, runId);
  if (!queued) return state;
  const queue = state.queue.filter((one) => one !== queued);
  queue.splice(position, 0, queued);
  return { ...state, queue };
}

// Runs ---------------------------------------------------------------------------------------------------------------

function status(state, event) {
  const { status, position } = event.data;
  const id = event.run_id;
  const known = findRun(state, id);
  if (status === "queued") {
    if ((position ?? null) !== null) return move(state, id, position);
    if (!known && id !== null) return settle(findQueued(state, id) ? state : enqueue(state, id, {}), status);
  }
  const changes = { status };
  const run = known ?? newRun(id);
  if (status === "running" && run.started_at === null) changes.started_at = event.timestamp;
  let next = known ? state : { ...state, runs_total: state.runs_total + 1 };
  next = putRun(next, { ...run, ...changes });
  return settle(FINAL.has(status) || status === "queued" ? next : { ...next, active_run: id }, status);
}

function done(state, event) {
  const id = event.run_id;
  let next = conversation.interruptCalls(state, id);
  const run = findRun(next, id);
  if (run) next = putRun(next, { ...run, status: event.data.status, finished_at: event.timestamp });
  if (next.active_run === id) next = { ...next, active_run: null };
  return settle({ ...next, left: next.left.filter((one) => one.run_id !== id) }, event.data.status);
}

/** The agent's status: that of its active run, else queued, else that of the run that changed last. Which that was is the
    log's order: timestamps may be of two machines whose clocks differ. */
function settle(state, changedTo) {
  let status = changedTo;
  if (state.active_run !== null) status = findRun(state, state.active_run)?.status ?? "running";
  else if (state.queue.length) status = "queued";
  return { ...state, status };
}

function error(state, event) {
  const run = findRun(state, event.run_id);
  return run ? putRun(state, { ...run, error: boundedError(event.data) }) : state;
}

function budget(state, event) {
  const run = findRun(state, event.run_id);
  if (!run) return state;
  const { scope, kind } = event.data;
  const others = (run.budget ?? []).filter((one) => one.scope !== scope || one.kind !== kind);
  return putRun(state, { ...run, budget: [...others, event.data] });
}

function newRun(id) {
  return { id, status: "running", started_at: null, finished_at: null, error: null };
}

function findRun(state, id) {
  return state.runs.findLast((run) => run.id === id) ?? null;
}

function putRun(state, run) {
  if (findRun(state, run.id) === null) return { ...state, runs: [...state.runs, run] };
  return { ...state, runs: state.runs.map((other) => (other.id === run.id ? run : other)) };
}

// The conversation ---------------------------------------------------------------------------------------------------

/** What a person asks waits in the queue until its run begins. */
function message(state, event) {
  const { message_id, role, content } = event.data;
  const id = event.run_id;
  const next = role === "user" && !state.title ? { ...state, title: firstLine(content) } : state;
  if (role === "user" && id !== null && !findRun(next, id)) return enqueue(next, id, { message_id, prompt: content });
  return conversation.addMessage(next, id, message_id, role, content);
}

/** Cut by code points as Python does, not by UTF-16 units: half a surrogate pair would be left otherwise. */
function firstLine(content) {
  const end = content.indexOf("\n");
  const line = end === -1 ? content : content.slice(0, end);
  return Array.from(line.slice(0, 2 * TITLE_LENGTH)).slice(0, TITLE_LENGTH).join("");
}

function delta(state, event) {
  return conversation.addText(state, event.run_id, event.data.message_id, event.type, event.data.content);
}

function toolCall(state, event) {
  return conversation.addCall(state, event.run_id, event.data);
}

function toolOutput(state, event) {
  return conversation.addOutput(state, event.run_id, event.data.call_id, event.data.content);
}

function toolResult(state, event) {
  return conversation.endCall(state, event.run_id, event.data);
}

/** The rest is done where it leaves: bounds.js. */
function clear(state) {
  return { ...state, cleared: state.parts_total };
}

// The rest -----------------------------------------------------------------------------------------------------------

function title(state, event) {
  return { ...state, title: event.data.title };
}

function files(state, event) {
  // Without a prototype: a file may be called "__proto__", and assigning that name would change the object's own.
  const files = Object.assign(Object.create(null), state.files);
  let files_total = state.files_total;
  for (const { path, change, size, sha256 } of event.data.changes) {
    if (change === "added") files_total++;
    if (change === "deleted") files_total--;
    if (change === "deleted") delete files[path];
    else files[path] = { size, sha256, seq: event.seq };
  }
  files_total = event.data.total ?? Math.max(files_total, Object.keys(files).length);
  return { ...state, files, files_total };
}

function approvalRequest(state, event) {
  const { approval_id, call_id, question, options } = event.data;
  const approval = {
    approval_id,
    run_id: event.run_id,
    call_id: call_id ?? null,
    question,
    options,
    decision: null,
    by: null,
    reason: null,
  };
  return { ...state, approvals: [...state.approvals, approval] };
}

function approvalResponse(state, event) {
  const { approval_id, decision, by, reason } = event.data;
  const answer = { decision, by, reason: reason ?? null };
  const approvals = state.approvals.map((approval) =>
    approval.approval_id === approval_id && approval.run_id === event.run_id && approval.decision === null
      ? { ...approval, ...answer }
      : approval,
  );
  return { ...state, approvals };
}

function usage(state, event) {
  const old = state.usage;
  const step = event.data;
  const cost_usd = step.cost_usd === null ? old.cost_usd : step.cost_usd + (old.cost_usd ?? 0);
  return {
    ...state,
    usage: {
      input_tokens: old.input_tokens + step.input_tokens,
      output_tokens: old.output_tokens + step.output_tokens,
      cost_usd,
    },
  };
}

function plan(state, event) {
  return { ...state, plan: { run_id: event.run_id, entries: event.data.entries } };
}

// A Map, not an object: an event of the type "constructor" must find nothing.
const RULES = new Map([
  ["status", status],
  ["title", title],
  ["message", message],
  ["text", delta],
  ["thinking", delta],
  ["tool-call", toolCall],
  ["tool-output", toolOutput],
  ["tool-result", toolResult],
  ["plan", plan],
  ["approval-request", approvalRequest],
  ["approval-response", approvalResponse],
  ["files", files],
  ["usage", usage],
  ["budget", budget],
  ["error", error],
  ["done", done],
  ["clear", clear],
]);
