// An agent for Node without packages: checks the JSON files in its workspace, and asks before it replaces an older report.
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";

const REPORT = "json-report.md";

class Cancelled extends Error {}

const say = (type, data) => process.stdout.write(JSON.stringify({ type, ...data }) + "\n");

/** Lines come as events, so a cancel is heard whenever the work waits for anything. */
class Commands {
  #waiting = new Map();
  #cancelled = false;

  constructor(input) {
    const lines = createInterface({ input });
    lines.on("line", (line) => line.trim() && this.#take(JSON.parse(line))); // empty lines separate commands
    process.on("SIGTERM", () => this.#cancel());
    this.start = this.#wait("start");
  }

  /** Throws when it was cancelled meanwhile. */
  look() {
    if (this.#cancelled) throw new Cancelled();
  }

  /** The answer to a question. */
  decision(approvalId) {
    this.look();
    return this.#wait(approvalId);
  }

  #wait(key) {
    return new Promise((resolve, reject) => this.#waiting.set(key, { resolve, reject }));
  }

  #take(command) {
    if (command.type === "start") this.#waiting.get("start").resolve(command);
    else if (command.type === "cancel") this.#cancel();
    else if (command.type === "message") say("text", { content: `Noted: ${command.content}\n` });
    else if (command.type === "approval") this.#waiting.get(command.approval_id)?.resolve(command.decision);
  }

  #cancel() {
    this.#cancelled = true;
    for (const { reject } of this.#waiting.values()) reject(new Cancelled());
  }
}

/** Regular files beneath a directory; links are not followed. */
async function* files(directory) {
  const entries = await readdir(directory, { withFileTypes: true });
  entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

async function checkJson(commands) {
  const report = [];
  say("tool-call", { call_id: "check", name: "check-json", arguments: { directory: "." } });
  for await (const path of files(".")) {
    commands.look();
    if (!path.endsWith(".json")) continue;
    let verdict = "fine";
    try {
      JSON.parse(await readFile(path, "utf8"));
    } catch (error) {
      verdict = error.message;
    }
    report.push({ path, verdict });
    say("tool-output", { call_id: "check", content: `${path}: ${verdict}\n` });
  }
  const broken = report.filter(({ verdict }) => verdict !== "fine").length;
  say("tool-result", { call_id: "check", result: { files: report.length, broken }, is_error: false });
  return { report, broken };
}

async function main() {
  const commands = new Commands(process.stdin);
  try {
    const { input } = await commands.start;
    say("text", { content: `You asked: ${input.content}\nChecking your JSON files.\n` });
    const { report, broken } = await checkJson(commands);
    let replace = "yes";
    if (existsSync(REPORT)) {
      say("approval-request", { approval_id: "replace", question: `Replace ${REPORT}?`, options: ["yes", "no"] });
      replace = await commands.decision("replace");
    }
    if (replace === "yes") {
      await writeFile(REPORT, report.map(({ path, verdict }) => `- \`${path}\`: ${verdict}\n`).join(""));
      say("text", { content: `Wrote ${REPORT}.` });
    } else {
      say("text", { content: `Kept ${REPORT} as it was.` });
    }
    say("done", { status: "completed", result: `${report.length} files, ${broken} broken` });
  } catch (error) {
    if (!(error instanceof Cancelled)) throw error;
    say("done", { status: "cancelled", result: "stopped" });
  }
  process.stdin.destroy(); // it stays open, and would keep us here
}

await main();
