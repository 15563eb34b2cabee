/**
 * The conversation as turns: what was asked of one run, and what came of it. A function of the folded state and of the
 * entries that this page holds.
 */
import { planOf } from "./plan.js";

/** Parts that are shown to a reader who is at the end. */
export const SHOWN_PARTS = 400;
const STEP_PARTS = 200;
const ENDED_BADLY = new Set(["failed", "cancelled"]);

/** The ordinal of the first part that is shown then. It moves in steps, so that the beginning does not keep moving. */
export function windowStart(partsTotal) {
  return Math.ceil(Math.max(0, partsTotal - SHOWN_PARTS) / STEP_PARTS) * STEP_PARTS + 1;
}

/**
 * Turns of stretches of drawn parts: [{key, n, stretches, entries, approvals, run, isOld, plan, again}]. `entries`: of pages
 * and state, in the order of `n`. `first`: older parts are left out. `isOld`: its run has left the state.
 */
export function group(state, entries, first) {
  const runs = new Map(state.runs.map((run) => [run.id, run]));
  const hasOldRuns = state.runs_total > state.runs.length + state.queue.length;
  const byTurn = new Map();
  for (const entry of entries) {
    const id = entry.into ?? hostOf(runs.get(entry.run_id), state) ?? entry.run_id;
    if (!byTurn.has(id)) byTurn.set(id, []);
    byTurn.get(id).push(entry);
  }
  // One that works shows so, and what it asks, even when all that it said is on an earlier page.
  if (state.active_run !== null && !byTurn.has(state.active_run)) byTurn.set(state.active_run, []);
  const turns = [];
  for (const [id, own] of byTurn) {
    const stretches = stretchesOf(own, id, first);
    if (!stretches.length && id !== state.active_run) continue;
    const run = runs.get(id) ?? null;
    const n = stretches[0]?.drawn[0].n ?? Infinity;
    const approvals = [...left(own), ...state.approvals.filter((one) => one.run_id === id)];
    const [plan, again] = [planOf(state.plan, run), againOf(run, state)];
    turns.push({ key: String(id), n, stretches, entries: own, approvals, run, isOld: !run && hasOldRuns, plan, again });
  }
  return turns;
}

/**
 * What is shown together under one speaker: entries of one message that follow each other. A text that goes on in another part
 * is one text again, unless a prompt stands between.
 */
function stretchesOf(entries, turnId, first) {
  const stretches = [];
  const latest = new Map(); // message → the part of it that was drawn last
  for (const entry of entries) {
    if (entry.role === "user") latest.clear();
    const message = `${entry.run_id} ${entry.id}`;
    for (const part of entry.parts) {
      if (part.n < first) continue;
      const before = latest.get(message);
      if (part.continued && before?.type === part.type) {
        before.parts.push(part);
        continue;
      }
      const drawn = { n: part.n, type: part.type, parts: [part] };
      latest.set(message, drawn);
      if (!stretches.length || !sameHead(stretches.at(-1), entry)) {
        const { id, run_id, role } = entry;
        stretches.push({ id, run_id, role, isSteering: role === "user" && run_id !== turnId, drawn: [] });
      }
      stretches.at(-1).drawn.push(drawn);
    }
  }
  return stretches;
}

/** The run that was at work when this one was handed to it, in a log that does not say so with `into`. */
function hostOf(run, { runs }) {
  if (!run || !isHandedOver(run)) return null;
  const at = run.finished_at;
  return runs.find(({ started_at, finished_at }) => started_at && started_at <= at && (finished_at === null || finished_at >= at))?.id;
}

/** A steering prompt has a run of its own, which never begins. */
export function isHandedOver({ status, started_at }) {
  return status === "completed" && started_at === null;
}

/** Answered questions that left the state with their call. */
function left(entries) {
  return entries.flatMap(({ parts }) => parts.flatMap(({ approvals }) => approvals ?? []));
}

/** Only behind the last run, and while nothing else is to be done: otherwise it is not clear what comes first. */
function againOf(run, state) {
  if (!isLast(run, state) || state.active_run !== null || run.finished_at === null || !ENDED_BADLY.has(run.status)) return "";
  return canContinue(run, state) ? "resume retry" : "retry";
}

/** Whether there is something to go on from: it is the latest run, it did not complete, and its program has said something. */
export function canContinue(run, state) {
  if (!isLast(run, state) || run.finished_at === null || !ENDED_BADLY.has(run.status)) return false;
  return state.messages.some(({ run_id, role }) => run_id === run.id && role !== "user");
}

function isLast(run, state) {
  return Boolean(run) && !state.queue.length && run === state.runs.findLast((one) => !isHandedOver(one));
}

/** The turn as it was, if nothing in it is another object than before. */
export function sameTurn(old, turn) {
  const same =
    old &&
    old.run === turn.run &&
    old.isOld === turn.isOld &&
    old.plan === turn.plan &&
    old.again === turn.again &&
    sameList(old.approvals, turn.approvals) &&
    sameList(old.stretches, turn.stretches, sameStretch);
  return same ? old : turn;
}

export function sameStretch(a, b) {
  return sameHead(a, b) && a.isSteering === b.isSteering && sameList(a.drawn, b.drawn, (one, other) => sameList(one.parts, other.parts));
}

function sameHead(a, b) {
  return a.id === b.id && a.run_id === b.run_id && a.role === b.role;
}

export function sameList(a, b, same = Object.is) {
  return a.length === b.length && a.every((item, at) => same(item, b[at]));
}
