/**
 * An agent's Markdown as DOM nodes. marked cuts the text into tokens; the nodes are made here, one by one, from a fixed
 * list of elements. No HTML string is ever parsed, so there is nothing to sanitise: what an agent writes as HTML is text.
 * The server's twin is agents/pages/markdown.py. Of long blocks the beginning is shown, and a button gets more (long-blocks.js).
 */
import { Lexer, Tokenizer } from "./vendor/marked/lexer.js";
import { Code } from "./code.js";
import { h, setText } from "./dom.js";
import { image, link } from "./links.js";
import { shorten } from "./long-blocks.js";
import { size } from "./measures.js";

/** Characters that are parsed; more is shown as plain text, so that no answer can stall the page. */
const MAX_LENGTH = 200_000;
const MAX_DEPTH = 20;
/** Blocks at the end that are read anew with every delta: those before them cannot change any more. */
const UNSETTLED = 2;

class NoHtml extends Tokenizer {
  html() {}
  tag() {}
}

const OPTIONS = { gfm: true, breaks: false, tokenizer: new NoHtml() };

/** One text part of a conversation, which grows while it streams. Blocks that stay the same keep their nodes. */
export class Markdown {
  constructor(root, filesUrl) {
    this.root = root;
    this.filesUrl = filesUrl;
    this.text = "";
    this.blocks = [];
    this.links = "{}";
    this.grown = new Map();
    this.buttons = new Map();
  }

  update(source) {
    this.source = source.replace(/\r\n?/g, "\n"); // marked does the same, and block offsets count what it reads
    const { text, cuts } = shorten(this.source, this.grown);
    if (text !== this.text) this.#draw(text);
    if (cuts.length || this.buttons.size) this.#showCuts(cuts);
  }

  #draw(text) {
    const { blocks, links } = this.#read(text);
    this.text = text;
    let same = 0;
    // A reference definition at the end changes links at the beginning: then every block is made anew.
    if (links === this.links) {
      while (same < blocks.length && same < this.blocks.length && blocks[same].raw === this.blocks[same].raw) same += 1;
    }
    const kept = same + this.#grow(this.blocks[same], blocks[same]);
    for (const block of this.blocks.slice(kept)) block.node.remove();
    for (const block of blocks.slice(kept)) {
      this.#make(block);
      this.root.append(block.node);
    }
    this.blocks = [...this.blocks.slice(0, same), ...blocks.slice(same)];
    this.links = links;
  }

  /** A button behind each block that is cut. */
  #showCuts(cuts) {
    const starts = new Set(cuts.map(({ start }) => start));
    for (const [start, button] of this.buttons) {
      if (starts.has(start)) continue;
      button.remove();
      this.buttons.delete(start);
    }
    let at = 0;
    for (const cut of cuts) {
      while (at < this.blocks.length - 1 && this.blocks[at + 1].start <= cut.at) at += 1;
      const { node, code } = this.blocks[at];
      if (code) code.whole = this.source.slice(cut.from, cut.to);
      if (!this.buttons.has(cut.start)) this.buttons.set(cut.start, this.#button(cut.start));
      const button = this.buttons.get(cut.start);
      const lines = cut.lines > 1 ? `${cut.lines.toLocaleString("en")} ${cut.unit}, ` : "";
      setText(button, `Show more (${lines}${size(cut.chars)})`);
      if (node.nextSibling !== button) node.after(button);
    }
  }

  #button(start) {
    const onclick = () => {
      this.grown.set(start, (this.grown.get(start) ?? 0) + 1);
      this.isTouched = true;
      this.update(this.source);
      if (button.isConnected) button.focus({ preventScroll: true });
    };
    const button = h("button", { type: "button", class: "show-all", onclick });
    return button;
  }

  /** Code that got longer keeps its nodes: 1, else 0. */
  #grow(old, block) {
    if (!old?.code || block?.token.type !== "code" || !old.code.update(decoded(block.token))) return 0;
    [block.code, block.node] = [old.code, old.node];
    return 1;
  }

  #make(block) {
    if (block.token.type === "code") block.code = new Code(decoded(block.token));
    block.node = block.code?.node ?? this.#node(block.token);
  }

  #read(text) {
    if (text.length > MAX_LENGTH) return { blocks: [{ raw: text, start: 0, token: { type: "plain", raw: text } }], links: "{}" };
    const settled = text.startsWith(this.text) && this.links === "{}" ? this.blocks.slice(0, -UNSETTLED) : [];
    const start = settled.length ? this.blocks[settled.length].start : 0;
    const tail = lex(text.slice(start), start);
    if (start === 0 || tail.links === "{}") return { blocks: [...settled, ...tail.blocks], links: tail.links };
    return lex(text, 0);
  }

  #node(token) {
    try {
      return block(token, { filesUrl: this.filesUrl, depth: 0 }) ?? document.createComment(token.type);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return h("p", { class: "plain" }, token.raw);
    }
  }
}

