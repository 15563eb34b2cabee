/**
 * The conversation in the state of a log: messages, their parts, and how parts leave it for pages. The same rules as
 * streaming/model/conversation.py, function by function; that file says why.
 */
import { cut, pieces, size, textWeight, weight } from "./weight.js";

const TEXT_BYTES = 32 * 1024;
const CALL_FIELD_BYTES = 16 * 1024;
const CALL_TITLE_BYTES = 512;
const CALL_FIELDS = ["arguments", "output", "result"];

// Text ---------------------------------------------------------------------------------------------------------------

/** More of a text or of thinking: into the message's last part if that is of the kind and has room. */
export function addText(state, runId, messageId, kind, content) {
  const at = stretch(state, runId, messageId);
  let next = state;
  let rest = content;
  let continued = at === -1 && leftBytes(state, runId, messageId) !== null;
  if (at !== -1) {
    const parts = state.messages[at].parts;
    const last = parts.at(-1);
    continued = last.type === kind;
    if (continued) {
      let more;
      [more, rest] = cut(content, TEXT_BYTES - size(last.text));
      next = putPart(state, at, parts.length - 1, { ...last, text: last.text + more });
      if (!rest) return next;
    }
  } else if (state.messages.some((entry) => isOf(entry, runId, messageId))) {
    continued = true; // a steering prompt stands between
  }
  return addTexts(next, place(runId, messageId, "assistant"), kind, rest, continued);
}

/** A whole message. Of one that came in deltas before it takes the place of what has not left. */
export function addMessage(state, runId, messageId, role, content) {
  const left = leftBytes(state, runId, messageId);
  const stretches = state.messages.filter((entry) => isOf(entry, runId, messageId));
  const to = place(runId, messageId, role);
  if (left === null && !stretches.length) return addTexts(state, to, "text", content, false);
  const rest = cut(content, left ?? 0)[1];
  const texts = stretches.flatMap((entry) => entry.parts.filter((part) => part.type === "text"));
  const said = texts.map((part) => part.text).join("");
  if (rest === said && stretches.every((entry) => entry.role === role)) return state;
  const messages = state.messages
    .map((entry) => (isOf(entry, runId, messageId) ? withoutText(entry, role) : entry))
    .filter((entry) => entry.parts.length);
  const next = { ...state, messages, conversation_bytes: weight(messages) };
  return rest ? addTexts(next, to, "text", rest, Boolean(left)) : next;
}

/** What somebody asked, where its run begins; `into`: where that run's program took it. `omitted`: bytes that the queue
    did not hold. */
export function addPrompt(state, runId, messageId, content, omitted, into) {
  const extra = omitted ? { omitted_bytes: omitted } : {};
  return addTexts(state, place(runId, messageId, "user", into), "text", content, false, extra);
}

function place(runId, messageId, role, into = null) {
  const entry = { id: messageId, run_id: runId, role, parts: [] };
  return into === null ? entry : { ...entry, into };
}

function addTexts(state, to, kind, content, continued, extra = {}) {
  let next = state;
  let goesOn = continued;
  for (const text of pieces(content, TEXT_BYTES)) {
    next = addPart(next, to, { type: kind, text, ...extra, ...(goesOn ? { continued: true } : {}) });
    goesOn = true;
  }
  return next;
}

function withoutText(entry, role) {
  return { ...entry, role, parts: entry.parts.filter((part) => part.type !== "text") };
}

// Calls --------------------------------------------------------------------------------------------------------------

/** A call belongs to the run's latest message if that is an answer; else it opens one that is named after it. */
export function addCall(state, runId, { call_id, name, title, arguments: given }) {
  const latest = state.messages.findLast((entry) => entry.run_id === runId);
  let messageId = call_id;
  if (latest?.role === "assistant") messageId = latest.id;
  else if (!latest) messageId = state.left.findLast((one) => one.run_id === runId)?.id ?? call_id;
  const part = {
    type: "tool-call",
    call_id,
    name,
    title: (title ?? null) === null ? null : cut(title, CALL_TITLE_BYTES)[0],
    arguments: given,
    output: "",
    result: null,
    is_error: false,
    duration_ms: null,
    state: "running",
  };
  return addPart(state, place(runId, messageId, "assistant"), bounded(part));
}

