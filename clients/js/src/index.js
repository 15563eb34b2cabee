/** What the package offers: types/index.d.ts says what each of them takes and gives. */
export { AgentStream } from "./stream.js";
export { inOrder } from "./conversation.js";
export { parse } from "./exact.js";
export { FOLD, apply, fold, initial, step } from "./fold.js";
