/** The workspace: what is in it, upload with progress, download, delete. The list follows the log, not our requests. */
import { problem } from "./api.js";
import { h, setText } from "./dom.js";
import { fileUrl, pathOf } from "./links.js";
import { size } from "./measures.js";
import { Tree } from "./tree.js";

export class Files {
  constructor({ list, counts, note, upload, input, uploads, filesUrl, api }) {
    Object.assign(this, { counts, note, uploads, filesUrl, api });
    this.shown = this.shownSide = null;
    this.tree = new Tree(list, { viewerUrl: filesUrl.replace(/^\/api/, ""), remove: (path) => this.#remove(path) });
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

  #uploadAll(files) {
    for (const file of Array.from(files)) new Upload(file, this);
  }
}

/** XMLHttpRequest, because fetch does not tell how far an upload has come. The body is the file itself, never a copy. */
class Upload {
  constructor(file, { uploads, filesUrl, api }) {
    const bar = h("progress", { max: "1", value: "0", "aria-label": `Uploading ${file.name}` });
    const note = h("span", { class: "hint" });
    const row = h("li", {}, h("bdi", {}, file.name), bar, note);
    uploads.append(row);

    const failed = (message) => {
      bar.remove();
      row.classList.add("field-error");
      row.setAttribute("role", "alert");
      note.textContent = message;
    };
    const url = fileUrl(pathOf(file.name), filesUrl);
    if (!url) {
      failed("A file can’t have that name.");
      return;
    }
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    request.setRequestHeader("X-CSRFToken", api.csrfToken);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
      note.textContent = size(event.loaded);
    };
    request.onload = () => (request.status < 300 ? row.remove() : failed(problem(request.status, request.responseText)));
    request.onerror = () => failed("The upload was cut off.");
    request.send(file);
  }
}
