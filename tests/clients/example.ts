/** What somebody who writes against the published types relies on. Compiled, never run: see test_javascript.py. */
import { AgentStream, FOLD, apply, fold, inOrder, initial, parse, step } from "agentsite-client";
import type { AgentEvent, Connection, ConversationPage, Message, State } from "agentsite-client";

let state: State = initial();
const said: string[] = [];
const pages: ConversationPage[] = [];

const stream = new AgentStream({
  agentUrl: "/api/agents/x",
  cursor: "1-7",
  seq: 7,
  onSnapshot: (fresh) => (state = fresh),
  onEvent(event) {
    const [next, page] = step(state, event);
    state = next;
    if (page) pages.push(page);
    if (event.type === "text") said.push(event.data.content);
    if (event.type === "done") said.push(event.data.status satisfies "completed" | "failed" | "cancelled");
    // @ts-expect-error: not every event has content
    event.data.content;
  },
  onConnection: (name: Connection, retryAt) => retryAt === null || retryAt.toFixed(),
  patienceMs: () => 1000,
});
stream.start();
stream.reopen();
stream.catchUp().then(() => stream.end());
const cursor: string | null = stream.cursor;
// @ts-expect-error: it is read only
stream.seq = 8;
// @ts-expect-error: without handlers nothing can be followed
new AgentStream({ agentUrl: "/api/agents/x" });

const messages: Message[] = inOrder([...pages.flatMap((page) => page.messages), ...state.messages]);
for (const part of messages.flatMap(({ parts }) => parts)) {
  if (part.type === "tool-call") said.push(part.name, String(part.omitted_bytes?.result));
  else said.push(part.text);
}
const events: AgentEvent[] = parse("[]");
const again: State = fold(events, apply(fold(new Set(events)), events[0]!));
// @ts-expect-error: a type that there is not
apply(state, { ...events[0]!, type: "nonsense" });
export const all = { again, cursor, version: FOLD satisfies number };
