/**
 * Search within the conversation, on the server: the browser's own finds only what is mounted. The newest is found first, a stretch
 * at a time; what is chosen is loaded, shown and marked.
 */
import { h, setText } from "./dom.js";

/** Where in the window the words are brought that were found, from its top. */
const LOOKED_AT = 0.6;

export class Search {
  /** `button` opens and closes `panel`. `show(n)`: a promise of the node with that part of the conversation. */
  constructor({ button, panel, agentUrl, api, show }) {
    Object.assign(this, { button, panel, agentUrl, api, show });
    this.input = h("input", { type: "search", "aria-label": "Search this conversation", placeholder: "Search this conversation", maxlength: "200" });
    this.note = h("p", { class: "hint", role: "status" });
    this.list = h("ol", { class: "matches" });
    this.more = h("button", { type: "button", class: "small", hidden: true, onclick: () => this.#search() }, "Search further back");
    const form = h("form", { role: "search", class: "row" }, this.input, h("button", {}, "Search"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    panel.append(form, this.note, this.list, this.more);
    button.hidden = false;
    button.addEventListener("click", () => this.#open(panel.hidden));
    panel.addEventListener("keydown", (event) => event.key === "Escape" && this.#open(false));
  }

  #open(isOpen) {
    this.panel.hidden = !isOpen;
    this.button.setAttribute("aria-expanded", String(isOpen));
    (isOpen ? this.input : this.button).focus();
    CSS.highlights?.delete("found");
  }

  #begin() {
    this.text = this.input.value.trim();
    this.list.replaceChildren();
    [this.before, this.count] = [null, 0];
    if (this.text) this.#search();
  }

  async #search() {
    const { text } = this;
    const from = this.before ? `&before=${encodeURIComponent(this.before)}` : "";
    this.more.hidden = true;
    setText(this.note, "Searching…");
    try {
      const { matches, searched_to } = await this.api.get(`${this.agentUrl}/messages/search?q=${encodeURIComponent(text)}${from}`);
      if (text !== this.text) return; // another search has begun
      this.count += matches.length;
      this.before = searched_to;
      this.list.append(...matches.map((match) => this.#row(match)));
      setText(this.note, words(this.count, searched_to === null));
      this.more.hidden = searched_to === null;
    } catch (error) {
      setText(this.note, error.message);
    }
  }

  #row({ n, role, type, excerpt }) {
    const button = h("button", { type: "button", class: "match" }, h("span", { class: "hint" }, speaker(role, type)), " ", h("bdi", {}, excerpt));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        mark(await this.show(n), this.text);
      } catch (error) {
        setText(this.note, error.message);
      }
      button.disabled = false;
    });
    return h("li", {}, button);
  }
}

function words(count, isAll) {
  const found = count === 0 ? "Nothing found" : count === 1 ? "1 place found" : `${count.toLocaleString("en")} places found`;
  return isAll ? `${found}.` : `${found} so far.`;
}

function speaker(role, type) {
  if (role === "user") return "You";
  return { "tool-call": "Tool", thinking: "Thinking" }[type] ?? (role === "assistant" ? "Agent" : "System");
}

/** Opens what is closed around it, has the focus go there, and marks the words where the browser can. */
function mark(node, text) {
  if (!node) return;
  for (const card of [node, ...node.querySelectorAll("details")]) if (card.localName === "details") card.open = true;
  node.tabIndex = -1;
  node.focus({ preventScroll: true });
  if (!("highlights" in CSS)) return;
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  const wanted = text.toLowerCase();
  while (walker.nextNode()) {
    const { data } = walker.currentNode;
    const at = data.toLowerCase().indexOf(wanted);
    if (at === -1 || at + text.length > data.length) continue;
    const range = new Range();
    range.setStart(walker.currentNode, at);
    range.setEnd(walker.currentNode, at + text.length);
    CSS.highlights.set("found", new Highlight(range));
    // The part may be higher than the window, whose upper half is this panel's.
    scrollBy({ top: range.getBoundingClientRect().top - LOOKED_AT * innerHeight, behavior: "instant" });
    return;
  }
}
