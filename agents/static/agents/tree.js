/** The workspace's files as folders: what is in one is in the page once it is open, and no more than FOLDER_ROWS of it. */
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { fileUrl } from "./links.js";
import { size } from "./measures.js";

export const FOLDER_ROWS = 100;
const OPEN_FILES = 30;

export class Tree {
  /** `context`: {viewerUrl, remove(path) → promise} */
  constructor(list, context) {
    this.list = list;
    this.context = { ...context, isOpen: null };
    this.known = new Map();
    this.rows = rowsOf(list, this.context);
  }

  render(files, marks) {
    const known = new Map();
    const top = { folders: new Map(), files: [], count: 0 };
    const paths = Object.keys(files).sort();
    for (const path of paths) {
      const { size, sha256 } = files[path];
      const mark = Object.hasOwn(marks, path) ? marks[path] : "";
      const old = this.known.get(path);
      const item = old?.size === size && old.sha256 === sha256 && old.mark === mark ? old : { path, size, sha256, mark };
      known.set(path, item);
      put(top, path, item);
    }
    this.known = known;
    // Decided once: folders that a reader has closed, or opened, stay so.
    if (paths.length) this.context.isOpen ??= paths.length <= OPEN_FILES;
    this.rows.update(entries(top, ""));
  }

  /** Opens the folders of a file and scrolls to it, within the list. */
  reveal(path) {
    let { rows } = this;
    const folders = path.split("/").slice(0, -1);
    for (const at of folders.keys()) {
      const folder = rows.views.get(`${folders.slice(0, at + 1).join("/")}/`)?.view;
      if (!folder) return;
      folder.open();
      rows = folder.rows;
    }
    const node = rows.views.get(path)?.view.node;
    if (!node) return;
    const middle = (one) => (one.getBoundingClientRect().top + one.getBoundingClientRect().bottom) / 2;
    this.list.scrollTop += middle(node) - middle(this.list);
    node.classList.add("arrived");
  }
}

function put(top, path, item) {
  const names = path.split("/");
  let at = top;
  at.count++;
  for (const name of names.slice(0, -1)) {
    if (!at.folders.has(name)) at.folders.set(name, { folders: new Map(), files: [], count: 0 });
    at = at.folders.get(name);
    at.count++;
  }
  at.files.push(item);
}

/** Folders, files, and how many more there are. */
function entries(folder, path) {
  const prefix = path && `${path}/`;
  const folders = [...folder.folders].sort(([a], [b]) => (a < b ? -1 : 1));
  const shown = folders.slice(0, FOLDER_ROWS).map(([name, below]) => ({ folder: below, name, path: `${prefix}${name}` }));
  const files = folder.files.slice(0, FOLDER_ROWS - shown.length);
  const leftOut = folders.length + folder.files.length - shown.length - files.length;
  return [...shown, ...files, ...(leftOut ? [{ leftOut, path }] : [])];
}

function rowsOf(list, context) {
  const keyOf = (item) => (item.folder ? `${item.path}/` : item.leftOut ? "…/…" : item.path);
  const create = (item) => (item.folder ? new FolderRow(item, context) : item.leftOut ? new MoreRow(item, context) : new FileRow(item, context));
  return new Keyed(list, keyOf, create);
}

class FolderRow {
  constructor(item, context) {
    this.count = h("span", { class: "size" });
    const list = h("ul", { class: "files" });
    this.rows = rowsOf(list, context);
    this.details = h("details", { open: context.isOpen }, h("summary", {}, nameOf(item.name), this.count), list);
    this.details.addEventListener("toggle", () => this.#fill());
    this.node = h("li", { class: "folder-row" }, this.details);
    this.update(item);
  }

  update(item) {
    this.item = item;
    setText(this.count, String(item.folder.count));
    this.#fill();
  }

  open() {
    this.details.open = true;
    this.#fill();
  }

  #fill() {
    if (this.details.open) this.rows.update(entries(this.item.folder, this.item.path));
  }
}

class FileRow {
  constructor(item, { viewerUrl, remove }) {
    this.size = h("span", { class: "size" });
    this.mark = h("span", { class: "file-mark" });
    const url = fileUrl(item.path, viewerUrl);
    const name = item.path.slice(item.path.lastIndexOf("/") + 1);
    const button = h(
      "button",
      { type: "button", class: "quiet remove", "aria-label": `Delete ${item.path}`, title: "Delete", onclick: () => this.#delete(button, remove) },
      "×",
    );
    this.node = h("li", { title: visible(item.path) }, url ? linkTo(url, name) : nameOf(name), this.mark, this.size, url ? button : null);
    this.update(item);
  }

  update(item) {
    this.path = item.path;
    setText(this.size, size(item.size));
    this.mark.hidden = !item.mark;
    setAttribute(this.mark, "data-change", item.mark);
    setText(this.mark, item.mark);
  }

  async #delete(button, remove) {
    if (!confirm(`Delete ${this.path}?`)) return;
    button.disabled = true;
    if (!(await remove(this.path))) button.disabled = false;
  }
}

class MoreRow {
  constructor(item, { viewerUrl }) {
    const url = item.path ? fileUrl(item.path, viewerUrl) : null;
    this.link = h("a", { href: url ? `${url}/` : viewerUrl });
    this.node = h("li", { class: "more-rows" }, this.link);
    this.update(item);
  }

  update({ leftOut }) {
    setText(this.link, `${leftOut} more`);
  }
}

const NAME_WHOLE_CHARS = 12;
const NAME_END_CHARS = 8;

/** A link with such a name, which is read in one piece. */
export function linkTo(href, name) {
  return h("a", { href, "aria-label": visible(name) }, nameOf(name));
}

/** A long name is cut in its middle where there is no room; its end, and a short name, never. */
export function nameOf(name) {
  const start = [...visible(name)];
  const end = start.splice(start.length > NAME_WHOLE_CHARS ? -NAME_END_CHARS : -NAME_WHOLE_CHARS);
  return h("bdi", { class: "name" }, h("span", {}, ...start), h("span", {}, ...end));
}

/** As agents/pages/visible.py: direction overrides and text without a glyph. Controls can't be in a name. */
function visible(name) {
  return name.replace(/[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu, (char) => {
    return `[U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}
