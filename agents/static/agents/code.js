/**
 * A block of code: its language, a button that copies it, colours. It grows while it streams: what stands above the end keeps
 * its nodes, so that nothing flickers and a selection stays. The colours come when the page has first seen such a language.
 */
import { h, setText } from "./dom.js";

const ALIASES = {
  python: "py", sh: "bash", shell: "bash", zsh: "bash", console: "bash", javascript: "js", mjs: "js", jsx: "js", ts: "js", tsx: "js",
  typescript: "js", jsonc: "json", patch: "diff", scss: "css", yml: "yaml",
};
const KNOWN = new Set(["bash", "css", "diff", "js", "json", "py", "toml", "yaml"]);
/** Characters that are coloured together, cut at a line's end: on hostile text the time grows with their square. */
const CHUNK = 2000;
const LONGEST_LINE = 300;
const COPIED_MS = 2000;

let highlighter = null;
const waiting = new Set();

/** Resolves when there are colours. */
export async function load() {
  highlighter ??= await import("./vendor/speed-highlight/highlight.js");
  for (const code of waiting) code.recolour();
  waiting.clear();
}

export class Code {
  constructor({ text, lang }) {
    this.lang = lang;
    const name = /^\S+/.exec(lang ?? "")?.[0].toLowerCase();
    const language = ALIASES[name] ?? name;
    this.language = KNOWN.has(language) ? language : null;
    this.code = h("code", { class: name && `language-${name}` });
    this.button = h("button", { type: "button", class: "copy", "aria-label": "Copy code", onclick: () => this.#copy() });
    this.node = h("div", { class: "code" }, h("pre", { tabindex: "0", "data-language": name }, this.code), this.button);
    this.chunks = [];
    /** All of it, where the block shows its beginning only. */
    this.whole = null;
    this.update({ text, lang });
  }

  /** False for what can't grow out of this block. */
  update({ text, lang }) {
    if (lang !== this.lang) return false;
    this.text = `${text}\n`;
    this.whole = null;
    if (this.language === null) setText(this.code, this.text);
    else this.#colour();
    return true;
  }

  recolour() {
    for (const { nodes } of this.chunks.splice(0)) for (const node of nodes) node.remove();
    this.#colour();
  }

  #colour() {
    if (!highlighter) {
      waiting.add(this);
      load();
    }
    const chunks = cut(this.text);
    let same = 0;
    while (same < chunks.length && chunks[same] === this.chunks[same]?.text) same += 1;
    for (const { nodes } of this.chunks.splice(same)) for (const node of nodes) node.remove();
    for (const text of chunks.slice(same)) {
      const nodes = pieces(text, this.language);
      this.code.append(...nodes);
      this.chunks.push({ text, nodes });
    }
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.whole ?? this.text);
    } catch {
      // Plain HTTP on a local network has no clipboard.
      getSelection().selectAllChildren(this.code);
      document.execCommand("copy");
    }
    this.button.dataset.copied = "";
    setTimeout(() => delete this.button.dataset.copied, COPIED_MS);
  }
}

/** The same beginning is cut the same way, however the text goes on. */
function cut(text) {
  const chunks = [];
  let chunk = "";
  for (const line of text.match(/[^\n]*\n/g) ?? []) {
    if (chunk.length + line.length > CHUNK && chunk) {
      chunks.push(chunk);
      chunk = "";
    }
    chunk += line;
  }
  return [...chunks, chunk];
}

function pieces(text, language) {
  if (!highlighter || text.split("\n").some((line) => line.length > LONGEST_LINE)) return [document.createTextNode(text)];
  const { tokenizeWith, languages } = highlighter;
  const nodes = [];
  tokenizeWith(text, languages[language], (piece, type) => {
    if (piece) nodes.push(type ? h("span", { class: `s-${type}` }, piece) : document.createTextNode(piece));
  }, { languages });
  return nodes;
}
