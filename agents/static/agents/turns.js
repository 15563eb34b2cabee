/**
 * The conversation as units, the pieces that are mounted and unmounted as the reader scrolls, and as turns: what was asked of one
 * run, and what came of it. A function of the folded state and of the pages that this page holds.
 */
import { planOf } from "./plan.js";

/** Parts of one text that are one unit: 256 KiB. A longer text goes on in another unit. */
const UNIT_PARTS = 8;
const CALL_SIZE = 200;
const ENDED_BADLY = new Set(["failed", "cancelled"]);

export const NO_UNITS = { units: [], latest: new Map() };

/**
 * Adds entries, in the order of `n`, to units that were made before: {units: [{n, type, parts, entry, size}], latest}. A text that
 * goes on in another part is one unit with it, unless a prompt stands between. `latest`: the last unit of each message.
 */
export function addUnits(before, entries) {
  const units = [...before.units];
  const latest = new Map(before.latest);
  for (const entry of entries) {
    if (entry.role === "user") latest.clear();
    const message = `${entry.run_id} ${entry.id}`;
    for (const part of entry.parts) {
      const last = latest.get(message);
      const goesOn = part.continued && last?.type === part.type && last.parts.length < UNIT_PARTS;
      const unit = goesOn ? { ...last, parts: [...last.parts, part], size: last.size + sizeOf(part) } : unitOf(entry, part);
      if (goesOn) units[units.lastIndexOf(last)] = unit;
      else units.push(unit);
      latest.set(message, unit);
    }
  }
  // A call that stays open is in the state, and what came after it may have left.
  if (units.some(({ n }, at) => at && n < units[at - 1].n)) units.sort((one, other) => one.n - other.n);
  return { units, latest };
}

function unitOf(entry, part) {
  return { n: part.n, type: part.type, parts: [part], entry, size: sizeOf(part) };
}

function sizeOf({ text }) {
  return text === undefined ? CALL_SIZE : text.length;
}

/** The run under which a unit is shown. */
export function turnOf({ entry }) {
  return entry.into ?? entry.run_id;
}

/**
 * Turns of the units that are mounted, those from index `from` until `to`: [{key, n, stretches, approvals, calls, run, isOld, isEnd,
 * plan, again, place, total}]. `calls`: those that are asked about. `isEnd`: its last unit is among them. `isOld`: its run has left the state. `place`: its number of `total`.
 */
export function group(state, units, { from, to }) {
  const runs = new Map(state.runs.map((run) => [run.id, run]));
  const hasOldRuns = state.runs_total > state.runs.length + state.queue.length;
  const idOf = (unit) => unit.entry.into ?? hostOf(runs.get(unit.entry.run_id), state) ?? unit.entry.run_id;
  const byTurn = new Map();
  for (const unit of units.slice(from, to)) {
    const id = idOf(unit);
    if (!byTurn.has(id)) byTurn.set(id, []);
    byTurn.get(id).push(unit);
  }
  const isAtEnd = to === units.length;
  const next = isAtEnd ? null : idOf(units[to]);
  // One that works shows so, and what it asks, even when all that it said is on an earlier page.
  if (isAtEnd && state.active_run !== null && !byTurn.has(state.active_run)) byTurn.set(state.active_run, []);
  const total = Math.max(1, state.runs_total - state.queue.length);
  let place = total - turnsBehind(units, to) - byTurn.size;
  const turns = [];
  for (const [id, own] of byTurn) {
    const run = runs.get(id) ?? null;
    const isEnd = isAtEnd || id !== next;
    const approvals = [...answered(own), ...state.approvals.filter((one) => one.run_id === id)];
    const [plan, again] = [planOf(state.plan, run), againOf(run, state)];
    place += 1;
    turns.push({
      key: String(id), n: own[0]?.n ?? Infinity, stretches: stretchesOf(own, id), approvals, calls: callsOf(approvals, units), run,
      isOld: !run && hasOldRuns, isEnd, plan, again, place: Math.max(1, place), total,
    });
  }
  return turns;
}

/** The calls that questions without an answer are about, wherever they stand. */
function callsOf(approvals, units) {
  const asked = approvals.filter(({ decision, call_id }) => decision === null && call_id !== null);
  const isOf = ({ run_id, call_id }) => ({ parts: [part], entry }) => part.call_id === call_id && entry.run_id === run_id;
  return asked.map((one) => units.findLast(isOf(one))?.parts[0]).filter(Boolean);
}

/** How many turns begin after the mounted ones. */
function turnsBehind(units, to) {
  let [count, last] = [0, to && turnOf(units[to - 1])];
  for (const unit of units.slice(to)) {
    const id = turnOf(unit);
    if (id !== last) count += 1;
    last = id;
  }
  return count;
}

/** What is shown together under one speaker: units of one message that follow each other. */
function stretchesOf(units, turnId) {
  const stretches = [];
  for (const unit of units) {
    const { id, run_id, role } = unit.entry;
    if (!stretches.length || !sameHead(stretches.at(-1), unit.entry)) {
      stretches.push({ id, run_id, role, isSteering: role === "user" && run_id !== turnId, drawn: [] });
    }
    stretches.at(-1).drawn.push(unit);
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
function answered(own) {
  return own.flatMap(({ parts }) => parts.flatMap(({ approvals }) => approvals ?? []));
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
    old.isEnd === turn.isEnd &&
    old.place === turn.place &&
    old.total === turn.total &&
    old.plan === turn.plan &&
    old.again === turn.again &&
    old.pictures === turn.pictures &&
    sameList(old.approvals, turn.approvals) &&
    sameList(old.calls, turn.calls) &&
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
