/** Types of agentsite-client. What the fields mean is in docs/events.md of Agentsite. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type FinalStatus = "completed" | "failed" | "cancelled";
export type RunStatus = "queued" | "running" | "waiting" | FinalStatus;
export type Role = "user" | "assistant" | "system";

// Events -------------------------------------------------------------------------------------------------------------

export interface UsageTotal {
  input_tokens: number;
  output_tokens: number;
  /** null where no price is known. */
  cost_usd: number | null;
}

export interface PlanEntry {
  content: string;
  priority: "high" | "medium" | "low";
  status: "pending" | "in_progress" | "completed";
}

export interface FileChange {
  path: string;
  change: "added" | "modified" | "deleted";
  /** In bytes. */
  size: number;
  /** null above a size. */
  sha256: string | null;
}

export interface RunError {
  /** Documented in docs/errors.md, or the program's own. */
  code: string;
  message: string;
  retryable: boolean;
}

export interface Budget {
  scope: "run" | "agent" | "user-day";
  /** tokens, cost_usd, model_calls, tool_calls, wall_s; `used` and `limit` are in its unit. */
  kind: string;
  used: number;
  limit: number;
}

/** The data of an event, by its type. */
export interface EventData {
  status: { status: RunStatus; reason?: string; attempt?: number; position?: number; into?: string };
  title: { title: string };
  message: { message_id: string; role: Role; content: string };
  text: { message_id: string; content: string };
  thinking: { message_id: string; content: string };
  "tool-call": { call_id: string; name: string; arguments: { [name: string]: Json }; title?: string };
  "tool-output": { call_id: string; content: string };
  "tool-result": { call_id: string; result: Json; is_error: boolean; duration_ms: number | null };
  plan: { entries: PlanEntry[] };
  "approval-request": { approval_id: string; call_id?: string; question: string; options: string[] };
  "approval-response": { approval_id: string; decision: string; by: string; reason?: string; delivered?: boolean };
  files: { changes: FileChange[]; total?: number };
  usage: UsageTotal & { model: string; total: UsageTotal };
  budget: Budget;
  log: { stream: "stdout" | "stderr" | "egress"; content: string };
  error: RunError;
  clear: {};
  done: {
    status: FinalStatus;
    result?: Json;
    duration_ms: number;
    tool_calls: number;
    files_changed: number;
    usage: UsageTotal;
  };
}

interface EventOf<Type extends keyof EventData> {
  type: Type;
  agent_id: string;
  /** null for what belongs to no run. */
  run_id: string | null;
  epoch: number;
  /** 1, 2, 3 … without a gap, over the agent's life. */
  seq: number;
  /** ISO 8601, UTC. */
  timestamp: string;
  data: EventData[Type];
}

/** An immutable fact at one place of an agent's log. Servers may send types that are not listed here: the fold ignores them. */
export type AgentEvent = { [Type in keyof EventData]: EventOf<Type> }[keyof EventData];

// State --------------------------------------------------------------------------------------------------------------

export interface Approval {
  approval_id: string;
  run_id: string | null;
  call_id: string | null;
  question: string;
  options: string[];
  /** null until it is answered. One whose run has ended was never answered. */
  decision: string | null;
  by: string | null;
  reason: string | null;
  /** Bytes of question and options that are left out here. */
  omitted_bytes?: number;
}

export interface TextPart {
  type: "text" | "thinking";
  /** Its place in the whole conversation. */
  n: number;
  text: string;
  /** Does it go on with the text of an earlier part? */
  continued?: boolean;
  /** Bytes of a prompt that are left out here. */
  omitted_bytes?: number;
}

/** Arguments, output and result that are null because of their size have it in `omitted_bytes`. */
export interface ToolCallPart {
  type: "tool-call";
  n: number;
  call_id: string;
  name: string;
  title: string | null;
  arguments: { [name: string]: Json } | null;
  output: string | null;
  result: Json;
  is_error: boolean;
  duration_ms: number | null;
  state: "running" | "completed" | "failed" | "interrupted";
  omitted_bytes?: { arguments?: number; output?: number; result?: number };
  /** Answered ones that have left the state's list. */
  approvals?: Approval[];
}

export type Part = TextPart | ToolCallPart;

