/**
 * Folds logs with the page's own fold.js: one JSON request a line on stdin, {"lines": [...], "split": n}, and one answer
 * a line: the canonical JSON (RFC 8785) of the state. With a split the state at n goes through JSON, as a snapshot does.
 */
import { createInterface } from "node:readline";
import { argv, stdin, stdout } from "node:process";
import { pathToFileURL } from "node:url";

const { fold, initial } = await import(pathToFileURL(argv[2]));
const { canonical } = await import(pathToFileURL(argv[3]));

for await (const line of createInterface({ input: stdin, crlfDelay: Infinity })) {
  const { lines, split } = JSON.parse(line);
  const events = lines.map((text) => JSON.parse(text));
  const snapshot = JSON.parse(canonical(fold(events.slice(0, split))));
  stdout.write(JSON.stringify(canonical(fold(events.slice(split), split ? snapshot : initial()))) + "\n");
}
