/** Keeps the keyboard's place: a control that goes, moves or waits for an answer leaves the focus to what is near, not to <body>. */

const CONTROLS = "a[href], button, input, select, summary, textarea, [tabindex]";

export class Focus {
  /** `fallback`: has the focus when nothing is near. */
  constructor(root, fallback) {
    this.fallback = fallback;
    this.last = null;
    // Only what was reached by keyboard: who clicked must not find the focus on a card that a letter answers.
    addEventListener("focusin", ({ target }) => (this.last = target.matches(":focus-visible") ? target : null));
    addEventListener("pointerdown", () => (this.last = null), true);
    const observer = new MutationObserver((records) => this.#settle(records));
    observer.observe(root, { childList: true, subtree: true, attributeFilter: ["disabled", "hidden"] });
  }

  #settle(records) {
    const { last, fallback } = this;
    const { activeElement } = document;
    if (!last || (activeElement !== last && activeElement !== document.body)) return;
    // A disabled one is given the focus back when its answer is there.
    if (isShown(last) && (last.disabled || activeElement === last)) return;
    const gone = records.find(({ removedNodes }) => [...removedNodes].some((node) => node.contains(last)));
    const near = last.isConnected ? [last, last.closest("li")] : [gone?.nextSibling, gone?.previousSibling, gone?.target];
    const target = near.map(controlIn).find(Boolean) ?? fallback;
    target.focus({ preventScroll: target === last || target === fallback });
  }
}

function controlIn(node) {
  if (!node?.querySelectorAll) return null;
  return [node, ...node.querySelectorAll(CONTROLS)].find((one) => one.matches(CONTROLS) && !one.disabled && isShown(one));
}

function isShown(node) {
  return node.getClientRects().length > 0;
}
