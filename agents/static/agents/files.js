/** The workspace: what is in it, upload with progress, download, delete. The list follows the log, not our requests. */
import { problem } from "./api.js";
import { Keyed, h, setAttribute, setText } from "./dom.js";
import { fileUrl } from "./links.js";
import { size } from "./measures.js";

export class Files {
  constructor({ list, count, upload, input, uploads, filesUrl, api }) {
    Object.assign(this, { count, uploads, filesUrl, api });
    this.shown = null;
    this.known = new Map();
    this.rows = new Keyed(list, (file) => file.path, (file) => new Row(file, this));
    upload.hidden = false;
    input.addEventListener("change", () => {
      this.#uploadAll(input.files);
      input.value = "";
    });
    this.#acceptDrops(upload);
  }

  render(state) {
    if (state.files === this.shown) return;
    this.shown = state.files;
    const paths = Object.keys(state.files).sort();
    const files = paths.map((path) => {
      const { size, sha256 } = state.files[path];
      const old = this.known.get(path);
      return old?.size === size && old.sha256 === sha256 ? old : { path, size, sha256 };
    });
    this.known = new Map(files.map((file) => [file.path, file]));
    this.rows.update(files);
    setText(this.count, String(paths.length));
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

class Row {
  constructor(file, files) {
    this.size = h("span", { class: "size" });
    const url = fileUrl(file.path, files.filesUrl);
    const name = h("bdi", {}, file.path);
    const remove = h(
      "button",
      { type: "button", class: "quiet remove", "aria-label": `Delete ${file.path}`, title: "Delete", onclick: () => this.#delete(url, files) },
      "×",
    );
    this.remove = remove;
    this.node = h("li", {}, url ? h("a", { href: url }, name) : name, this.size, url ? remove : null);
    this.update(file);
  }

  update(file) {
    this.path = file.path;
    setText(this.size, size(file.size));
    setAttribute(this.node, "title", file.path);
  }

  async #delete(url, files) {
    if (!confirm(`Delete ${this.path}?`)) return;
    this.remove.disabled = true;
    try {
      await files.api.delete(url);
    } catch (error) {
      files.uploads.append(h("li", { class: "field-error", role: "alert" }, `${this.path}: ${error.message}`));
      this.remove.disabled = false;
    }
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
    const url = fileUrl(file.name, filesUrl);
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
