/** The workspace: what is in it, upload with progress, download, delete. The list follows the log, not our requests. */
import { problem } from "./api.js";
import { h, setText } from "./dom.js";
import { fileUrl, pathOf } from "./links.js";
import { size } from "./measures.js";
import { Tree, linkTo, nameOf } from "./tree.js";

export class Files {
  constructor({ list, counts, note, upload, input, uploads, filesUrl, api, toasts }) {
    Object.assign(this, { counts, note, uploads, filesUrl, api, toasts });
    this.viewerUrl = filesUrl.replace(/^\/api/, "");
    this.shown = this.shownSide = null;
    /** Paths that were uploaded here, and that the log does not have yet. */
    this.arriving = new Set();
    this.tree = new Tree(list, { viewerUrl: this.viewerUrl, remove: (path) => this.#remove(path) });
    upload.hidden = false;
    input.addEventListener("change", () => {
      this.#uploadAll(input.files);
      input.value = "";
    });
    this.#acceptDrops(upload);
  }

  /** `side`: as Side has it. */
  render(state, side) {
    if (state.files === this.shown && side === this.shownSide) return;
    this.shown = state.files;
    this.shownSide = side;
    this.tree.render(state.files, side.marks);
    for (const path of this.arriving) {
      if (!Object.hasOwn(state.files, path)) continue;
      this.arriving.delete(path);
      this.tree.reveal(path);
    }
    for (const node of this.counts) setText(node, String(state.files_total));
    const changed = Object.keys(side.marks).length;
    const link = side.run && h("a", { href: `/runs/${side.run.id}/changes/` }, "see how");
    this.note.replaceChildren(...(changed && link ? [`Run ${side.run.number} changed ${changed}: `, link] : []));
  }

  /** Whether it is gone. */
  async #remove(path) {
    try {
      await this.api.delete(fileUrl(path, this.filesUrl));
      return true;
    } catch (error) {
      this.uploads.append(h("li", { class: "field-error", role: "alert" }, `${path}: ${error.message}`));
      return false;
    }
  }

  #acceptDrops(target) {
    const over = (event, on) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      target.classList.toggle("dropping", on);
    };
    // The whole page takes a file, since a miss would make the browser leave the page to show it.
    addEventListener("dragover", (event) => over(event, true));
    addEventListener("dragleave", (event) => event.relatedTarget === null && target.classList.remove("dropping"));
    addEventListener("drop", (event) => {
      over(event, false);
      if (event.dataTransfer?.files.length) this.#uploadAll(event.dataTransfer.files);
    });
  }

  /** What arrived is said here, where it was chosen, and for who has the panel out of sight. */
  async #uploadAll(files) {
    for (const row of this.uploads.querySelectorAll(".uploaded")) row.remove();
    const uploads = Array.from(files).map((file) => new Upload(file, this));
    const names = (await Promise.all(uploads.map(({ name }) => name))).filter((name) => name !== null);
    if (names.length) this.toasts.say(names.length === 1 ? `${names[0]} is uploaded.` : `${names.length} files are uploaded.`);
  }
}

/** XMLHttpRequest, because fetch does not tell how far an upload has come. The body is the file itself, never a copy. */
class Upload {
  constructor(file, { uploads, filesUrl, viewerUrl, arriving, api }) {
    const bar = h("progress", { max: "1", value: "0", "aria-label": `Uploading ${file.name}` });
    const note = h("span", { class: "hint" });
    const name = nameOf(file.name);
    const row = h("li", { title: file.name }, name, bar, note);
    uploads.append(row);
    /** A promise of the file's name when it has arrived, of null when it has not. */
    this.name = new Promise((resolve) => {
      const failed = (message) => {
        bar.remove();
        row.classList.add("field-error");
        row.setAttribute("role", "alert");
        note.textContent = message;
        resolve(null);
      };
      const path = pathOf(file.name);
      const url = fileUrl(path, filesUrl);
      if (!url) {
        failed("A file can’t have that name.");
        return;
      }
      const arrived = () => {
        bar.remove();
        row.classList.add("uploaded");
        name.replaceWith(linkTo(fileUrl(path, viewerUrl), file.name));
        note.textContent = `${size(file.size)} uploaded`;
        arriving.add(path);
        resolve(file.name);
      };
      const request = new XMLHttpRequest();
      request.open("PUT", url);
      request.setRequestHeader("X-CSRFToken", api.csrfToken);
      request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      request.upload.onprogress = (event) => {
        if (event.lengthComputable) bar.value = event.loaded / event.total;
        note.textContent = size(event.loaded);
      };
      request.onload = () => (request.status < 300 ? arrived() : failed(problem(request.status, request.responseText)));
      request.onerror = () => failed("The upload was cut off.");
      request.send(file);
    });
  }
}