/** Top-level blocks, {raw, start, token}, and the reference definitions as a string to compare. */
function lex(text, offset) {
  const lexer = new Lexer(OPTIONS);
  let tokens;
  try {
    tokens = lexer.lex(text);
  } catch (error) {
    // marked recurses into nested blocks, as deep as an agent likes.
    if (!(error instanceof RangeError)) throw error;
    tokens = Object.assign([{ type: "plain", raw: text }], { links: {} });
  }
  const blocks = [];
  let start = offset;
  for (const token of tokens) {
    if (token.type !== "space" && token.type !== "def") blocks.push({ raw: token.raw, start, token });
    start += token.raw.length;
  }
  return { blocks, links: JSON.stringify(tokens.links) };
}

// Blocks -------------------------------------------------------------------------------------------------------------

function block(token, context) {
  if (context.depth > MAX_DEPTH) return h("p", { class: "plain" }, token.raw);
  const inner = { ...context, depth: context.depth + 1 };
  switch (token.type) {
    case "heading":
      return h(`h${token.depth}`, {}, ...inline(token.tokens, inner));
    case "paragraph":
      return h("p", {}, ...inline(token.tokens, inner));
    case "text":
      return h("span", {}, ...(token.tokens ? inline(token.tokens, inner) : [entities(token.text)]));
    case "blockquote":
      return h("blockquote", {}, ...blocks(token.tokens, inner));
    case "hr":
      return h("hr");
    case "code":
      return new Code(decoded(token)).node;
    case "list":
      return list(token, inner);
    case "table":
      return table(token, inner);
    case "plain":
      return h("pre", { tabindex: "0" }, token.raw);
    default:
      return token.type === "space" || token.type === "def" ? null : h("p", { class: "plain" }, token.raw);
  }
}

function blocks(tokens, context) {
  return tokens.map((token) => block(token, context));
}

function decoded({ text, lang }) {
  return { text, lang: entities(lang ?? "") };
}

function list(token, context) {
  const start = token.ordered && token.start !== 1 ? token.start : null;
  const items = token.items.map((item) => {
    const content = [];
    for (const child of item.tokens) {
      if (child.type === "checkbox") content.push(child.checked ? "☑ " : "☐ ");
      // The text of a tight item is not a paragraph.
      else if (child.type === "text") content.push(...(child.tokens ? inline(child.tokens, context) : [entities(child.text)]));
      else content.push(block(child, context));
    }
    return h("li", {}, ...content);
  });
  return h(token.ordered ? "ol" : "ul", { start }, ...items);
}

function table(token, context) {
  const cell = (tag) => (data) =>
    h(tag, { class: data.align && `align-${data.align}` }, ...inline(data.tokens, context));
  return h(
    "table",
    { tabindex: "0" }, // it scrolls in itself
    h("thead", {}, h("tr", {}, ...token.header.map(cell("th")))),
    token.rows.length ? h("tbody", {}, ...token.rows.map((row) => h("tr", {}, ...row.map(cell("td"))))) : null,
  );
}

// Inline -------------------------------------------------------------------------------------------------------------

function inline(tokens, context) {
  if (context.depth > MAX_DEPTH) return tokens.map((token) => token.raw);
  const inner = { ...context, depth: context.depth + 1 };
  return tokens.flatMap((token) => span(token, inner));
}

function span(token, context) {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return h(token.type, {}, ...inline(token.tokens, context));
    case "codespan":
      return h("code", {}, token.text);
    case "br":
      return h("br");
    case "escape":
      return token.text;
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "link":
      return anchor(token, context);
    case "image":
      return picture(token, context);
    case "text":
      return token.tokens ? inline(token.tokens, context) : entities(token.text);
    default:
      return token.raw;
  }
}

function anchor(token, context) {
  const href = link(entities(token.href), context.filesUrl);
  const content = inline(token.tokens, context);
  if (href === null) return content;
  const title = token.title ? entities(token.title) : null;
  return h("a", { href, title, target: "_blank", rel: "noopener nofollow" }, ...content);
}

function picture(token, context) {
  const src = image(entities(token.href), context.filesUrl);
  const alt = entities(token.text);
  if (src === null) return h("span", { class: "left-out" }, `[image: ${alt}]`);
  return h("img", { src, alt, title: token.title ? entities(token.title) : null, loading: "lazy" });
}

// Character references ---------------------------------------------------------------------------------------------------

const ENTITY = /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,31}));/gi;
const named = new Map();

/** `&copy;` as ©. marked leaves these to the HTML parser, which we do not use. */
function entities(text) {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (raw, decimal, hex, name) => {
    if (name) return namedEntity(raw);
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    const valid = point > 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return valid ? String.fromCodePoint(point) : "\ufffd";
  });
}

/** From the browser's own table. `raw` is only ever `&letters;`, so the inert document that reads it holds just text. */
function namedEntity(raw) {
  if (!named.has(raw)) named.set(raw, new DOMParser().parseFromString(raw, "text/html").documentElement.textContent);
  return named.get(raw);
}
