/**
 * A program's terminal output as text and basic colours, and nothing else of what escapes can do.
 */
import { h } from "./dom.js";

/** Characters of one output that are shown: its end. The whole is in the log. */
const KEPT = 20_000;

// CSI, of which `m` is colour; OSC, DCS and their like: titles, links, the clipboard; and every other escape.
const ESCAPE = /\x1b(?:\[(?<args>[0-9;:?<=>!]*)[ -/]*(?<final>[@-~])|[\]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\|$)|[ -/]*[0-~]?)/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
// A progress bar: what stands before a carriage return is overwritten by what comes after it. Its colours go on.
const OVERWRITTEN = /(?<![^\n])[^\n]*\r(?=[^\r\n])/g;
const COLOUR = /\x1b\[[0-9;:]*m/g;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** {cut: characters left out, text: the end}, never beginning inside a surrogate pair. */
export function tail(text, kept = KEPT) {
  if (text.length <= kept) return { cut: 0, text };
  let start = text.length - kept;
  if (text.charCodeAt(start) >> 10 === 0x37) start += 1;
  return { cut: start, text: text.slice(start) };
}

/** Nodes for output, as few as its colours allow. */
export function nodes(text) {
  return pieces(text).map(([classes, piece]) => (classes ? h("span", { class: classes }, piece) : document.createTextNode(piece)));
}

/** [classes, text] of each run of characters that look the same. The text holds no control character. */
export function pieces(text) {
  const found = [];
  for (const [classes, piece] of split(text.replace(OVERWRITTEN, (line) => (line.match(COLOUR) ?? []).join("")))) {
    const plain = piece.replace(CONTROL, "");
    if (!plain) continue;
    if (found.length && found.at(-1)[0] === classes) found.at(-1)[1] += plain;
    else found.push([classes, plain]);
  }
  return found;
}

function* split(text) {
  const style = new Map();
  let at = 0;
  for (const match of text.matchAll(ESCAPE)) {
    yield [classesOf(style), text.slice(at, match.index)];
    if (match.groups.final === "m") select(style, match.groups.args);
    at = match.index + match[0].length;
  }
  yield [classesOf(style), text.slice(at)];
}

/** SGR (ECMA-48, 8.3.117): weight, slant, underline and the sixteen foreground colours. */
function select(style, args) {
  const codes = args.split(/[;:]/).map((code) => (/^\d+$/.test(code) ? Number(code) : 0));
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) style.clear();
    else if (code === 38 || code === 48) codes.splice(0, { 5: 2, 2: 4 }[codes[0]] ?? 0); // 256 or 16 million colours
    else if (code >= 1 && code <= 4) style.set(["bold", "dim", "italic", "underline"][code - 1], true);
    else if (code >= 22 && code <= 24) for (const name of [["bold", "dim"], ["italic"], ["underline"]][code - 22]) style.delete(name);
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.set("colour", COLOURS[code % 10]);
    else if (code === 39) style.delete("colour");
  }
}

function classesOf(style) {
  const names = ["bold", "dim", "italic", "underline"].filter((name) => style.has(name));
  if (style.has("colour")) names.push(style.get("colour"));
  return names.map((name) => `t-${name}`).join(" ");
}
