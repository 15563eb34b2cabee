/**
 * The fold: state = apply(state, event). The same function as streaming/fold.py, line for line, so that a page which
 * folded the events itself holds what the server would have sent it. tests/golden proves both with the same logs.
 *
 * Pure: the state passed in is never changed, and unchanged parts are shared — the page renders by comparing references.
 */

const TITLE_LENGTH = 80;
const FINAL = new Set(["completed", "failed", "cancelled"]);

export function initial() {
  return {
    status: "idle",
    title: "",
    active_run: null,
    queue: [],
    messages: [],
    files: {},
    approvals: [],
    usage: { input_tokens: 0, output_tokens: 0, cost_usd: null },
    runs: [],
  };
}

/** The state after `event`. `state` itself is not changed; an event of an unknown type changes nothing. */
export function apply(state, event) {
  const step = STEPS.get(event.type);
  return step ? step(state, event) : state;
}

export function fold(events, state = initial()) {
  let folded = state;
  for (const event of events) folded = apply(folded, event);
  return folded;
}

// Runs ---------------------------------------------------------------------------------------------------------------

function status(state, event) {
  const { status, position } = event.data;
  const id = event.run_id;
  if (status === "queued" && (position ?? null) !== null) return moved(state, id, position);
  const run = findRun(state, id) ?? { id, status, started_at: null, finished_at: null, error: null };
  const changes = { status };
  if (status === "running" && run.started_at === null) changes.started_at = event.timestamp;
  const next = putRun(state, { ...run, ...changes });
  const queue = next.queue.filter((queued) => queued !== id);
  let active = next.active_run;
  if (status === "queued") queue.push(id);
  else if (!FINAL.has(status)) active = id;
  return settle({ ...next, queue, active_run: active }, status);
}

/** Within the queue only: one that has left it meanwhile does not come back. */
function moved(state, id, position) {
  if (!state.queue.includes(id)) return state;
  const queue = state.queue.filter((queued) => queued !== id);
  queue.splice(position, 0, id);
  return { ...state, queue };
}

function done(state, event) {
  const id = event.run_id;
  const run = findRun(state, id);
  const next = run
    ? putRun(state, { ...run, status: event.data.status, finished_at: event.timestamp })
    : state;
  const left = {
    ...next,
    active_run: next.active_run === id ? null : next.active_run,
    queue: next.queue.filter((queued) => queued !== id),
    messages: next.messages.map((message) => (message.run_id === id ? interrupted(message) : message)),
  };
  return settle(left, event.data.status);
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
  return run ? putRun(state, { ...run, error: event.data }) : state;
}

function findRun(state, id) {
  return state.runs.findLast((run) => run.id === id) ?? null;
}

function putRun(state, run) {
  if (findRun(state, run.id) === null) return { ...state, runs: [...state.runs, run] };
  return { ...state, runs: state.runs.map((other) => (other.id === run.id ? run : other)) };
}

// Messages -----------------------------------------------------------------------------------------------------------

function message(state, event) {
  const { message_id, role, content } = event.data;
  const part = { type: "text", text: content };
  const at = findMessage(state, event.run_id, message_id);
  if (at !== -1) {
    // The program sent deltas first and the whole message after: the whole one is what it said.
    const old = state.messages[at];
    const kept = old.parts.filter((other) => other.type !== "text");
    return putMessage(state, at, { ...old, role, parts: [...kept, part] });
  }
  const added = { id: message_id, run_id: event.run_id, role, parts: [part] };
  const next = { ...state, messages: [...state.messages, added] };
  if (role === "user" && !next.title) next.title = firstLine(content);
  return next;
}

/** Cut by code points as Python does, not by UTF-16 units: half a surrogate pair would be left otherwise. */
function firstLine(content) {
  const end = content.indexOf("\n");
  const line = end === -1 ? content : content.slice(0, end);
  return Array.from(line.slice(0, 2 * TITLE_LENGTH)).slice(0, TITLE_LENGTH).join("");
}

