/**
 * What a tool call is about: its command, the diff it asks for, and the rest of its arguments by name. Told from the names
 * of arguments, since tools differ (the bundled agent's, Gemini CLI's, OpenCode's, Claude Code's).
 */
import { h } from "./dom.js";
import { size } from "./measures.js";

/** Characters of one section in a card. A reader can have the rest. */
export const KEPT_TEXT = 20_000;
/** The same of what somebody is asked to approve: nobody should approve what is not shown. */
export const KEPT_ASKED = 200_000;
/** Characters that a reader gets who wants all: a page has to hold them. */
const MOST_TEXT = 2_000_000;
/** Of a diff as many lines are kept as such lines on average fill the characters. */
const LINE_SHARE = 50;
const CONTEXT_LINES = 3;
const COMMANDS = ["command", "cmd"];
const PATHS = ["path", "file_path", "filePath", "filename", "abs_path"];
const OLD = ["old", "old_string", "oldString", "old_str", "old_text"];
const NEW = ["new", "new_string", "newString", "new_str", "new_text"];
const CONTENTS = ["content", "file_text"];
/** Controls, and what turns or hides text: a command must not look like another one. */
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** [{kind, name, text, lines, long, cut}] */
export function sections(given, kept = KEPT_TEXT) {
  const rest = new Map(Object.entries(given));
  const found = [];
  for (const name of COMMANDS) {
    const command = commandOf(rest.get(name));
    if (!command) continue;
    rest.delete(name);
    found.push({ kind: "command", name: "", ...clip(plainly(command), kept) });
    break;
  }
  const change = changeOf(rest);
  if (change) {
    const [path, old, content] = change;
    found.push(diff(rest.get(path), old ? rest.get(old) : null, rest.get(content), kept));
    for (const used of change) rest.delete(used);
  }
  for (const [name, value] of rest) {
    const clipped = clip(plainly(readable(value)), kept);
    found.push({ kind: "field", name, long: clipped.text.includes("\n") || clipped.text.length > 80, ...clipped });
  }
  return found;
}

/** Of a result over ACP. */
export function diffs(result, kept = KEPT_TEXT) {
  const listed = Array.isArray(result?.diffs) ? result.diffs : [];
  return listed
    .filter((one) => typeof one?.new_text === "string")
    .map(({ path, old_text, new_text }) => diff(textOr(path, ""), textOr(old_text, null), new_text, kept));
}

/** Lines that begin and end both texts are context; what is between is taken out and put in. */
export function diff(path, old, content, kept = KEPT_TEXT) {
  const before = linesOf(old ?? "");
  const after = linesOf(content);
  let same = 0;
  while (same < Math.min(before.length, after.length) && before[same] === after[same]) same += 1;
  let end = 0;
  while (end < Math.min(before.length, after.length) - same && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const signed = (sign, lines) => lines.map((line) => [sign, line]);
  const made = [
    ...signed(" ", after.slice(Math.max(0, same - CONTEXT_LINES), same)),
    ...signed("-", before.slice(same, before.length - end)),
    ...signed("+", after.slice(same, after.length - end)),
    ...signed(" ", after.slice(after.length - end).slice(0, CONTEXT_LINES)),
  ];
  const shown = within(made, kept);
  const left = made.length - shown.length;
  return { kind: "diff", name: path, lines: shown, cut: left ? `… ${left.toLocaleString("en")} more lines` : "" };
}

function within(lines, kept) {
  const shown = [];
  let room = kept;
  for (const [sign, line] of kept < MOST_TEXT ? lines.slice(0, Math.floor(kept / LINE_SHARE)) : lines) {
    room -= line.length;
    if (room < 0) break;
    shown.push([sign, plainly(line)]);
  }
  return shown;
}

export function plainly(text) {
  return text.replace(UNSEEN, (char) => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

export function clip(text, kept = KEPT_TEXT) {
  if (text.length <= kept) return { text, cut: "" };
  return { text: text.slice(0, kept).toWellFormed(), cut: `… ${(text.length - kept).toLocaleString("en")} more characters` };
}

export function readable(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** The path of the file that a call with these arguments writes, as it says it; null if it writes none. */
export function writtenPath(given) {
  const change = changeOf(new Map(Object.entries(given ?? {})));
  return change && given[change[0]];
}

function commandOf(value) {
  if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value.map(quoted).join(" ");
  return textOr(value, "");
}

/** For a shell, as Python's shlex does it. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function changeOf(given) {
  const [path, old, fresh, content] = [PATHS, OLD, NEW, CONTENTS].map((names) =>
    names.find((name) => typeof given.get(name) === "string"),
  );
  if (path && old && fresh) return [path, old, fresh];
  return path && content ? [path, "", content] : null;
}

function textOr(value, other) {
  return typeof value === "string" ? value : other;
}

function linesOf(text) {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

// Nodes --------------------------------------------------------------------------------------------------------------

/**
 * Draws sections into `root`; a reader can have what is cut. `make(kept)` makes them, `chars` is how much there is. `onDrawn` is
 * told each time whether all of it is shown.
 */
export function draw(root, make, kept, chars, onDrawn = () => {}) {
  const made = make(kept);
  const isCut = made.some(({ cut }) => cut);
  root.replaceChildren(...made.filter(({ kind }) => kind !== "field").map(block), ...fields(made.filter(({ kind }) => kind === "field")));
  if (kept < MOST_TEXT && isCut) {
    root.append(showAll(chars, () => draw(root, make, MOST_TEXT, chars, onDrawn)));
  }
  onDrawn(!isCut);
}

export function showAll(chars, onclick) {
  return h("button", { type: "button", class: "show-all", onclick }, `Show all ${size(chars)}`);
}

function block({ kind, name, text, lines, cut }) {
  const node = h("div", { class: "about" });
  if (kind === "command") node.append(h("pre", { class: "command", tabindex: "0" }, text));
  else {
    const classes = { "+": "added", "-": "removed" };
    node.append(h("p", { class: "diff-path" }, h("bdi", {}, name)));
    node.append(h("pre", { class: "diff", tabindex: "0" }, ...lines.map(([sign, line]) => h("span", { class: classes[sign] }, sign + line))));
  }
  if (cut) node.append(h("p", { class: "hint" }, cut));
  return node;
}

function fields(list) {
  if (!list.length) return [];
  const rows = list.map(({ name, text, long, cut }) => {
    const value = h("dd", {}, h(long ? "pre" : "code", { tabindex: long && "0" }, text));
    if (cut) value.append(h("p", { class: "hint" }, cut));
    return h("div", { class: long && "long" }, h("dt", {}, name), value);
  });
  return [h("dl", { class: "arguments" }, ...rows)];
}