/** A stretch of a message: one that others came in between of has several, with the same `id` and `run_id`. */
export interface Message {
  id: string;
  run_id: string | null;
  role: Role;
  /** Of a steering prompt: the run whose program took it. */
  into?: string;
  parts: Part[];
}

export interface QueuedPrompt {
  run_id: string;
  message_id: string | null;
  prompt: string | null;
  omitted_bytes?: number;
}

export interface RunState {
  id: string | null;
  status: RunStatus;
  started_at: string | null;
  finished_at: string | null;
  error: (RunError & { omitted_bytes?: number }) | null;
  budget?: Budget[];
}

/** Where older conversation is: `GET …/messages?before=`. */
export interface Earlier {
  before: string;
}

/** What the log of an agent says, at most 512 KiB of it. */
export interface State {
  /** The version of the rules that made it. */
  fold: number;
  status: RunStatus | "idle";
  title: string;
  active_run: string | null;
  queue: QueuedPrompt[];
  messages: Message[];
  parts_total: number;
  conversation_bytes: number;
  left: { run_id: string | null; id: string; text_bytes: number }[];
  earlier: Earlier | null;
  /** The last `n` when the conversation began anew; 0 if it never has. */
  cleared: number;
  files: { [path: string]: { size: number; sha256: string | null; seq: number } };
  files_total: number;
  approvals: Approval[];
  usage: UsageTotal;
  runs: RunState[];
  runs_total: number;
  plan?: { run_id: string | null; entries: PlanEntry[]; omitted_entries?: number };
}

/** A stretch of the conversation that has left the state. `GET …/messages?before=` answers the same without `before`. */
export interface ConversationPage {
  /** The cursor that the server knows it by. */
  before: string;
  messages: Message[];
  earlier: Earlier | null;
}

// The fold -----------------------------------------------------------------------------------------------------------

/** The version of the rules here. A state of another version can be shown, and not folded on: take a new snapshot. */
export const FOLD: number;

/** The state of an empty log. */
export function initial(): State;

/** The state after `event`. `state` is not changed; what did not change is shared with it. */
export function apply(state: State, event: AgentEvent): State;

/** As `apply`, with the page of the conversation that has left the state by that event. */
export function step(state: State, event: AgentEvent): [state: State, page: ConversationPage | null];

export function fold(events: Iterable<AgentEvent>, state?: State): State;

/** Messages of pages and state, in whatever order they are given, as one conversation: by the `n` of their parts. */
export function inOrder(messages: Message[]): Message[];

/** JSON in which whole numbers beyond 2^53 stay as they were written, where the browser has JSON.rawJSON. */
export function parse(text: string): any;

// The stream ---------------------------------------------------------------------------------------------------------

/** `offline` and `reconnecting` end by themselves; `logged-out`, `deleted` and `closed` do not. */
export type Connection = "live" | "reconnecting" | "offline" | "logged-out" | "deleted" | "closed";

export interface AgentStreamOptions {
  /** The agent in the API: `/api/agents/<id>`. */
  agentUrl: string;
  /** Of the state that the caller has. Without it the stream begins with a snapshot. */
  cursor?: string | null;
  /** The last event of that state. */
  seq?: number;
  /** Each event once, in order, none left out. */
  onEvent(event: AgentEvent): void;
  /** A state that takes the place of the caller's: at the beginning, and where the log could not be gone on with. */
  onSnapshot(state: State): void;
  /** `retryAt`: when it tries again, as Date.now() has it; null where only the browser knows. */
  onConnection?(name: Connection, retryAt: number | null): void;
  /** How long silence is believed before the stream is opened anew. */
  patienceMs?(): number;
}

/** The log of one agent, followed in a browser for as long as the page lives. */
export class AgentStream {
  constructor(options: AgentStreamOptions);
  /** Of the last event that was handed over. */
  readonly cursor: string | null;
  readonly seq: number;
  /** Opens it. */
  start(): void;
  /** Opens it anew from the cursor, at once. Nothing is lost by it. */
  reopen(): void;
  /** For a hidden page, which has no open stream: applies what is new in the log. */
  catchUp(): Promise<void>;
  /** Closes it for good. */
  end(name?: Connection): void;
}