function delta(state, event) {
  const [next, at] = openMessage(state, event.run_id, event.data.message_id);
  const old = next.messages[at];
  const last = old.parts.at(-1);
  const parts =
    last?.type === event.type
      ? [...old.parts.slice(0, -1), { type: event.type, text: last.text + event.data.content }]
      : [...old.parts, { type: event.type, text: event.data.content }];
  return putMessage(next, at, { ...old, parts });
}

function findMessage(state, runId, messageId) {
  return state.messages.findLastIndex((message) => message.id === messageId && message.run_id === runId);
}

function openMessage(state, runId, messageId) {
  const at = findMessage(state, runId, messageId);
  if (at !== -1) return [state, at];
  const opened = { id: messageId, run_id: runId, role: "assistant", parts: [] };
  return [{ ...state, messages: [...state.messages, opened] }, state.messages.length];
}

function putMessage(state, at, message) {
  return { ...state, messages: state.messages.with(at, message) };
}

// Tool calls ---------------------------------------------------------------------------------------------------------

/** A call belongs to the run's latest assistant message; a call before any text opens one named after it. */
function toolCall(state, event) {
  const { call_id, name, title, arguments: given } = event.data;
  let next = state;
  let at = latestAnswer(state, event.run_id);
  if (at === -1) [next, at] = openMessage(state, event.run_id, call_id);
  const part = {
    type: "tool-call",
    call_id,
    name,
    title: title ?? null,
    arguments: given,
    output: "",
    result: null,
    is_error: false,
    duration_ms: null,
    state: "running",
  };
  const old = next.messages[at];
  return putMessage(next, at, { ...old, parts: [...old.parts, part] });
}

function toolOutput(state, event) {
  return changeCall(state, event, (part) => ({ ...part, output: part.output + event.data.content }));
}

function toolResult(state, event) {
  const { result, is_error, duration_ms } = event.data;
  const changes = { result, is_error, duration_ms, state: is_error ? "failed" : "completed" };
  return changeCall(state, event, (part) => ({ ...part, ...changes }));
}

/** Output or result of a call nobody announced changes nothing: it stays in the log. */
function changeCall(state, event, change) {
  for (let at = state.messages.length - 1; at >= 0; at--) {
    const message = state.messages[at];
    if (message.run_id !== event.run_id) continue;
    const i = message.parts.findLastIndex(
      (part) => part.type === "tool-call" && part.call_id === event.data.call_id,
    );
    if (i !== -1) return putMessage(state, at, { ...message, parts: message.parts.with(i, change(message.parts[i])) });
  }
  return state;
}

function latestAnswer(state, runId) {
  const at = state.messages.findLastIndex((message) => message.run_id === runId);
  return at !== -1 && state.messages[at].role === "assistant" ? at : -1;
}

function interrupted(message) {
  if (!message.parts.some((part) => part.state === "running")) return message;
  const parts = message.parts.map((part) => (part.state === "running" ? { ...part, state: "interrupted" } : part));
  return { ...message, parts };
}

// The rest -----------------------------------------------------------------------------------------------------------

function title(state, event) {
  return { ...state, title: event.data.title };
}

function files(state, event) {
  // Without a prototype: a file may be called "__proto__", and assigning that name would change the object's own.
  const files = Object.assign(Object.create(null), state.files);
  for (const { path, change, size, sha256 } of event.data.changes) {
    if (change === "deleted") delete files[path];
    else files[path] = { size, sha256 };
  }
  return { ...state, files };
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

function budget(state, event) {
  const run = findRun(state, event.run_id);
  if (!run) return state;
  const { scope, kind } = event.data;
  const others = (run.budget ?? []).filter((one) => one.scope !== scope || one.kind !== kind);
  return putRun(state, { ...run, budget: [...others, event.data] });
}

// A Map, not an object: an event of the type "constructor" must find nothing.
const STEPS = new Map([
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
]);
