/** Pictures of the workspace, shown in the conversation. */
import { h } from "./dom.js";
import { image } from "./links.js";
import { linkTo } from "./tree.js";
import { turnOf } from "./turns.js";

const IMAGE = /\.(png|jpe?g|gif|webp|avif|svg)$/i;
const SHOWN = 12;

/** A picture with its name, which leads to its viewer. Null for what is no picture of the workspace. */
export function picture(path, { filesUrl, viewerUrl }) {
  const src = IMAGE.test(path) ? image(path, filesUrl) : null;
  if (src === null) return null;
  const href = image(path, viewerUrl);
  const name = path.slice(path.lastIndexOf("/") + 1);
  const shown = h("img", { src, alt: name, loading: "lazy", onerror: () => node.remove() });
  const node = h("figure", { class: "picture" }, h("a", { href, title: path }, shown), h("figcaption", { title: path }, linkTo(href, name)));
  return node;
}

/** Paths of pictures that the latest run made or changed, and that nothing in its turn shows already. `side`: as Side has it. */
export function newPictures({ run, marks }, units) {
  const paths = run === null ? [] : Object.keys(marks).filter((path) => IMAGE.test(path));
  if (!paths.length) return [];
  const parts = units.filter((unit) => turnOf(unit) === run.id).flatMap((unit) => unit.parts);
  const texts = parts.map(({ text, arguments: given }) => text ?? JSON.stringify(given));
  const isShown = (path) => texts.some((text) => text.includes(path.slice(path.lastIndexOf("/") + 1)));
  return paths.filter((path) => !isShown(path)).slice(0, SHOWN);
}
