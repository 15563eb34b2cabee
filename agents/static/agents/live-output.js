/**
 * Outputs of running calls, as this page has received them: the state holds none that is larger than its limit, and a reader
 * who watches a terminal should go on seeing it.
 *
 * Places in an output are told by weight (state/weight.js), which is how the state tells its size.
 */
import { textWeight } from "./client/weight.js";
import { tail } from "./terminal.js";

/** Characters kept of one output: its end. */
const KEPT = 200_000;
/** Outputs kept: as many as there are calls that run at once (OPEN_CALLS in streaming/model/bounds.py). */
const OUTPUTS_MOST = 64;

export class LiveOutputs {
  constructor() {
    /** Key of a call → {text, bytes: its weight, to: where it ends, heard: where the last event ended} */
    this.outputs = new Map();
  }

  /** Every event, and the state before it, which has the beginning of an output that grows over its limit. */
  hear({ type, run_id, data }, before) {
    if (type !== "tool-output") return;
    const { text, bytes, to, heard } = this.#known(run_id, data.call_id) ?? beginning(before, run_id, data.call_id);
    const now = heard + textWeight(data.content);
    const fresh = end(data.content, now - Math.max(to, heard));
    this.#put(run_id, data.call_id, shorter({ text: text + fresh, bytes: bytes + textWeight(fresh), to: Math.max(to, now), heard: now }));
  }

  /** What was fetched of an output that `total` bytes are known of: it may lack what was heard since, or be ahead of the events. */
  join(runId, callId, fetched, total) {
    const known = this.#known(runId, callId) ?? { text: "", to: total, heard: total };
    const bytes = textWeight(fetched);
    const text = fetched + end(known.text, known.to - bytes);
    this.#put(runId, callId, { text, bytes: textWeight(text), to: Math.max(known.to, bytes), heard: known.heard });
  }

  /** What is here of an output of `total` bytes, and how many of them are not. */
  get(runId, callId, total) {
    const { text, bytes, to } = this.#known(runId, callId) ?? { text: "", bytes: 0, to: total };
    return { text, missing: Math.max(0, to - bytes) };
  }

  /** After a reset: what was received may never have been in the log. */
  clear() {
    this.outputs.clear();
  }

  #known(runId, callId) {
    return this.outputs.get(JSON.stringify([runId, callId]));
  }

  #put(runId, callId, output) {
    const key = JSON.stringify([runId, callId]);
    this.outputs.delete(key); // so that the first in the map is the one that was heard of longest ago
    this.outputs.set(key, output);
    if (this.outputs.size > OUTPUTS_MOST) this.outputs.delete(this.outputs.keys().next().value);
  }
}

function beginning({ messages }, runId, callId) {
  const parts = messages.filter(({ run_id }) => run_id === runId).flatMap((entry) => entry.parts);
  const part = parts.findLast(({ call_id }) => call_id === callId);
  const text = part?.output ?? "";
  const to = part?.output === null ? part.omitted_bytes.output : textWeight(text);
  return { text, bytes: textWeight(text), to, heard: to };
}

/** The end of a text that weighs so much. */
function end(text, bytes) {
  if (bytes >= textWeight(text)) return text;
  let left = bytes;
  const chars = Array.from(text);
  let start = chars.length;
  while (left > 0) left -= textWeight(chars[--start]);
  return chars.slice(start).join("");
}

/** Once it is twice as long as what is kept: to copy the end for each event would be slow. */
function shorter(output) {
  if (output.text.length < 2 * KEPT) return output;
  const { cut, text } = tail(output.text, KEPT);
  return { ...output, text, bytes: output.bytes - textWeight(output.text.slice(0, cut)) };
}