export function addOutput(state, runId, callId, content) {
  return changeCall(state, runId, callId, (part) => {
    if (part.output !== null) return bounded({ ...part, output: part.output + content });
    const omitted = part.omitted_bytes;
    return { ...part, omitted_bytes: { ...omitted, output: omitted.output + textWeight(content) } };
  });
}

export function endCall(state, runId, { call_id, result, is_error, duration_ms }) {
  return changeCall(state, runId, call_id, ({ omitted_bytes = {}, ...part }) => {
    const { result: _, ...omitted } = omitted_bytes;
    const ended = { ...part, result, is_error, duration_ms, state: is_error ? "failed" : "completed" };
    return bounded(Object.keys(omitted).length ? { ...ended, omitted_bytes: omitted } : ended);
  });
}

/** Those that nobody will end: their run has. */
export function interruptCalls(state, runId) {
  let next = state;
  state.messages.forEach((entry, at) => {
    if (entry.run_id !== runId) return;
    entry.parts.forEach((part, i) => {
      if (isOpen(part)) next = putPart(next, at, i, { ...part, state: "interrupted" });
    });
  });
  return next;
}

/** Does something of it still come? Such a part stays. */
export function isOpen(part) {
  return part.type === "tool-call" && part.state === "running";
}

/** Output or result of a call that is not there changes nothing: it is in the log. */
function changeCall(state, runId, callId, change) {
  for (let at = state.messages.length - 1; at >= 0; at--) {
    const { run_id, parts } = state.messages[at];
    if (run_id !== runId) continue;
    const i = parts.findLastIndex((part) => part.type === "tool-call" && part.call_id === callId);
    if (i !== -1) return putPart(state, at, i, change(parts[i]));
  }
  return state;
}

/** With null in place of what is larger, and its weight under its name in `omitted_bytes`. */
function bounded(part, mostBytes = CALL_FIELD_BYTES) {
  const omitted = { ...part.omitted_bytes };
  const shown = { ...part };
  for (const name of CALL_FIELDS) {
    if (Object.hasOwn(omitted, name) || part[name] === null) continue;
    const bytes = weight(part[name]);
    if (bytes <= mostBytes) continue;
    omitted[name] = name === "output" ? bytes - 2 : bytes;
    shown[name] = null;
  }
  return Object.keys(omitted).length ? { ...shown, omitted_bytes: omitted } : part;
}

// Leaving ------------------------------------------------------------------------------------------------------------

/** The oldest parts that may go leave until it is `enough`: the state without them, and their messages. */
export function takeOut(state, goes, enough) {
  let next = state;
  const keptEntries = [];
  const gone = [];
  for (const entry of state.messages) {
    const kept = [];
    let leaving = [];
    for (const part of entry.parts) {
      if (goes(part) && !enough(next)) {
        leaving.push(part);
        next = lighter(next, part);
      } else kept.push(part);
    }
    if (!leaving.length) {
      keptEntries.push(entry);
      continue;
    }
    [next, leaving] = withTheirApprovals(next, entry, leaving);
    next = remember(next, entry, leaving);
    gone.push({ ...entry, parts: leaving });
    const rest = { ...entry, parts: kept };
    if (kept.length) keptEntries.push(rest);
    else next = lighter(next, rest);
  }
  return [{ ...next, messages: keptEntries }, gone];
}

/** The same parts in the order of `n`, those of one message that follow each other in one entry. */
export function inOrder(entries) {
  const ordered = [];
  const both = entries.flatMap((entry) => entry.parts.map((part) => [entry, part]));
  for (const [entry, part] of both.sort(([, one], [, other]) => one.n - other.n)) {
    const last = ordered.at(-1);
    if (last && sameHead(last, entry)) last.parts.push(part);
    else ordered.push({ ...entry, parts: [part] });
  }
  return ordered;
}

