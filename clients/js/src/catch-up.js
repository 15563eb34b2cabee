/**
 * How a hidden page, which has no stream, gets what is new: it reads the stored log from the stream's cursor. The page
 * fetches this module when it is first hidden.
 */
import { parse } from "./exact.js";

/** As many as the server gives at once. */
const EVENTS_MOST = 1000;

/** Applies what is new to an AgentStream. A call while another is at work makes that one look once more. */
export async function catchUp(stream) {
  stream.isBehind = true;
  if (stream.isCatchingUp) return;
  stream.isCatchingUp = true;
  while (stream.isBehind && isAside(stream)) {
    stream.isBehind = false;
    await readPage(stream).catch(() => null); // not reachable just now: the next change, or the stream, brings it
  }
  stream.isCatchingUp = false;
}

const isAside = (stream) => document.hidden && !stream.ended;

async function readPage(stream) {
  stream.heardAt = performance.now();
  const after = stream.cursor && encodeURIComponent(stream.cursor);
  const page = after && (await get(stream, `events?after=${after}&limit=${EVENTS_MOST}`));
  if (page) {
    for (const event of page.events) stream.apply(event, `${event.epoch}-${event.seq}`);
    stream.isBehind ||= !page.complete;
  } else {
    const { epoch, seq, state } = await get(stream, "snapshot");
    stream.replace(state, seq, `${epoch}-${seq}`);
  }
}

/** Null where the cursor can't be honoured. Rejects when there is no answer, or when it is not wanted any more. */
async function get(stream, path) {
  const response = await fetch(`${stream.agentUrl}/${path}`, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (response.status === 410) return null;
  if (!response.ok) {
    stream.judge(response.status);
    throw new Error(`${response.status}`);
  }
  const answer = parse(await response.text());
  if (!isAside(stream)) throw new Error("the stream has it, from the same cursor");
  return answer;
}
