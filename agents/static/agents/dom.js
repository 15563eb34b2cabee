/** Making and updating DOM nodes. Text goes in as text, never as HTML: there is no innerHTML anywhere in these modules. */

/** An element. Attributes that are null, undefined or false are left out; `on…` functions become listeners. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Appends where it can instead of replacing: a reader's selection survives, and long output costs nothing. */
export function setText(node, text) {
  const only = node.childNodes.length === 1 ? node.firstChild : null;
  if (only?.nodeType === Node.TEXT_NODE && text.startsWith(only.data)) {
    if (text.length > only.data.length) only.appendData(text.slice(only.data.length));
  } else if (text !== node.textContent) {
    node.textContent = text;
  }
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * A list of keyed views in one parent. `create(item)` gives {node, update(item)}; an item is updated only when it is
 * another object than before (the fold shares what did not change), and a node that stays in its place is never moved.
 * `onRemove(view, item)` is told what goes.
 */
export class Keyed {
  constructor(parent, keyOf, create, onRemove = () => {}) {
    this.parent = parent;
    this.onRemove = onRemove;
    this.keyOf = keyOf;
    this.create = create;
    this.views = new Map();
    parent.replaceChildren();
  }

  /** The parent goes, and all that is in it. */
  leave() {
    for (const { view, item } of this.views.values()) this.onRemove(view, item);
  }

  update(items) {
    const views = new Map();
    // First, since what stands behind one that goes would else be moved, and a node that is moved loses the focus.
    const keys = new Set(items.map(this.keyOf));
    for (const [key, { view, item }] of this.views) {
      if (keys.has(key)) continue;
      view.node.remove();
      this.onRemove(view, item);
    }
    let place = this.parent.firstChild;
    for (const item of items) {
      const key = this.keyOf(item);
      const known = this.views.get(key);
      const view = known?.view ?? this.create(item);
      if (known && known.item !== item) view.update(item);
      views.set(key, { view, item });
      if (view.node === place) place = place.nextSibling;
      else this.parent.insertBefore(view.node, place);
    }
    this.views = views;
  }
}