/** What is left when only open calls are: they lose what is large of them, the oldest first. */
export function shrinkOpenCalls(state, enough) {
  let next = state;
  for (let at = 0; at < state.messages.length; at++) {
    for (let i = 0; i < state.messages[at].parts.length; i++) {
      if (enough(next)) return next;
      const part = next.messages[at].parts[i];
      if (isOpen(part)) next = putPart(next, at, i, bounded(part, 0));
    }
  }
  return next;
}

/** How much text of a message has left while its run goes on; null if nothing of it has. */
export function leftBytes(state, runId, messageId) {
  return state.left.find((one) => one.run_id === runId && one.id === messageId)?.text_bytes ?? null;
}

/** To the part of the call that it was about, if that is here. */
export function giveApproval(state, approval) {
  return changeCall(state, approval.run_id, approval.call_id, (part) => ({
    ...part,
    approvals: [...(part.approvals ?? []), approval],
  }));
}

/** That parts of it have left: more of the same message may come. */
function remember(state, entry, parts) {
  if (entry.run_id !== state.active_run || entry.role === "user") return state;
  const texts = parts.filter((part) => part.type === "text");
  const said = texts.reduce((sum, part) => sum + size(part.text), 0);
  const before = leftBytes(state, entry.run_id, entry.id) ?? 0;
  const others = state.left.filter((one) => one.run_id !== entry.run_id || one.id !== entry.id);
  return { ...state, left: [...others, { run_id: entry.run_id, id: entry.id, text_bytes: before + said }] };
}

/** Questions about a call that can't be answered any more leave with it. */
function withTheirApprovals(state, entry, parts) {
  const over = state.approvals.filter(
    (one) => one.run_id === entry.run_id && (one.decision !== null || one.run_id !== state.active_run),
  );
  const taken = new Set();
  const given = parts.map((part) => {
    if (part.type !== "tool-call") return part;
    const own = over.filter((one) => one.call_id === part.call_id && !taken.has(one));
    own.forEach((one) => taken.add(one));
    return own.length ? { ...part, approvals: [...(part.approvals ?? []), ...own] } : part;
  });
  if (!taken.size) return [state, parts];
  return [{ ...state, approvals: state.approvals.filter((one) => !taken.has(one)) }, given];
}

// Places -------------------------------------------------------------------------------------------------------------

function isOf(entry, runId, messageId) {
  return entry.id === messageId && entry.run_id === runId;
}

/** Where a message goes on: its last entry, unless its program has taken a prompt since. */
function stretch(state, runId, messageId) {
  for (let at = state.messages.length - 1; at >= 0; at--) {
    const entry = state.messages[at];
    if (runId !== null && entry.into === runId) return -1;
    if (isOf(entry, runId, messageId)) return at;
  }
  return -1;
}

function sameHead(one, other) {
  return ["id", "run_id", "role", "into"].every((key) => one[key] === other[key]);
}

function addPart(state, to, added) {
  const n = state.parts_total + 1;
  const part = { n, ...added };
  const last = state.messages.at(-1);
  let bytes = state.conversation_bytes + weight(part) + 1;
  let messages;
  if (last && sameHead(last, to)) {
    messages = [...state.messages.slice(0, -1), { ...last, parts: [...last.parts, part] }];
  } else {
    bytes += weight(to) + 1;
    messages = [...state.messages, { ...to, parts: [part] }];
  }
  return { ...state, messages, parts_total: n, conversation_bytes: bytes };
}

function putPart(state, at, i, part) {
  const entry = state.messages[at];
  const grown = weight(part) - weight(entry.parts[i]);
  const changed = { ...entry, parts: entry.parts.with(i, part) };
  return {
    ...state,
    messages: state.messages.with(at, changed),
    conversation_bytes: state.conversation_bytes + grown,
  };
}

function lighter(state, item) {
  return { ...state, conversation_bytes: state.conversation_bytes - weight(item) - 1 };
}
