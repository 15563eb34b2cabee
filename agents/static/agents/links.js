/**
 * Where an agent's Markdown may point. The same rules as agents/pages/links.py, which says why; tests/pages/links.json
 * proves both.
 */

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;
const IGNORED = /[\x00-\x20\x7f]+/g;
const WEB = new Set(["http", "https", "mailto"]);
const WORKSPACE = "/workspace/";

/** The address for an <a>, or null for one that must stay text. `filesUrl` ends in a slash. */
export function link(href, filesUrl) {
  const scheme = SCHEME.exec(href.replace(IGNORED, ""));
  if (!scheme) return workspaceFile(href, filesUrl);
  const trimmed = href.trim();
  return WEB.has(scheme[1].toLowerCase()) && trimmed.search(IGNORED) === -1 ? trimmed : null;
}

/** The address for an <img>: a file of the workspace, else null. */
export function image(src, filesUrl) {
  return SCHEME.test(src.replace(IGNORED, "")) ? null : workspaceFile(src, filesUrl);
}

/** A path relative to the workspace, or absolute inside the container (/workspace/…). Null if it leads out. */
export function workspaceFile(path, filesUrl) {
  let rest = path.trim();
  if (rest.startsWith(WORKSPACE)) rest = rest.slice(WORKSPACE.length);
  rest = decoded(rest.split(/[?#]/, 1)[0]);
  if (!rest || /^[/\\]/.test(rest) || rest.replaceAll(" ", "").search(IGNORED) !== -1) return null;
  const segments = [];
  for (const segment of rest.split("/")) {
    if (segment === "..") {
      if (!segments.length) return null;
      segments.pop();
    } else if (segment !== "" && segment !== ".") {
      segments.push(segment);
    }
  }
  return segments.length ? fileUrl(segments.join("/"), filesUrl) : null;
}

/** Of a workspace path as the log has it. Null if a browser would read it as another place. */
export function fileUrl(path, filesUrl) {
  const segments = path.split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) return null;
  return filesUrl + segments.map((segment) => encodeURIComponent(segment.toWellFormed())).join("/");
}

/** A file's name as the path of a workspace has it: agents/workspace/paths.py, `escape`. */
export function pathOf(name) {
  const bytes = (char) => [...new TextEncoder().encode(char)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
  return name.replace(/\\(?=x[0-9a-f]{2})/g, "\\x5c").replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => bytes(char).join(""));
}

/** Percent-decoding that never fails: what is malformed stays as it is, what is not UTF-8 becomes U+FFFD. */
function decoded(text) {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    const bytes = run.slice(1).split("%").map((pair) => parseInt(pair, 16));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
  });
}
